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
/// What all workers share of a cluster.
pub mod upstream;
/// Names to addresses, on the control thread.
pub mod resolve;
/// A cluster to one of its endpoints.
pub mod balance;
/// An endpoint to a usable connection.
pub mod connect;
