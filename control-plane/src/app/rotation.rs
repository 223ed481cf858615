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
    until: Option<Instant>,
}

impl Returning {
    /// At the start; `may_return` says whether there may be any. Where other control planes live, the proxies of before are with those.
    fn new(all: &[String], grace: Duration, may_return: bool, now: Instant) -> Self {
        let until = (may_return && all.len() <= 1).then_some(now + grace);
        Self { others: all.iter().cloned().collect(), grace, until }
    }

    /// How long they still have, with these control planes alive.
    fn left(&mut self, all: &[String], now: Instant) -> Option<Duration> {
        let all: BTreeSet<String> = all.iter().cloned().collect();
        if !self.others.is_subset(&all) {
            self.until = Some(now + self.grace);
        }
        self.others = all;
        self.until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
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
    let mut returning = Returning::new(&registrar.replicas().1, registrar.orphan_grace(), !authority.is_new(), Instant::now());
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
    let left = returning.left(&all, Instant::now());
    let Some(root) = authority.to_be_known() else {
        authority.wait_for(Vec::new());
        return authority.forget(SystemTime::now()).await.map(drop);
    };
    let mut behind = behind(proxies, told.version);
    behind.extend(left.map(|left| format!("proxies that may come back, {}s", left.as_secs() + 1)));
    if behind.is_empty() {
        let looked = authority.confirm(&root, me, &all).await?;
        let others = all.into_iter().filter(|id| id != me).map(|id| format!("control plane {id}"));
        authority.wait_for(if looked == Looked::Again { others.take(NAMED).collect() } else { Vec::new() });
    } else {
        authority.wait_for(behind);
    }
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
        // The first start of all: nobody was there.
        assert_eq!(Returning::new(&all(&["me"]), grace, false, start).left(&all(&["me"]), start), None);
        // A restart.
        let mut again = Returning::new(&all(&["me"]), grace, true, start);
        assert_eq!(again.left(&all(&["me"]), after(40)), Some(Duration::from_secs(5)));
        assert_eq!(again.left(&all(&["me"]), after(45)), None);
        // Beside others, who have the proxies; until one of them goes.
        let mut beside = Returning::new(&all(&["me", "other"]), grace, true, start);
        assert_eq!(beside.left(&all(&["me", "other"]), after(1)), None);
        assert_eq!(beside.left(&all(&["me", "other", "third"]), after(2)), None);
        assert_eq!(beside.left(&all(&["me", "third"]), after(10)), Some(grace));
        assert_eq!(beside.left(&all(&["me", "third", "other"]), after(20)), Some(Duration::from_secs(35)));
        assert_eq!(beside.left(&all(&["me"]), after(30)), Some(grace));
        assert_eq!(beside.left(&all(&["me"]), after(75)), None);
    }
}
