use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::telemetry::metrics::{Counter, Metric, Sample, Scope};

group! {
    /// `peer.<source>.<destination>.*`: what came to the application, by who each side is.
    PeerStats {
        counters {
            /// Connections taken, of HTTP and of bytes.
            downstream_cx_total,
            /// Requests begun.
            downstream_rq_total,
        }
        gauges {}
        histograms {}
    }
}

/// Pairs that are counted by themselves. Others are counted together: whoever gets many certificates fills no memory.
const MOST: usize = 256;
/// Bytes of a name that is shown.
const LONGEST: usize = 512;
/// Who has shown no certificate.
const UNKNOWN: &str = "unknown";
/// All that are one too many, or whose name cannot be shown.
const OTHER: &str = "other";

/// Source, destination.
type Key = (Arc<str>, Arc<str>);

/// The groups of all pairs. They stay when their connections are gone.
#[derive(Debug, Default)]
pub(super) struct Peers(Mutex<BTreeMap<Key, Arc<PeerStats>>>);

impl Peers {
    /// Asked once for each connection.
    pub(super) fn get(&self, source: Option<&str>, destination: Option<&str>) -> Arc<PeerStats> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key: Key = (shown(source).into(), shown(destination).into());
        if let Some(known) = all.get(&key) {
            return Arc::clone(known);
        }
        if all.len() >= MOST {
            // Plain text is never told as anything else.
            key = (if source.is_none() { UNKNOWN } else { OTHER }.into(), OTHER.into());
        }
        Arc::clone(all.entry(key).or_default())
    }

    pub(super) fn visit(&self, mut see: impl FnMut(Sample<'_>)) {
        let all: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(key, group)| (key.clone(), Arc::clone(group))).collect();
        for ((source, destination), group) in all {
            group.visit(|name, metric| see(Sample { scope: Scope::Peer, instance: &source, part: &destination, name, metric }));
        }
    }
}

/// How a connection to a source was kept from others, in Istio's words.
pub fn security_policy(source: &str) -> &'static str {
    if source == UNKNOWN { "none" } else { "mutual_tls" }
}

fn shown(name: Option<&str>) -> &str {
    match name {
        None => UNKNOWN,
        // A page of metrics is lines of text.
        Some(name) if name.is_empty() || name.len() > LONGEST || !name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => OTHER,
        // Nobody is called what stands for somebody else.
        Some(UNKNOWN) => OTHER,
        Some(name) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(peers: &Peers) -> Vec<(String, String, u64)> {
        let mut all = Vec::new();
        peers.visit(|sample| {
            if let (Metric::Counter(counter), "downstream_rq_total") = (sample.metric, sample.name) {
                all.push((sample.instance.to_owned(), sample.part.to_owned(), counter.value()));
            }
        });
        all
    }

    #[test]
    fn the_same_pair_is_counted_together() {
        let peers = Peers::default();
        for _ in 0..2 {
            peers.get(Some("spiffe://a/ns/b/sa/c"), Some("spiffe://a/ns/b/sa/d")).downstream_rq_total.inc();
        }
        peers.get(None, None).downstream_rq_total.inc();
        let pair = ("spiffe://a/ns/b/sa/c".to_owned(), "spiffe://a/ns/b/sa/d".to_owned(), 2);
        assert_eq!(counted(&peers), [pair, ("unknown".to_owned(), "unknown".to_owned(), 1)]);
    }

    #[test]
    fn those_that_are_too_many_are_counted_as_one() {
        let peers = Peers::default();
        for number in 0..MOST + 50 {
            peers.get(Some(&format!("spiffe://a/ns/b/sa/{number}")), Some("me")).downstream_rq_total.inc();
        }
        let all = counted(&peers);
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all.iter().find(|(source, ..)| source == OTHER).unwrap().2, 50);
        peers.get(Some("spiffe://a/ns/b/sa/0"), Some("me")).downstream_rq_total.inc();
        assert!(counted(&peers).contains(&("spiffe://a/ns/b/sa/0".to_owned(), "me".to_owned(), 2)), "who was first stays");
        peers.get(None, Some("me")).downstream_rq_total.inc();
        assert!(counted(&peers).contains(&(UNKNOWN.to_owned(), OTHER.to_owned(), 1)), "plain text is told as that");
    }

    #[test]
    fn a_name_that_would_break_the_page_is_not_shown() {
        let peers = Peers::default();
        let long = "x".repeat(LONGEST + 1);
        for wrong in ["", "a\nevil: 1", "ä", "unknown", &long] {
            peers.get(Some(wrong), None).downstream_rq_total.inc();
        }
        assert_eq!(counted(&peers), [("other".to_owned(), "unknown".to_owned(), 5)]);
        assert_eq!((security_policy("other"), security_policy(UNKNOWN)), ("mutual_tls", "none"));
    }
}
