//! Connections, and how they are cut: a client that does not read cannot be told to go.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// A connection that can be cut.
#[derive(Debug)]
pub struct Connection<T> {
    io: T,
    about: Peer,
}

/// Who is at the other end, and the way to be rid of them.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    cut: Arc<Mutex<Cut>>,
}

#[derive(Debug, Default)]
struct Cut {
    done: bool,
    reader: Option<Waker>,
}

impl Peer {
    /// Ends the connection, whatever is under way.
    pub fn cut(&self) {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.done = true;
        if let Some(reader) = cut.reader.take() {
            reader.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> io::Result<()> {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        if cut.done {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if !cut.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            cut.reader = Some(cx.waker().clone());
        }
        Ok(())
    }
}

impl<T> Connection<T> {
    /// From an address.
    pub fn new(io: T, address: Option<SocketAddr>) -> Self {
        Self { io, about: Peer { address, ..Peer::default() } }
    }
}

impl<T> Connected for Connection<T> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.about.clone()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.about.poll(cx)?;
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
