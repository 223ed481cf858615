//! The only wiring: settings -> control thread, workers, admin; start and stop order.

/// The proxy's own certificate.
mod agent;
/// The last good configuration on disk.
mod cache;
/// gRPC to clusters.
mod channels;
/// Follows the control plane.
mod control;
/// Connections to control planes.
mod dial;
/// Questions for names.
mod dns;
/// What waits for the proxy's own certificate.
mod enrol;
/// Files of resources, watched.
mod files;
/// What is known at the start.
mod first;
/// The process's heap.
mod heap;
/// What workers serve from, changed while they serve.
mod live;
/// The admin page's view of the process, and what it may do to it.
mod pages;
/// What a supervisor tells the process.
mod signals;
/// Spans on their way to collectors.
mod spans;
/// What is known of the control plane.
mod status;
/// The proxy's own certificate, as the Workload API gives it.
mod workload;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::accept::listeners::BindError;
use crate::accept::spread::Spread;
use crate::admin::{Action, ServerState};
use crate::config::bootstrap::Bootstrap;
use crate::config::cluster::Cluster;
use crate::config::names::NameService;
use crate::dns::OpenError;
use crate::drain::{self, Announcer, DRAIN_POLL, Phase, Watcher};
use crate::own::OwnAddresses;
use crate::resolve::{Resolvers, Watch, all_warm};
use crate::runtime::{ConnectionLimit, Generation, Shared};
use crate::telemetry::access_log::AccessLogs;
use crate::telemetry::logging::LogControl;
use crate::telemetry::metrics::Registry;
use crate::telemetry::trace::export;
use crate::worker::{self, Command, Start};
use crate::xds::invalid::Faults;

use cache::Cache;
use control::Control;
use enrol::{Enrolled, enrol};
use files::Files;
use first::{before_identity, follow, serve_waiting, without_served};
use live::Live;
use pages::{Pages, Told};
use signals::Signals;
use spans::Spans;
use status::Following;

pub use pages::PagesError;

/// How long the first look-ups of names may hold the listeners back (Envoy: 5 s, its `wait_for_warm_on_init`).
const WARM_LIMIT: Duration = Duration::from_secs(5);

/// How long workers may take to write their last log lines once the drain is over.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The bootstrap file, as it was named; `None`: flags took its place.
    pub config: Option<PathBuf>,
    /// Worker threads.
    pub workers: usize,
    /// How long connections may take to end after SIGTERM.
    pub drain_time: Duration,
    /// Where health and metrics are shown to anybody; `None`: nowhere.
    pub health_address: Option<SocketAddr>,
    /// The proxy's own log.
    pub log: LogControl,
    /// What the bootstrap file says without effect.
    pub warnings: Vec<String>,
    /// Where the last good configuration of a control plane is kept; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// How questions for names are answered; `None`: not at all.
    pub dns: Option<NameService>,
}

/// What a worker has not done yet; whoever tells it more waits.
const COMMANDS: usize = 64;

/// Clusters that are warm and that the control thread has not looked at.
const WARMED: usize = 64;

/// The data plane's threads.
struct Workers {
    threads: Vec<JoinHandle<()>>,
    commands: Vec<mpsc::Sender<Command>>,
}

/// Why the process cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot be opened.
    Bind(BindError),
    /// The admin page cannot be opened.
    Pages(PagesError),
    /// The DNS cannot be opened.
    Dns(OpenError),
    /// A chain's certificates do not fit.
    Tls {
        /// The listener.
        listener: String,
        /// The chain.
        chain: String,
        /// What is wrong.
        cause: crate::tls::TlsError,
    },
    /// Resources of the file that name secrets of a server do not fit.
    Resources(Faults),
    /// The folder of `--state-dir` cannot be used.
    State {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The system refused something.
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        cause: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Pages(error) => error.fmt(f),
            Self::Dns(error) => error.fmt(f),
            Self::Tls { listener, chain, cause } => write!(f, "listener \"{listener}\", filter chain \"{chain}\": {cause}"),
            Self::Resources(faults) => faults.fmt(f),
            Self::State { folder, cause } => write!(f, "--state-dir {}: {cause}", folder.display()),
            Self::System { what, cause } => write!(f, "{what}: {cause}"),
        }
    }
}

impl std::error::Error for StartError {}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |cause| StartError::System { what, cause }
}

/// Serves until a signal, or the admin page, ends it.
///
/// # Errors
/// See [`StartError`]; once it serves, it returns `Ok`.
pub fn run(bootstrap: Bootstrap, options: &Options) -> Result<(), StartError> {
    raise_descriptor_limit();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    runtime.map_err(system("starting the control thread"))?.block_on(control(bootstrap, options))
}

async fn control(bootstrap: Bootstrap, options: &Options) -> Result<(), StartError> {
    let started = Instant::now();
    let mut signals = Signals::new().map_err(system("watching signals"))?;
    let registry = Arc::new(Registry::new());
    registry.server.static_unknown_fields.add(u64::try_from(options.warnings.len()).unwrap_or(u64::MAX));
    let logs = Arc::new(AccessLogs::new(&registry));
    let (spans, export) = export::channel(Arc::clone(&registry.ninon));
    let (announcer, watcher) = drain::channel();
    let serving = without_served(&bootstrap);
    let (current, waiting) = before_identity(&bootstrap, serving.clone(), &registry)?;
    let shared = Arc::new(shared(current, (registry, &logs, spans), bootstrap.max_connections, options));
    let (state, seen) = watch::channel(ServerState::PreInitializing);
    let (wishes, mut actions) = mpsc::channel(4);
    let book = dns::book(options.dns.as_ref(), &bootstrap);
    let following = bootstrap.dynamic.as_ref().map(|dynamic| follow(&bootstrap, dynamic, serving, started, book.clone()));
    let following = following.transpose().map_err(StartError::Resources)?;
    let told = Told {
        node: bootstrap.node.clone(),
        source: bootstrap.source.clone(),
        state: seen,
        actions: wishes,
        started,
        following: following.clone(),
    };
    heap::give_back();
    let _pages = Pages::open(bootstrap.admin.as_ref(), options, told, &shared).await?;
    let _names = dns::serve(options.dns.as_ref(), book.as_ref(), &bootstrap, &shared).await?;
    let spans = Spans::start(export, &shared);
    let agent = match enrol(&bootstrap, &shared, book, &mut signals, &mut actions).await {
        Enrolled::Not => None,
        Enrolled::As(agent) => Some(agent),
        Enrolled::Ended => {
            pages::remove_socket(bootstrap.admin.as_ref());
            return Ok(());
        }
    };
    serve_waiting(&shared, waiting)?;
    let watches = watch_names(&shared.current.load_full()).await;
    state.send_replace(ServerState::Initializing);
    let workers = start_workers(&shared, options.workers, &watcher)?;
    let (warm, warmed) = mpsc::channel(WARMED);
    let live = Live::new(&shared, workers.commands, warm);
    live.open_all().await.map_err(StartError::Bind)?;
    let control = start_control(&bootstrap, options, &shared, following, (live, warmed))?;
    if control.is_none() {
        ready(&shared, &state, started);
    }
    let at_once = serve(&shared, control, &state, &mut signals, &mut actions).await;
    state.send_replace(ServerState::Draining);
    pages::drain_listeners(&shared, true, false);
    let limit = if at_once { Duration::ZERO } else { options.drain_time };
    stop(&announcer, workers.threads, limit, &mut signals).await;
    spans.finish(STOP_LIMIT).await;
    logs.flush(STOP_LIMIT);
    pages::remove_socket(bootstrap.admin.as_ref());
    drop((watches, agent));
    Ok(())
}

/// What every worker holds.
fn shared(
    current: Generation,
    (registry, logs, spans): (Arc<Registry>, &Arc<AccessLogs>, export::Exporter),
    max_connections: Option<u64>,
    options: &Options,
) -> Shared {
    Shared {
        current: ArcSwap::from_pointee(current),
        registry,
        logs: Arc::clone(logs),
        own: OwnAddresses::default(),
        spread: Spread::new(options.workers),
        limit: max_connections.map(ConnectionLimit::new),
        drain_time: options.drain_time,
        spans,
        trust: watch::Sender::new(0),
        renewals: watch::Sender::new(0),
        revoked: watch::Sender::new(0),
        local_ip: local_ip(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

fn start_control(
    bootstrap: &Bootstrap,
    options: &Options,
    shared: &Arc<Shared>,
    following: Option<Rc<RefCell<Following>>>,
    live: (Live, mpsc::Receiver<Arc<Cluster>>),
) -> Result<Option<Control>, StartError> {
    let (Some(following), Some(dynamic)) = (following, &bootstrap.dynamic) else { return Ok(None) };
    let cache = options.state_dir.as_ref().map(|folder| Cache::new(folder, &bootstrap.node.id)).transpose()?;
    if dynamic.server.is_some() {
        tracing::info!("waits for the control plane");
    }
    let files = Files::new().map_err(system("watching files"))?;
    Ok(Some(Control::new(shared, live, following, (cache, files), (dynamic.server.as_ref(), bootstrap.enrolment.is_some()))))
}

/// Everything serves that is to serve from the start.
fn ready(shared: &Shared, state: &watch::Sender<ServerState>, started: Instant) {
    shared.registry.server.initialization_time_ms.record(started.elapsed());
    state.send_replace(ServerState::Live);
    tracing::info!("ready");
    heap::give_back_code();
}

/// Until a signal or an operator ends it; whether it was told twice.
async fn serve(
    shared: &Shared,
    mut control: Option<Control>,
    state: &watch::Sender<ServerState>,
    signals: &mut Signals,
    actions: &mut mpsc::Receiver<Action>,
) -> bool {
    {
        let following = async {
            match &mut control {
                Some(control) => control.run(state).await,
                None => std::future::pending().await,
            }
        };
        let mut following = std::pin::pin!(following);
        loop {
            tokio::select! {
                () = signals.until_stop(|| shared.logs.reopen()) => break,
                Some(action) = actions.recv() => match action {
                    Action::Quit => break,
                    Action::DrainListeners { graceful, inbound_only } => pages::drain_listeners(shared, graceful, inbound_only),
                },
                () = &mut following => {}
            }
        }
    }
    match &mut control {
        Some(control) => control.end(state, signals).await,
        None => false,
    }
}

async fn watch_names(generation: &Generation) -> Vec<Watch> {
    let resolvers = Resolvers::default();
    let watches = generation.clusters.values().filter_map(|cluster| resolvers.watch(cluster)).collect();
    if !all_warm(generation.clusters.values().cloned(), WARM_LIMIT).await {
        tracing::warn!("some names are not resolved yet; their clusters have no endpoints until they are");
    }
    watches
}

fn start_workers(shared: &Arc<Shared>, count: usize, watcher: &Watcher) -> Result<Workers, StartError> {
    let (peers, incoming) = worker::handover_channels(count);
    let mut workers = Workers { threads: Vec::new(), commands: Vec::new() };
    for (index, incoming) in incoming.into_iter().enumerate() {
        let (command, commands) = mpsc::channel(COMMANDS);
        let start = Start { index, shared: Arc::clone(shared), commands, drain: watcher.clone(), peers: peers.clone(), incoming };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if let Err(error) = worker::run(start) {
                tracing::error!(worker = index, %error, "a worker could not start");
            }
        });
        workers.threads.push(thread.map_err(system("starting a worker thread"))?);
        workers.commands.push(command);
    }
    shared.registry.listener_manager.workers_started.set(1);
    Ok(workers)
}

/// Drains: connections end when their requests have; what is left at the deadline, or at a second signal, is closed.
async fn stop(announcer: &Announcer, workers: Vec<JoinHandle<()>>, limit: Duration, signals: &mut Signals) {
    tracing::info!(seconds = limit.as_secs(), "draining");
    announcer.announce(Phase::Draining);
    let ended = async {
        while !workers.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    tokio::select! {
        () = ended => return,
        () = tokio::time::sleep(limit) => tracing::warn!("the drain time is over, connections are closed"),
        () = signals.until_stop(|| ()) => tracing::warn!("told again to stop, connections are closed"),
    }
    announcer.announce(Phase::Stopping);
    let last = async {
        while !workers.iter().all(JoinHandle::is_finished) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    if tokio::time::timeout(STOP_LIMIT, last).await.is_err() {
        tracing::warn!("a worker did not end in time");
    }
}

/// Each connection takes two descriptors: the soft limit is raised to the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::info!(descriptors = limit.maximum, "file-descriptor limit"),
        Err(error) => tracing::warn!(descriptors = limit.current, %error, "the file-descriptor limit could not be raised"),
    }
}

/// This machine's address: the one it would send from. No packet is sent to find it.
fn local_ip() -> IpAddr {
    // TEST-NET-1 (RFC 5737): routed like any address outside.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    probe.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}
