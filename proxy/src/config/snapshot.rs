//! One immutable, self-consistent set of listeners, routes and clusters, swapped as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::cluster::Cluster;
use crate::config::listener::Listener;
use crate::config::route::RouteTable;
use crate::config::scope::Scopes;
use crate::config::{ClusterName, RouteTableName};

/// What the data path works from. Every name in it resolves, or the reader answers as the specification says (a missing cluster is a 503).
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By configuration order.
    pub listeners: Vec<Arc<Listener>>,
    /// By name.
    pub clusters: HashMap<ClusterName, Arc<Cluster>>,
    /// Route tables that listeners and scopes name; inline ones live in their listener or scope.
    pub route_tables: HashMap<RouteTableName, Arc<RouteTable>>,
    /// Scopes that a server has told; inline ones live in their listener.
    pub scopes: Scopes,
}
