use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::{StatusCode, Version};
use tokio::time::Instant;

use crate::config::ClusterName;
use crate::config::ListenerName;
use crate::config::address::{Address, SourceAddress};
use crate::config::route::{Route, VirtualHost};
use crate::exchange::certificate::Certificate;
use crate::exchange::flags::ResponseFlags;
use crate::exchange::metadata::Metadata;

/// One connection of a client.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Unique in this process.
    pub id: u64,
    /// Where it arrived; after `original_dst`, where the client meant to go.
    pub local: Address,
    /// `local` is not this proxy's: the connection was redirected, or the PROXY protocol says so.
    pub redirected: bool,
    /// Its listener takes redirected connections, and this one was not: the client dialled the proxy itself.
    pub dialled_proxy: bool,
    /// Under which address to connect to endpoints, if not the proxy's own.
    pub source: Option<SourceAddress>,
    /// The peer of the socket.
    pub peer: Address,
    /// The client: the peer, or whom the PROXY protocol names.
    pub client: Address,
    /// Of which listener.
    pub listener: ListenerName,
    /// TLS, if it was terminated or a ClientHello was seen.
    pub tls: Option<TlsInfo>,
    /// When it was accepted.
    pub started: Instant,
    /// Why it was closed here, as Envoy words it, if it was.
    pub termination: OnceCell<String>,
}

impl ConnectionInfo {
    /// It is closed here, for this reason; the first one counts.
    pub fn terminated(&self, details: String) {
        let _first = self.termination.set(details);
    }

    /// Where the client meant to go. A connection that was meant for this proxy has no such place: sent there, it would come back.
    pub fn original_destination(&self) -> Option<SocketAddr> {
        match self.local {
            Address::Ip(address) if self.redirected => Some(address),
            Address::Ip(_) | Address::Unix(_) => None,
        }
    }
}

/// What TLS said.
#[derive(Clone, Debug, Default)]
pub struct TlsInfo {
    /// Server name the client asked for.
    pub sni: Option<String>,
    /// Terminated here (else only looked at).
    pub terminated: bool,
    /// `TLSv1.3`.
    pub version: Option<&'static str>,
    /// Cipher suite as IANA names it.
    pub cipher: Option<String>,
    /// Protocol agreed on.
    pub alpn: Option<String>,
    /// The client showed a certificate.
    pub peer_presented: bool,
    /// ... and it was verified.
    pub peer_validated: bool,
    /// What it says.
    pub peer: Option<Box<Certificate>>,
    /// The certificates that the client showed, DER, its own first; kept only where they are told to others.
    pub peer_chain: Vec<Vec<u8>>,
    /// The certificate that was shown to the client.
    pub local: Option<Arc<Certificate>>,
}

/// One request, or one TCP connection, from its beginning to its log line.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Its connection.
    pub connection: Rc<ConnectionInfo>,
    /// Wall-clock time of its beginning.
    pub started_at: SystemTime,
    /// Its beginning.
    pub started: Instant,
    /// The client's HTTP version.
    pub protocol: Option<Version>,
    /// The client's address, as `X-Forwarded-For` tells it where that is trusted.
    pub remote: Address,
    /// The request comes from inside (`x-envoy-*` headers are obeyed).
    pub internal: bool,
    /// Status that was answered.
    pub status: Option<StatusCode>,
    /// Why, as Envoy words it (`via_upstream`, `route_not_found`, ...).
    pub details: Cow<'static, str>,
    /// Flags.
    pub flags: ResponseFlags,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// The route.
    pub route: Option<Arc<Route>>,
    /// Its virtual host.
    pub virtual_host: Option<Arc<VirtualHost>>,
    /// The side of the upstream.
    pub upstream: UpstreamInfo,
    /// Last byte of the request was read.
    pub request_ended: Option<Instant>,
    /// First byte of the response was written.
    pub response_began: Option<Instant>,
    /// All is over.
    pub ended: Option<Instant>,
    /// What filters have found out.
    pub metadata: Option<Box<Metadata>>,
    /// Trace identifier, 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The trace is recorded.
    pub sampled: bool,
}

/// The side of the upstream: of the last attempt.
#[derive(Clone, Debug, Default)]
pub struct UpstreamInfo {
    /// Cluster chosen.
    pub cluster: Option<ClusterName>,
    /// Endpoint chosen.
    pub host: Option<Address>,
    /// Our end of the connection.
    pub local: Option<Address>,
    /// HTTP version spoken.
    pub protocol: Option<Version>,
    /// What TLS said, where it is spoken.
    pub tls: Option<Rc<TlsInfo>>,
    /// Attempts made; 1 without retries.
    pub attempts: u32,
    /// The connection carried requests before.
    pub reused: bool,
    /// Why the transport failed.
    pub failure: Option<String>,
    /// First byte of the request was written.
    pub request_began: Option<Instant>,
    /// Last byte of the request was written.
    pub request_ended: Option<Instant>,
    /// First byte of the response was read.
    pub response_began: Option<Instant>,
    /// Last byte of the response was read.
    pub response_ended: Option<Instant>,
    /// Body bytes sent.
    pub bytes_sent: u64,
    /// Body bytes received.
    pub bytes_received: u64,
}

impl StreamInfo {
    /// A stream that begins now.
    pub fn new(connection: Rc<ConnectionInfo>) -> Self {
        Self {
            started_at: SystemTime::now(),
            started: Instant::now(),
            protocol: None,
            remote: connection.client.clone(),
            internal: false,
            status: None,
            details: Cow::Borrowed(""),
            flags: ResponseFlags::default(),
            bytes_received: 0,
            bytes_sent: 0,
            route: None,
            virtual_host: None,
            upstream: UpstreamInfo::default(),
            request_ended: None,
            response_began: None,
            ended: None,
            metadata: None,
            trace_id: None,
            sampled: false,
            connection,
        }
    }
}
