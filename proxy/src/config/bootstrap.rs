//! What a proxy starts from.

use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::endpoint::Locality;
use crate::config::identity::Enrolment;
use crate::config::snapshot::Snapshot;
use crate::config::source::Whole;

/// A bootstrap file, read and checked.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Who this proxy is.
    pub node: Node,
    /// Where the admin page is; `None`: nowhere.
    pub admin: Option<Address>,
    /// Downstream connections open at once, all listeners together; `None` is unlimited.
    pub max_connections: Option<u64>,
    /// Static listeners and clusters.
    pub snapshot: Snapshot,
    /// Where more comes from while the proxy serves.
    pub dynamic: Option<Dynamic>,
    /// How the proxy gets an identity of its own, if it does.
    pub enrolment: Option<Enrolment>,
    /// The file as it was understood, in protobuf's wire format: small enough to be kept for `/config_dump`.
    pub source: Vec<u8>,
}

/// Where resources come from while the proxy serves (`dynamic_resources`, and what static resources refer to).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// The aggregated stream.
    pub server: Option<Server>,
    /// Where all clusters are (`cds_config`), if there are more than the bootstrap file's.
    pub clusters: Option<Whole>,
    /// Likewise all listeners (`lds_config`).
    pub listeners: Option<Whole>,
}

/// A control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Incremental (`DELTA_GRPC`) rather than the state of the world.
    pub delta: bool,
    /// Its addresses, as clusters of the file, tried one after the other.
    pub servers: Vec<ClusterName>,
    /// Sent with every stream, in lower case.
    pub metadata: Vec<(String, String)>,
}

/// Who a proxy is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its own name.
    pub id: String,
    /// The service that it belongs to.
    pub cluster: String,
    /// Where it is.
    pub locality: Locality,
    /// What else is known, a JSON object.
    pub metadata: serde_json::Value,
}
