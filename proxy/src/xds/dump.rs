//! The configuration in use, as `/config_dump` shows it: `envoy.admin.v3.ConfigDump` in JSON, secrets redacted.
//!
//! Resources are kept in protobuf's wire format, and made JSON when somebody asks: descriptors and JSON trees take megabytes.

/// For tools, in protobuf.
mod client_status;
/// What the file says.
mod resources;
/// What a server has sent.
mod sent;

use std::fmt;
use std::time::SystemTime;

use prost::Message;
use prost_types::{Any, Timestamp};
use serde_json::{Value as Json, json};
use xds_proto::any;
use xds_proto::envoy::admin::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::Bootstrap;
use xds_proto::json::{self, Secrets};

use crate::xds::view::Seen;

pub use client_status::ClientStatusError;

/// What `/config_dump` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpRequest {
    /// Endpoints, too (`?include_eds`).
    pub include_endpoints: bool,
    /// Only this part (`?resource=static_listeners`).
    pub resource: Option<String>,
}

/// Why there is no dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DumpError {
    /// There is no such part.
    NoResource(String),
    /// A resource cannot be written; the resources were accepted, so this is our fault.
    Unwritable(String),
}

impl fmt::Display for DumpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResource(name) => write!(f, "{name} not found in config dump"),
            Self::Unwritable(why) => write!(f, "the configuration cannot be written: {why}"),
        }
    }
}

impl std::error::Error for DumpError {}

/// The configuration in use.
#[derive(Clone, Debug)]
pub struct Dump {
    bootstrap: Vec<u8>,
    loaded: Timestamp,
}

impl Dump {
    /// Of a bootstrap file in protobuf's wire format, read now.
    pub fn new(bootstrap: Vec<u8>) -> Self {
        Self { bootstrap, loaded: Timestamp::from(SystemTime::now()) }
    }

    /// The page: what the file says, and what a server has sent.
    ///
    /// # Errors
    /// When a part is asked for that does not exist.
    pub fn page(&self, request: &DumpRequest, seen: &[Seen<'_>]) -> Result<Json, DumpError> {
        let unwritable = |error: &dyn fmt::Display| DumpError::Unwritable(error.to_string());
        let bootstrap = Bootstrap::decode(self.bootstrap.as_slice()).map_err(|error| unwritable(&error))?;
        let resources = bootstrap.static_resources.clone().unwrap_or_default();
        let mut configs: Vec<Any> = vec![
            any::pack(&wire::BootstrapConfigDump { bootstrap: Some(bootstrap), last_updated: Some(self.loaded) }),
            any::pack(&sent::clusters(resources::clusters(&resources, self.loaded), seen)),
        ];
        if request.include_endpoints {
            configs.push(any::pack(&sent::endpoints(resources::endpoints(&resources, self.loaded), seen)));
        }
        configs.push(any::pack(&sent::listeners(resources::listeners(&resources, self.loaded), seen)));
        configs.push(any::pack(&sent::scopes(resources::scopes(&resources, self.loaded), seen)));
        configs.push(any::pack(&sent::routes(resources::routes(&resources, self.loaded), seen)));
        configs.push(any::pack(&sent::secrets(resources::secrets(&resources, self.loaded), seen)));
        let pool = xds_proto::descriptor_pool().map_err(|error| unwritable(&error))?;
        let page = json::to_json(&pool, &wire::ConfigDump { configs }, Secrets::Redacted).map_err(|fault| unwritable(&fault))?;
        match &request.resource {
            None => Ok(page),
            Some(name) => part(&page, name).ok_or_else(|| DumpError::NoResource(name.clone())),
        }
    }
}

/// The entries of one list, or the one message, of a name; each told with its type as Envoy does.
fn part(page: &Json, name: &str) -> Option<Json> {
    let known = PARTS.iter().find(|(field, ..)| *field == name)?;
    let (_, dump, entry) = *known;
    let holder = page.get("configs")?.as_array()?.iter().find(|config| config.get("@type").is_some_and(|known| *known == type_url(dump)));
    let found = holder.and_then(|holder| holder.get(name)).cloned().unwrap_or(Json::Null);
    let entries = match found {
        Json::Null => Vec::new(),
        Json::Array(entries) => entries,
        one @ (Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) => vec![one],
    };
    let typed = |mut fields: Json| {
        if let Some(fields) = fields.as_object_mut() {
            fields.insert("@type".into(), type_url(entry).into());
        }
        fields
    };
    Some(json!({ "configs": entries.into_iter().map(typed).collect::<Vec<_>>() }))
}

fn type_url(name: &str) -> String {
    format!("type.googleapis.com/envoy.{name}")
}

/// Field, the message it is a field of, the message it holds.
const PARTS: [(&str, &str, &str); 15] = [
    ("bootstrap", "admin.v3.BootstrapConfigDump", "config.bootstrap.v3.Bootstrap"),
    ("static_clusters", "admin.v3.ClustersConfigDump", "admin.v3.ClustersConfigDump.StaticCluster"),
    ("dynamic_active_clusters", "admin.v3.ClustersConfigDump", "admin.v3.ClustersConfigDump.DynamicCluster"),
    ("dynamic_warming_clusters", "admin.v3.ClustersConfigDump", "admin.v3.ClustersConfigDump.DynamicCluster"),
    ("dynamic_endpoint_configs", "admin.v3.EndpointsConfigDump", "admin.v3.EndpointsConfigDump.DynamicEndpointConfig"),
    ("dynamic_listeners", "admin.v3.ListenersConfigDump", "admin.v3.ListenersConfigDump.DynamicListener"),
    ("inline_scoped_route_configs", "admin.v3.ScopedRoutesConfigDump", "admin.v3.ScopedRoutesConfigDump.InlineScopedRouteConfigs"),
    ("dynamic_scoped_route_configs", "admin.v3.ScopedRoutesConfigDump", "admin.v3.ScopedRoutesConfigDump.DynamicScopedRouteConfigs"),
    ("dynamic_route_configs", "admin.v3.RoutesConfigDump", "admin.v3.RoutesConfigDump.DynamicRouteConfig"),
    ("dynamic_active_secrets", "admin.v3.SecretsConfigDump", "admin.v3.SecretsConfigDump.DynamicSecret"),
    ("dynamic_warming_secrets", "admin.v3.SecretsConfigDump", "admin.v3.SecretsConfigDump.DynamicSecret"),
    ("static_endpoint_configs", "admin.v3.EndpointsConfigDump", "admin.v3.EndpointsConfigDump.StaticEndpointConfig"),
    ("static_listeners", "admin.v3.ListenersConfigDump", "admin.v3.ListenersConfigDump.StaticListener"),
    ("static_route_configs", "admin.v3.RoutesConfigDump", "admin.v3.RoutesConfigDump.StaticRouteConfig"),
    ("static_secrets", "admin.v3.SecretsConfigDump", "admin.v3.SecretsConfigDump.StaticSecret"),
];

#[cfg(test)]
mod tests;
