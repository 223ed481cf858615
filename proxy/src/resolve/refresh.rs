//! When to look a name up again.

use std::time::Duration;

use crate::config::cluster::Dns;

/// Never sooner, whatever a TTL or a draw says.
const SHORTEST: Duration = Duration::from_millis(10);

/// The waits between the look-ups of one name.
#[derive(Debug)]
pub(super) struct Refresh {
    every: Duration,
    respect_ttl: bool,
    jitter: Duration,
    failure: Option<(Duration, Duration)>,
    /// The longest wait after the next failure.
    backoff: Duration,
}

impl Refresh {
    pub(super) fn new(dns: &Dns) -> Self {
        let backoff = dns.failure_refresh.map_or(dns.refresh, |(first, _)| first);
        Self { every: dns.refresh, respect_ttl: dns.respect_ttl, jitter: dns.jitter, failure: dns.failure_refresh, backoff }
    }

    pub(super) fn after_success(&mut self, ttl: Duration) -> Duration {
        if let Some((first, _)) = self.failure {
            self.backoff = first;
        }
        let wait = if self.respect_ttl && !ttl.is_zero() { ttl } else { self.every };
        wait.saturating_add(drawn(self.jitter)).max(SHORTEST)
    }

    /// A draw up to a bound that doubles with each failure (Envoy's jittered exponential back-off).
    pub(super) fn after_failure(&mut self) -> Duration {
        let Some((_, longest)) = self.failure else { return self.every.saturating_add(drawn(self.jitter)).max(SHORTEST) };
        let bound = self.backoff.min(longest);
        self.backoff = bound.saturating_mul(2).min(longest);
        drawn(bound).max(SHORTEST)
    }
}

fn drawn(bound: Duration) -> Duration {
    bound.mul_f64(fastrand::f64())
}
