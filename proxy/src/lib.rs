//! `ninon-proxy`: an L4/L7 sidecar proxy configured by xDS v3.

/// 1. Take a connection.
pub mod accept;
/// HTTP on the wire.
pub mod codec;
/// The model that the data path reads.
pub mod config;
/// 2. Which protocol is it.
pub mod detect;
/// What is known of one request or connection.
pub mod exchange;
/// 6. Send the request, bring back the answer.
pub mod forward;
/// 3. Bring a request into one form.
pub mod normalize;
/// Answers that the proxy makes itself.
pub mod reply;
/// 4. Which virtual host, route, cluster.
pub mod route;
/// Byte streams handed from stage to stage.
pub mod stream;
/// Tasks with an owner.
pub mod task;
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
/// Configuration in: wire types to model.
pub mod xds;
/// Handshakes with clients and servers.
pub mod tls;
/// Flags, environment and bootstrap file.
pub mod settings;
/// Graceful stop.
pub mod drain;
/// What all workers share.
pub mod runtime;
/// The story of a connection.
pub mod connection;
/// The story of a request.
pub mod request;
/// The story of a TCP connection.
pub mod tunnel;
/// One data-plane thread.
pub mod worker;
/// The only wiring.
pub mod app;
/// What operators ask.
pub mod admin;
