//! Traffic that cannot go around the proxy: hosts made of network namespaces, real rules, real proxies as a user without privileges,
//! real clients. See `ninon_tests::network` for what is where.

/// Who tries to go around.
mod attacker;
/// What the capture of packets sees.
mod capture;
/// The command itself: check, replace, remove.
mod command;
/// Names of the mesh, and all others.
mod dns;
/// What clients open.
mod inbound;
/// Sidecars that a control plane tells what to do.
mod mesh;
/// Mutual TLS between hosts, as the wire sees it.
mod mutual;
/// Questions for names.
mod names;
/// What programs open.
mod outbound;
/// The client's address towards the application.
mod tproxy;
/// Sidecars, applications and clients.
mod world;
