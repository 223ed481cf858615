use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::world::World;
use crate::authority::Authority;
use crate::authority::rotation::NotNow;
use crate::proxies::Proxies;
use crate::proxies::status::HeldStatus;
use crate::registration::registrar::Registrar;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};
use crate::translate::trust::ROOTS;

/// How often it is looked how far a rotation is.
const LOOK: Duration = Duration::from_millis(500);
/// The same, as long as the next step is not due for longer than [`SOON`].
const LOOK_SELDOM: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(60);
/// Versions of what proxies are told that are remembered: lists of what is revoked are signed anew now and then.
const VERSIONS: usize = 256;
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

/// The time of day since a time to come was heard of: no clock that is put forward brings it nearer.
#[derive(Default)]
struct Patience(Option<(SystemTime, SystemTime, Instant)>);

impl Patience {
    fn time(&mut self, until: SystemTime, (wall, now): (SystemTime, Instant)) -> SystemTime {
        let heard = self.0.filter(|(of, ..)| *of == until).unwrap_or((until, wall, now));
        self.0 = Some(heard);
        let (_, heard, at) = heard;
        wall.min(heard + now.saturating_duration_since(at))
    }
}

/// Whom proxies are told to trust.
pub(super) struct Told {
    secret: Arc<Resource>,
    /// The root among them that all are to know.
    root: Option<String>,
    /// When lists are to be signed anew.
    again: Option<SystemTime>,
}

/// Tells proxies whom to trust, and takes a rotation from step to step.
pub(super) async fn run(
    world: Arc<World>,
    authority: Arc<Authority>,
    proxies: Arc<Proxies>,
    registrar: Arc<Registrar>,
    mut stop: watch::Receiver<bool>,
) {
    proxies.follow(Kind::Secret, ROOTS);
    let returning = Returning::new(registrar.orphan_grace(), !authority.is_new(), Instant::now());
    let (mut changes, mut revocations) = (authority.changes(), authority.revocation_changes());
    let goes = async {
        let (patience, telling) = (Patience::default(), Telling::default());
        let mut rotation = Turn { authority: &authority, proxies: &proxies, registrar: &registrar, returning, patience, telling };
        let mut trouble = None;
        loop {
            changes.mark_unchanged();
            revocations.mark_unchanged();
            let told = tell(&world, &authority);
            loop {
                let problem = rotation.step(&told).await.err();
                if let Some(problem) = problem.as_ref().filter(|_| trouble != problem) {
                    tracing::warn!(%problem, "the rotation of the root cannot go on; tried again");
                }
                trouble = problem;
                if told.again.is_some_and(|again| SystemTime::now() >= again) {
                    break;
                }
                // The senders live as long as the authority.
                tokio::select! {
                    _ = changes.changed() => break,
                    _ = revocations.changed() => break,
                    () = tokio::time::sleep(rotation.pause(SystemTime::now())) => {}
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

/// Tells proxies whom to trust at this moment.
pub(super) fn tell(world: &World, authority: &Authority) -> Told {
    let trust = authority.trust();
    let lists = authority.lists(&trust, SystemTime::now());
    Told { secret: world.trust(&trust.bundle(), &lists), root: trust.to_be_known().map(ToOwned::to_owned), again: lists.again }
}

/// What a rotation is taken on by.
struct Turn<'a> {
    authority: &'a Authority,
    proxies: &'a Proxies,
    registrar: &'a Registrar,
    returning: Returning,
    patience: Patience,
    telling: Telling,
}

/// All that proxies were told since a root is among those that they are to trust.
#[derive(Default)]
struct Telling {
    root: Option<String>,
    versions: Vec<Version>,
    /// Streams whose proxies have acknowledged one of them.
    known: BTreeSet<u64>,
}

impl Telling {
    fn tell(&mut self, root: Option<&str>, version: Version) {
        if self.root.as_deref() != root {
            *self = Self { root: root.map(ToOwned::to_owned), ..Self::default() };
        }
        if !self.versions.contains(&version) {
            if self.versions.len() >= VERSIONS {
                self.versions.remove(0);
            }
            self.versions.push(version);
        }
    }

    /// Connected proxies that ask whom to trust, and have acknowledged none of these answers, or refuse the last one.
    fn behind(&mut self, proxies: &Proxies) -> Vec<String> {
        let (mut known, mut behind) = (BTreeSet::new(), Vec::new());
        let connected = proxies.list().into_iter().filter(|proxy| proxy.gone.is_none());
        for proxy in connected.filter(|proxy| proxy.types.iter().any(|of| of.kind == Kind::Secret && of.subscribed > 0)) {
            let Some((held, status)) = proxies.holding(proxy.stream, Kind::Secret, ROOTS) else { continue };
            let has = held.is_some_and(|held| self.versions.contains(&held));
            if has && (status == HeldStatus::Acknowledged || (status == HeldStatus::Sent && self.known.contains(&proxy.stream))) {
                known.insert(proxy.stream);
            } else if behind.len() < NAMED {
                behind.push(proxy.node.id.clone());
            }
        }
        self.known = known;
        behind
    }
}

impl Turn<'_> {
    async fn step(&mut self, told: &Told) -> Result<(), NotNow> {
        let stepped = self.steps(told).await;
        if let Err(problem) = &stepped {
            self.authority.wait_for(vec![problem.to_string()]);
        }
        stepped
    }

    async fn steps(&mut self, told: &Told) -> Result<(), NotNow> {
        let (authority, (me, all)) = (self.authority, self.registrar.replicas());
        let confirmed = |id: &str| told.root.as_ref().is_some_and(|root| authority.has_confirmed(root, id));
        let left = self.returning.left(&all, confirmed, Instant::now());
        self.telling.tell(told.root.as_deref(), told.secret.version);
        let (wall, until) = (SystemTime::now(), authority.trust().rotation.until);
        let now = until.map_or(wall, |until| self.patience.time(until, (wall, Instant::now())));
        let Some(root) = &told.root else {
            authority.wait_for(Vec::new());
            return authority.forget_confirmations().await;
        };
        let mut behind = self.telling.behind(self.proxies);
        behind.extend(self.gone(Instant::now()));
        behind.extend(left);
        if !behind.is_empty() {
            authority.wait_for(behind);
            // What this one has said before is not so any more.
            return authority.take_back(me).await;
        }
        let others = authority.confirm(root, me, &all).await?;
        let all_know = others.is_empty();
        authority.wait_for(others.into_iter().map(|id| format!("control plane {id}")).take(NAMED).collect());
        if all_know {
            authority.advance(root, now).await?;
        }
        Ok(())
    }

    /// When to look again.
    fn pause(&self, now: SystemTime) -> Duration {
        let left = self.authority.trust().rotation.until.and_then(|until| until.duration_since(now).ok());
        if left.is_some_and(|left| left > SOON) { LOOK_SELDOM } else { LOOK }
    }

    /// One that has left without it, and has time to come back.
    fn gone(&self, now: Instant) -> Option<String> {
        let (at, who) = self.proxies.left_without(&self.telling.versions)?;
        let left = (at + self.returning.grace).saturating_duration_since(now);
        (!left.is_zero()).then(|| format!("{who}, which is gone; it may come back for {}s", left.as_secs() + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::proxies::node::{About, Node};
    use crate::proxies::status::{Dialect, Held, TypeStatus};
    use crate::proxies::{Holding, Observed};

    #[test]
    fn lists_that_are_signed_anew_take_no_confirmation_back() {
        let (mut telling, version) = (Telling::default(), |number: usize| Version::of(&number.to_be_bytes()));
        telling.tell(None, version(0));
        telling.tell(Some("new"), version(1));
        telling.tell(Some("new"), version(2));
        telling.tell(Some("new"), version(1));
        assert_eq!(telling.versions, [version(1), version(2)], "what was told before it says nothing of it");
        (0..500).for_each(|number| telling.tell(Some("new"), version(number)));
        assert!(telling.versions.len() == VERSIONS && telling.versions.contains(&version(499)));
        telling.tell(None, version(500));
        assert_eq!(telling.versions, [version(500)]);
    }

    /// A proxy that holds this of whom to trust.
    struct Holder(Mutex<Holding>);

    impl Observed for Holder {
        fn types(&self) -> Vec<TypeStatus> {
            vec![TypeStatus { subscribed: 1, ..TypeStatus::new(Kind::Secret) }]
        }

        fn held(&self) -> Vec<Held> {
            Vec::new()
        }

        fn holding(&self, _: Kind, _: &str) -> Option<Holding> {
            Some(*self.0.lock().unwrap())
        }
    }

    #[test]
    fn who_has_acknowledged_a_root_knows_it_until_he_refuses_it() {
        use HeldStatus::{Acknowledged, NotSent, Refused, Sent};
        let [before, with, anew] = ["before", "with", "anew"].map(|text| Version::of(text.as_bytes()));
        let proxies = Proxies::new(10);
        let holder = Arc::new(Holder(Mutex::new((None, NotSent))));
        let node = Arc::new(Node { id: "one".to_owned(), ..Node::default() });
        let seen: Arc<dyn Observed> = Arc::<Holder>::clone(&holder);
        let _connected = proxies.connect(node, About::default(), Dialect::Delta, seen).unwrap();
        let mut telling = Telling::default();
        telling.tell(Some("new"), with);
        for (held, status, is_behind) in [
            ((None, NotSent), "it was told nothing", true),
            ((Some(before), Acknowledged), "it knows the old one alone", true),
            ((Some(with), Sent), "it has not answered", true),
            ((Some(with), Acknowledged), "it knows", false),
            ((Some(anew), Sent), "what is told now was not told with that root", true),
            ((Some(with), Acknowledged), "it knows", false),
        ] {
            *holder.0.lock().unwrap() = held;
            assert_eq!(telling.behind(&proxies).is_empty(), !is_behind, "{status}");
        }
        telling.tell(Some("new"), anew);
        for (held, status, is_behind) in [
            ((Some(anew), Sent), "a list is on its way to it", false),
            ((Some(anew), Refused), "it refuses it", true),
            ((Some(anew), Sent), "and knows no more", true),
        ] {
            *holder.0.lock().unwrap() = held;
            assert_eq!(telling.behind(&proxies).is_empty(), !is_behind, "{status}");
        }
    }

    #[test]
    fn a_clock_that_is_put_forward_brings_nothing_nearer() {
        let (wall, start, second) = (SystemTime::now(), Instant::now(), Duration::from_secs(1));
        let (until, mut patience) = (wall + 100 * second, Patience::default());
        assert_eq!(patience.time(until, (wall, start)), wall);
        assert_eq!(patience.time(until, (wall + 86_400 * second, start + second)), wall + second);
        assert_eq!(patience.time(until, (wall - 50 * second, start + 9 * second)), wall - 50 * second, "nor what stands");
        assert_eq!(patience.time(until, (wall + 100 * second, start + 100 * second)), until);
        // Another rotation, after the clock was mended.
        let later = wall + 90_000 * second;
        assert_eq!(patience.time(until + second, (later, start + 200 * second)), later);
    }

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
