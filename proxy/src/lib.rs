//! `ninon-proxy`: an L4/L7 sidecar proxy configured by xDS v3.

/// HTTP on the wire.
pub mod codec;
/// Tasks with an owner.
pub mod task;
/// The model that the data path reads.
pub mod config;
/// What is known of one request or connection.
pub mod exchange;
/// What operators see.
pub mod telemetry;
/// Configuration in: wire types to model.
pub mod xds;
