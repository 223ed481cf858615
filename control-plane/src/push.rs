//! Brings every proxy what it lacks, over xDS: the aggregated discovery service in both dialects, and what goes with it.
//!
//! [`stream`](crate::push::stream) decides what to say and does no I/O. [`session`](crate::push::session) feeds it with a
//! client's requests and with snapshots; [`body`](crate::push::body) takes answers from it when the connection has room, so a client
//! that does not read costs no more than what it was last written. Where snapshots come from is a
//! [`Directory`](crate::push::Directory).

/// An answer, and its bytes.
pub mod answer;
/// What many streams are sent alike.
pub mod batch;
/// The answers of a stream, as an HTTP body.
pub mod body;
/// Certificates for clients.
pub mod certificates;
/// What clients were sent, for tools.
pub mod client_status;
/// Connections, and how they are cut.
pub mod connection;
/// One type on one stream.
pub mod lane;
/// The load that clients report.
pub mod load;
/// Names that a stream asks for.
pub mod names;
/// The way from one snapshot to the next.
pub mod pass;
/// What a client says.
pub mod request;
/// The requests of a stream.
pub mod requests;
/// Connections with TLS.
pub mod secure;
/// Serves a listener.
pub mod server;
/// The aggregated discovery service.
pub mod service;
/// One stream's task.
pub mod session;
/// What a client was sent, in words.
pub mod shown;
/// A stream without its bytes.
pub mod stream;
/// What is asked for of one type, and what is held.
pub mod subscription;
/// What a request says is wanted.
pub mod wishes;

use std::any::Any;
use std::fmt;
use std::future::ready;
use std::hash::RandomState;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tonic::Status;

use crate::proxies::Proxies;
use crate::proxies::node::{About, Node};
use crate::snapshot::Snapshot;

use connection::Peer;

pub use server::{Fault, routes, serve, serve_secure};

/// Knows what each client is to see.
pub trait Directory: Send + Sync + 'static {
    /// A client's stream begins.
    ///
    /// # Errors
    /// If it is to see nothing; the client is told why.
    fn join(&self, node: &Node) -> Result<Joined, Refusal>;

    /// A client may be one that is to be registered while its stream lives: it shows a token, or a certificate. This comes before
    /// [`Directory::join`].
    ///
    /// # Errors
    /// If it wants to be and cannot; the client is told why.
    fn admit<'a>(&'a self, node: &'a Node, token: Option<&'a str>) -> Later<'a, Result<Option<Box<dyn Guest>>, Refusal>> {
        let _unread = node;
        let nobody = || Refusal::Unauthenticated("nobody is registered here".to_owned());
        Box::pin(ready(token.map_or(Ok(None), |_| Err(nobody()))))
    }
}

/// Gives clients of the secure port their certificates.
pub trait Certifier: Send + Sync + 'static {
    /// A chain, each certificate as PEM.
    ///
    /// # Errors
    /// Why there is none.
    fn certify<'a>(&'a self, wish: Wish<'a>) -> Later<'a, Result<Vec<String>, Refusal>>;
}

/// A certificate that a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The request, as PEM.
    pub csr: &'a str,
    /// How long it is to hold; 0 leaves that open.
    pub seconds: i64,
    /// The token that is shown.
    pub token: Option<&'a str>,
    /// Who asks.
    pub peer: &'a Peer,
}

/// Something that takes time.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A client that is registered. When this is dropped, its stream is gone.
pub trait Guest: Send + Sync {
    /// It has taken its listeners.
    fn serves(&self);

    /// It says that it goes; ends when it may.
    fn goodbye(&self) -> Later<'_, ()>;

    /// Ends when it is to be sent away.
    fn expelled(&self) -> Later<'_, Refusal>;
}

/// What a client is to see.
pub struct Joined {
    /// What it was found to be.
    pub about: About,
    /// The newest snapshot. Clients that see the same share one. When the sender is gone, the stream ends.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Dropped when the stream is over.
    pub alive: Option<Box<dyn Any + Send>>,
}

/// Why a client is to see nothing, as a sentence for its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What it says of itself makes no sense.
    Invalid(String),
    /// What it shows is no proof of who it is.
    Unauthenticated(String),
    /// It is not who it would have to be.
    Denied(String),
    /// It asks too often.
    Exhausted(String),
    /// There is nothing to see yet.
    Unavailable(String),
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(reason) => Self::invalid_argument(reason),
            Refusal::Unauthenticated(reason) => Self::unauthenticated(reason),
            Refusal::Denied(reason) => Self::permission_denied(reason),
            Refusal::Exhausted(reason) => Self::resource_exhausted(reason),
            Refusal::Unavailable(reason) => Self::unavailable(reason),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(reason)
            | Self::Unauthenticated(reason)
            | Self::Denied(reason)
            | Self::Exhausted(reason)
            | Self::Unavailable(reason) => f.write_str(reason),
        }
    }
}

/// How streams are served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This replica, as clients are told.
    pub identifier: Arc<str>,
    /// How long what a client was sent of one type waits for its replies about another: the time that it takes to warm clusters.
    pub patience: Duration,
    /// A client that neither reads nor replies for so long is sent away.
    pub stall: Duration,
    /// Names that one stream may ask for.
    pub names: usize,
    /// The longest request, in bytes.
    pub request: usize,
    /// How often a silent connection is asked whether it lives.
    pub ping: Duration,
    /// How long it has to answer.
    pub pong: Duration,
    /// How long streams have to end when all are told to.
    pub farewell: Duration,
    /// How often clients report load.
    pub load_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            identifier: Arc::from("ninon"),
            // Endpoints of a new cluster are there within a round trip; a cluster that cannot warm must not hold up routes for long.
            patience: Duration::from_secs(2),
            stall: Duration::from_secs(300),
            // Some twenty times what a large mesh has.
            names: 100_000,
            // What gRPC libraries allow by default; 30,000 names of resources with their versions.
            request: 4 * 1024 * 1024,
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(20),
            farewell: Duration::from_secs(5),
            // Often enough to show a trend; as other meshes ask for.
            load_interval: Duration::from_secs(10),
        }
    }
}

/// What streams have in common, so that it is in memory once.
#[derive(Debug, Default)]
pub struct Common {
    /// Names that they ask for.
    pub lists: names::Lists,
    /// What they are sent.
    pub batches: batch::Batches,
    /// Tells lists of names apart, with a key that nobody knows.
    pub hasher: RandomState,
}

/// What all streams share.
pub struct Push {
    directory: Box<dyn Directory>,
    proxies: Arc<Proxies>,
    settings: Settings,
    common: Arc<Common>,
    stop: watch::Receiver<bool>,
}

impl Push {
    /// Streams end when `stop` says so, or when its sender is gone.
    pub fn new(directory: impl Directory, proxies: Arc<Proxies>, settings: Settings, stop: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self { directory: Box::new(directory), proxies, settings, common: Arc::default(), stop })
    }
}
