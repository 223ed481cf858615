//! Attacks on a running `ninon-proxy` over real sockets, with frames and lines written by hand.
//!
//! While an attack runs, a victim on a connection of its own sends ordinary requests. Afterwards the proxy must be alive,
//! the victim must have got every answer right and not much later than before, and memory must be under a bound.
//! `cargo test -p ninon-tests --test attacks -- --nocapture` prints the figures of each attack.

/// A proxy with its servers, its victim and its bounds.
mod arena;
/// HTTP/2 frames as bytes.
mod frames;
/// An attacker's connections.
mod raw;
/// The servers behind the proxy.
mod servers;
mod sockets;
/// Whoever must not notice.
mod victim;

mod connect_abuse;
mod drain_under_load;
mod h1_limits;
mod h1_slow;
mod h2_continuation;
mod h2_control_floods;
mod h2_reset_flood;
mod h2_smuggling;
mod h2_stalled_windows;
mod header_trust;
mod hpack_bomb;
mod path_authz;
mod path_confusion;
mod proxy_protocol;
mod smuggling;
mod surroundings;
mod tcp_floods;
mod tls_floods;
mod upgrade_smuggling;
mod upstream_dies;
mod upstream_floods;
mod upstream_framing;
mod upstream_http2;
