//! What the proxy holds, as clients of xDS tell it to tools (`envoy.service.status.v3`, CSDS): in protobuf, not in JSON.

use prost::Message as _;
use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::admin::v3::ClientResourceStatus;
use xds_proto::envoy::config::bootstrap::v3::Bootstrap;
use xds_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use xds_proto::envoy::service::status::v3::{ClientConfig, ClientStatusRequest, ClientStatusResponse, ConfigStatus};
use xds_proto::json::{self, Secrets};

use super::Dump;
use super::sent::{Told, told};
use crate::xds::resource::Kind;
use crate::xds::view::Seen;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientStatusError {
    /// The request is wrong.
    Invalid(String),
    /// The answer cannot be made; the resources were accepted, so this is our fault.
    Unwritable(String),
}

impl Dump {
    /// The answer to a `ClientStatusRequest`, both in protobuf's wire format. Key material is redacted.
    ///
    /// # Errors
    /// See [`ClientStatusError`].
    pub fn client_status(&self, request: &[u8], seen: &[Seen<'_>]) -> Result<Vec<u8>, ClientStatusError> {
        let request = ClientStatusRequest::decode(request).map_err(|error| ClientStatusError::Invalid(error.to_string()))?;
        if !request.node_matchers.is_empty() {
            // As gRPC: the one node there is here is this one.
            return Err(ClientStatusError::Invalid("node_matchers: not supported".to_owned()));
        }
        let bootstrap = Bootstrap::decode(self.bootstrap.as_slice()).map_err(unwritable)?;
        let resources = bootstrap.static_resources.unwrap_or_default();
        let clusters = resources.clusters.iter().map(|cluster| self.of_file(Kind::Cluster, &cluster.name, any::pack(cluster)));
        let listeners = resources.listeners.iter().map(|listener| self.of_file(Kind::Listener, &listener.name, any::pack(listener)));
        let mut configs: Vec<GenericXdsConfig> = clusters.chain(listeners).chain(seen.iter().map(sent)).collect();
        if request.exclude_resource_contents {
            configs.iter_mut().for_each(|config| config.xds_config = None);
        }
        let client = ClientConfig { node: bootstrap.node, generic_xds_configs: configs, ..ClientConfig::default() };
        redacted(&ClientStatusResponse { config: vec![client] })
    }

    fn of_file(&self, kind: Kind, name: &str, body: Any) -> GenericXdsConfig {
        GenericXdsConfig {
            type_url: kind.type_url().to_owned(),
            name: name.to_owned(),
            xds_config: Some(body),
            last_updated: Some(self.loaded),
            client_status: ClientResourceStatus::Acked.into(),
            is_static_resource: true,
            ..GenericXdsConfig::default()
        }
    }
}

fn sent(seen: &Seen<'_>) -> GenericXdsConfig {
    let Told { version, body, since, error, status } = told(seen);
    GenericXdsConfig {
        type_url: seen.kind.type_url().to_owned(),
        name: seen.name.to_owned(),
        version_info: version,
        xds_config: body,
        last_updated: since,
        // What the server thinks is not known here.
        config_status: ConfigStatus::Unknown.into(),
        client_status: status,
        error_state: error,
        is_static_resource: false,
    }
}

/// By way of JSON, whose writer knows what is secret.
fn redacted(response: &ClientStatusResponse) -> Result<Vec<u8>, ClientStatusError> {
    let pool = xds_proto::descriptor_pool().map_err(unwritable)?;
    let json = json::to_json(&pool, response, Secrets::Redacted).map_err(unwritable)?;
    let (response, _) =
        json::from_json::<ClientStatusResponse>(&pool, &json).map_err(|unreadable| unwritable(format!("{:?}", unreadable.faults)))?;
    Ok(response.encode_to_vec())
}

fn unwritable(error: impl std::fmt::Display) -> ClientStatusError {
    ClientStatusError::Unwritable(error.to_string())
}
