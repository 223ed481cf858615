use crate::telemetry::metrics::Histogram;

/// Which quantiles Envoy shows, in percent.
pub(super) const SHOWN: [f64; 10] = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 100.0];

/// The quantiles in milliseconds, as well as buckets tell; `None` when nothing was counted.
pub(super) fn quantiles(histogram: &Histogram) -> Option<[f64; SHOWN.len()]> {
    let buckets: Vec<(u64, u64)> = histogram.cumulative().collect();
    let counted = buckets.last().map_or(0, |(_, total)| *total).max(histogram.count());
    (counted > 0).then(|| SHOWN.map(|percent| quantile(&buckets, percent / 100.0 * float(counted))))
}

/// Where `rank` of all are reached: within a bucket they are taken as spread evenly.
fn quantile(buckets: &[(u64, u64)], rank: f64) -> f64 {
    let (mut lower, mut below) = (0u64, 0u64);
    for (bound, total) in buckets {
        let inside = total.saturating_sub(below);
        if inside > 0 && float(*total) >= rank {
            let share = (rank - float(below)) / float(inside);
            return millis(lower) + (millis(*bound) - millis(lower)) * share.clamp(0.0, 1.0);
        }
        (lower, below) = (*bound, *total);
    }
    millis(lower)
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> f64 {
    float(micros) / 1000.0
}

/// Exact up to 2^53; a count or a sum of microseconds gets there after 285 years.
#[expect(clippy::as_conversions, reason = "there is no other way from u64 to f64")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let histogram = Histogram::default();
        assert_eq!(quantiles(&histogram), None);
        (0..90).for_each(|_| histogram.record(Duration::from_millis(3)));
        (0..10).for_each(|_| histogram.record(Duration::from_millis(70)));
        let found = quantiles(&histogram).unwrap();
        assert!(found.is_sorted(), "{found:?}");
        assert_eq!((found[0], found[9]), (1.0, 100.0));
        assert!((1.0..=5.0).contains(&found[2]) && (50.0..=100.0).contains(&found[5]), "{found:?}");
    }

    #[test]
    fn what_is_longer_than_all_buckets_is_the_last_bound() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(86_400));
        assert_eq!(quantiles(&histogram).unwrap()[9], 3_600_000.0);
    }
}
