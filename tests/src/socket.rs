//! A stream socket of either family: TCP, or Unix by a path or (with a leading `@`) an abstract name.

use std::io;
use std::net::SocketAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net as unix;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

impl Socket {
    /// Connects to `127.0.0.1:80`, `[::1]:80`, `/a/path` or `@a-name`.
    pub async fn connect(to: &str) -> io::Result<Self> {
        if let Ok(address) = to.parse::<SocketAddr>() {
            return TcpStream::connect(address).await.map(Self::from);
        }
        let stream = unix::UnixStream::connect_addr(&unix_address(to)?)?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream).map(Self::Unix)
    }

    /// The local port; 0 where there is none.
    pub fn local_port(&self) -> u16 {
        match self {
            Self::Tcp(stream) => stream.local_addr().map_or(0, |address| address.port()),
            Self::Unix(_) => 0,
        }
    }

    /// Makes the coming drop send RST, where there is such a thing.
    pub fn reset_on_drop(&self) {
        if let Self::Tcp(stream) = self {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Listens at a path or an abstract name.
pub fn listen_unix(at: &str) -> io::Result<UnixListener> {
    let listener = unix::UnixListener::bind_addr(&unix_address(at)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn unix_address(text: &str) -> io::Result<unix::SocketAddr> {
    match text.strip_prefix('@') {
        Some(name) => unix::SocketAddr::from_abstract_name(name),
        None => unix::SocketAddr::from_pathname(text),
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self::Tcp(stream)
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
