//! Which clusters and route tables a configuration names.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::http::RouteSource;
use crate::config::listener::{ChainHandler, FilterChain, Listener};
use crate::config::route::{ClusterChoice, Forward, Mirror, RouteAction, RouteTable, WeightedTarget};
use crate::config::scope::{Scope, ScopeSource, ScopeTable, Scopes};
use crate::config::tcp::TcpDestination;
use crate::config::{ClusterName, RouteTableName};

impl RouteTable {
    /// Clusters that its routes name. Those that a request header names are known only with the request.
    pub fn clusters(&self) -> BTreeSet<&ClusterName> {
        let mut named = BTreeSet::new();
        for host in &self.virtual_hosts {
            named.extend(mirrored(&host.mirrors));
            for route in &host.routes {
                if let RouteAction::Forward(forward) = &route.action {
                    of_forward(forward, &mut named);
                }
            }
        }
        named
    }
}

impl Scope {
    /// Clusters that it names itself.
    pub fn clusters(&self) -> BTreeSet<&ClusterName> {
        match &self.table {
            ScopeTable::Inline(table) => table.clusters(),
            ScopeTable::Named(_) => BTreeSet::new(),
        }
    }

    /// The route table that it names, unless one is written in it.
    pub fn named_table(&self) -> Option<&RouteTableName> {
        match &self.table {
            ScopeTable::Inline(_) => None,
            ScopeTable::Named(name) => Some(name),
        }
    }
}

impl ScopeSource {
    /// Those that are written in the listener.
    fn inline(&self) -> impl Iterator<Item = &Arc<Scope>> {
        let inline = match self {
            Self::Inline(scopes) => Some(scopes),
            Self::Served { .. } => None,
        };
        inline.into_iter().flat_map(Scopes::iter)
    }
}

impl Listener {
    /// Clusters that it names itself, in TCP proxies, in filters, and in routes that are written in it.
    pub fn clusters(&self) -> BTreeSet<&ClusterName> {
        let mut named = BTreeSet::new();
        for chain in self.all_chains() {
            match &chain.handler {
                ChainHandler::Http(manager) => {
                    named.extend(manager.filters.iter().flat_map(|filter| filter.kind.clusters()));
                    match &manager.routes {
                        RouteSource::Inline(table) => named.extend(table.clusters()),
                        RouteSource::Scoped(scoped) => named.extend(scoped.source.inline().flat_map(|scope| scope.clusters())),
                        RouteSource::Named { .. } => {}
                    }
                }
                ChainHandler::Tcp(proxy) => match &proxy.destination {
                    TcpDestination::Cluster(name) => drop(named.insert(name)),
                    TcpDestination::Weighted(split) => named.extend(split.entries().iter().map(|(name, _)| name)),
                },
            }
        }
        named
    }

    /// Route tables that it names, and how long it waits for each; `None` is for ever.
    pub fn route_tables(&self) -> impl Iterator<Item = (&RouteTableName, Option<Duration>)> {
        self.all_chains().filter_map(|chain| match &chain.handler {
            ChainHandler::Http(manager) => match &manager.routes {
                RouteSource::Named { name, fetch_timeout } => Some((name, *fetch_timeout)),
                RouteSource::Inline(_) | RouteSource::Scoped(_) => None,
            },
            ChainHandler::Tcp(_) => None,
        })
    }

    /// For each use of scopes that a server has: how long it waits for them, and for the route tables that they name; `None` is for
    /// ever.
    pub fn served_scopes(&self) -> impl Iterator<Item = (Option<Duration>, Option<Duration>)> {
        self.all_chains().filter_map(|chain| match &chain.handler {
            ChainHandler::Http(manager) => match &manager.routes {
                RouteSource::Scoped(scoped) => match &scoped.source {
                    ScopeSource::Served { fetch_timeout, tables_timeout } => Some((*fetch_timeout, *tables_timeout)),
                    ScopeSource::Inline(_) => None,
                },
                RouteSource::Named { .. } | RouteSource::Inline(_) => None,
            },
            ChainHandler::Tcp(_) => None,
        })
    }

    fn all_chains(&self) -> impl Iterator<Item = &FilterChain> {
        self.chains.iter().chain(&self.default_chain).map(AsRef::as_ref)
    }
}

fn of_forward<'a>(forward: &'a Forward, named: &mut BTreeSet<&'a ClusterName>) {
    match &forward.cluster {
        ClusterChoice::Cluster(name) => drop(named.insert(name)),
        ClusterChoice::Header(_) => {}
        ClusterChoice::Weighted(weighted) => named.extend(weighted.split.entries().iter().filter_map(|(part, _)| target(&part.cluster))),
    }
    named.extend(forward.mirrors.iter().flat_map(|mirrors| mirrored(mirrors)));
}

fn mirrored(mirrors: &[Mirror]) -> impl Iterator<Item = &ClusterName> {
    mirrors.iter().filter_map(|mirror| target(&mirror.cluster))
}

fn target(target: &WeightedTarget) -> Option<&ClusterName> {
    match target {
        WeightedTarget::Cluster(name) => Some(name),
        WeightedTarget::Header(_) => None,
    }
}
