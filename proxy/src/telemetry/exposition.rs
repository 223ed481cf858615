//! The pages of metrics: Prometheus' text format, and Envoy's own text and JSON. Names and labels are Envoy's.

mod listing;
mod prometheus;
mod quantiles;

use std::fmt;

use regex::{Regex, RegexBuilder};

use crate::telemetry::metrics::{Metric, Registry, Sample};

/// Longest filter that is compiled.
const MAX_FILTER: usize = 1024;
/// Memory that a compiled filter may take.
const MAX_FILTER_MEMORY: usize = 1 << 20;

/// How a page looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PageFormat {
    /// `name: value`.
    #[default]
    Text,
    /// JSON.
    Json,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

/// A kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counters.
    Counters,
    /// Gauges.
    Gauges,
    /// Histograms.
    Histograms,
}

/// Which metrics are shown, and how.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// How.
    pub format: PageFormat,
    /// Only those that are not 0.
    pub used_only: bool,
    /// Only those of a kind.
    pub kind: Option<Kind>,
    filter: Option<Regex>,
}

/// Why a selection cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFilter;

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter must be a regular expression of at most {MAX_FILTER} bytes")
    }
}

impl std::error::Error for InvalidFilter {}

impl Selection {
    /// Whatever its name.
    pub fn new(format: PageFormat, used_only: bool, kind: Option<Kind>) -> Self {
        Self { format, used_only, kind, filter: None }
    }

    /// Only those whose name matches, somewhere.
    ///
    /// # Errors
    /// When the pattern is none, or too large.
    pub fn with_filter(mut self, pattern: &str) -> Result<Self, InvalidFilter> {
        if pattern.len() > MAX_FILTER {
            return Err(InvalidFilter);
        }
        let compiled = RegexBuilder::new(pattern).size_limit(MAX_FILTER_MEMORY).dfa_size_limit(MAX_FILTER_MEMORY).build();
        self.filter = Some(compiled.map_err(|_| InvalidFilter)?);
        Ok(self)
    }

    fn takes(&self, sample: &Sample<'_>, name: &str) -> bool {
        let (kind, used) = match sample.metric {
            Metric::Counter(counter) => (Kind::Counters, counter.value() != 0),
            Metric::Codes(_) => (Kind::Counters, true),
            Metric::Gauge(gauge) => (Kind::Gauges, gauge.value() != 0),
            Metric::Histogram(histogram) => (Kind::Histograms, histogram.count() != 0),
        };
        (used || !self.used_only)
            && self.kind.is_none_or(|wanted| wanted == kind)
            && self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }
}

/// Makes a page.
pub fn render(registry: &Registry, selection: &Selection) -> String {
    match selection.format {
        PageFormat::Text => listing::text(registry, selection),
        PageFormat::Json => listing::json(registry, selection),
        PageFormat::Prometheus => prometheus::page(registry, selection),
    }
}

/// `cluster.shop.upstream_rq_total`, as `/stats` shows it.
fn full_name(sample: &Sample<'_>, out: &mut String) {
    out.clear();
    out.push_str(sample.scope.prefix());
    for part in [sample.instance, sample.scope.kind(), sample.part, sample.name] {
        if !part.is_empty() {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests;
