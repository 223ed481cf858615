//! What all workers share: the current configuration and the live state that belongs to it.

/// Keys that are fetched.
pub mod keys;
/// Who may do what on a chain.
pub mod policy;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accept::spread::Spread;
use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::listener::{ChainHandler, FilterChain, Listener};
use crate::config::snapshot::Snapshot;
use crate::drain::{Farewell, Gate};
use crate::own::{Listening, OwnAddresses};
use crate::runtime::keys::Fetched;
use crate::runtime::policy::{ChainPolicy, Guards};
use crate::telemetry::access_log::AccessLogs;
use crate::telemetry::metrics::{HttpStats, ListenerStats, Registry, TcpStats};
use crate::telemetry::trace::Exporter;
use crate::tls::{self, TlsError};
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
    /// Its sockets, which outlive changes of what is behind them.
    pub door: Arc<Door>,
    chains: HashMap<usize, Arc<ActiveChain>>,
}

/// Where connections come in. Changes of a listener that need no other sockets leave it as it is.
#[derive(Debug, Default)]
pub struct Door {
    /// Whether connections are taken.
    pub gate: Gate,
    /// Where the sockets are, with the ports they were given; not set before they are open.
    pub bound: OnceLock<Vec<Address>>,
    /// What is behind it now.
    listener: ArcSwapOption<ActiveListener>,
    /// Connections open.
    open: AtomicU64,
    /// Sockets that connections are still taken from.
    sockets: AtomicUsize,
    /// Keeps the addresses known as the proxy's own.
    listening: Mutex<Option<Listening>>,
}

/// A filter chain as it runs.
#[derive(Debug)]
pub struct ActiveChain {
    /// As configured.
    pub config: Arc<FilterChain>,
    /// Ready for handshakes, where TLS is terminated.
    pub tls: Option<tls::server::Source>,
    /// Metrics of what it does.
    pub stats: ChainStats,
    /// Tells its connections to go; shared with what the chain was before, where only its certificates have changed.
    pub farewell: Arc<Farewell>,
    /// Who may do what; shared likewise.
    pub policy: Arc<ChainPolicy>,
    /// What the policy is to be once the listener is behind its door.
    guards: Arc<Guards>,
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
pub struct OpenConnection {
    listener: Arc<ActiveListener>,
    started: Instant,
    _of_all: Option<OneOfAll>,
}

/// The limit of connections open at once on all listeners together.
#[derive(Debug)]
pub struct ConnectionLimit {
    most: u64,
    open: AtomicU64,
}

/// One connection of all listeners; counts until dropped.
#[derive(Debug)]
struct OneOfAll(Arc<ConnectionLimit>);

impl ConnectionLimit {
    /// At most so many.
    pub fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, open: AtomicU64::new(0) })
    }

    fn admit(self: &Arc<Self>) -> Option<OneOfAll> {
        count_up_to(&self.open, self.most).then(|| OneOfAll(Arc::clone(self)))
    }
}

impl Drop for OneOfAll {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one more unless there are as many as there may be.
fn count_up_to(count: &AtomicU64, most: u64) -> bool {
    let one_more = |open: u64| (open < most).then_some(open.saturating_add(1));
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
}

impl Door {
    /// What is behind it now; `None` before it is first opened.
    pub fn listener(&self) -> Option<Arc<ActiveListener>> {
        self.listener.load_full()
    }

    /// Puts a listener behind its door.
    pub fn lead_to(listener: &Arc<ActiveListener>) {
        listener.chains.values().for_each(|chain| chain.policy.change(&chain.guards));
        listener.door.listener.store(Some(Arc::clone(listener)));
    }

    /// So many sockets are open, here.
    pub fn opened(&self, addresses: Vec<Address>, sockets: usize, own: &OwnAddresses) {
        let listening = own.listen(addresses.iter().filter_map(Address::socket));
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(listening);
        // Set once: a door is opened once.
        let _first = self.bound.set(addresses);
        self.sockets.store(sockets, Ordering::Release);
    }

    /// No more connections come from one of the sockets. With the last one, nothing is behind the door any more.
    pub fn socket_ended(&self) {
        if self.sockets.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.listener.store(None);
            *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl ActiveListener {
    /// Prepares a listener.
    ///
    /// # Errors
    /// Certificates that do not fit, with the chain's name.
    pub fn new(config: Arc<Listener>, registry: &Registry) -> Result<Self, (String, TlsError)> {
        Self::behind(Arc::default(), config, None, registry)
    }

    /// Prepares what is to be behind this one's door in its place. Chains that are the same keep their connections.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn changed(&self, config: Arc<Listener>, registry: &Registry) -> Result<Self, (String, TlsError)> {
        Self::behind(Arc::clone(&self.door), config, Some(self), registry)
    }

    fn behind(door: Arc<Door>, config: Arc<Listener>, before: Option<&Self>, registry: &Registry) -> Result<Self, (String, TlsError)> {
        let mut chains = HashMap::new();
        let mut fetched = before.map(Self::fetched).unwrap_or_default();
        for chain in config.chains.iter().chain(&config.default_chain) {
            let tls = chain.tls.as_ref().map(tls::server::Source::new).transpose();
            let stats = match &chain.handler {
                ChainHandler::Http(manager) => ChainStats::Http(registry.http(&manager.stat_prefix)),
                ChainHandler::Tcp(tcp) => ChainStats::Tcp(registry.tcp(&tcp.stat_prefix)),
            };
            let tls = tls.map_err(|error| (chain.name.clone(), error))?;
            let guards = Arc::new(Guards::new(chain, registry, &fetched));
            fetched.extend(guards.fetched().cloned());
            let same = before.and_then(|before| before.same_chain(chain));
            let farewell = same.map_or_else(Arc::default, |same| Arc::clone(&same.farewell));
            let policy = same.map_or_else(|| Arc::new(ChainPolicy::new(Arc::clone(&guards))), |same| Arc::clone(&same.policy));
            let active = ActiveChain { config: Arc::clone(chain), tls, stats, farewell, policy, guards };
            chains.insert(Arc::as_ptr(chain).addr(), Arc::new(active));
        }
        let stats = registry.listener(&stat_name(&config));
        Ok(Self { config, stats, door, chains })
    }

    /// Keys that its filters fetch.
    pub fn fetched(&self) -> Vec<Arc<Fetched>> {
        self.chains.values().flat_map(|chain| chain.guards.fetched()).cloned().collect()
    }

    fn same_chain(&self, chain: &FilterChain) -> Option<&Arc<ActiveChain>> {
        self.chains.values().find(|known| known.config.fingerprint == chain.fingerprint)
    }

    /// Tells the connections of chains that `after` does not have to go. Until they have, what holds for them is what holds in the
    /// chain that took the place of theirs.
    pub fn tell_gone(&self, after: &Self) {
        for chain in self.chains.values().filter(|chain| after.same_chain(&chain.config).is_none()) {
            chain.farewell.tell();
        }
        self.obey(after);
    }

    /// Who may do what on its chains is from now on what holds on those of `after` that are in their place.
    pub fn obey(&self, after: &Self) {
        for chain in self.chains.values() {
            if let Some(successor) = after.same_chain(&chain.config).or_else(|| after.chain_of_name(&chain.config.name)) {
                chain.policy.change(&successor.guards);
            }
        }
    }

    /// `None` where several have the name.
    fn chain_of_name(&self, name: &str) -> Option<&Arc<ActiveChain>> {
        let mut named = self.chains.values().filter(|chain| chain.config.name == name);
        named.next().filter(|_| named.next().is_none())
    }

    /// Takes no more connections. Those there are go on; when they are told, until their requests have ended.
    pub fn shut(&self, tell_connections: bool) {
        self.door.gate.shut();
        if tell_connections {
            self.chains.values().for_each(|chain| chain.farewell.tell());
        }
    }

    /// The live side of one of its chains.
    pub fn chain(&self, chain: &Arc<FilterChain>) -> Option<&Arc<ActiveChain>> {
        self.chains.get(&Arc::as_ptr(chain).addr())
    }

    /// Counts one connection more; `None` when the listener, or all together, have as many as they may.
    pub fn admit(self: &Arc<Self>, all: Option<&Arc<ConnectionLimit>>) -> Option<OpenConnection> {
        let of_all = all.map(ConnectionLimit::admit);
        if matches!(of_all, Some(None)) {
            self.stats.downstream_global_cx_overflow.inc();
            return None;
        }
        if !count_up_to(&self.door.open, self.config.max_connections.unwrap_or(u64::MAX)) {
            self.stats.downstream_cx_overflow.inc();
            return None;
        }
        self.stats.downstream_cx_total.inc();
        self.stats.downstream_cx_active.inc();
        Some(OpenConnection { listener: Arc::clone(self), started: Instant::now(), _of_all: of_all.flatten() })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.listener.door.open.fetch_sub(1, Ordering::Relaxed);
        let stats = &self.listener.stats;
        stats.downstream_cx_active.dec();
        stats.downstream_cx_destroy.inc();
        stats.downstream_cx_length_ms.record(self.started.elapsed());
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
    /// Where this proxy listens.
    pub own: OwnAddresses,
    /// How many connections each worker has.
    pub spread: Spread,
    /// The limit of all connections, if there is one.
    pub limit: Option<Arc<ConnectionLimit>>,
    /// How long connections are given to end, once they were told to go.
    pub drain_time: Duration,
    /// Counts changes of certificates and authorities: who is connected may not be accepted any more.
    pub trust: watch::Sender<u64>,
    /// Counts the proxy's own certificates: the control plane is shown the newest.
    pub renewals: watch::Sender<u64>,
    /// Counts how often the control plane said that the proxy's own certificate was revoked: another one is needed.
    pub revoked: watch::Sender<u64>,
    /// The way of spans to their collectors.
    pub spans: Exporter,
    /// This machine's address, as it is shown in `x-forwarded-for` for clients on the same machine.
    pub local_ip: IpAddr,
    /// This machine's name.
    pub hostname: String,
}

impl Shared {
    /// Has those looked at again who are connected: whom we trust has changed, and no server of resources said so. Its count of changes
    /// has the lower bits.
    pub fn looks_again(&self) {
        self.trust.send_modify(|count| *count ^= 1 << 63);
    }
}
