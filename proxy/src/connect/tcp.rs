use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::ClusterName;
use crate::config::address::{Address, SocketState, SourceAddress};
use crate::config::cluster::Cluster;
use crate::config::route::Priority;
use crate::connect::bond::Bond;
use crate::connect::guard::ConnectionGuard;
use crate::connect::io::{CountedIo, UpstreamIo};
use crate::connect::socket_option;
use crate::connect::{TlsSource, TlsTarget};
use crate::exchange::TlsInfo;
use crate::stream::{ReadAhead, pacing};
use crate::upstream::{ClusterState, EndpointState};

/// A connection that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialError {
    /// Where to.
    pub address: Address,
    /// Why.
    pub cause: DialCause,
}

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialCause {
    /// Nobody listens there.
    Refused,
    /// There is no such Unix socket.
    Missing,
    /// It took longer than `connect_timeout`.
    TimedOut(Duration),
    /// No way there.
    Unreachable,
    /// This process, or the system, has no file descriptor left.
    NoFileDescriptors,
    /// No local port is free, or the source address is not ours.
    NoLocalAddress,
    /// A socket option that the cluster wants cannot be set.
    SocketOption,
    /// TLS was not agreed on.
    Tls(TlsFault),
    /// HTTP/2 could not begin; a plain sentence.
    Http(String),
    /// Anything else.
    Io(io::ErrorKind),
}

/// Why TLS was not agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// A plain sentence.
    pub why: String,
    /// Of which kind.
    pub kind: TlsFaultKind,
}

/// Kinds of reasons why TLS was not agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFaultKind {
    /// There was no handshake: it could not be begun.
    Unready,
    /// The server was gone, or too slow.
    Lost,
    /// The server has refused it.
    Alert,
    /// They do not agree on how to speak.
    Protocol,
    /// The server's certificate cannot be verified.
    Certificate,
    /// The server's certificate is for somebody who is not accepted.
    Name,
}

impl TlsFault {
    fn unready(why: impl Into<String>) -> Self {
        Self { why: why.into(), kind: TlsFaultKind::Unready }
    }
}

impl DialError {
    fn new(address: &Address, cause: DialCause) -> Self {
        Self { address: address.clone(), cause }
    }

    /// Why the transport failed, in Envoy's words; nothing where it was only too slow.
    pub fn transport_failure(&self) -> Option<String> {
        let reason = match &self.cause {
            DialCause::TimedOut(_) | DialCause::NoFileDescriptors | DialCause::NoLocalAddress | DialCause::SocketOption => return None,
            DialCause::Tls(fault) => return Some(format!("TLS_error: {}", fault.why)),
            DialCause::Http(why) => return Some(why.clone()),
            DialCause::Refused => "Connection refused".to_owned(),
            DialCause::Missing => "No such file or directory".to_owned(),
            DialCause::Unreachable => "Network is unreachable".to_owned(),
            DialCause::Io(kind) => kind.to_string(),
        };
        Some(match &self.address {
            Address::Ip(_) => format!("delayed connect error: {reason}"),
            // A Unix socket answers at once; Envoy names it then.
            Address::Unix(path) => format!("immediate connect error: {reason}|remote_address:{}", path.display()),
        })
    }

    /// Whether it took too long, rather than failed.
    pub fn is_timeout(&self) -> bool {
        matches!(self.cause, DialCause::TimedOut(_))
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.cause {
            DialCause::Refused => write!(f, "connecting to {address}: connection refused"),
            DialCause::Missing => write!(f, "connecting to {address}: no such socket"),
            DialCause::TimedOut(limit) => {
                write!(f, "connecting to {address} took longer than {}", humantime::format_duration(*limit))
            }
            DialCause::Unreachable => write!(f, "connecting to {address}: no route to it"),
            DialCause::NoFileDescriptors => write!(f, "connecting to {address}: no file descriptor left"),
            DialCause::NoLocalAddress => write!(f, "connecting to {address}: no local address or port to connect from"),
            DialCause::SocketOption => write!(f, "connecting to {address}: a socket option cannot be set"),
            DialCause::Tls(fault) => write!(f, "connecting to {address}: TLS: {}", fault.why),
            DialCause::Http(why) => write!(f, "connecting to {address}: HTTP/2: {why}"),
            DialCause::Io(kind) => write!(f, "connecting to {address}: {kind}"),
        }
    }
}

impl std::error::Error for DialError {}

impl From<&io::Error> for DialCause {
    fn from(error: &io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(EMFILE | ENFILE), _) => Self::NoFileDescriptors,
            (_, io::ErrorKind::ConnectionRefused) => Self::Refused,
            (_, io::ErrorKind::NotFound) => Self::Missing,
            (_, io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse) => Self::NoLocalAddress,
            (_, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => Self::Unreachable,
            (_, kind) => Self::Io(kind),
        }
    }
}

const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// A connection just made.
#[derive(Debug)]
pub struct Dialed {
    /// Its bytes.
    pub io: UpstreamIo,
    /// Our end.
    pub local: Option<Address>,
    /// Protocol that TLS agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Of mutual TLS.
    pub bond: Option<Bond>,
    /// What TLS said.
    pub tls: Option<Rc<TlsInfo>>,
}

/// Connects, with TLS if `tls` says so, within the cluster's `connect_timeout`.
pub async fn dial(address: &Address, cluster: &Cluster, tls: Option<TlsTarget>, from: Option<SourceAddress>) -> Result<Dialed, DialError> {
    let connecting = async {
        let (io, local) = plain(address, cluster, from).await?;
        match tls {
            None => Ok(Dialed { io, local, alpn: None, bond: None, tls: None }),
            Some(target) => handshake(io, local, target, (&cluster.name, address)).await,
        }
    };
    let limit = cluster.connect_timeout;
    let result = timeout(limit, connecting).await.unwrap_or(Err(DialCause::TimedOut(limit)));
    result.map_err(|cause| DialError::new(address, cause))
}

async fn plain(address: &Address, cluster: &Cluster, from: Option<SourceAddress>) -> Result<(UpstreamIo, Option<Address>), DialCause> {
    match address {
        Address::Ip(remote) => {
            let stream = tcp(*remote, cluster, from).await?;
            let local = stream.local_addr().ok().map(Address::Ip);
            Ok((UpstreamIo::Tcp(stream), local))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(socket_name(path)).await.map_err(|error| DialCause::from(&error))?;
            Ok((UpstreamIo::Unix(stream), Some(address.clone())))
        }
    }
}

/// A name that begins with `@` is in the abstract namespace, which the system writes with a zero byte.
fn socket_name(path: &Path) -> PathBuf {
    let text = path.to_str().and_then(|text| text.strip_prefix('@'));
    text.map_or_else(|| path.to_path_buf(), |name| PathBuf::from(format!("\0{name}")))
}

async fn tcp(remote: SocketAddr, cluster: &Cluster, from: Option<SourceAddress>) -> Result<TcpStream, DialCause> {
    let socket = if remote.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| DialCause::from(&error))?;
    prepare(&socket, remote, cluster, from)?;
    socket.connect(remote).await.map_err(|error| DialCause::from(&error))
}

fn prepare(socket: &TcpSocket, remote: SocketAddr, cluster: &Cluster, from: Option<SourceAddress>) -> Result<(), DialCause> {
    // Small writes go out at once; the codecs write whole messages where they can.
    socket.set_nodelay(true).map_err(|error| DialCause::from(&error))?;
    let reference = SockRef::from(socket);
    pacing::spare(&reference, remote.ip(), &cluster.socket_options);
    let set = |state: SocketState| {
        let mut options = cluster.socket_options.iter().filter(|option| option.state == state);
        options.try_for_each(|option| socket_option::set(&reference, option)).map_err(|_| DialCause::SocketOption)
    };
    if let Some(probes) = &cluster.keepalive {
        socket_option::set_keepalive(&reference, probes).map_err(|_| DialCause::SocketOption)?;
    }
    set(SocketState::Prebind)?;
    let own = cluster.source_addresses.iter().find(|source| source.is_ipv4() == remote.is_ipv4());
    if let Some(from) = from {
        under(socket, &reference, remote, from)?;
    } else if let Some(source) = own {
        socket.bind(*source).map_err(|error| DialCause::from(&error))?;
    }
    set(SocketState::Bound)
}

/// Connects from an address that is not this machine's. An endpoint of the other family would not see it: it is not connected to.
fn under(socket: &TcpSocket, reference: &SockRef<'_>, remote: SocketAddr, from: SourceAddress) -> Result<(), DialCause> {
    if from.address.is_ipv4() != remote.is_ipv4() {
        return Err(DialCause::NoLocalAddress);
    }
    let transparent = if remote.is_ipv4() { reference.set_ip_transparent_v4(true) } else { reference.set_ip_transparent_v6(true) };
    let marked = if from.mark == 0 { Ok(()) } else { reference.set_mark(from.mark) };
    transparent.and(marked).map_err(|_| DialCause::SocketOption)?;
    socket.bind(from.address).map_err(|error| DialCause::from(&error))
}

async fn handshake(
    io: UpstreamIo,
    local: Option<Address>,
    target: TlsTarget,
    server: (&ClusterName, &Address),
) -> Result<Dialed, DialCause> {
    let connector = TlsConnector::from(Arc::clone(&target.config));
    let stream = connector.connect(target.server_name.clone(), ReadAhead::new(io)).await;
    let stream = stream.map_err(|error| DialCause::Tls(target.certificates.failed(&target.settings, &error, server)))?;
    let session = stream.get_ref().1;
    let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
    let bond = Bond::new(&target, session.peer_certificates());
    let tls = Some(Rc::new(target.certificates.told(session)));
    Ok(Dialed { io: UpstreamIo::Tls(Box::new(stream)), local, alpn, bond, tls })
}

/// What TLS to an endpoint of this cluster needs; `None` where plain text is spoken. Without a source, TLS fails rather than falls
/// back.
pub(super) fn tls_target(
    cluster: &Cluster,
    endpoint: &EndpointState,
    source: Option<&TlsSource>,
    server_name: Option<&str>,
) -> Result<Option<TlsTarget>, DialCause> {
    match (cluster.tls_to(endpoint.labels()), source) {
        (None, _) => Ok(None),
        (Some(settings), Some(source)) => {
            source(cluster, settings, server_name).map(Some).map_err(|why| DialCause::Tls(TlsFault::unready(why)))
        }
        (Some(_), None) => Err(DialCause::Tls(TlsFault::unready("not set up"))),
    }
}

/// Why there is no connection for a TCP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The cluster has as many connections as it may have.
    Overflow,
    /// It could not be made.
    Dial(DialError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overflow => f.write_str("the cluster's limit of connections is reached"),
            Self::Dial(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenError {}

/// A connection for a TCP proxy.
#[derive(Debug)]
pub struct Opened {
    /// Its bytes; counts against the limit until dropped.
    pub io: CountedIo,
    /// Our end.
    pub local: Option<Address>,
    /// Of mutual TLS.
    pub bond: Option<Bond>,
    /// What TLS said.
    pub tls: Option<Rc<TlsInfo>>,
}

/// Connects for a TCP proxy: one attempt, counted against the cluster's limit.
pub async fn open(
    endpoint: &EndpointState,
    cluster: &Arc<ClusterState>,
    tls: Option<&TlsSource>,
    from: Option<SourceAddress>,
) -> Result<Opened, OpenError> {
    let guard = ConnectionGuard::acquire(cluster, Priority::Default).ok_or(OpenError::Overflow)?;
    let address = endpoint.address();
    let result = match tls_target(cluster.config(), endpoint, tls, None) {
        Ok(target) => dial(address, cluster.config(), target, from).await,
        Err(cause) => Err(DialError::new(address, cause)),
    };
    guard.count_dial(&result);
    let dialed = result.map_err(OpenError::Dial)?;
    Ok(Opened { io: CountedIo::new(dialed.io, guard), local: dialed.local, bond: dialed.bond, tls: dialed.tls })
}

#[cfg(test)]
mod tests;
