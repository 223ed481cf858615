use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::world::World;
use crate::authority::Authority;
use crate::authority::rotation::{Looked, NotNow};
use crate::proxies::Proxies;
use crate::proxies::status::HeldStatus;
use crate::registration::registrar::Registrar;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};
use crate::translate::trust::ROOTS;

/// How often it is looked how far a rotation is.
const LOOK: Duration = Duration::from_millis(500);
/// How many are named of those that are waited for.
const NAMED: usize = 100;

/// Proxies of a control plane that is gone, of this one before its start or of another, which may come back: until then nobody knows
/// whom they trust.
struct Returning {
    others: BTreeSet<String>,
    /// How long they have.
    grace: Duration,
    /// Until when, and whose they are.
    until: Option<(Instant, String)>,
}

impl Returning {
    /// At the start; `may_return` says whether there may be any of before.
    fn new(grace: Duration, may_return: bool, now: Instant) -> Self {
        let until = may_return.then(|| (now + grace, "this control plane before its start".to_owned()));
        Self { others: BTreeSet::new(), grace, until }
    }

    /// Whom to wait for, with these control planes alive. Of one that had `confirmed`, all proxies knew the root.
    fn left(&mut self, all: &[String], confirmed: impl Fn(&str) -> bool, now: Instant) -> Option<String> {
        let all: BTreeSet<String> = all.iter().cloned().collect();
        if let Some(gone) = self.others.difference(&all).find(|id| !confirmed(id)) {
            self.until = Some((now + self.grace, format!("control plane {gone}, which is gone")));
        }
        self.others = all;
        let (until, whose) = self.until.as_ref()?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then(|| format!("proxies of {whose}; they may come back for {}s", left.as_secs() + 1))
    }
}

/// Tells proxies whom to trust, and takes a rotation from step to step.
pub(super) async fn run(
    world: Arc<World>,
    authority: Arc<Authority>,
    proxies: Arc<Proxies>,
    registrar: Arc<Registrar>,
    mut stop: watch::Receiver<bool>,
) {
    let mut returning = Returning::new(registrar.orphan_grace(), !authority.is_new(), Instant::now());
    let (mut changes, mut revocations) = (authority.changes(), authority.revocation_changes());
    let goes = async {
        loop {
            changes.mark_unchanged();
            revocations.mark_unchanged();
            let (told, again) = tell(&world, &authority);
            loop {
                if let Err(problem) = step(&authority, &proxies, &registrar, (&told, &mut returning)).await {
                    tracing::warn!(?problem, "the rotation of the root cannot go on; tried again");
                }
                if again.is_some_and(|again| SystemTime::now() >= again) {
                    break;
                }
                // The senders live as long as the authority.
                tokio::select! {
                    _ = changes.changed() => break,
                    _ = revocations.changed() => break,
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    };
    tokio::select! {
        // That nobody can say so any more is the same.
        _ = stop.wait_for(|stop| *stop) => {}
        () = goes => {}
    }
}

/// Tells proxies whom to trust at this moment; and when their lists are to be signed anew.
pub(super) fn tell(world: &World, authority: &Authority) -> (Arc<Resource>, Option<SystemTime>) {
    let trust = authority.trust();
    let lists = authority.lists(&trust, SystemTime::now());
    (world.trust(&trust.bundle(), &lists), lists.again)
}

async fn step(
    authority: &Authority,
    proxies: &Proxies,
    registrar: &Registrar,
    (told, returning): (&Resource, &mut Returning),
) -> Result<(), NotNow> {
    let (me, all) = registrar.replicas();
    let root = authority.to_be_known();
    let left = returning.left(&all, |id| root.as_ref().is_some_and(|root| authority.has_confirmed(root, id)), Instant::now());
    let Some(root) = root else {
        authority.wait_for(Vec::new());
        return authority.forget(SystemTime::now()).await.map(drop);
    };
    let mut behind = behind(proxies, told.version);
    behind.extend(left);
    if !behind.is_empty() {
        authority.wait_for(behind);
        // What this one has said before is not so any more.
        return authority.take_back(me).await;
    }
    let looked = authority.confirm(&root, me, &all).await?;
    let others = all.into_iter().filter(|id| id != me).map(|id| format!("control plane {id}"));
    authority.wait_for(if looked == Looked::Again { others.take(NAMED).collect() } else { Vec::new() });
    Ok(())
}

/// Connected proxies that ask whom to trust, and have not taken the newest answer.
fn behind(proxies: &Proxies, version: Version) -> Vec<String> {
    let connected = proxies.list().into_iter().filter(|proxy| proxy.gone.is_none());
    let asks = connected.filter(|proxy| proxy.types.iter().any(|of| of.kind == Kind::Secret && of.subscribed > 0));
    let behind = asks.filter(|proxy| {
        let held = proxies.holding(proxy.stream, Kind::Secret, ROOTS);
        held.is_some_and(|(held, status)| held != Some(version) || status != HeldStatus::Acknowledged)
    });
    behind.map(|proxy| proxy.node.id.clone()).take(NAMED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_of_a_control_plane_that_is_gone_have_time_to_come_back() {
        let (start, grace) = (Instant::now(), Duration::from_secs(45));
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let after = |seconds| start + Duration::from_secs(seconds);
        let nobody = |_: &str| false;
        // The first start of all: nobody was there.
        assert_eq!(Returning::new(grace, false, start).left(&all(&["me"]), nobody, start), None);
        // A restart, alone or beside others: its own may be on their way to any of them.
        for beside in [all(&["me"]), all(&["me", "other"])] {
            let mut again = Returning::new(grace, true, start);
            let told = again.left(&beside, nobody, after(40)).unwrap();
            assert_eq!(told, "proxies of this control plane before its start; they may come back for 6s");
            assert_eq!(again.left(&beside, nobody, after(45)), None);
        }
        // Others that come and go.
        let mut beside = Returning::new(grace, false, start);
        assert_eq!(beside.left(&all(&["me", "other"]), nobody, after(1)), None);
        assert_eq!(beside.left(&all(&["me", "other", "third"]), nobody, after(2)), None);
        let told = beside.left(&all(&["me", "third"]), nobody, after(10)).unwrap();
        assert_eq!(told, "proxies of control plane other, which is gone; they may come back for 46s");
        assert!(beside.left(&all(&["me", "third", "other"]), nobody, after(54)).is_some());
        assert_eq!(beside.left(&all(&["me", "third", "other"]), nobody, after(55)), None);
        // All proxies of this one knew.
        assert_eq!(beside.left(&all(&["me", "other"]), |id| id == "third", after(60)), None);
        assert!(beside.left(&all(&["me"]), |id| id == "third", after(70)).is_some());
    }
}
