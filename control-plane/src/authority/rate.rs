use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Those that are remembered at a time.
const MOST: usize = 10_000;

/// How often each of many may do something: so often at once, and so often in a second.
#[derive(Debug)]
pub(super) struct Rate<K> {
    burst: f64,
    per_second: f64,
    left: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Hash + Eq> Rate<K> {
    pub(super) fn new(burst: f64, per_second: f64) -> Self {
        Self { burst, per_second, left: Mutex::default() }
    }

    /// Whether one may once more. It is not counted.
    pub(super) fn may(&self, who: &K, now: Instant) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.get(who).map_or_else(|| left.len() < MOST || self.some_are_full(&left, now), |left| self.refilled(left, now) >= 1.0)
    }

    /// Counts it once.
    pub(super) fn count(&self, who: K, now: Instant) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= MOST {
            left.retain(|_, left| self.refilled(left, now) < self.burst);
        }
        if left.len() < MOST || left.contains_key(&who) {
            let had = left.get(&who).map_or(self.burst, |left| self.refilled(left, now));
            left.insert(who, ((had - 1.0).max(0.0), now));
        }
    }

    fn refilled(&self, (left, at): &(f64, Instant), now: Instant) -> f64 {
        (left + now.saturating_duration_since(*at).as_secs_f64() * self.per_second).min(self.burst)
    }

    fn some_are_full(&self, all: &HashMap<K, (f64, Instant)>, now: Instant) -> bool {
        all.values().any(|left| self.refilled(left, now) >= self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_has_its_own_measure_and_gets_it_back_with_time() {
        let (rate, now) = (Rate::new(2.0, 1.0), Instant::now());
        let takes = |who: &'static str, now| rate.may(&who, now).then(|| rate.count(who, now)).is_some();
        assert_eq!([0, 0, 0].map(|_| takes("a", now)), [true, true, false]);
        assert!(takes("b", now));
        assert!(!takes("a", now + Duration::from_millis(900)));
        assert!(takes("a", now + Duration::from_secs(2)) && takes("a", now + Duration::from_secs(2)));
    }

    #[test]
    fn when_too_many_are_remembered_new_ones_wait() {
        let (rate, now) = (Rate::new(2.0, 1.0), Instant::now());
        (0..MOST).for_each(|who| rate.count(who, now));
        assert!(!rate.may(&MOST, now) && rate.may(&0, now));
        assert!(rate.may(&MOST, now + Duration::from_secs(1)));
        rate.count(MOST, now + Duration::from_secs(1));
        assert_eq!(rate.left.lock().unwrap().len(), 1);
    }
}
