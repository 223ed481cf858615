//! `ninon-proxy`: an L4/L7 sidecar proxy configured by xDS v3.

/// 1. Take a connection.
pub mod accept;
/// What operators ask.
pub mod admin;
/// The only wiring.
pub mod app;
/// A cluster to one of its endpoints.
pub mod balance;
/// HTTP on the wire.
pub mod codec;
/// The model that the data path reads.
pub mod config;
/// An endpoint to a usable connection.
pub mod connect;
/// The story of a connection.
pub mod connection;
/// 2. Which protocol is it.
pub mod detect;
/// Questions for names.
pub mod dns;
/// Graceful stop.
pub mod drain;
/// What is known of one request or connection.
pub mod exchange;
/// 4c. What a service outside says of requests.
pub mod ext_authz;
/// 4b. Which requests and connections go on.
pub mod filter;
/// 6. Send the request, bring back the answer.
pub mod forward;
/// The proxy's own identity.
pub mod identity;
/// 3. Bring a request into one form.
pub mod normalize;
/// Where this proxy itself listens.
pub mod own;
/// Rules of the kernel that bring connections here.
pub mod redirect;
/// Answers that the proxy makes itself.
pub mod reply;
/// The story of a request.
pub mod request;
/// Names to addresses, on the control thread.
pub mod resolve;
/// 4. Which virtual host, route, cluster.
pub mod route;
/// What all workers share.
pub mod runtime;
/// Flags, environment and bootstrap file.
pub mod settings;
/// Byte streams handed from stage to stage.
pub mod stream;
/// Tasks with an owner.
pub mod task;
/// What operators see.
pub mod telemetry;
/// Handshakes with clients and servers.
pub mod tls;
/// The story of a TCP connection.
pub mod tunnel;
/// What all workers share of a cluster.
pub mod upstream;
/// One data-plane thread.
pub mod worker;
/// Configuration in: wire types to model.
pub mod xds;
