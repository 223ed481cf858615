//! From the mesh to resources: what a proxy is told. Pure; the folder `tests/golden/` shows case by case what comes out.
//!
//! Whether a resource is right for a proxy is decided here and nowhere else: clusters and endpoints of what its namespace may see,
//! listeners and routes of its own.

/// `ClusterLoadAssignment`.
mod assignment;
/// `RBAC`.
mod authorization;
/// `Cluster`.
mod cluster;
/// `NameTable`.
mod dns;
/// What gRPC clients ask for.
mod grpc;
/// `HttpConnectionManager`.
mod http;
/// Mutual TLS.
mod identity;
/// `Listener` for what comes in.
mod inbound;
/// `Listener`.
mod listener;
/// Names of resources.
pub mod names;
/// `Route`.
mod route;
/// `RouteConfiguration`.
mod table;
/// `JwtAuthentication`.
mod token;
/// Whom to trust.
pub mod trust;
/// Snapshots for proxies, made anew as far as something has changed.
pub mod view;
/// Small messages that many resources have.
mod wire;
