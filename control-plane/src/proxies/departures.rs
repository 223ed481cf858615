//! What clients held of one resource when they left: some are on their way back, to this control plane or to another.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Version;

use super::Holding;
use super::status::HeldStatus;

/// Of so many versions it is known who left last.
const VERSIONS: usize = 64;

/// Of those who asked for the resource, by the version that they had acknowledged when they left: when the last one did, and its name.
#[derive(Debug)]
pub(super) struct Departures {
    pub(super) kind: Kind,
    pub(super) name: &'static str,
    last: BTreeMap<Option<Version>, (Instant, String)>,
}

impl Departures {
    pub(super) const fn new(kind: Kind, name: &'static str) -> Self {
        Self { kind, name, last: BTreeMap::new() }
    }

    /// One is gone.
    pub(super) fn left(&mut self, (sent, status): Holding, node: &str, now: Instant) {
        let held = sent.filter(|_| status == HeldStatus::Acknowledged);
        self.last.insert(held, (now, node.to_owned()));
        while self.last.len() > VERSIONS
            && let Some(oldest) = self.last.iter().min_by_key(|(_, (at, _))| *at).map(|(held, _)| *held)
        {
            self.last.remove(&oldest);
        }
    }

    /// The last one that left without any of these versions.
    pub(super) fn without(&self, versions: &[Version]) -> Option<(Instant, String)> {
        let without = self.last.iter().filter(|(held, _)| !held.is_some_and(|held| versions.contains(&held)));
        without.map(|(_, left)| left).max_by_key(|(at, _)| *at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_has_not_acknowledged_a_version_has_left_without_it() {
        let version = |text: &str| Version::of(text.as_bytes());
        let (start, (old, new)) = (Instant::now(), (version("old"), version("new")));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut departures = Departures::new(Kind::Secret, "ROOTCA");
        assert_eq!(departures.without(&[new]), None);
        departures.left((Some(new), HeldStatus::Acknowledged), "knows", after(9));
        assert_eq!(departures.without(&[new]), None);
        departures.left((Some(old), HeldStatus::Acknowledged), "early", after(1));
        assert_eq!(departures.without(&[new]), Some((after(1), "early".to_owned())));
        for (status, second) in [(HeldStatus::Sent, 2), (HeldStatus::Refused, 3), (HeldStatus::NotSent, 4)] {
            departures.left((Some(new), status), "late", after(second));
            assert_eq!(departures.without(&[new]), Some((after(second), "late".to_owned())), "{status:?}");
        }
        assert_eq!(departures.without(&[old]), Some((after(9), "knows".to_owned())));
        assert_eq!(departures.without(&[old, new]), Some((after(4), "late".to_owned())));
    }

    #[test]
    fn of_many_versions_the_latest_are_known() {
        let start = Instant::now();
        let mut departures = Departures::new(Kind::Secret, "ROOTCA");
        for second in 0..500 {
            let version = Version::of(second.to_string().as_bytes());
            departures.left((Some(version), HeldStatus::Acknowledged), "one", start + Duration::from_secs(second));
        }
        assert_eq!(departures.last.len(), VERSIONS);
        assert_eq!(departures.without(&[Version::of(b"new")]).map(|(at, _)| at), Some(start + Duration::from_secs(499)));
    }
}
