//! What gRPC clients ask for: a listener named as the target is written (gRFC A27), which refers to a table of routes.

use std::collections::BTreeSet;

use xds_proto::envoy::config::listener::v3::{ApiListener, Listener};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, Rds};

use crate::model::mesh::Mesh;
use crate::model::service::{Port, Service};
use crate::translate::{http, names, wire};

/// The listeners of a service's port, one for each name that a client of `namespace` may use. A name without a port is of the port 80,
/// or of the only one.
pub(super) fn listeners(mesh: &Mesh, namespace: &str, service: &Service, port: &Port) -> Vec<Listener> {
    let hosts = names::hosts(&service.name, namespace, &mesh.settings().domain);
    let main = port.number == 80 || service.ports.len() == 1;
    let targets: BTreeSet<String> =
        hosts.iter().filter(|_| main).cloned().chain(hosts.iter().map(|host| format!("{host}:{}", port.number))).collect();
    let table = names::service(&service.name, port.number);
    targets.into_iter().map(|target| listener(target, &table)).collect()
}

fn listener(name: String, table: &str) -> Listener {
    let manager = HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(Rds { config_source: Some(wire::ads()), route_config_name: table.to_owned() })),
        http_filters: vec![http::router()],
        ..HttpConnectionManager::default()
    };
    Listener { name, api_listener: Some(ApiListener { api_listener: Some(wire::pack(&manager)) }), ..Listener::default() }
}
