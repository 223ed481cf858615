//! `ninon-proxy`: an L4/L7 sidecar proxy configured by xDS v3.

/// HTTP on the wire.
pub mod codec;
/// Tasks with an owner.
pub mod task;
