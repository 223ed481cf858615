//! The only wiring: from settings to a control plane that serves, and its end.

/// Certificates, as the secure port asks for them.
mod certifier;
/// Conditions of routes.
mod conditions;
/// Memory that is not needed any more.
mod heap;
/// What the API is told.
mod hooks;
/// Metrics as text.
mod metrics;
/// Changes of objects, wherever they come from.
mod objects;
/// From one root to the next.
mod rotation;
/// Which view a proxy has.
mod viewer;
/// The mesh, and what each view sees of it.
mod world;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::filter::EnvFilter;

use crate::api::auth::Tokens;
use crate::api::{self, Api};
use crate::authority::caller::Authenticator;
use crate::authority::given::Files;
use crate::authority::kubernetes::{Cluster, ServiceAccounts};
use crate::authority::server::Server;
use crate::authority::{Authority, Origin, Times};
use crate::keyfile::Key;
use crate::proxies::Proxies;
use crate::push::{self, Push};
use crate::registration::book;
use crate::registration::registrar::Registrar;
use crate::settings::{LogFormat, Place, Serve};
use crate::source::files::FileFault;
use crate::store::error::StoreError;
use crate::store::{self, Store};
use crate::task::OwnedTask;
use crate::token::{self, Signer};

use certifier::Issuing;
use objects::Objects;
use viewer::Viewer;
use world::World;

/// Connections that are not yet accepted: after a restart all proxies come at once. The system may allow fewer.
const QUEUE: u32 = 4096;

/// Why the control plane does not serve.
#[derive(Debug)]
pub enum ServeError {
    /// A setting that cannot be.
    Setting(String),
    /// A folder.
    Folder(PathBuf, io::Error),
    /// A file that may say who may do what.
    Unreadable(Box<FileFault>),
    /// The store.
    Store(StoreError),
    /// The authority.
    Authority(String),
    /// An address.
    Listen(&'static str, SocketAddr, io::Error),
    /// The runtime.
    Runtime(io::Error),
    /// The xDS server ended by itself.
    Xds(String),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(problem) => f.write_str(problem),
            Self::Authority(problem) => write!(f, "the authority: {problem}"),
            Self::Folder(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Unreadable(fault) => {
                write!(f, "{fault}; it may be a policy, and without it more would be allowed: mend it, or take it away")
            }
            Self::Store(error) => error.fmt(f),
            Self::Listen(flag, address, error) => write!(f, "cannot listen on {address} ({flag}): {error}"),
            Self::Runtime(error) => write!(f, "the system: {error}"),
            Self::Xds(error) => write!(f, "serving xDS: {error}"),
        }
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// If it cannot begin.
pub fn serve(settings: &Serve) -> Result<(), ServeError> {
    log(settings)?;
    raise_descriptor_limit();
    let runtime = |name| tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build().map_err(ServeError::Runtime);
    // Thousands of streams that are all sent something must not be in the way of an operator, nor of the next change.
    let (streams, others) = (runtime("xds")?, runtime("ninon")?);
    let ended = others.block_on(run(settings, streams.handle()));
    streams.shutdown_background();
    ended
}

/// Each proxy takes one: the soft limit is raised to the hard one.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => tracing::info!(descriptors = limit.maximum, "file-descriptor limit"),
        Err(error) => tracing::warn!(descriptors = limit.current, %error, "the file-descriptor limit could not be raised"),
    }
}

fn log(settings: &Serve) -> Result<(), ServeError> {
    let wrong = |error: &dyn fmt::Display| ServeError::Setting(format!("--log-level {:?}: {error}", settings.log_level));
    let filter = EnvFilter::builder().with_regex(false).parse(&settings.log_level).map_err(|error| wrong(&error))?;
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_env_filter(filter);
    match settings.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|error| wrong(&error))
}

async fn run(settings: &Serve, streams: &Handle) -> Result<(), ServeError> {
    look_at_folders(settings)?;
    let store = store(settings).await?;
    let tokens = Tokens::open(&settings.state_dir).map_err(|error| ServeError::Folder(settings.state_dir.clone(), error))?;
    let authority = authority(settings, &store).await?;
    let joining = joining(settings, &authority, &store)?;
    let names = [settings.secure_xds_name.as_slice(), &[machine()]].concat();
    let (server, renew) = Server::new(Arc::clone(&authority), &names).await.map_err(ServeError::Authority)?;
    let (xds, secure_xds) = {
        let _entered = streams.enter();
        (listen("--xds-address", settings.xds_address)?, listen("--secure-xds-address", settings.secure_xds_address)?)
    };
    let api = listen("--api-address", settings.api_address)?;

    let world = World::new(Arc::clone(&authority.trust_domain));
    rotation::tell(&world, &authority);
    let registrar = registrar(settings, &store, joining.clone(), &world);
    let (folders, trust_domain) = (settings.config_dir.clone(), Arc::clone(&authority.trust_domain));
    let objects = Objects::load(Arc::clone(&world), store.clone(), folders, trust_domain)
        .await
        .map_err(|fault| ServeError::Unreadable(Box::new(fault)))?;
    let proxies = Proxies::new(settings.max_proxies);
    let (stop, stopped) = watch::channel(false);
    let viewer = Viewer::new(Arc::clone(&world), Arc::clone(&registrar));
    let push = Push::new(viewer, Arc::clone(&proxies), push_settings(settings), stopped.clone());
    let hooks = hooks::hooks(&world, &objects, &proxies, &registrar, &authority);
    let api_service = Api::new(store.clone(), tokens, joining.clone(), hooks, api::Limits::default());
    let by = Issuing { authority: Arc::clone(&authority), callers: callers(settings, joining)? };
    say(settings);

    let _publishes = OwnedTask::spawn(world::publish(Arc::clone(&world), settings.push_quiet, settings.push_wait));
    let _follows = OwnedTask::spawn(objects.follow());
    let (held, registered) = (Arc::clone(&proxies), Arc::clone(&registrar));
    let _rotates = OwnedTask::spawn(rotation::run(world, Arc::clone(&authority), held, registered, stopped.clone()));
    let _authority = OwnedTask::spawn(authority.follow(stopped.clone()));
    let _renews = OwnedTask::spawn(Arc::clone(&server).renew(renew, stopped.clone()));
    let registers = OwnedTask::spawn(registrar.run(stopped.clone()));
    let _gives_back = OwnedTask::spawn(heap::give_back(Arc::clone(&proxies)));
    let secure_push = Arc::clone(&push);
    let xds = OwnedTask::spawn_on(streams, async move {
        let both = tokio::try_join!(push::serve(xds, push), push::serve_secure(secure_xds, secure_push, server, Arc::new(by)));
        both.map(drop).map_err(|error| error.to_string())
    });
    let mut api_stop = stopped;
    let api = OwnedTask::spawn(api::serve(api, api_service, async move {
        // That nobody can say so any more is the same.
        let _told = api_stop.wait_for(|stop| *stop).await.is_ok();
    }));
    let mut xds = Box::pin(xds.join());
    let ended = tokio::select! {
        signal = asked_to_end() => {
            tracing::info!(signal, "ending: streams are closed, and proxies keep what they have");
            stop.send_replace(true);
            xds.await
        }
        ended = &mut xds => ended,
    };
    stop.send_replace(true);
    let _ended = (api.join().await, registers.join().await);
    store.close().await;
    ended.unwrap_or_else(|| Err("the task failed".to_owned())).map_err(ServeError::Xds)
}

/// One that is missing at the start is most likely misspelled.
fn look_at_folders(settings: &Serve) -> Result<(), ServeError> {
    let look = |folder: &PathBuf| std::fs::read_dir(folder).map(drop).map_err(|error| ServeError::Folder(folder.clone(), error));
    settings.config_dir.iter().try_for_each(look)
}

async fn store(settings: &Serve) -> Result<Store, ServeError> {
    let limits = store::Limits::default();
    let store = match &settings.store {
        Place::Embedded => Store::embedded(&settings.state_dir, limits).await,
        Place::Etcd(members) => Store::etcd(members, limits).await,
    };
    store.map_err(ServeError::Store)
}

fn push_settings(settings: &Serve) -> push::Settings {
    push::Settings { identifier: identifier().into(), load_interval: settings.load_interval, ..push::Settings::default() }
}

fn say(settings: &Serve) {
    let (open, secure, api) = (settings.xds_address, settings.secure_xds_address, settings.api_address);
    tracing::info!(xds = %open, secure_xds = %secure, %api, state = %settings.state_dir.display(), "serving");
}

async fn authority(settings: &Serve, store: &Store) -> Result<Arc<Authority>, ServeError> {
    let times = Times { usual: settings.certificate_ttl, longest: settings.max_certificate_ttl };
    if times.usual > times.longest {
        return Err(ServeError::Setting("--certificate-ttl must not be longer than --max-certificate-ttl".to_owned()));
    }
    let origin = match (&settings.ca_certificate, &settings.ca_key, &settings.ca_root) {
        (Some(certificate), Some(key), Some(roots)) => {
            Origin::Given(Files { certificate: certificate.clone(), key: key.clone(), roots: roots.clone() })
        }
        _ => Origin::Made(settings.ca_key_file.clone().unwrap_or_else(|| settings.state_dir.join("ca.key"))),
    };
    let opened = Authority::open(settings.trust_domain.as_str().into(), times, origin, store).await;
    opened.map_err(ServeError::Authority)
}

/// Tokens by which workloads join. Where the authority's keys are encrypted, theirs comes of the same file.
fn joining(settings: &Serve, authority: &Authority, store: &Store) -> Result<token::Tokens, ServeError> {
    let key = match (&settings.token_key_file, authority.key()) {
        (Some(path), _) => key_file(path)?,
        (None, Some(key)) => key.clone(),
        (None, None) if settings.store == Place::Embedded => key_file(&settings.state_dir.join("token.key"))?,
        (None, None) => {
            let rule = "--token-key-file is needed with --ca-certificate and a store that others may share, and has to be the same for all";
            return Err(ServeError::Setting(rule.to_owned()));
        }
    };
    let tokens = token::Tokens::new(store.clone(), Signer::new(&key));
    let strange = tokens.list().iter().filter(|token| !token.is_signed).count();
    if strange > 0 {
        let problem = "nobody joins by tokens that were not signed with the key of this control plane: `ninon token list` names them";
        tracing::warn!(tokens = strange, "{problem}");
    }
    Ok(tokens)
}

/// By what callers are known that have no certificate yet.
fn callers(settings: &Serve, joining: token::Tokens) -> Result<Vec<Box<dyn Authenticator>>, ServeError> {
    let Some(audience) = &settings.kubernetes_audience else { return Ok(vec![Box::new(joining)]) };
    let Some(host) = settings.kubernetes_host.clone() else {
        let rule = "--kubernetes-audience needs --kubernetes-host, which pods are told by KUBERNETES_SERVICE_HOST";
        return Err(ServeError::Setting(rule.to_owned()));
    };
    let cluster = Cluster { host, port: settings.kubernetes_port, credentials: settings.kubernetes_credentials.clone() };
    Ok(vec![Box::new(joining), Box::new(ServiceAccounts::new(cluster, audience))])
}

fn key_file(path: &Path) -> Result<Key, ServeError> {
    Key::open(path).map_err(|error| ServeError::Setting(format!("--token-key-file {}: {error}", path.display())))
}

fn registrar(settings: &Serve, store: &Store, tokens: token::Tokens, world: &Arc<World>) -> Arc<Registrar> {
    let Serve { registration_grace: grace, registration_drain: drain, registration_orphan_grace: orphan, max_proxies, .. } = *settings;
    let world = Arc::clone(world);
    let tell = Box::new(move |changes| world.register(changes));
    Registrar::new(store.clone(), tokens, book::Times { grace, drain, orphan }, max_proxies, tell)
}

fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(QUEUE)
    };
    listening().map_err(|error| ServeError::Listen(flag, address, error))
}

/// This replica, as proxies are told in `control_plane`.
fn identifier() -> String {
    format!("ninon {}@{}", env!("CARGO_PKG_VERSION"), machine())
}

/// Where this runs.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

async fn asked_to_end() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        // Without a handler the system ends the process as it does any other.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
