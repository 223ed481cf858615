//! TCP proxy.

use std::time::Duration;

use crate::config::ClusterName;
use crate::config::access_log::AccessLog;
use crate::config::route::Split;

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
#[derive(Clone, Debug)]
pub struct TcpProxy {
    /// Name in metrics.
    pub stat_prefix: String,
    /// Where connections go.
    pub destination: TcpDestination,
    /// Closed when no byte moved for this long, either way.
    pub idle_timeout: Option<Duration>,
    /// The longest that a connection may live.
    pub max_connection_duration: Option<Duration>,
    /// Dials before the client is given up.
    pub max_connect_attempts: u32,
    /// Lines about its connections.
    pub access_log: Vec<AccessLog>,
}

/// Where a TCP proxy's connections go.
#[derive(Clone, Debug)]
pub enum TcpDestination {
    /// One cluster.
    Cluster(ClusterName),
    /// Split by weight.
    Weighted(Split<ClusterName>),
}
