//! What operators see.

/// Counters, gauges and histograms, in one place.
pub mod metrics;
/// Values for the commands of a format.
pub mod substitution;
