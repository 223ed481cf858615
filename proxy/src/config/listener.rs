//! Listeners, filter chains, how a connection is matched to one.

use std::sync::Arc;
use std::time::Duration;

use crate::config::ListenerName;
use crate::config::access::NetworkAccess;
use crate::config::access_log::AccessLog;
use crate::config::address::{Address, Cidr, SocketOption, TcpKeepalive};
use crate::config::http::HttpConnectionManager;
use crate::config::identity::ServerTls;
use crate::config::tcp::TcpProxy;

/// A listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name; made from the address where none was given.
    pub name: ListenerName,
    /// At least one.
    pub addresses: Vec<ListenAddress>,
    /// Opens its sockets; else it only receives connections handed over by `use_original_dst`.
    pub bind_to_port: bool,
    /// One socket a worker (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Length of the kernel's accept queue.
    pub backlog: u32,
    /// `IP_FREEBIND`.
    pub freebind: bool,
    /// `IP_TRANSPARENT`.
    pub transparent: bool,
    /// `TCP_FASTOPEN` queue length; 0 is off.
    pub fast_open_queue: u32,
    /// Options by number.
    pub socket_options: Vec<SocketOption>,
    /// Probes on accepted connections.
    pub keepalive: Option<TcpKeepalive>,
    /// Hand a connection whose original destination is another listener's address to that listener.
    pub use_original_dst: bool,
    /// What is learnt before a chain is chosen.
    pub detection: Detection,
    /// Tried by the most specific match.
    pub chains: Vec<Arc<FilterChain>>,
    /// Where no chain fits.
    pub default_chain: Option<Arc<FilterChain>>,
    /// Soft limit of bytes kept for one connection, each direction.
    pub buffer_limit: usize,
    /// Connections open at once; `None` is unlimited.
    pub max_connections: Option<u64>,
    /// Direction as operators see it.
    pub direction: Direction,
    /// Connections that ended before, or without, a filter chain.
    pub access_log: Vec<AccessLog>,
    /// Name in metrics; else the address.
    pub stat_prefix: Option<String>,
}

impl Listener {
    /// Whether the sockets of one would do for the other.
    pub fn same_sockets(&self, other: &Self) -> bool {
        let of = |listener: &Self| {
            let Self { bind_to_port, reuse_port, backlog, freebind, transparent, fast_open_queue, .. } = *listener;
            (bind_to_port, reuse_port, backlog, freebind, transparent, fast_open_queue)
        };
        self.addresses == other.addresses && self.socket_options == other.socket_options && of(self) == of(other)
    }

    /// An address that both would listen on. Port 0 is another one each time.
    pub fn shared_address(&self, other: &Self) -> Option<&Address> {
        let both_bind = self.bind_to_port && other.bind_to_port;
        let addresses = self.addresses.iter().map(|own| &own.address).filter(|_| both_bind);
        let mut fixed = addresses.filter(|own| !matches!(own, Address::Ip(address) if address.port() == 0));
        fixed.find(|own| other.addresses.iter().any(|theirs| theirs.address == **own))
    }
}

/// One address of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// Where.
    pub address: Address,
    /// An IPv6 wildcard also takes IPv4 (`ipv4_compat`).
    pub ipv4_compat: bool,
    /// Mode of a Unix socket's file, 0 leaves it to umask.
    pub unix_mode: u32,
}

/// Direction as operators see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Neither.
    #[default]
    Unspecified,
    /// Towards the workload.
    Inbound,
    /// From the workload.
    Outbound,
}

/// What is learnt of a connection before a chain is chosen (listener filters).
#[derive(Clone, Debug)]
pub struct Detection {
    /// Read a PROXY protocol header first.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Restore the destination the client dialled.
    pub original_dst: bool,
    /// Connect to endpoints under the client's address.
    pub original_src: Option<OriginalSource>,
    /// Look for a ClientHello.
    pub tls: bool,
    /// Look for an HTTP request line or the HTTP/2 preface.
    pub http: bool,
    /// How long all of it may take; `None` is for ever.
    pub timeout: Option<Duration>,
    /// On time-out go on with what is known, rather than close.
    pub continue_on_timeout: bool,
}

/// The client's address towards endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginalSource {
    /// With the client's port, too.
    pub bind_port: bool,
    /// Mark of the packets; 0 is none.
    pub mark: u32,
}

/// PROXY protocol on incoming connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// A connection without the header is taken as it is.
    pub optional: bool,
    /// Version 1 is refused.
    pub disallow_v1: bool,
    /// Version 2 is refused.
    pub disallow_v2: bool,
}

/// A chain of filters that ends in HTTP or TCP.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// Its name, may be empty.
    pub name: String,
    /// Which connections it takes.
    pub matches: ChainMatch,
    /// Terminate TLS first.
    pub tls: Option<Arc<ServerTls>>,
    /// How long the TLS handshake may take.
    pub handshake_timeout: Option<Duration>,
    /// Who may connect, decided in this order before anything else is done.
    pub access: Vec<Arc<NetworkAccess>>,
    /// What it does.
    pub handler: ChainHandler,
    /// Differs where anything but secrets, and who may do what, differs.
    pub fingerprint: u64,
}

/// What a chain does with a connection.
#[derive(Clone, Debug)]
pub enum ChainHandler {
    /// HTTP connection manager.
    Http(Arc<HttpConnectionManager>),
    /// TCP proxy.
    Tcp(Arc<TcpProxy>),
}

/// Which connections a chain takes. Empty lists and `None` fit everything; the most specific chain wins, in the order of the
/// fields here (`envoy.config.listener.v3.FilterChainMatch`).
#[derive(Clone, Debug, Default)]
pub struct ChainMatch {
    /// Destination port.
    pub destination_port: Option<u16>,
    /// Destination ranges.
    pub destination: Vec<Cidr>,
    /// SNI.
    pub server_names: Vec<ServerNameMatch>,
    /// What was detected.
    pub transport_protocol: Option<TransportProtocol>,
    /// ALPN, or `http/1.0`, `http/1.1`, `h2c` where HTTP was detected.
    pub application_protocols: Vec<String>,
    /// Ranges of the directly connected peer.
    pub direct_source: Vec<Cidr>,
    /// Same host or not.
    pub source_type: SourceType,
    /// Ranges of the client.
    pub source: Vec<Cidr>,
    /// Ports of the client.
    pub source_ports: Vec<u16>,
}

/// A server name to match, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerNameMatch {
    /// This name.
    Exact(String),
    /// Names that end so; begins with a dot (`*.example.com` is `.example.com`).
    Suffix(String),
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportProtocol {
    /// Anything but TLS.
    RawBuffer,
    /// TLS.
    Tls,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceType {
    /// Anywhere.
    #[default]
    Any,
    /// Source and destination address are the same host.
    SameIpOrLoopback,
    /// Anywhere else.
    External,
}
