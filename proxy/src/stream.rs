//! Byte streams handed from stage to stage.

mod ahead;
mod large;
pub mod pacing;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::config::address::{SocketOption, SocketOptionValue, SocketState, TcpKeepalive};

pub use ahead::ReadAhead;
pub use large::{LARGE, Lent, most};

/// A client's socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// Unix.
    Unix(UnixStream),
}

/// Calls the same method on whichever stream it is.
macro_rules! each {
    ($self:expr, $($variant:ident)|+, $io:ident => $call:expr) => {
        match $self.get_mut() {
            $(Self::$variant($io) => $call,)+
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, Tcp | Unix, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, Tcp | Unix, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, Tcp | Unix, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, Tcp | Unix, io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        each!(self, Tcp | Unix, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// A stream that gives back what was read ahead of it, first.
#[derive(Debug)]
pub struct Rewind<IO> {
    prefix: Bytes,
    io: IO,
}

impl<IO> Rewind<IO> {
    /// `prefix` is read before anything from `io`.
    pub fn new(prefix: Bytes, io: IO) -> Self {
        Self { prefix, io }
    }

    /// What was not read yet, and the stream.
    pub fn into_parts(self) -> (Bytes, IO) {
        (self.prefix, self.io)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Rewind<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.has_remaining() {
            let length = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Rewind<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Sets the operator's socket options for one moment of a socket's life.
///
/// # Errors
/// What the system said.
#[expect(unsafe_code, reason = "options by number have no safe wrapper")]
pub fn set_options(socket: &socket2::Socket, options: &[SocketOption], state: SocketState) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    for option in options.iter().filter(|option| option.state == state) {
        let bytes = match &option.value {
            SocketOptionValue::Int(value) => value.to_ne_bytes().to_vec(),
            SocketOptionValue::Bytes(bytes) => bytes.clone(),
        };
        let length = libc::socklen_t::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the descriptor is open for as long as `socket` is borrowed, and pointer and length describe `bytes`, which the call only reads.
        let outcome = unsafe { libc::setsockopt(socket.as_raw_fd(), option.level, option.name, bytes.as_ptr().cast(), length) };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sets keep-alive probes; a socket that refuses them works without.
pub fn set_keepalive(stream: &TcpStream, probes: &TcpKeepalive) {
    let mut settings = socket2::TcpKeepalive::new();
    if let Some(time) = probes.time {
        settings = settings.with_time(time);
    }
    if let Some(interval) = probes.interval {
        settings = settings.with_interval(interval);
    }
    if let Some(count) = probes.probes {
        settings = settings.with_retries(count);
    }
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_keepalive(&settings) {
        tracing::debug!(%error, "keep-alive probes are not set");
    }
}
