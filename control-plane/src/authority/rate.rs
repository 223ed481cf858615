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

    /// Once more, if one may: it is counted. When too many are remembered, those who are new are not counted, and held up by nobody.
    pub(super) fn charge(&self, who: K, now: Instant) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= MOST && !left.contains_key(&who) {
            left.retain(|_, left| self.refilled(left, now) < self.burst);
            if left.len() >= MOST {
                return true;
            }
        }
        let (had, at) = left.get(&who).map_or((self.burst, now), |left| (self.refilled(left, now), left.1.max(now)));
        let may = had >= 1.0;
        left.insert(who, (if may { had - 1.0 } else { had }, at));
        may
    }

    /// What was counted last does not count.
    pub(super) fn refund(&self, who: &K) {
        if let Some((left, _)) = self.left.lock().unwrap_or_else(PoisonError::into_inner).get_mut(who) {
            *left = (*left + 1.0).min(self.burst);
        }
    }

    fn refilled(&self, (left, at): &(f64, Instant), now: Instant) -> f64 {
        (left + now.saturating_duration_since(*at).as_secs_f64() * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_has_its_own_measure_and_gets_it_back_with_time() {
        let (rate, now) = (Rate::new(2.0, 1.0), Instant::now());
        assert_eq!([0, 0, 0].map(|_| rate.charge("a", now)), [true, true, false]);
        assert!(rate.charge("b", now));
        assert!(!rate.charge("a", now + Duration::from_millis(900)), "what was refused costs nothing");
        assert!(rate.charge("a", now + Duration::from_secs(2)) && rate.charge("a", now + Duration::from_secs(2)));
        assert!(!rate.charge("a", now), "who was slow to be counted turns no clock back");
        assert!(!rate.charge("a", now + Duration::from_secs(2)));
        rate.refund(&"a");
        assert!(rate.charge("a", now + Duration::from_secs(2)) && !rate.charge("a", now + Duration::from_secs(2)));
    }

    #[test]
    fn when_too_many_are_remembered_new_ones_are_not_held_up() {
        let (rate, now) = (Rate::new(1.0, 1.0), Instant::now());
        (0..MOST).for_each(|who| assert!(rate.charge(who, now)));
        assert!(rate.charge(MOST, now) && rate.charge(MOST, now) && !rate.charge(0, now));
        assert_eq!(rate.left.lock().unwrap().len(), MOST);
        assert!(rate.charge(MOST, now + Duration::from_secs(1)));
        assert_eq!(rate.left.lock().unwrap().len(), 1);
    }
}
