//! Who may do what on a filter chain. Connections outlive changes of it: each request asks for what holds now, and each
//! connection is told of a change and decided about anew.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::config::access::{HttpAccess, NetworkAccess};
use crate::config::filter::{FilterKind, HttpFilter};
use crate::config::jwt::{JwtAuthentication, KeySource, Provider};
use crate::config::listener::{ChainHandler, FilterChain};
use crate::exchange::ConnectionInfo;
use crate::filter::access::{Decision, Subject, decide};
use crate::runtime::keys::Fetched;
use crate::telemetry::metrics::{AccessName, AccessStats, ExternalStats, Registry, Scope};

/// What holds now.
#[derive(Debug)]
pub struct ChainPolicy {
    current: ArcSwap<Guards>,
    changed: watch::Sender<()>,
}

/// What connections and requests have to pass, in order.
#[derive(Debug)]
pub struct Guards {
    network: Vec<NetworkGuard>,
    /// Of requests.
    pub http: Vec<HttpGuard>,
}

#[derive(Debug)]
struct NetworkGuard {
    access: Arc<NetworkAccess>,
    stats: AccessStats,
}

/// A filter of requests, with its metrics.
#[derive(Debug)]
pub struct HttpGuard {
    /// As configured.
    pub filter: Arc<HttpFilter>,
    /// Its metrics.
    pub stats: FilterStats,
}

/// Metrics of a filter.
#[derive(Debug)]
pub enum FilterStats {
    /// Of rules.
    Access(AccessStats),
    /// Of a service outside.
    External(Arc<ExternalStats>),
    /// It has none; in their place, for each provider the keys that are fetched.
    Jwt(Vec<Option<Arc<Fetched>>>),
}

/// A connection that may not be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As Envoy words it.
    pub details: String,
    /// How long it is kept before it is closed.
    pub delay: Option<Duration>,
}

/// Hears of changes from when it was made.
#[derive(Debug)]
pub struct Watch(watch::Receiver<()>);

impl Watch {
    /// Waits for the next change.
    pub async fn changed(&mut self) {
        // Who waits holds the sender.
        let _gone = self.0.changed().await.is_err();
    }
}

impl Guards {
    /// Those of a chain. Keys that are `known` are not fetched anew.
    pub fn new(chain: &FilterChain, registry: &Registry, known: &[Arc<Fetched>]) -> Self {
        let network = chain.access.iter().map(|access| NetworkGuard { access: Arc::clone(access), stats: network_stats(access, registry) });
        let http = match &chain.handler {
            ChainHandler::Tcp(_) => Vec::new(),
            ChainHandler::Http(manager) => {
                let guard = |filter: &Arc<HttpFilter>| {
                    let stats = match &filter.kind {
                        FilterKind::Access(access) => FilterStats::Access(http_stats(&manager.stat_prefix, access, registry)),
                        FilterKind::External(external) => {
                            FilterStats::External(registry.external(&manager.stat_prefix, &external.stat_prefix))
                        }
                        FilterKind::Jwt(tokens) => FilterStats::Jwt(fetched_by(tokens, known)),
                    };
                    HttpGuard { filter: Arc::clone(filter), stats }
                };
                manager.filters.iter().map(guard).collect()
            }
        };
        Self { network: network.collect(), http }
    }

    /// Keys that filters fetch.
    pub fn fetched(&self) -> impl Iterator<Item = &Arc<Fetched>> {
        self.http
            .iter()
            .flat_map(|guard| match &guard.stats {
                FilterStats::Jwt(fetched) => fetched.as_slice(),
                FilterStats::Access(_) | FilterStats::External(_) => &[],
            })
            .flatten()
    }

    /// Why a connection that comes may not be. Counts.
    fn refuse(&self, connection: &ConnectionInfo) -> Option<Refusal> {
        let subject = Subject::of_connection(connection);
        self.network.iter().find_map(|NetworkGuard { access, stats }| {
            if let Some(rules) = &access.shadow {
                let decision = decide(rules, &subject);
                stats.count_shadow(decision.allowed);
                tracing::debug!(client = %connection.client, allowed = decision.allowed, policy = decision.policy, "shadow rules");
            }
            let decision = decide(access.rules.as_ref()?, &subject);
            stats.count(decision.allowed);
            (!decision.allowed).then(|| refusal(access, &decision))
        })
    }

    /// Why a connection that was let in may not be any more.
    fn refuse_now(&self, connection: &ConnectionInfo) -> Option<Refusal> {
        let subject = Subject::of_connection(connection);
        self.network.iter().find_map(|NetworkGuard { access, stats }| {
            let decision = decide(access.rules.as_ref()?, &subject);
            if decision.allowed {
                return None;
            }
            stats.count(false);
            Some(Refusal { delay: None, ..refusal(access, &decision) })
        })
    }
}

fn fetched_by(tokens: &JwtAuthentication, known: &[Arc<Fetched>]) -> Vec<Option<Arc<Fetched>>> {
    let mut made: Vec<Arc<Fetched>> = known.to_vec();
    let of = |provider: &Provider| {
        let KeySource::Remote(remote) = &provider.keys else { return None };
        let same = made.iter().find(|fetched| fetched.source == *remote).cloned();
        Some(same.unwrap_or_else(|| {
            let fetched = Arc::new(Fetched::new(Arc::clone(remote)));
            made.push(Arc::clone(&fetched));
            fetched
        }))
    };
    tokens.providers.iter().map(of).collect()
}

fn refusal(access: &NetworkAccess, decision: &Decision<'_>) -> Refusal {
    Refusal { details: decision.details(), delay: access.delay }
}

fn network_stats(access: &NetworkAccess, registry: &Registry) -> AccessStats {
    registry.access(&AccessName {
        scope: Scope::NetworkAccess,
        instance: access.stat_prefix.clone(),
        part: String::new(),
        shadow_part: part(&access.shadow_stat_prefix),
    })
}

fn http_stats(manager: &str, access: &HttpAccess, registry: &Registry) -> AccessStats {
    registry.access(&AccessName {
        scope: Scope::HttpAccess,
        instance: manager.to_owned(),
        part: part(&access.stat_prefix),
        shadow_part: part(&access.shadow_stat_prefix),
    })
}

/// As Envoy, with or without a dot at its end.
fn part(prefix: &str) -> String {
    prefix.strip_suffix('.').unwrap_or(prefix).to_owned()
}

impl ChainPolicy {
    /// These hold.
    pub fn new(guards: Arc<Guards>) -> Self {
        Self { current: ArcSwap::new(guards), changed: watch::Sender::new(()) }
    }

    /// These hold from now on; connections and tunnels are told.
    pub fn change(&self, guards: &Arc<Guards>) {
        self.current.store(Arc::clone(guards));
        self.changed.send_replace(());
    }

    /// What holds now.
    pub fn current(&self) -> arc_swap::Guard<Arc<Guards>> {
        self.current.load()
    }

    /// As [`Self::current`], to be kept.
    pub fn current_full(&self) -> Arc<Guards> {
        self.current.load_full()
    }

    /// Hears of changes from now on.
    pub fn watch(&self) -> Watch {
        Watch(self.changed.subscribe())
    }

    /// Decides about a connection that comes.
    ///
    /// # Errors
    /// It may not be.
    pub fn admit(&self, connection: &ConnectionInfo) -> Result<Watch, Refusal> {
        // Before it is decided, so that no change goes by in between.
        let watch = self.watch();
        match self.current.load().refuse(connection) {
            None => Ok(watch),
            Some(refusal) => Err(refusal),
        }
    }

    /// Waits until a connection that was admitted may not be any more.
    pub async fn forbids(&self, connection: &ConnectionInfo, mut watch: Watch) -> Refusal {
        loop {
            watch.changed().await;
            if let Some(refusal) = self.current.load().refuse_now(connection) {
                return refusal;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_names_the_same_metrics_with_a_dot_at_its_end_and_without() {
        assert_eq!([part("a."), part("a"), part("a.b."), part("")], ["a", "a", "a.b", ""]);
    }
}
