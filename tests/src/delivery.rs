//! A bootstrap whose resources come from a server: the same listeners, clusters and routes, told over xDS.

use crate::control_plane::{ControlPlane, Dialect, LIMIT};
use crate::eventually::eventually;
use crate::settings;
use serde_json::{Value, json};
use xds_proto::type_url;

/// How a proxy gets its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All of it stands in the bootstrap file.
    File,
    /// Listeners, routes, clusters and endpoints come from a server.
    Xds(Dialect),
}

impl Delivery {
    /// Over xDS, half of the cases in each protocol.
    pub fn xds(case: &str) -> Self {
        let sum: usize = case.bytes().map(usize::from).sum();
        Self::Xds(settings::dialect().unwrap_or(if sum.is_multiple_of(2) { Dialect::Sotw } else { Dialect::Delta }))
    }
}

/// What is served, and by whom.
pub struct Served {
    control_plane: ControlPlane,
    types: Vec<&'static str>,
}

impl Served {
    /// Takes the resources out of a bootstrap and has a server tell them.
    pub fn take(bootstrap: &mut Value, dialect: Dialect) -> Self {
        let control_plane = ControlPlane::new(dialect);
        let mut resources = Resources::default();
        let fixed = &mut bootstrap["static_resources"];
        for mut cluster in list(&mut fixed["clusters"]) {
            resources.cluster(&mut cluster);
            resources.clusters.push(typed(type_url::CLUSTER, cluster));
        }
        for mut listener in list(&mut fixed["listeners"]) {
            resources.routes_of(&mut listener);
            resources.listeners.push(typed(type_url::LISTENER, listener));
        }
        fixed["clusters"] = json!([server(control_plane.port())]);
        let service = json!({ "envoy_grpc": { "cluster_name": "xds" } });
        let stream = json!({ "api_type": dialect.api_type(), "transport_api_version": "V3", "grpc_services": [service] });
        bootstrap["dynamic_resources"] = json!({ "ads_config": stream, "cds_config": ads(), "lds_config": ads() });
        bootstrap["node"]["id"] = json!(control_plane.node);
        let all = [
            (type_url::CLUSTER, resources.clusters),
            (type_url::CLUSTER_LOAD_ASSIGNMENT, resources.endpoints),
            (type_url::LISTENER, resources.listeners),
            (type_url::SCOPED_ROUTE_CONFIGURATION, resources.scopes),
            (type_url::ROUTE_CONFIGURATION, resources.routes),
        ];
        let mut types = Vec::new();
        for (type_url, resources) in all {
            // These two are asked for in any case, and waited for.
            let is_whole = matches!(type_url, type_url::CLUSTER | type_url::LISTENER);
            if is_whole || !resources.is_empty() {
                control_plane.serve(type_url, &resources);
                types.push(type_url);
            }
        }
        Self { control_plane, types }
    }

    /// Waits until the proxy has taken all of it.
    ///
    /// # Errors
    /// It refused some; why. Or it did not ask for it.
    pub async fn is_taken(&self) -> Result<(), String> {
        for type_url in &self.types {
            let replied = || async { self.control_plane.heard(|request| request.type_url() == *type_url && !request.nonce().is_empty()) };
            if eventually(LIMIT, replied).await.is_none() {
                return Err(format!("it never answered to {type_url}"));
            }
        }
        match self.control_plane.heard(|request| request.error().is_some()) {
            Some(refusal) => Err(format!("it refused {}: {}", refusal.type_url(), refusal.error().unwrap_or_default())),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Resources {
    clusters: Vec<Value>,
    endpoints: Vec<Value>,
    listeners: Vec<Value>,
    routes: Vec<Value>,
    scopes: Vec<Value>,
}

impl Resources {
    /// The endpoints of a cluster become a resource of their own.
    fn cluster(&mut self, cluster: &mut Value) {
        if cluster["type"] != "STATIC" || !cluster["load_assignment"].is_object() {
            return;
        }
        let mut assignment = cluster["load_assignment"].take();
        assignment["cluster_name"] = cluster["name"].clone();
        self.endpoints.push(typed(type_url::CLUSTER_LOAD_ASSIGNMENT, assignment));
        cluster["type"] = json!("EDS");
        cluster["eds_cluster_config"] = json!({ "eds_config": ads() });
        remove(cluster, "load_assignment");
    }

    /// The routes of each connection manager become resources of their own.
    fn routes_of(&mut self, value: &mut Value) {
        match value {
            Value::Array(values) => values.iter_mut().for_each(|value| self.routes_of(value)),
            Value::Object(_) => {
                let is_manager = value["@type"].as_str().is_some_and(|url| url.ends_with(".HttpConnectionManager"));
                if is_manager && value["route_config"].is_object() {
                    let name = self.table(value["route_config"].take());
                    remove(value, "route_config");
                    value["rds"] = json!({ "route_config_name": name, "config_source": ads() });
                }
                if is_manager && value["scoped_routes"].is_object() {
                    self.scopes_of(&mut value["scoped_routes"]);
                }
                value.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()).for_each(|field| self.routes_of(field));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

impl Resources {
    /// Routes become a resource of a name of its own.
    fn table(&mut self, mut routes: Value) -> String {
        let name = format!("routes-{}", self.routes.len());
        routes["name"] = json!(name);
        self.routes.push(typed(type_url::ROUTE_CONFIGURATION, routes));
        name
    }

    /// The scopes of a connection manager become resources, and so do the routes of each.
    fn scopes_of(&mut self, scoped: &mut Value) {
        for mut scope in list(&mut scoped["scoped_route_configurations_list"]["scoped_route_configurations"]) {
            scope["route_configuration_name"] = json!(self.table(scope["route_configuration"].take()));
            remove(&mut scope, "route_configuration");
            self.scopes.push(typed(type_url::SCOPED_ROUTE_CONFIGURATION, scope));
        }
        remove(scoped, "scoped_route_configurations_list");
        scoped["rds_config_source"] = ads();
        scoped["scoped_rds"] = json!({ "scoped_rds_config_source": ads() });
    }
}

/// The elements of a list, which is empty then.
fn list(value: &mut Value) -> Vec<Value> {
    match value.take() {
        Value::Array(values) => values,
        _ => Vec::new(),
    }
}

fn typed(type_url: &str, mut resource: Value) -> Value {
    resource["@type"] = json!(type_url);
    resource
}

fn remove(value: &mut Value, field: &str) {
    value.as_object_mut().map(|fields| fields.remove(field));
}

fn ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3" })
}

/// The cluster of the server.
fn server(port: u16) -> Value {
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    json!({
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": { "cluster_name": "xds", "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }] },
        "typed_extension_protocol_options": {
            options: { "@type": format!("type.googleapis.com/{options}"), "explicit_http_config": { "http2_protocol_options": {} } },
        },
    })
}
