use std::net::SocketAddr;

use crate::accept::listeners::own_address;
use crate::accept::original_dst::original_dst;
use crate::config::address::{Address, SourceAddress};
use crate::runtime::ActiveListener;
use crate::stream::Socket;

/// Where a connection arrived, or was going before it was redirected.
pub(super) struct Place {
    pub(super) local: Address,
    pub(super) redirected: bool,
    /// Its listener takes redirected connections, and this one was not.
    pub(super) dialled_proxy: bool,
}

/// Socket settings; returns where the connection arrived.
pub(super) fn prepare(listener: &ActiveListener, socket: &Socket) -> Place {
    let fallback = || listener.config.addresses.first().map_or_else(|| Address::Unix("".into()), |address| address.address.clone());
    let stream = match socket {
        Socket::Tcp(stream) => stream,
        Socket::Unix(stream) => {
            return Place { local: own_address(stream).unwrap_or_else(fallback), redirected: false, dialled_proxy: false };
        }
    };
    // Refused only on a socket that has failed already; the first read will tell.
    let _failed = stream.set_nodelay(true).is_err();
    if let Some(keepalive) = listener.config.keepalive {
        crate::stream::set_keepalive(stream, &keepalive);
    }
    let takes_redirected = listener.config.detection.original_dst || listener.config.use_original_dst;
    let bound = listener.door.bound.get().map_or(&[][..], Vec::as_slice);
    let before = takes_redirected.then(|| original_dst(stream, listener.config.transparent, bound)).flatten();
    let redirected = before.is_some();
    let local = before.or_else(|| stream.local_addr().ok()).map_or_else(fallback, Address::of_tcp);
    Place { local, redirected, dialled_proxy: takes_redirected && !redirected }
}

/// Under which address to connect to endpoints, where that is to be the client's.
pub(super) fn source(listener: &ActiveListener, client: &Address) -> Option<SourceAddress> {
    let settings = listener.config.detection.original_src?;
    let client = client.socket()?;
    let port = if settings.bind_port { client.port() } else { 0 };
    Some(SourceAddress { address: SocketAddr::new(client.ip(), port), mark: settings.mark })
}
