//! Settings of the whole mesh: `MeshConfig`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::provider::Provider;

/// A `MeshConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// What follows `svc` in the long names of services.
    pub domain: Arc<str>,
    /// The trust domain of identities. In a mesh it is the authority's, whatever an object says.
    pub trust_domain: Arc<str>,
    /// Where connections to unknown destinations go.
    pub outbound: OutboundMode,
    /// Whether sidecars write a line for each request.
    pub access_log: bool,
    /// How long a connection to an endpoint may take.
    pub connect_timeout: Duration,
    /// How often a request that certainly did not reach its server is tried again.
    pub retries: u32,
    /// Whether gRPC clients report the load that they put on services.
    pub load_reports: bool,
    /// What is made of paths before routes and policies are asked.
    pub paths: PathNormalization,
    /// What becomes of HTTP/1 between sidecars, where no policy says otherwise.
    pub h2_upgrade: H2Upgrade,
    /// How often keys of tokens are fetched again.
    pub keys_refresh: Duration,
    /// Services that policies may name to decide in their place.
    pub providers: Vec<Provider>,
}

/// What becomes of HTTP/1 between sidecars with mutual TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum H2Upgrade {
    /// It stays HTTP/1.
    #[default]
    DoNotUpgrade,
    /// It is HTTP/2 on the wire.
    Upgrade,
}

/// What sidecars make of a path (RFC 3986, 6.2.2) before they choose a route, ask policies, and pass the request on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNormalization {
    /// Dot segments are resolved, backslashes are slashes, letters and digits are not escaped.
    Base,
    /// And repeated slashes are one.
    MergeSlashes,
    /// And escaped slashes and backslashes are slashes. No spelling of a path goes around a policy.
    #[default]
    DecodeAndMergeSlashes,
}

/// Where connections to unknown destinations go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutboundMode {
    /// Where they were meant to go.
    #[default]
    AllowAny,
    /// Nowhere.
    RegistryOnly,
}

impl Default for MeshSettings {
    fn default() -> Self {
        Self {
            domain: "cluster.local".into(),
            trust_domain: "cluster.local".into(),
            outbound: OutboundMode::AllowAny,
            access_log: false,
            connect_timeout: Duration::from_secs(5),
            retries: 2,
            load_reports: false,
            paths: PathNormalization::default(),
            h2_upgrade: H2Upgrade::default(),
            // Issuers show a key for hours before they sign with it; one that is not to be trusted any more is gone soon.
            keys_refresh: Duration::from_secs(300),
            providers: Vec::new(),
        }
    }
}
