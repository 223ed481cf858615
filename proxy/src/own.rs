//! Where this proxy itself listens: a connection that would come back here is not made.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

/// All addresses that this process takes connections at: listeners, admin page, health page.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: ArcSwap<Vec<SocketAddr>>,
    /// One changes it at a time.
    changes: Mutex<()>,
}

/// Sockets that are open; their addresses are the proxy's until this is dropped.
#[derive(Debug)]
#[must_use = "the addresses are known until this is dropped"]
pub struct Listening {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

impl OwnAddresses {
    /// Sockets were opened at these addresses.
    pub fn listen(&self, addresses: impl IntoIterator<Item = SocketAddr>) -> Listening {
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(canonical).collect();
        self.0.change(|known| known.extend(&addresses));
        Listening { addresses, shared: Arc::clone(&self.0) }
    }

    /// Whether a connection to this address would come to this proxy.
    pub fn include(&self, address: SocketAddr) -> bool {
        let address = canonical(address);
        let known = self.0.known.load();
        let mut same_port = known.iter().filter(|known| known.port() == address.port());
        // To the unspecified address is to this machine.
        same_port
            .any(|known| known.ip() == address.ip() || address.ip().is_unspecified() || (known.ip().is_unspecified() && is_here(address)))
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Vec<SocketAddr>)) {
        let _one_at_a_time = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.known.load().to_vec();
        change(&mut known);
        self.known.store(Arc::new(known));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shared.change(|known| {
            for address in &self.addresses {
                // Two sockets may have one address: one of them is gone.
                if let Some(position) = known.iter().position(|known| known == address) {
                    known.swap_remove(position);
                }
            }
        });
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// Whether this machine has the address: only then can a socket be bound to it. Where the system does not say no, it has.
fn is_here(mut address: SocketAddr) -> bool {
    address.set_port(0);
    !UdpSocket::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_connection_that_would_come_back_is_known() {
        let own = OwnAddresses::default();
        let first = own.listen([address("127.0.0.1:15001"), address("0.0.0.0:15006"), address("[::]:15006")]);
        let second = own.listen([address("127.0.0.1:15001")]);
        for here in [
            "127.0.0.1:15001",
            "[::ffff:127.0.0.1]:15001",
            "0.0.0.0:15001",
            "[::]:15001",
            "127.0.0.1:15006",
            "127.9.9.9:15006",
            "[::1]:15006",
        ] {
            assert!(own.include(address(here)), "{here}");
        }
        for elsewhere in ["127.0.0.2:15001", "127.0.0.1:15002", "192.0.2.1:15006", "[2001:db8::1]:15006", "[::1]:15001"] {
            assert!(!own.include(address(elsewhere)), "{elsewhere}");
        }
        drop(first);
        assert!(own.include(address("127.0.0.1:15001")) && !own.include(address("127.0.0.1:15006")));
        drop(second);
        assert!(!own.include(address("127.0.0.1:15001")));
    }
}
