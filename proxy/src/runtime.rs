//! What all workers share: the current configuration and the live state that belongs to it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::accept::spread::Spread;
use crate::config::ClusterName;
use crate::config::listener::{ChainHandler, FilterChain, Listener};
use crate::config::snapshot::Snapshot;
use crate::telemetry::access_log::AccessLogs;
use crate::telemetry::metrics::{HttpStats, ListenerStats, Registry, TcpStats};
use crate::tls::TlsError;
use crate::upstream::ClusterState;

/// One configuration with its live state. Immutable: a change makes a new one that takes over what stays.
#[derive(Debug, Default)]
pub struct Generation {
    /// As configured.
    pub snapshot: Snapshot,
    /// Live clusters.
    pub clusters: HashMap<ClusterName, Arc<ClusterState>>,
    /// Live listeners, in the order of the configuration.
    pub listeners: Vec<Arc<ActiveListener>>,
}

/// A listener as it runs.
#[derive(Debug)]
pub struct ActiveListener {
    /// As configured.
    pub config: Arc<Listener>,
    /// Its metrics.
    pub stats: Arc<ListenerStats>,
    open: AtomicU64,
    chains: HashMap<usize, Arc<ActiveChain>>,
}

/// A filter chain as it runs.
#[derive(Debug)]
pub struct ActiveChain {
    /// As configured.
    pub config: Arc<FilterChain>,
    /// Ready for handshakes, where TLS is terminated.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Metrics of what it does.
    pub stats: ChainStats,
}

/// Metrics of what a chain does.
#[derive(Clone, Debug)]
pub enum ChainStats {
    /// HTTP connection manager.
    Http(Arc<HttpStats>),
    /// TCP proxy.
    Tcp(Arc<TcpStats>),
}

/// One connection open on a listener; counts until dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<ActiveListener>);

impl ActiveListener {
    /// Prepares a listener.
    ///
    /// # Errors
    /// Certificates that do not fit, with the chain's name.
    pub fn new(config: Arc<Listener>, registry: &Registry) -> Result<Self, (String, TlsError)> {
        let mut chains = HashMap::new();
        for chain in config.chains.iter().chain(&config.default_chain) {
            let tls = chain.tls.as_deref().map(crate::tls::server::config).transpose();
            let stats = match &chain.handler {
                ChainHandler::Http(manager) => ChainStats::Http(registry.http(&manager.stat_prefix)),
                ChainHandler::Tcp(tcp) => ChainStats::Tcp(registry.tcp(&tcp.stat_prefix)),
            };
            let tls = tls.map_err(|error| (chain.name.clone(), error))?;
            let active = ActiveChain { config: Arc::clone(chain), tls, stats };
            chains.insert(Arc::as_ptr(chain).addr(), Arc::new(active));
        }
        let stats = registry.listener(&stat_name(&config));
        Ok(Self { config, stats, open: AtomicU64::new(0), chains })
    }

    /// The live side of one of its chains.
    pub fn chain(&self, chain: &Arc<FilterChain>) -> Option<&Arc<ActiveChain>> {
        self.chains.get(&Arc::as_ptr(chain).addr())
    }

    /// Counts one connection more; `None` when the listener has as many as it may.
    pub fn admit(self: &Arc<Self>) -> Option<OpenConnection> {
        let limit = self.config.max_connections.unwrap_or(u64::MAX);
        let admitted = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < limit).then_some(open.saturating_add(1)));
        if admitted.is_err() {
            self.stats.downstream_cx_overflow.inc();
            return None;
        }
        self.stats.downstream_cx_total.inc();
        self.stats.downstream_cx_active.inc();
        Some(OpenConnection(Arc::clone(self)))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.stats.downstream_cx_active.dec();
        self.0.stats.downstream_cx_destroy.inc();
    }
}

fn stat_name(listener: &Listener) -> String {
    match (&listener.stat_prefix, listener.addresses.first()) {
        (Some(prefix), _) => prefix.clone(),
        (None, Some(address)) => address.address.to_string(),
        (None, None) => listener.name.to_string(),
    }
}

/// What every worker holds.
#[derive(Debug)]
pub struct Shared {
    /// The current configuration.
    pub current: ArcSwap<Generation>,
    /// All metrics.
    pub registry: Arc<Registry>,
    /// Access-log writer.
    pub logs: Arc<AccessLogs>,
    /// How many connections each worker has.
    pub spread: Spread,
    /// This machine's address, as it is shown in `x-forwarded-for` for clients on the same machine.
    pub local_ip: IpAddr,
    /// This machine's name.
    pub hostname: String,
}
