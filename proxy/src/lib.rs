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
/// Byte streams handed from stage to stage.
pub mod stream;
/// 2. Which protocol is it.
pub mod detect;
/// 1. Take a connection.
pub mod accept;
/// 3. Bring a request into one form.
pub mod normalize;
/// Answers that the proxy makes itself.
pub mod reply;
/// 6. Send the request, bring back the answer.
pub mod forward;
