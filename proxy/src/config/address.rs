//! Addresses, address ranges, socket settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::os::linux::net::SocketAddrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a socket listens, or a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// IP and port.
    Ip(SocketAddr),
    /// A Unix socket's path; a name that begins with `@` is in the abstract namespace.
    Unix(PathBuf),
}

impl Address {
    /// Of a TCP socket. What an IPv6 socket says of an IPv4 connection (`::ffff:a.b.c.d`) is the IPv4 address.
    pub fn of_tcp(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => Self::Ip(SocketAddr::from((ip, address.port()))),
            IpAddr::V6(_) => Self::Ip(address),
        }
    }

    /// IP and port, where it is not a Unix socket.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Of a Unix socket; `None` if it has no name.
    pub fn of_unix(address: &std::os::unix::net::SocketAddr) -> Option<Self> {
        let hidden = || address.as_abstract_name().map(|name| format!("@{}", String::from_utf8_lossy(name)).into());
        address.as_pathname().map(Path::to_owned).or_else(hidden).map(Self::Unix)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

impl Cidr {
    /// `length` leading bits of `network`; `None` when longer than the address.
    pub fn new(network: IpAddr, length: u8) -> Option<Self> {
        let bits = if network.is_ipv4() { 32 } else { 128 };
        (length <= bits).then_some(Self { network, length })
    }

    /// The address that it was made with.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// Leading bits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether the address lies inside. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u8| u32::from(bits.saturating_sub(self.length));
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let difference = u32::from(network) ^ u32::from(address);
                difference.checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let difference = u128::from(network) ^ u128::from(address);
                difference.checked_shr(shift(128)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whose address a connection to an endpoint is to have (`envoy.filters.listener.original_src`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceAddress {
    /// The client's; with port 0, the system chooses one.
    pub address: SocketAddr,
    /// Mark of its packets (`SO_MARK`), by which the answers are routed back; 0 is none.
    pub mark: u32,
}

/// TCP keep-alive probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection is dead.
    pub probes: Option<u32>,
    /// Silence before the first probe.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

/// A socket option by number, as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOption {
    /// Protocol level (`SOL_SOCKET`, ...).
    pub level: i32,
    /// Option number.
    pub name: i32,
    /// Its value.
    pub value: SocketOptionValue,
    /// When it is set.
    pub state: SocketState,
}

/// A socket option's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOptionValue {
    /// An integer.
    Int(i32),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// When a socket option is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Before bind.
    Prebind,
    /// After bind, before listen.
    Bound,
    /// After listen.
    Listening,
}
