//! Scenarios: a real `ninon-proxy` process between real sockets, driven as operators and supervisors drive it.

/// The admin pages.
mod admin;
/// A service outside decides.
mod authorization;
/// Who a client is, by its certificate.
mod identity;
/// Limits of the whole process.
mod limits;
/// What happens when it starts.
mod start;
/// What happens when it is told to stop.
mod stop;
/// Spans at a collector, trace fields upstream.
mod telemetry;
/// Whom to trust by trust domain.
mod trust_domains;
/// An identity that somebody on the machine gives.
mod workload_api;
/// A proxy, the service behind it, a client in front.
mod world;
