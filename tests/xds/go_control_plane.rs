/// Certificates, in the order in which a secret may show them.
mod certificates;
/// TLS, then HTTP/1.1 or HTTP/2; what was answered.
mod client;
/// What the server's callbacks told, and what follows from it.
mod journal;
/// A configuration, as resources and as what requests see of it.
mod mesh;
/// The Go program as it is built.
mod program;
/// The running Go program.
mod server;
/// Servers behind the proxy that say who they are.
mod upstreams;
/// All of it together.
mod world;

/// The first snapshot.
mod first;
