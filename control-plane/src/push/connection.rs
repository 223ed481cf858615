//! Connections, and how they are cut: a client that does not read cannot be told to go, and one whose certificate has expired has none.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::model::identity::Verified;

/// A connection that can be cut.
#[derive(Debug)]
pub struct Connection<T> {
    io: T,
    about: Peer,
    /// It is cut then, and gives its place to others.
    until: Option<(Pin<Box<Sleep>>, Option<OwnedSemaphorePermit>)>,
}

/// Through which port somebody came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// Without TLS: whoever it is, is believed.
    #[default]
    Open,
    /// With TLS, and with a certificate or without.
    Secure(Option<Arc<Verified>>),
}

/// What the certificate of a request's connection says, where there has to be one.
///
/// # Errors
/// There is none.
pub fn verified<T>(request: &Request<T>) -> Result<Option<Arc<Verified>>, Status> {
    request.extensions().get::<Peer>().map_or(Ok(None), Peer::verified)
}

/// Who is at the other end, and the way to be rid of them.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    /// Through which port.
    pub door: Door,
    cut: Arc<Mutex<Cut>>,
}

#[derive(Debug, Default)]
struct Cut {
    done: bool,
    reader: Option<Waker>,
}

impl Peer {
    /// What its certificate says, where there has to be one.
    ///
    /// # Errors
    /// There is none.
    pub fn verified(&self) -> Result<Option<Arc<Verified>>, Status> {
        match &self.door {
            Door::Open => Ok(None),
            Door::Secure(Some(verified)) => Ok(Some(Arc::clone(verified))),
            Door::Secure(None) => Err(Status::unauthenticated("a certificate of this mesh is needed here")),
        }
    }

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
        Self { io, about: Peer { address, ..Peer::default() }, until: None }
    }

    /// Through the secure port, until some time; and a place that it takes.
    pub fn secure(self, verified: Option<Arc<Verified>>, until: Instant, place: Option<OwnedSemaphorePermit>) -> Self {
        let about = Peer { door: Door::Secure(verified), ..self.about };
        Self { about, until: Some((Box::pin(sleep_until(until)), place)), ..self }
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
        if self.until.as_mut().is_some_and(|(until, _)| until.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
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
