use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections open on each worker. The kernel's `SO_REUSEPORT` hash leaves few connections uneven, so a worker that accepts
/// while another has two fewer hands the connection over.
#[derive(Debug)]
pub struct Spread(Arc<[AtomicUsize]>);

/// A worker's share. Counts one connection until dropped.
#[derive(Debug)]
pub struct Held {
    counts: Arc<[AtomicUsize]>,
    worker: usize,
}

impl Clone for Spread {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Spread {
    /// Over this many workers.
    pub fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicUsize::new(0)).collect())
    }

    /// Which worker serves a connection that `here` accepted; it is counted there at once.
    pub fn place(&self, here: usize) -> Held {
        let load = |worker: usize| self.0.get(worker).map_or(usize::MAX, |count| count.load(Ordering::Relaxed));
        let idlest = (0..self.0.len()).min_by_key(|worker| load(*worker)).unwrap_or(here);
        let worker = if load(here) > load(idlest).saturating_add(1) { idlest } else { here };
        if let Some(count) = self.0.get(worker) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Held { counts: Arc::clone(&self.0), worker }
    }

    /// Connections open on a worker, or on their way to it.
    pub fn on(&self, worker: usize) -> usize {
        self.0.get(worker).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Connections open in all.
    pub fn total(&self) -> usize {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

impl Held {
    /// The worker it was given to.
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(count) = self.counts.get(self.worker) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_arrive_on_one_worker_are_spread_over_all() {
        let spread = Spread::new(2);
        let held: Vec<Held> = (0..32).map(|_| spread.place(0)).collect();
        let on_first = held.iter().filter(|held| held.worker() == 0).count();
        assert!((16..=17).contains(&on_first), "{on_first} of 32 on the first worker");
        drop(held);
        assert_eq!(spread.total(), 0);
    }
}
