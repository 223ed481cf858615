use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxies::node::Locality;

/// Clusters, localities and reporters that are kept: more than a mesh has, and an end to what a client can make up.
const MOST: usize = 20_000;
/// What was not reported again is forgotten.
const FRESH: Duration = Duration::from_secs(60);

/// The last load of each cluster and locality, by who reports it.
#[derive(Debug, Default)]
pub struct Loads(Mutex<BTreeMap<Key, Load>>);

/// What a load is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The cluster, as the reporter knows it.
    pub cluster: String,
    /// Region, zone and sub-zone of the endpoints.
    pub locality: [String; 3],
    /// The reporter's node.
    pub reporter: String,
}

/// What happened in one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// When it was reported.
    pub at: Instant,
    /// How long the interval was.
    pub interval: Duration,
    /// Requests that were sent.
    pub issued: u64,
    /// Those that were answered well.
    pub successful: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those under way at its end.
    pub in_progress: u64,
    /// Those that were not sent, for a limit; of the whole cluster.
    pub dropped: u64,
}

impl Key {
    /// Of a cluster's endpoints in one locality.
    pub fn new(cluster: &str, locality: Locality, reporter: &str) -> Self {
        let locality = [locality.region, locality.zone, locality.sub_zone];
        Self { cluster: cluster.to_owned(), locality, reporter: reporter.to_owned() }
    }
}

impl Loads {
    /// Enters a report; whether there was room.
    pub fn report(&self, key: Key, load: Load) -> bool {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if loads.len() >= MOST && !loads.contains_key(&key) {
            loads.retain(|_, known| load.at.saturating_duration_since(known.at) <= FRESH);
            if loads.len() >= MOST {
                return false;
            }
        }
        loads.insert(key, load);
        true
    }

    /// What was reported lately, in the order of clusters, localities and reporters.
    pub fn list(&self, now: Instant) -> Vec<(Key, Load)> {
        let mut loads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        loads.retain(|_, known| now.saturating_duration_since(known.at) <= FRESH);
        loads.iter().map(|(key, load)| (key.clone(), *load)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(at: Instant, issued: u64) -> Load {
        Load { at, interval: Duration::from_secs(10), issued, successful: 0, failed: 0, in_progress: 0, dropped: 0 }
    }

    #[test]
    fn the_last_report_of_each_stays_until_it_is_old() {
        let (loads, start) = (Loads::default(), Instant::now());
        let key = |cluster: &str| Key::new(cluster, Locality::default(), "me");
        assert!(loads.report(key("b"), load(start, 1)) && loads.report(key("a"), load(start, 2)));
        assert!(loads.report(key("b"), load(start + FRESH, 3)));
        let issued = |now| loads.list(now).into_iter().map(|(key, load)| (key.cluster, load.issued)).collect::<Vec<_>>();
        assert_eq!(issued(start + FRESH), [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert_eq!(issued(start + FRESH * 2), [("b".to_owned(), 3)]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (loads, start) = (Loads::default(), Instant::now());
        let key = |at: usize| Key::new(&at.to_string(), Locality::default(), "me");
        assert!((0..MOST).all(|at| loads.report(key(at), load(start, 1))));
        assert!(!loads.report(key(MOST), load(start, 1)));
        assert!(loads.report(key(0), load(start, 2)));
        assert!(loads.report(key(MOST), load(start + FRESH * 2, 1)));
    }
}
