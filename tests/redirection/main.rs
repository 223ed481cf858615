//! Traffic that cannot go around the proxy: hosts made of network namespaces, real rules, real proxies as a user without privileges,
//! real clients. See `ninon_tests::network` for what is where.

/// Who tries to go around.
mod attacker;
/// What the capture of packets sees.
mod capture;
/// The command itself: check, replace, remove.
mod command;
/// What clients open.
mod inbound;
/// Sidecars that a control plane tells what to do.
mod mesh;
/// Questions for names.
mod names;
/// What programs open.
mod outbound;
/// The client's address towards the application.
mod tproxy;
/// Sidecars, applications and clients.
mod world;
