//! What a proxy starts from.

use crate::config::address::Address;
use crate::config::endpoint::Locality;
use crate::config::snapshot::Snapshot;

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
    /// The file as it was understood, in protobuf's wire format: small enough to be kept for `/config_dump`.
    pub source: Vec<u8>,
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
