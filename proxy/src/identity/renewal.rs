use std::time::{Duration, SystemTime};

/// First wait after a failure.
const SOON: Duration = Duration::from_secs(1);
/// Longest wait between failures.
const SELDOM: Duration = Duration::from_secs(60);
/// Proxies that were started together do not come back together: so much of a wait is by chance.
const JITTER: f64 = 0.2;

/// When to ask the authority again.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal {
    failures: u32,
}

impl Renewal {
    /// Nothing has failed.
    pub fn new() -> Self {
        Self { failures: 0 }
    }

    /// A certificate came: how long until the next is asked for. Half of its life is over then, a little more or less.
    pub fn succeeded(&mut self, now: SystemTime, expires: SystemTime, chance: f64) -> Duration {
        self.failures = 0;
        let left = expires.duration_since(now).unwrap_or_default();
        left.mul_f64(0.5 * jittered(chance)).max(SOON / 2)
    }

    /// None came: how long until the next attempt. While a certificate is valid there are always some left before its end.
    pub fn failed(&mut self, left: Option<Duration>, chance: f64) -> Duration {
        let doubled = SOON.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1).min(16);
        let most = left.filter(|left| !left.is_zero()).map_or(SELDOM, |left| (left / 8).clamp(SOON / 2, SELDOM));
        doubled.min(most).mul_f64(jittered(chance))
    }
}

impl Default for Renewal {
    fn default() -> Self {
        Self::new()
    }
}

/// `chance` is from 0 to 1.
fn jittered(chance: f64) -> f64 {
    1.0 - JITTER / 2.0 + JITTER * chance.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_middle_of_its_life() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let day = Duration::from_secs(86_400);
        let mut renewal = Renewal::new();
        assert_eq!(renewal.succeeded(now, now + day, 0.5), day / 2);
        assert_eq!(renewal.succeeded(now, now + day, 0.0), day.mul_f64(0.45));
        assert!(renewal.succeeded(now, now + day, 1.0) < day.mul_f64(0.551));
        assert_eq!(renewal.succeeded(now, now - day, 0.5), SOON / 2, "the clocks differ: it is over already");
    }

    #[test]
    fn failures_are_waited_for_longer_and_longer() {
        let mut renewal = Renewal::new();
        let waits: Vec<u64> = (0..9).map(|_| renewal.failed(None, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        for _ in 0..100 {
            assert!(renewal.failed(None, 1.0) <= Duration::from_secs(66));
        }
    }

    #[test]
    fn the_end_of_a_certificate_is_not_slept_through() {
        let mut renewal = Renewal::new();
        for _ in 0..10 {
            assert!(renewal.failed(Some(Duration::from_secs(8)), 0.5) <= Duration::from_secs(1));
        }
        assert_eq!(renewal.failed(Some(Duration::from_millis(10)), 0.5), SOON / 2);
    }
}
