//! Connections with TLS: handshakes, so many at a time and none for long, and who is at the other end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{CertificateError, Error, OtherError, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tracing::{debug, info, warn};

use crate::model::identity::{Identity, Verified};
use crate::places::{Places, host};
use crate::push::connection::{AFTER, Connection, Place, Standing};
use crate::push::server::AFTER_ERROR;
use crate::task::OwnedTask;

/// Time for a handshake: a round trip over the world and some loss.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at a time; who comes then waits in the listener's queue.
const MOST: usize = 512;
/// Connections without a certificate at a time. They are there for a request or two.
const ANONYMOUS: usize = 1024;
/// Connections with a certificate at a time. A proxy has one, and another when it renews.
const KNOWN: usize = 32_768;
/// When half of them are taken, an address or an identity may have one of so many of all.
const SHARE: usize = 8;
/// How long one without a certificate may stay.
const STAY: Duration = Duration::from_secs(60);

/// Says how handshakes are made, and who has come.
pub trait Doorkeeper: Standing + 'static {
    /// For the next handshake. It asks for a certificate, takes none as an answer, and lets nobody in with a bad one.
    fn config(&self) -> Arc<ServerConfig>;

    /// What the certificate of a finished handshake says.
    ///
    /// # Errors
    /// If that cannot be used.
    fn verified(&self, certificate: &CertificateDer<'_>) -> Result<Verified, String>;
}

type Secured = Connection<TlsStream<TcpStream>>;

/// Connections that are secure, for ever.
pub struct Handshakes {
    made: mpsc::Receiver<Secured>,
    _accepts: OwnedTask,
}

impl Handshakes {
    /// Of a listener.
    pub fn begin(listener: TcpListener, keeper: Arc<dyn Doorkeeper>) -> Self {
        let (say, made) = mpsc::channel(MOST);
        Self { made, _accepts: OwnedTask::spawn(accept(listener, keeper, say)) }
    }
}

impl Stream for Handshakes {
    type Item = io::Result<Secured>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.made.poll_recv(cx).map(|made| made.map(Ok))
    }
}

/// What is taken by connections of the secure port.
struct Taken {
    handshakes: Arc<Places<IpAddr>>,
    anonymous: Arc<Places<IpAddr>>,
    known: Arc<Places<Identity>>,
}

async fn accept(listener: TcpListener, keeper: Arc<dyn Doorkeeper>, say: mpsc::Sender<Secured>) {
    let mut handshakes = JoinSet::new();
    let taken = Arc::new(Taken {
        handshakes: Places::new(MOST, MOST / SHARE),
        anonymous: Places::new(ANONYMOUS, ANONYMOUS / SHARE),
        known: Places::new(KNOWN, KNOWN / SHARE),
    });
    loop {
        while handshakes.try_join_next().is_some() {}
        if handshakes.len() >= MOST {
            let _ended = handshakes.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, address)) => {
                let Some(place) = taken.handshakes.take(host(address.ip())) else {
                    debug!(%address, "others are to have their turn: as many handshakes as may be are under way from this address");
                    continue;
                };
                // A connection that cannot be set up so is as good.
                let _ = stream.set_nodelay(true);
                let (keeper, taken, say) = (Arc::clone(&keeper), Arc::clone(&taken), say.clone());
                handshakes.spawn(async move {
                    let shaken = timeout(HANDSHAKE, shake(stream, address, keeper, &taken)).await;
                    drop(place);
                    match shaken {
                        // That nobody takes it any more is the end of the server.
                        Ok(Ok(connection)) => drop(say.send(connection).await),
                        Ok(Err(problem)) => info!(%address, problem, "a TLS handshake failed"),
                        Err(_) => debug!(%address, "a TLS handshake took too long"),
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection cannot be accepted");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// Why a handshake failed. Our own reasons are whole sentences.
fn problem(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(own)))) => own.to_string(),
        _ => error.to_string(),
    }
}

fn boxed(place: impl Send + 'static) -> Place {
    Box::new(place)
}

async fn shake(stream: TcpStream, address: SocketAddr, keeper: Arc<dyn Doorkeeper>, taken: &Taken) -> Result<Secured, String> {
    let stream = TlsAcceptor::from(keeper.config()).accept(stream).await.map_err(|error| problem(&error))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let verified = shown.map(|certificate| keeper.verified(certificate)).transpose()?;
    let now = Instant::now();
    let (until, place): (Instant, Option<Place>) = match &verified {
        Some(verified) => {
            let left = verified.not_after.duration_since(SystemTime::now()).unwrap_or_default();
            (now + left + AFTER, taken.known.take(verified.identity.clone()).map(boxed))
        }
        None => (now + STAY, taken.anonymous.take(host(address.ip())).map(boxed)),
    };
    let place = place.ok_or_else(|| match &verified {
        Some(verified) => format!("there are as many connections of {} as may be", verified.identity),
        None => "there are as many connections without a certificate as may be".to_owned(),
    })?;
    Ok(Connection::new(stream, Some(address)).secure((verified.map(Arc::new), keeper), until, place))
}
