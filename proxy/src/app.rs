//! The only wiring: settings -> control thread, workers, admin; start and stop order.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accept::listeners::{self, BindError, Bound};
use crate::accept::spread::Spread;
use crate::admin;
use crate::config::bootstrap::Bootstrap;
use crate::config::snapshot::Snapshot;
use crate::drain::{self, Announcer, DRAIN_POLL, Phase, Watcher};
use crate::resolve::{Resolvers, Watch, all_warm};
use crate::runtime::{ActiveListener, Generation, Shared};
use crate::task::OwnedTask;
use crate::telemetry::access_log::AccessLogs;
use crate::telemetry::metrics::Registry;
use crate::upstream::ClusterState;
use crate::worker::{self, Start};

/// How long the first look-ups of names may hold the listeners back (Envoy: 5 s, its `wait_for_warm_on_init`).
const WARM_LIMIT: Duration = Duration::from_secs(5);

/// How long workers may take to write their last log lines once the drain is over.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Worker threads.
    pub workers: usize,
    /// How long connections may take to end after SIGTERM.
    pub drain_time: Duration,
}

/// Why the process cannot start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot be opened.
    Bind(BindError),
    /// A chain's certificates do not fit.
    Tls {
        /// The listener.
        listener: String,
        /// The chain.
        chain: String,
        /// What is wrong.
        cause: crate::tls::TlsError,
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
            Self::Tls { listener, chain, cause } => write!(f, "listener \"{listener}\", filter chain \"{chain}\": {cause}"),
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
    let mut signals = Signals::new().map_err(system("watching signals"))?;
    let registry = Registry::new();
    let logs = Arc::new(AccessLogs::new(Arc::clone(&registry.ninon)));
    let generation = generation(bootstrap.snapshot, &registry)?;
    let watches = watch_names(&generation).await;
    let (announcer, watcher) = drain::channel();
    let shared = Arc::new(Shared {
        current: ArcSwap::from_pointee(generation),
        registry,
        logs: Arc::clone(&logs),
        spread: Spread::new(options.workers),
        local_ip: local_ip(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    });
    let admin = match &bootstrap.admin {
        Some(address) => Some(admin::open(address).await.map_err(system("opening the admin address"))?),
        None => None,
    };
    let workers = start_workers(&shared, options.workers, &watcher)?;
    let _admin = admin.map(|listener| OwnedTask::spawn(admin::serve(listener, watcher.clone())));
    tracing::info!(workers = options.workers, "ready");
    signals.until_stop(|| logs.reopen()).await;
    stop(&announcer, workers, options.drain_time, &mut signals).await;
    logs.flush(STOP_LIMIT);
    drop(watches);
    Ok(())
}

/// Clusters and listeners of a configuration, with their live state.
fn generation(snapshot: Snapshot, registry: &Registry) -> Result<Generation, StartError> {
    let clusters: HashMap<_, _> =
        snapshot.clusters.iter().map(|(name, config)| (name.clone(), ClusterState::new(Arc::clone(config)))).collect();
    let mut active = Vec::new();
    for config in &snapshot.listeners {
        let listener = ActiveListener::new(Arc::clone(config), registry);
        let listener = listener.map_err(|(chain, cause)| StartError::Tls { listener: config.name.to_string(), chain, cause })?;
        active.push(Arc::new(listener));
    }
    Ok(Generation { snapshot, clusters, listeners: active })
}

async fn watch_names(generation: &Generation) -> Vec<Watch> {
    let resolvers = Resolvers::default();
    let watches = generation.clusters.values().filter_map(|cluster| resolvers.watch(cluster)).collect();
    if !all_warm(generation.clusters.values().cloned(), WARM_LIMIT).await {
        tracing::warn!("some names are not resolved yet; their clusters have no endpoints until they are");
    }
    watches
}

fn start_workers(shared: &Arc<Shared>, count: usize, watcher: &Watcher) -> Result<Vec<JoinHandle<()>>, StartError> {
    let generation = shared.current.load_full();
    let mut sockets: Vec<Vec<(Arc<ActiveListener>, Vec<Bound>)>> = (0..count).map(|_| Vec::new()).collect();
    for listener in generation.listeners.iter().filter(|listener| listener.config.bind_to_port) {
        let bound = listeners::bind(&listener.config, count).map_err(StartError::Bind)?;
        for (worker, bound) in sockets.iter_mut().zip(bound) {
            worker.push((Arc::clone(listener), bound));
        }
    }
    let (peers, incoming) = worker::handover_channels(count);
    let mut threads = Vec::new();
    for (index, (sockets, incoming)) in sockets.into_iter().zip(incoming).enumerate() {
        let start = Start { index, shared: Arc::clone(shared), sockets, drain: watcher.clone(), peers: peers.clone(), incoming };
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if let Err(error) = worker::run(start) {
                tracing::error!(worker = index, %error, "a worker could not start");
            }
        });
        threads.push(thread.map_err(system("starting a worker thread"))?);
    }
    Ok(threads)
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

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until SIGTERM or SIGINT; SIGHUP calls `hangup`.
    async fn until_stop(&mut self, hangup: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => hangup(),
            }
        }
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
