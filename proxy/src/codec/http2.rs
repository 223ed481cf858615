//! HTTP/2, both sides of the proxy, on `h2`.
//!
//! One task drives a connection. On the server side each stream has a task of its own, which runs the service and then
//! sends its answer; it watches for the client's RST_STREAM all the time. On the client side a request needs no task,
//! unless its body is still on its way when the answer begins.
//!
//! What `h2` guards by itself: CONTINUATION floods and header blocks over the limit after decompression (431, or
//! ENHANCE_YOUR_CALM at four times the limit), connection-specific fields, pseudo fields, content-length against DATA,
//! small and empty DATA frames, streams reset before they were taken, resets that a peer provoked, streams over
//! MAX_CONCURRENT_STREAMS. It answers one PING or SETTINGS before it reads the next frame, so that a flood of them waits
//! for its own answers to be read. What is added here: streams reset after they were taken (rapid reset), control frames
//! that nothing explains, turns, so that a busy connection does not keep others waiting, the number of fields, windows that
//! never open, answers that are never taken, and limits for connections that are idle, silent or do not close.

mod budget;
mod client;
mod head;
mod incoming;
mod liveness;
mod pump;
mod server;
mod stream;

use std::time::Duration;

pub use client::{Client, ConnectError, SendError, SendFailed, connect};
pub use incoming::IncomingBody;
pub use server::{ServeError, serve};

/// The largest window (RFC 9113, 6.9.1).
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// What one stream may have waiting for its window or the socket: enough for one turn of the connection's task.
const SEND_BUFFER: usize = 64 * 1024;

/// A connection without streams that has said GOAWAY gets this long to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
