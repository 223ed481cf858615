use std::fmt::Write;

use serde_json::{Value, json};

use crate::telemetry::exposition::quantiles::{SHOWN, quantiles};
use crate::telemetry::exposition::{Selection, full_name};
use crate::telemetry::metrics::{Metric, Registry};

/// Numbers by name, and histograms by name with their quantiles; each in order.
struct Listing {
    numbers: Vec<(String, u64)>,
    histograms: Vec<(String, Option<[f64; SHOWN.len()]>)>,
}

impl Listing {
    fn of(registry: &Registry, selection: &Selection) -> Self {
        let mut listing = Self { numbers: Vec::new(), histograms: Vec::new() };
        let mut name = String::new();
        registry.visit(|sample| {
            full_name(&sample, &mut name);
            if !selection.takes(&sample, &name) {
                return;
            }
            match sample.metric {
                Metric::Counter(counter) => listing.numbers.push((name.clone(), counter.value())),
                Metric::Gauge(gauge) => listing.numbers.push((name.clone(), gauge.value())),
                Metric::Histogram(histogram) => listing.histograms.push((name.clone(), quantiles(histogram))),
                Metric::Codes(codes) => {
                    let values = codes.values().into_iter();
                    listing.numbers.extend(values.map(|(code, count)| (format!("{name}_{code}"), count)));
                }
            }
        });
        listing.numbers.sort_unstable();
        listing.histograms.sort_by(|(left, _), (right, _)| left.cmp(right));
        listing
    }
}

/// Envoy's `/stats`. Quantiles of the last interval are not kept: only those since the start.
pub(super) fn text(registry: &Registry, selection: &Selection) -> String {
    let listing = Listing::of(registry, selection);
    let mut page = String::new();
    for (name, value) in listing.numbers {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{name}: {value}");
    }
    for (name, quantiles) in listing.histograms {
        page.push_str(&name);
        page.push(':');
        match quantiles {
            None => page.push_str(" No recorded values"),
            Some(values) => {
                for (percent, value) in SHOWN.iter().zip(values) {
                    // Writing to a string cannot fail.
                    let _ = write!(page, " P{percent}(nan,{value})");
                }
            }
        }
        page.push('\n');
    }
    page
}

/// Envoy's `/stats?format=json`.
pub(super) fn json(registry: &Registry, selection: &Selection) -> String {
    let listing = Listing::of(registry, selection);
    let mut stats: Vec<Value> = listing.numbers.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let computed = |(name, quantiles): (String, Option<[f64; SHOWN.len()]>)| {
        let values: Vec<Value> = match quantiles {
            None => SHOWN.iter().map(|_| json!({ "interval": null, "cumulative": null })).collect(),
            Some(values) => values.iter().map(|value| json!({ "interval": null, "cumulative": value })).collect(),
        };
        json!({ "name": name, "values": values })
    };
    if !listing.histograms.is_empty() {
        let computed: Vec<Value> = listing.histograms.into_iter().map(computed).collect();
        stats.push(json!({ "histograms": { "supported_quantiles": SHOWN, "computed_quantiles": computed } }));
    }
    json!({ "stats": stats }).to_string()
}
