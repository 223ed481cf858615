use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::address::Address;
use crate::config::listener::{ListenAddress, Listener};
use crate::stream::Socket;

/// A socket that is listening, before a worker's runtime takes it.
#[derive(Debug)]
pub enum Bound {
    /// TCP.
    Tcp(std::net::TcpListener),
    /// Unix.
    Unix(std::os::unix::net::UnixListener),
}

/// A listening socket on a worker's runtime.
#[derive(Debug)]
pub enum Acceptor {
    /// TCP.
    Tcp(TcpListener),
    /// Unix.
    Unix(UnixListener),
}

/// Why a listener could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// Its name.
    pub listener: String,
    /// Where.
    pub address: Address,
    /// What the system said.
    pub cause: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener \"{}\" cannot listen on {} (its setting `address`): {}", self.listener, self.address, self.cause)?;
        f.write_str(self.advice())
    }
}

impl BindError {
    /// As a fault of the listener.
    pub fn fault(&self) -> String {
        format!("address: cannot listen on {}: {}{}", self.address, self.cause, self.advice())
    }

    fn advice(&self) -> &'static str {
        let kind = self.cause.kind();
        if kind == io::ErrorKind::AddrInUse {
            return "; another process has it, see `ss -ltnp`";
        }
        if kind == io::ErrorKind::PermissionDenied {
            return "; ports below 1024 need CAP_NET_BIND_SERVICE, `transparent` needs CAP_NET_ADMIN";
        }
        ""
    }
}

/// Opens a listener's sockets: for each address one socket a worker, or one that all workers share.
///
/// # Errors
/// The first address that cannot be opened.
pub fn bind(listener: &Listener, workers: usize) -> Result<Vec<Vec<Bound>>, BindError> {
    let mut by_worker: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    for address in &listener.addresses {
        let failed = |cause| BindError { listener: listener.name.to_string(), address: address.address.clone(), cause };
        let sockets = bind_one(listener, address, workers).map_err(failed)?;
        for (worker, socket) in by_worker.iter_mut().zip(sockets) {
            worker.push(socket);
        }
    }
    Ok(by_worker)
}

fn bind_one(listener: &Listener, address: &ListenAddress, workers: usize) -> io::Result<Vec<Bound>> {
    match &address.address {
        Address::Ip(ip) => bind_tcp(listener, address, *ip, workers),
        Address::Unix(path) => bind_unix(path, address.unix_mode, workers),
    }
}

fn bind_tcp(listener: &Listener, address: &ListenAddress, ip: SocketAddr, workers: usize) -> io::Result<Vec<Bound>> {
    let first = open_tcp(listener, address, ip)?;
    // Port 0: the other workers' sockets join the port that the kernel chose.
    let chosen = first.local_addr()?;
    let mut sockets = vec![Bound::Tcp(first)];
    for _ in 1..workers {
        let Some(Bound::Tcp(shared)) = sockets.first() else { break };
        let next = if listener.reuse_port { open_tcp(listener, address, chosen)? } else { shared.try_clone()? };
        sockets.push(Bound::Tcp(next));
    }
    Ok(sockets)
}

fn open_tcp(listener: &Listener, address: &ListenAddress, ip: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(ip), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if listener.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if ip.is_ipv6() {
        socket.set_only_v6(!address.ipv4_compat)?;
    }
    if listener.freebind {
        if ip.is_ipv4() { socket.set_freebind_v4(true)? } else { socket.set_freebind_v6(true)? }
    }
    if listener.transparent {
        if ip.is_ipv4() { socket.set_ip_transparent_v4(true)? } else { socket.set_ip_transparent_v6(true)? }
    }
    crate::stream::pacing::spare(&(&socket).into(), ip.ip(), &listener.socket_options);
    crate::stream::set_options(&socket, &listener.socket_options, crate::config::address::SocketState::Prebind)?;
    socket.bind(&ip.into())?;
    crate::stream::set_options(&socket, &listener.socket_options, crate::config::address::SocketState::Bound)?;
    socket.listen(i32::try_from(listener.backlog).unwrap_or(i32::MAX))?;
    crate::stream::set_options(&socket, &listener.socket_options, crate::config::address::SocketState::Listening)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, mode: u32, workers: usize) -> io::Result<Vec<Bound>> {
    share_unix(open_unix(path, mode)?, workers)
}

/// Opens a Unix socket; `@name` is one without a file. A mode of 0 leaves the file's to umask.
///
/// # Errors
/// What the system said.
pub fn open_unix(path: &Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
            listener.set_nonblocking(true)?;
            return Ok(listener);
        }
        None => remove_stale(path)?,
    }
    socket.bind(&SockAddr::unix(path)?)?;
    if mode != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    socket.listen(128)?;
    Ok(socket.into())
}

/// Where a connection to a Unix socket arrived.
pub fn own_address(stream: &UnixStream) -> Option<Address> {
    Address::of_unix(&stream.local_addr().ok()?.into())
}

fn unnamed() -> Address {
    Address::Unix("".into())
}

fn share_unix(listener: std::os::unix::net::UnixListener, workers: usize) -> io::Result<Vec<Bound>> {
    let copies: io::Result<Vec<Bound>> = (1..workers).map(|_| listener.try_clone().map(Bound::Unix)).collect();
    let mut sockets = copies?;
    sockets.push(Bound::Unix(listener));
    Ok(sockets)
}

/// A socket file that nobody listens on is left over from a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() && std::os::unix::net::UnixStream::connect(path).is_err() => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

impl Bound {
    /// Where it listens.
    pub fn local_address(&self) -> io::Result<Address> {
        Ok(match self {
            Self::Tcp(listener) => Address::Ip(listener.local_addr()?),
            Self::Unix(listener) => Address::of_unix(&listener.local_addr()?).unwrap_or_else(unnamed),
        })
    }

    /// Takes it to the current runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn into_acceptor(self) -> io::Result<Acceptor> {
        Ok(match self {
            Self::Tcp(listener) => Acceptor::Tcp(TcpListener::from_std(listener)?),
            Self::Unix(listener) => Acceptor::Unix(UnixListener::from_std(listener)?),
        })
    }
}

impl Acceptor {
    /// The next connection, with the peer's address.
    ///
    /// # Errors
    /// What the system said; the listener itself is still good.
    pub async fn accept(&self) -> io::Result<(Socket, Address)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Closes the socket behind the last connection that waits: what comes after is reset by the kernel. The runtime is not asked,
    /// which hears of connections later.
    pub fn close(self, mut each: impl FnMut(Socket, Address)) {
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else { return };
                while let Some((stream, peer)) = next_waiting(|| listener.accept()) {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = TcpStream::from_std(stream)
                    {
                        each(Socket::Tcp(stream), Address::of_tcp(peer));
                    }
                }
            }
            Self::Unix(listener) => {
                let Ok(listener) = listener.into_std() else { return };
                while let Some((stream, peer)) = next_waiting(|| listener.accept()) {
                    if stream.set_nonblocking(true).is_ok()
                        && let Ok(stream) = UnixStream::from_std(stream)
                    {
                        let peer = unix_peer(&peer, &stream);
                        each(Socket::Unix(stream), peer);
                    }
                }
            }
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| (Socket::Tcp(stream), Address::of_tcp(peer))),
            Self::Unix(listener) => listener.poll_accept(cx).map_ok(|(stream, peer)| {
                let peer = unix_peer(&peer.into(), &stream);
                (Socket::Unix(stream), peer)
            }),
        }
    }
}

/// A connection that waits already, if there is one and the process can take it.
fn next_waiting<T>(mut accept: impl FnMut() -> io::Result<T>) -> Option<T> {
    loop {
        match accept() {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return None,
        }
    }
}

/// Whether the connection failed before it was accepted; the listener is good.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

/// As Envoy: a client without a name has the socket's.
fn unix_peer(peer: &std::os::unix::net::SocketAddr, stream: &UnixStream) -> Address {
    Address::of_unix(peer).or_else(|| own_address(stream)).unwrap_or_else(unnamed)
}
