use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::proxies::node::Locality;

/// Clusters and reporters that are kept: more than a mesh has, and an end to what a client can make up.
const MOST: usize = 20_000;
/// Localities of one cluster, likewise.
const LOCALITIES: usize = 64;
/// Names that are longer are made up.
const LONGEST: usize = 512;
/// What was not reported again is forgotten.
pub const FRESH: Duration = Duration::from_secs(60);

/// The last load of each cluster, by who reports it.
#[derive(Debug, Default)]
pub struct Loads {
    reports: Mutex<BTreeMap<Key, Report>>,
    refused: AtomicU64,
}

/// What a report is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The cluster, as the reporter knows it.
    pub cluster: String,
    /// The reporter's node.
    pub reporter: String,
}

/// What happened to a cluster's requests in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When it was told.
    pub at: Instant,
    /// How long the interval was.
    pub interval: Duration,
    /// Requests that were not sent, for a limit.
    pub dropped: u64,
    /// Requests by where the endpoints are.
    pub localities: Vec<(Locality, Requests)>,
}

/// Requests of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Those that were sent.
    pub issued: u64,
    /// Those that were answered well.
    pub successful: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those under way at its end.
    pub in_progress: u64,
}

/// The last intervals of all who report a cluster, together.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The cluster.
    pub cluster: String,
    /// Everything.
    pub total: Sum,
    /// Requests that were not sent, for a limit.
    pub dropped: u64,
    /// When the last report came.
    pub at: Instant,
    /// Requests by where the endpoints are.
    pub localities: BTreeMap<Locality, Sum>,
}

/// Requests, and who told of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// In the last interval of each reporter.
    pub requests: Requests,
    /// Requests sent in a second.
    pub rate: f64,
    /// Failures in a second.
    pub failures: f64,
    /// How many report.
    pub reporters: usize,
}

impl Report {
    /// Whether nothing happened: proxies tell of all clusters that they have.
    fn is_idle(&self) -> bool {
        self.dropped == 0 && self.localities.iter().all(|(_, requests)| *requests == Requests::default())
    }

    fn fits(&self) -> bool {
        let mut words = self.localities.iter().flat_map(|(of, _)| [&of.region, &of.zone, &of.sub_zone]);
        self.localities.len() <= LOCALITIES && words.all(|word| word.len() <= LONGEST)
    }
}

impl Loads {
    /// Enters a report in place of the one before; whether there was room.
    pub fn report(&self, key: Key, report: Report) -> bool {
        let mut reports = self.lock();
        if report.is_idle() {
            reports.remove(&key);
            return true;
        }
        let mut has_room = report.fits() && key.cluster.len() <= LONGEST && key.reporter.len() <= LONGEST;
        if has_room && reports.len() >= MOST && !reports.contains_key(&key) {
            reports.retain(|_, known| is_fresh(known, report.at));
            has_room = reports.len() < MOST;
        }
        if has_room {
            reports.insert(key, report);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    /// Reports that there was no room for.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What was reported lately, in the order of clusters.
    pub fn list(&self, now: Instant) -> Vec<Load> {
        let mut reports = self.lock();
        reports.retain(|_, known| is_fresh(known, now));
        let mut loads: BTreeMap<&str, Load> = BTreeMap::new();
        for (key, report) in reports.iter() {
            match loads.entry(&key.cluster) {
                Entry::Occupied(mut known) => known.get_mut().add(report),
                Entry::Vacant(new) => new.insert(Load::new(&key.cluster, report.at)).add(report),
            }
        }
        loads.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(report: &Report, now: Instant) -> bool {
    now.saturating_duration_since(report.at) <= FRESH
}

impl Load {
    fn new(cluster: &str, at: Instant) -> Self {
        Self { cluster: cluster.to_owned(), total: Sum::default(), dropped: 0, at, localities: BTreeMap::new() }
    }

    /// Adds what one reporter says.
    fn add(&mut self, report: &Report) {
        self.dropped = self.dropped.saturating_add(report.dropped);
        self.at = self.at.max(report.at);
        let mut seen = BTreeSet::new();
        for (locality, requests) in &report.localities {
            self.total.add(requests, report.interval);
            let sum = self.localities.entry(locality.clone()).or_default();
            sum.add(requests, report.interval);
            sum.reporters += usize::from(seen.insert(locality));
        }
        self.total.reporters += 1;
    }
}

impl Sum {
    fn add(&mut self, more: &Requests, interval: Duration) {
        let sum = &mut self.requests;
        sum.issued = sum.issued.saturating_add(more.issued);
        sum.successful = sum.successful.saturating_add(more.successful);
        sum.failed = sum.failed.saturating_add(more.failed);
        sum.in_progress = sum.in_progress.saturating_add(more.in_progress);
        self.rate += per_second(more.issued, interval);
        self.failures += per_second(more.failed, interval);
    }
}

/// More than four billion in an interval are not believed.
fn per_second(count: u64, interval: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if interval.is_zero() { 0.0 } else { count / interval.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cluster: &str, reporter: &str) -> Key {
        Key { cluster: cluster.to_owned(), reporter: reporter.to_owned() }
    }

    fn report(at: Instant, zone: &str, issued: u64) -> Report {
        let locality = Locality { zone: zone.to_owned(), ..Locality::default() };
        let requests = Requests { issued, successful: issued, ..Requests::default() };
        Report { at, interval: Duration::from_secs(10), dropped: 0, localities: vec![(locality, requests)] }
    }

    fn issued(loads: &Loads, now: Instant) -> Vec<(String, u64)> {
        loads.list(now).into_iter().map(|load| (load.cluster, load.total.requests.issued)).collect()
    }

    #[test]
    fn the_last_report_of_each_stays_until_it_is_old() {
        let (loads, start) = (Loads::default(), Instant::now());
        assert!(loads.report(key("b", "me"), report(start, "z", 1)) && loads.report(key("a", "me"), report(start, "z", 2)));
        assert!(loads.report(key("b", "me"), report(start + FRESH, "z", 3)));
        assert_eq!(issued(&loads, start + FRESH), [("a".to_owned(), 2), ("b".to_owned(), 3)]);
        assert_eq!(issued(&loads, start + FRESH * 2), [("b".to_owned(), 3)]);
    }

    #[test]
    fn what_several_report_is_summed_by_locality() {
        let (loads, start) = (Loads::default(), Instant::now());
        let both = [report(start, "z", 10), report(start, "y", 20)].map(|report| report.localities).concat();
        loads.report(key("a", "one"), Report { dropped: 3, localities: both, ..report(start, "z", 0) });
        loads.report(key("a", "two"), Report { dropped: 1, ..report(start + Duration::from_secs(2), "z", 40) });
        let [load] = loads.list(start).try_into().unwrap();
        assert_eq!((load.dropped, load.at), (4, start + Duration::from_secs(2)));
        assert_eq!((load.total.requests.issued, load.total.rate, load.total.reporters), (70, 7.0, 2));
        let by_zone: Vec<_> = load.localities.iter().map(|(of, sum)| (of.zone.as_str(), sum.rate, sum.reporters)).collect();
        assert_eq!(by_zone, [("y", 2.0, 1), ("z", 5.0, 2)]);
    }

    #[test]
    fn a_cluster_that_nobody_uses_any_more_is_not_listed() {
        let (loads, start) = (Loads::default(), Instant::now());
        loads.report(key("a", "me"), report(start, "z", 1));
        loads.report(key("a", "me"), report(start, "z", 0));
        assert_eq!(loads.list(start), []);
        let dropped = Report { dropped: 1, localities: Vec::new(), ..report(start, "z", 0) };
        loads.report(key("a", "me"), dropped);
        assert_eq!(loads.list(start).len(), 1, "what was dropped is told without a locality");
    }

    #[test]
    fn there_is_room_for_so_many() {
        let (loads, start) = (Loads::default(), Instant::now());
        assert!((0..MOST).all(|at| loads.report(key(&at.to_string(), "me"), report(start, "z", 1))));
        assert!(!loads.report(key("more", "me"), report(start, "z", 1)));
        assert!(loads.report(key("0", "me"), report(start, "z", 2)));
        assert!(loads.report(key("more", "me"), report(start + FRESH * 2, "z", 1)));
        assert!(!loads.report(key("long", &"x".repeat(LONGEST + 1)), report(start, "z", 1)));
        assert!(!loads.report(key("long", "me"), report(start, &"x".repeat(LONGEST + 1), 1)));
        let many = vec![report(start, "z", 1).localities.remove(0); LOCALITIES + 1];
        assert!(!loads.report(key("many", "me"), Report { localities: many, ..report(start, "z", 1) }));
        assert_eq!(loads.refused(), 4);
    }
}
