use std::cell::RefCell;
use std::fmt;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::accept::listeners::open_unix;
use crate::admin::{self, Access, Action, AdminListener, AdminState, ListenerView, ServerState, TlsView};
use crate::app::status::Following;
use crate::app::{Options, StartError};
use crate::config::address::Address;
use crate::config::bootstrap::Node;
use crate::config::listener::Direction;
use crate::own::Listening;
use crate::runtime::Shared;
use crate::task::OwnedTask;
use crate::xds::dump::Dump;

/// What the pages tell of the process, and how operators reach it.
pub(super) struct Told {
    pub(super) node: Node,
    pub(super) source: Vec<u8>,
    pub(super) state: watch::Receiver<ServerState>,
    pub(super) actions: mpsc::Sender<Action>,
    pub(super) started: Instant,
    pub(super) following: Option<Rc<RefCell<Following>>>,
}

/// The pages, served until this is dropped.
pub(super) struct Pages {
    _tasks: Vec<OwnedTask>,
    _listening: Listening,
}

/// An address of the pages that cannot be opened.
#[derive(Debug)]
pub struct PagesError {
    what: &'static str,
    address: Address,
    cause: io::Error,
}

impl fmt::Display for PagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot listen on {}: {}", self.what, self.address, self.cause)?;
        if self.cause.kind() == io::ErrorKind::AddrInUse {
            f.write_str("; another process has it, see `ss -ltnp`")?;
        }
        Ok(())
    }
}

impl Pages {
    /// Opens the admin page and the port for anybody, where they are configured.
    pub(super) async fn open(address: Option<&Address>, options: &Options, told: Told, shared: &Arc<Shared>) -> Result<Self, StartError> {
        let state = Rc::new(state(told, options, shared));
        let mut tasks = Vec::new();
        if let Some(address) = address {
            let listener = open(address).await.map_err(failed("the admin page (setting `admin.address`)", address))?;
            tracing::info!(%address, "admin page");
            tasks.push(OwnedTask::spawn(admin::serve(listener, Rc::clone(&state), Access::Full)));
        }
        if let Some(address) = options.health_address.map(Address::Ip) {
            let listener = open(&address).await.map_err(failed("the page of health and metrics (--health-address)", &address))?;
            tasks.push(OwnedTask::spawn(admin::serve(listener, state, Access::ReadOnly)));
        }
        let addresses = address.cloned().into_iter().chain(options.health_address.map(Address::Ip));
        let listening = shared.own.listen(addresses.filter_map(|address| address.socket()));
        Ok(Self { _tasks: tasks, _listening: listening })
    }
}

fn failed(what: &'static str, address: &Address) -> impl FnOnce(io::Error) -> StartError {
    move |cause| StartError::Pages(PagesError { what, address: address.clone(), cause })
}

async fn open(address: &Address) -> io::Result<AdminListener> {
    Ok(match address {
        Address::Ip(address) => AdminListener::Tcp(TcpListener::bind(address).await?),
        Address::Unix(path) => AdminListener::Unix(UnixListener::from_std(open_unix(path, 0)?)?),
    })
}

fn state(told: Told, options: &Options, shared: &Arc<Shared>) -> AdminState {
    let dump = Rc::new(Dump::new(told.source));
    let (for_dump, for_text, for_metrics) = (told.following.clone(), told.following.clone(), told.following.clone());
    let (for_tools, dump_for_tools) = (told.following, Rc::clone(&dump));
    let registry = Arc::clone(&shared.registry);
    let (for_clusters, for_listeners, for_tls) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    let spread = shared.spread.clone();
    AdminState {
        registry: Arc::clone(&shared.registry),
        state: told.state,
        log: options.log.clone(),
        started: told.started,
        node: node(&told.node),
        options: options_json(options),
        warnings: options.warnings.clone(),
        workers: options.workers,
        connections: Box::new(move || spread.total()),
        config_dump: Box::new(move |request| match &for_dump {
            Some(following) => dump.page(request, &following.borrow().follower.seen()),
            None => dump.page(request, &[]),
        }),
        client_status: Box::new(move |request| match &for_tools {
            Some(following) => dump_for_tools.client_status(request, &following.borrow().follower.seen()),
            None => dump_for_tools.client_status(request, &[]),
        }),
        refresh: Box::new(move || {
            if let Some(following) = &for_metrics {
                following.borrow().show(&registry.control_plane);
            }
        }),
        control_plane: Box::new(move || for_text.as_ref().map(|following| following.borrow().text())),
        clusters: Box::new(move || for_clusters.current.load().clusters.values().cloned().collect()),
        listeners: Box::new(move || listeners(&for_listeners)),
        tls: Box::new(move || tls(&for_tls)),
        actions: told.actions,
    }
}

/// Filter chains that end TLS, then clusters that begin it.
fn tls(shared: &Shared) -> Vec<TlsView> {
    let generation = shared.current.load();
    let chains = generation.listeners.iter().flat_map(|listener| listener.config.chains.iter().chain(&listener.config.default_chain));
    let servers = chains.filter_map(|chain| chain.tls.as_ref());
    let mut views: Vec<TlsView> =
        servers.map(|tls| TlsView { certificates: tls.certificates.clone(), trust: tls.validation.clone() }).collect();
    let clients = generation.clusters.values().flat_map(|cluster| cluster.config().all_tls());
    views.extend(clients.map(|tls| TlsView { certificates: tls.certificate.iter().cloned().collect(), trust: tls.validation.clone() }));
    views
}

fn listeners(shared: &Shared) -> Vec<ListenerView> {
    let generation = shared.current.load();
    let open = generation.listeners.iter().filter(|listener| listener.door.gate.is_open());
    let views = open.map(|listener| ListenerView {
        name: listener.config.name.to_string(),
        addresses: listener.door.bound.get().cloned().unwrap_or_default(),
    });
    views.collect()
}

/// `envoy.config.core.v3.Node`.
fn node(node: &Node) -> Value {
    let locality = &node.locality;
    json!({
        "id": node.id,
        "cluster": node.cluster,
        "metadata": node.metadata,
        "locality": { "region": locality.region, "zone": locality.zone, "sub_zone": locality.sub_zone },
        "user_agent_name": "ninon",
    })
}

/// `envoy.admin.v3.CommandLineOptions`, as far as there is such an option here.
fn options_json(options: &Options) -> Value {
    json!({
        "concurrency": options.workers,
        "config_path": options.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        "drain_time": format!("{}s", options.drain_time.as_secs()),
        "log_level": options.log.filter(),
        "mode": "Serve",
    })
}

/// Shuts listeners because an operator asked for it.
pub(super) fn drain_listeners(shared: &Shared, graceful: bool, inbound_only: bool) {
    let generation = shared.current.load();
    let wanted = generation.listeners.iter().filter(|listener| !inbound_only || listener.config.direction == Direction::Inbound);
    let stats = &shared.registry.listener_manager;
    for listener in wanted {
        if listener.door.gate.is_open() {
            stats.total_listeners_active.dec();
            stats.total_listeners_draining.inc();
        }
        listener.shut(graceful);
        tracing::info!(listener = %listener.config.name, graceful, "takes no more connections");
    }
}

/// The file of a Unix socket is of no use to anybody once the process has ended.
pub(super) fn remove_socket(address: Option<&Address>) {
    let Some(Address::Unix(path)) = address else { return };
    if !is_abstract(path)
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(path = %path.display(), %error, "the admin page's socket file stays");
    }
}

fn is_abstract(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with('@'))
}
