//! Stage 1: take a connection, and find the filter chain it belongs to.

/// Chooses the most specific filter chain.
pub mod chain;
/// Opens sockets as the snapshot says.
pub mod listeners;
/// Where the client meant to go.
pub mod original_dst;
/// Spreads connections evenly over the workers.
pub mod spread;
