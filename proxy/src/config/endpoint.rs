//! Endpoints, their localities, priorities and weights.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::config::ClusterName;
use crate::config::address::Address;

/// `ClusterLoadAssignment`.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Of which cluster.
    pub cluster: ClusterName,
    /// Groups of endpoints.
    pub localities: Vec<LocalityEndpoints>,
    /// Percentage: how far a priority may shrink before the next one shares its load (Envoy: 140).
    pub overprovisioning_factor: u32,
}

/// Endpoints of one place and priority.
#[derive(Clone, Debug)]
pub struct LocalityEndpoints {
    /// The place.
    pub locality: Locality,
    /// 0 is used first.
    pub priority: u32,
    /// The group's share among the localities of a priority; `None` takes no part in locality weighting.
    pub weight: Option<NonZeroU32>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone.
    pub zone: String,
    /// Sub-zone.
    pub sub_zone: String,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is.
    pub target: Target,
    /// Name to show as host where the cluster asks for it.
    pub hostname: String,
    /// Share of load within the locality.
    pub weight: NonZeroU32,
    /// As configured.
    pub health: Health,
    /// By which its cluster chooses TLS to it (metadata `envoy.transport_socket_match`).
    pub labels: Option<Arc<Labels>>,
}

/// Keys, and values as JSON: texts, numbers, yes or no.
pub type Labels = BTreeMap<String, String>;

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A known address.
    Address(Address),
    /// A name to resolve (`STRICT_DNS`, `LOGICAL_DNS`).
    Name {
        /// Host name.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Health as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Takes load.
    #[default]
    Healthy,
    /// Takes load when there are not enough healthy ones.
    Degraded,
    /// Takes none (`UNHEALTHY`, `TIMEOUT`).
    Unhealthy,
    /// Takes none; requests in flight finish (`DRAINING`).
    Draining,
}
