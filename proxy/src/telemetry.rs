//! What operators see.

/// Counters, gauges and histograms, in one place.
pub mod metrics;
