//! Connections, and how they are cut: a client that does not read cannot be told to go, and one whose certificate has expired has none.

use std::any::Any;
use std::fmt;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::metadata::MetadataValue;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::model::identity::Verified;

/// Who has shown a certificate that was revoked is told so by this name, beside the words: it needs another one, by a token.
const CERTIFICATE: &str = "ninon-certificate";
/// After its certificate has expired or was revoked, for the last words.
pub(super) const AFTER: Duration = Duration::from_secs(5);

/// Who has no certificate comes to ask for one, and does so within this time.
const SILENCE: Duration = Duration::from_secs(5);

/// Ends when a connection is to.
type Until = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a connection takes, until it is gone.
pub type Place = Box<dyn Any + Send>;

/// Knows which certificates are not good although they hold.
pub trait Standing: Send + Sync + fmt::Debug {
    /// Why a certificate is not good.
    fn refuses(&self, verified: &Verified) -> Option<String>;

    /// Hears when that may be another.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A connection that can be cut.
pub struct Connection<T> {
    io: T,
    about: Peer,
    /// It is cut then, and gives its place to others.
    until: Option<(Until, Place)>,
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
    standing: Option<Arc<dyn Standing>>,
    asked: Arc<AtomicBool>,
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
            Door::Secure(Some(verified)) => match self.standing.as_ref().and_then(|standing| standing.refuses(verified)) {
                None => Ok(Some(Arc::clone(verified))),
                Some(reason) => Err(revoked(reason)),
            },
            Door::Secure(None) => Err(Status::unauthenticated("a certificate of this mesh is needed here")),
        }
    }

    /// It asks for something that it may ask for.
    pub fn asks(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody without a certificate has asked for nothing for too long.
    async fn idle(&self) {
        if self.door == Door::Secure(None) {
            sleep(SILENCE).await;
            if !self.asked.load(Ordering::Relaxed) {
                return;
            }
        }
        pending().await
    }

    /// Waits until its certificate is revoked.
    pub async fn revoked(&self) -> Status {
        if let (Door::Secure(Some(verified)), Some(standing)) = (&self.door, &self.standing) {
            let mut changes = standing.changes();
            loop {
                changes.mark_unchanged();
                if let Some(reason) = standing.refuses(verified) {
                    return revoked(reason);
                }
                if changes.changed().await.is_err() {
                    break;
                }
            }
        }
        pending().await
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

fn revoked(reason: String) -> Status {
    let mut status = Status::permission_denied(reason);
    status.metadata_mut().insert(CERTIFICATE, MetadataValue::from_static("revoked"));
    status
}

impl<T: fmt::Debug> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("io", &self.io).field("about", &self.about).finish_non_exhaustive()
    }
}

impl<T> Connection<T> {
    /// From an address.
    pub fn new(io: T, address: Option<SocketAddr>) -> Self {
        Self { io, about: Peer { address, ..Peer::default() }, until: None }
    }

    /// Through the secure port, until some time, or until its certificate is revoked; and a place that it takes.
    pub fn secure(self, (verified, standing): (Option<Arc<Verified>>, Arc<dyn Standing>), until: Instant, place: Place) -> Self {
        let about = Peer { door: Door::Secure(verified), standing: Some(standing), ..self.about };
        let peer = about.clone();
        let ends = async move {
            tokio::select! {
                () = sleep_until(until) => {}
                () = peer.idle() => {}
                _ = peer.revoked() => sleep(AFTER).await,
            }
        };
        Self { about, until: Some((Box::pin(ends), place)), ..self }
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
