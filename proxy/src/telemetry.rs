//! What operators see.

/// One line for each request or connection.
pub mod access_log;
/// The pages of metrics.
pub mod exposition;
/// The proxy's own log.
pub mod logging;
/// Counters, gauges and histograms, in one place.
pub mod metrics;
/// Not too often.
pub mod sparse;
/// Values for the commands of a format.
pub mod substitution;
/// Trace context in and out, spans, their way to a collector.
pub mod trace;
