use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::config::address::Address;

/// Where the client meant to go, if that was not this proxy: the destination before the packet was redirected (`SO_ORIGINAL_DST`), or, of
/// a transparent listener (TPROXY), the address of the socket itself.
pub fn original_dst(stream: &TcpStream, transparent: bool, bound: &[Address]) -> Option<SocketAddr> {
    let local = canonical(stream.local_addr().ok()?);
    // An IPv6 socket with an IPv4 connection is asked as IPv4.
    let original = match local {
        SocketAddr::V4(_) => rustix::net::sockopt::ip_original_dst(stream).map(SocketAddr::V4),
        SocketAddr::V6(_) => rustix::net::sockopt::ipv6_original_dst(stream).map(SocketAddr::V6),
    };
    match original {
        Ok(original) if original != local => Some(original),
        _ => (transparent && !bound.iter().any(|own| takes(own, local))).then_some(local),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match Address::of_tcp(address) {
        Address::Ip(address) => address,
        Address::Unix(_) => address,
    }
}

fn takes(own: &Address, local: SocketAddr) -> bool {
    match own {
        Address::Ip(own) => own.port() == local.port() && (own.ip().is_unspecified() || own.ip() == local.ip()),
        Address::Unix(_) => false,
    }
}
