/// Certificates, in the order in which a secret may show them.
mod certificates;
/// TLS, then HTTP/1.1 or HTTP/2; what was answered.
mod client;
/// What the server's callbacks told, and what follows from it.
mod journal;
/// Requests that go on while the configuration changes.
mod load;
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

/// Each type changes by itself.
mod changes;
/// The first snapshot.
mod first;
/// Many changes, under load.
mod random;
/// A bad resource among good ones.
mod refused;
/// The server goes and comes back.
mod restart;
/// Scoped routes.
mod scopes;
/// Fifty changes a second, bad ones among them.
mod soak;
