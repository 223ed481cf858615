//! HTTP/1.0 and HTTP/1.1, both sides, on one thread and without tasks of its own.
//!
//! The server side answers each request before it begins the next; the client side sends one request over a connection
//! and hands it back when both messages have ended. A body that did not arrive with its head is read from the
//! connection as it is polled. Whatever two readers could understand differently is refused, not repaired.

mod chunked;
mod client;
mod decode;
mod encode;
/// Ways in for fuzzing.
pub mod fuzz;
mod head;
mod incoming;
mod recycle;
mod request;
mod response;
mod server;
mod spelling;
mod wire;

pub use self::client::{ClientOptions, Connection, Reuse, SendError, SendFailed};
pub use self::head::UNSUPPORTED_CODING;
pub use self::incoming::IncomingBody;
pub use self::server::{ServeError, Side, serve};

#[cfg(test)]
mod tests;
