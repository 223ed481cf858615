use std::net::SocketAddr;

use tokio::net::TcpStream;

/// The destination before the packet was redirected (`SO_ORIGINAL_DST`); `None` where it was not.
pub fn original_dst(stream: &TcpStream) -> Option<SocketAddr> {
    let local = stream.local_addr().ok()?;
    let original = match local {
        SocketAddr::V4(_) => SocketAddr::V4(rustix::net::sockopt::ip_original_dst(stream).ok()?),
        SocketAddr::V6(_) => SocketAddr::V6(rustix::net::sockopt::ipv6_original_dst(stream).ok()?),
    };
    (original != local).then_some(original)
}
