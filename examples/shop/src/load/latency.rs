//! How long requests took.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counts by microseconds in two digits, so that however many there are, memory is bounded.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    counts: BTreeMap<u64, u64>,
    count: u64,
}

impl Latencies {
    /// Counts one.
    pub(super) fn add(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX / 2);
        *self.counts.entry(rounded(micros)).or_default() += 1;
        self.count += 1;
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// So many of a thousand took at most so long.
    pub(super) fn quantile(&self, of_thousand: u64) -> Duration {
        let rank = (self.count * of_thousand).div_ceil(1000);
        let mut seen = 0;
        let found = self.counts.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        Duration::from_micros(found.map_or(0, |(micros, _)| *micros))
    }
}

/// Upwards, to two digits.
fn rounded(micros: u64) -> u64 {
    let mut unit = 1;
    while micros / unit >= 100 {
        unit *= 10;
    }
    micros.div_ceil(unit) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_kept() {
        assert_eq!([0, 7, 99, 100, 101, 1234, 99_999].map(rounded), [0, 7, 99, 100, 110, 1300, 100_000]);
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(500), Duration::ZERO);
        for ms in 1..=100 {
            latencies.add(Duration::from_millis(ms));
        }
        assert_eq!([500, 990, 1000].map(|part| latencies.quantile(part).as_millis()), [50, 99, 100]);
    }
}
