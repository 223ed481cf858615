//! Pages for operators, named as Envoy's, served from the control thread; and the port for health checks and metrics, which
//! shows a few of them and changes nothing.
//!
//! Whoever reaches the admin page may stop the proxy. So it listens on loopback unless told otherwise, what changes something
//! wants POST, and requests that a browser or another proxy was talked into sending are refused: see `guard`.

mod certificates;
mod client_status;
mod clusters;
mod guard;
mod listeners;
mod memory;
mod pages;
mod query;

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Either;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::task::{Here, spawn_bounded_by_connection};
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::Registry;
use crate::upstream::ClusterState;
use crate::xds::dump::{ClientStatusError, DumpError, DumpRequest};

pub use certificates::TlsView;
pub use listeners::ListenerView;

/// Connections at once. Operators and scrapers are few; more is a mistake or an attack.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// Fields of a request.
const MAX_FIELDS: usize = 64;
/// Likewise of HTTP/2.
const MAX_HEAD_LIST: u32 = 16 * 1024;
/// Requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 8;
/// How long a head may take, or a connection be without a request.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may live: longer than any page takes, shorter than a client that reads nothing is a nuisance.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
/// How long to wait after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How far the process has come, as `/ready` and `server.state` tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerState {
    /// Not begun: clusters are being made.
    #[default]
    PreInitializing,
    /// Listeners wait for routes, certificates or the control plane.
    Initializing,
    /// Serves.
    Live,
    /// Finishes what it has.
    Draining,
}

impl ServerState {
    /// As Envoy writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreInitializing => "PRE_INITIALIZING",
            Self::Initializing => "INITIALIZING",
            Self::Live => "LIVE",
            Self::Draining => "DRAINING",
        }
    }

    /// The number of `server.state` (`envoy.admin.v3.ServerInfo.State`).
    fn number(self) -> u64 {
        match self {
            Self::Live => 0,
            Self::Draining => 1,
            Self::PreInitializing => 2,
            Self::Initializing => 3,
        }
    }
}

/// What an operator asked the process to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Listeners take no more connections.
    DrainListeners {
        /// Connections are told to go, rather than left alone.
        graceful: bool,
        /// Only listeners towards the workload.
        inbound_only: bool,
    },
    /// The process ends.
    Quit,
}

/// Who may see what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// All pages.
    Full,
    /// Health and metrics, for anybody who reaches the port.
    ReadOnly,
}

/// Makes `/config_dump`.
pub type Dump = Box<dyn Fn(&DumpRequest) -> Result<Value, DumpError>>;

/// Answers a `ClientStatusRequest`.
pub type ClientStatus = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, ClientStatusError>>;

/// What the pages are made of. Lives on the control thread.
pub struct AdminState {
    /// All metrics.
    pub registry: Arc<Registry>,
    /// How far the process has come.
    pub state: watch::Receiver<ServerState>,
    /// The proxy's own log.
    pub log: LogControl,
    /// When the process began.
    pub started: Instant,
    /// `node` of the bootstrap, as JSON.
    pub node: Value,
    /// Flags and settings, as JSON.
    pub options: Value,
    /// What the configuration says without effect.
    pub warnings: Vec<String>,
    /// Worker threads.
    pub workers: usize,
    /// Connections of clients that are open.
    pub connections: Box<dyn Fn() -> usize>,
    /// The current configuration.
    pub config_dump: Dump,
    /// The same for tools (CSDS).
    pub client_status: ClientStatus,
    /// Brings metrics up to date that are counted only when somebody asks.
    pub refresh: Box<dyn Fn()>,
    /// How the control plane is reached and what it has sent, for people; `None` where there is none.
    pub control_plane: Box<dyn Fn() -> Option<String>>,
    /// Live clusters.
    pub clusters: Box<dyn Fn() -> Vec<Arc<ClusterState>>>,
    /// Open listeners.
    pub listeners: Box<dyn Fn() -> Vec<ListenerView>>,
    /// TLS settings in use.
    pub tls: Box<dyn Fn() -> Vec<TlsView>>,
    /// Wishes of the operator.
    pub actions: mpsc::Sender<Action>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

/// Where pages are served.
#[derive(Debug)]
pub enum AdminListener {
    /// An address and a port.
    Tcp(TcpListener),
    /// A path.
    Unix(UnixListener),
}

/// Serves until dropped, on this thread.
pub async fn serve(listener: AdminListener, state: Rc<AdminState>, access: Access) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        let accepted = match &listener {
            AdminListener::Tcp(listener) => listener.accept().await.map(|(stream, _)| start(stream, &open, &state, access)),
            AdminListener::Unix(listener) => listener.accept().await.map(|(stream, _)| start(stream, &open, &state, access)),
        };
        if let Err(error) = accepted
            && !is_of_one_connection(&error)
        {
            tracing::warn!(%error, "a connection to the admin page could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// The connection failed before it was accepted; the listener is good.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

fn start(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, open: &Rc<Cell<usize>>, state: &Rc<AdminState>, access: Access) {
    let Some(slot) = Slot::take(open) else { return };
    let state = Rc::clone(state);
    spawn_bounded_by_connection(async move {
        let asked = Cell::new(false);
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
            asked.set(true);
            let (head, body) = request.into_parts();
            let answer = if client_status::is_asked(access, &head) {
                client_status::answer(&state, body).map(Either::Left)
            } else {
                // Bodies are not read: no page wants one.
                pages::answer(&state, access, &head).map(Either::Right)
            };
            async move { Ok::<_, Infallible>(answer) }
        });
        let mut server = auto::Builder::new(Here);
        server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(MAX_HEAD).max_headers(MAX_FIELDS);
        // For gRPC, which needs no more.
        server.http2().max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEAD_LIST);
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // Which protocol it is is not known yet, nor whose limit holds.
        let ended = match tokio::time::timeout(HEAD_LIMIT, connection.as_mut()).await {
            Ok(ended) => ended,
            Err(_) if asked.get() => tokio::time::timeout(CONNECTION_LIMIT, connection).await.unwrap_or(Ok(())),
            Err(_) => Ok(()),
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the admin page failed");
        }
        drop(slot);
    });
}

/// One of the connections at once; free again when dropped.
struct Slot(Rc<Cell<usize>>);

impl Slot {
    fn take(open: &Rc<Cell<usize>>) -> Option<Self> {
        if open.get() >= MAX_CONNECTIONS {
            return None;
        }
        open.set(open.get().saturating_add(1));
        Some(Self(Rc::clone(open)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
