use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::model::identity::Verified;

/// What a client says of itself in its first request, and what its connection says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name for itself.
    pub id: String,
    /// The group it says it is of.
    pub cluster: String,
    /// Free-form: `NAMESPACE`, `WORKLOAD_NAME`, `LABELS`, ...
    pub metadata: Map<String, Value>,
    /// Where it runs.
    pub locality: Locality,
    /// `envoy`, `ninon-proxy`, `gRPC C-core linux`, ...
    pub user_agent_name: String,
    /// Of that program.
    pub user_agent_version: String,
    /// What it can do.
    pub client_features: Vec<String>,
    /// Where it connects from.
    pub address: Option<SocketAddr>,
    /// Its certificate; `None` on a port without TLS.
    pub identity: Option<Arc<Verified>>,
}

/// Region, zone and sub-zone, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locality {
    /// The widest.
    pub region: String,
    /// Within the region.
    pub zone: String,
    /// Within the zone.
    pub sub_zone: String,
}

impl Node {
    /// A text in the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }

    /// Whether a gRPC library asks for itself, and not a proxy for others.
    pub fn is_grpc(&self) -> bool {
        self.user_agent_name.starts_with("gRPC")
    }
}

/// What the control plane takes a client for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its workload's namespace.
    pub namespace: String,
    /// Its workload's name.
    pub workload: String,
}
