//! What all sidecars of a run note together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ninon_tests::eventually::eventually;
use tokio::time::Instant;

/// Changes of a run.
const MOST: usize = 100_000;
/// Delays are counted by the millisecond, up to this.
const DELAYS: usize = 20_000;

/// Versions by name.
pub type Held = BTreeMap<Vec<u8>, Vec<u8>>;

/// See the module.
pub struct Board {
    began: Instant,
    /// Bytes from sockets.
    pub bytes: AtomicU64,
    /// Sidecars that hold all that they are to hold.
    pub complete: AtomicUsize,
    /// Answers that a sidecar could not make sense of, and streams that the server ended.
    pub faults: AtomicU64,
    /// When each change was sent, in microseconds.
    sent: Vec<AtomicU64>,
    delays: Vec<AtomicU64>,
    /// Changes from here on are counted as they arrive.
    awaited: AtomicU32,
    arrived: AtomicUsize,
    last: AtomicU64,
    /// Sidecars do not read.
    pub is_stuck: AtomicBool,
    /// What the first sidecar of each namespace holds, by type.
    pub held: Mutex<BTreeMap<(usize, usize), Held>>,
}

impl Board {
    pub fn new() -> Self {
        let counters = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            began: Instant::now(),
            bytes: AtomicU64::new(0),
            complete: AtomicUsize::new(0),
            faults: AtomicU64::new(0),
            sent: counters(MOST),
            delays: counters(DELAYS),
            awaited: AtomicU32::new(u32::MAX),
            arrived: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            is_stuck: AtomicBool::new(false),
            held: Mutex::default(),
        }
    }

    /// Microseconds since the beginning.
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A change is about to be sent.
    pub fn sends(&self, change: u32) {
        self.sent[index(change)].store(self.now(), Relaxed);
    }

    /// When it was.
    pub fn sent(&self, change: u32) -> u64 {
        self.sent[index(change)].load(Relaxed)
    }

    /// From now on, changes from this one on are counted as they arrive.
    pub fn expect(&self, from: u32) {
        self.awaited.store(from, Relaxed);
        self.arrived.store(0, Relaxed);
        self.last.store(self.now(), Relaxed);
    }

    /// A sidecar has now acknowledged a change to a service, of which it had an earlier one; others in between it has with it.
    pub fn arrives(&self, now: u64, earlier: u32, change: u32, services: u32) {
        let mut one = change;
        while one > earlier && one >= services {
            let delay = usize::try_from(now.saturating_sub(self.sent(one)) / 1000).unwrap_or(DELAYS);
            self.delays[delay.min(DELAYS - 1)].fetch_add(1, Relaxed);
            one -= services;
        }
        if change >= self.awaited.load(Relaxed) {
            if self.last.load(Relaxed) < now {
                self.last.fetch_max(now, Relaxed);
            }
            self.arrived.fetch_add(1, Relaxed);
        }
    }

    /// When the last of so many came, in microseconds.
    pub async fn all_arrived(&self, count: usize, limit: Duration) -> Result<u64, String> {
        until(limit, || self.arrived.load(Relaxed) >= count).await.map_err(|()| {
            let (arrived, faults) = (self.arrived.load(Relaxed), self.faults.load(Relaxed));
            format!("of {count} times that a sidecar was to have a change it had it {arrived} times in time; {faults} streams ended")
        })?;
        Ok(self.last.load(Relaxed))
    }

    /// Waits until so many sidecars hold everything.
    pub async fn all_complete(&self, count: usize, limit: Duration) -> Result<(), String> {
        let is_over = || self.complete.load(Relaxed) >= count;
        until(limit, is_over).await.map_err(|()| format!("{} of {count} sidecars had everything in time", self.complete.load(Relaxed)))
    }

    /// Quantiles of all delays since the last time, in milliseconds. Forgets them.
    pub fn delays<const N: usize>(&self, quantiles: [f64; N]) -> [f64; N] {
        let counts: Vec<u64> = self.delays.iter().map(|count| count.swap(0, Relaxed)).collect();
        let all = counts.iter().sum::<u64>() as f64;
        quantiles.map(|quantile| {
            let mut left = all * quantile;
            let found = counts.iter().position(|count| {
                left -= *count as f64;
                left <= 0.0
            });
            found.map_or(f64::NAN, |at| (at + 1) as f64)
        })
    }

    /// Notes what a sidecar holds of a type.
    pub fn hold(&self, namespace: usize, kind: usize, name: &[u8], version: &[u8]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.entry((namespace, kind)).or_default().insert(name.to_vec(), version.to_vec());
    }

    /// What was noted.
    pub fn held(&self, namespace: usize, kind: usize) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&(namespace, kind)).cloned().unwrap_or_default()
    }
}

fn index(change: u32) -> usize {
    usize::try_from(change).expect("32 bits") % MOST
}

async fn until(limit: Duration, is_over: impl Fn() -> bool) -> Result<(), ()> {
    eventually(limit, async || is_over().then_some(())).await.ok_or(())
}
