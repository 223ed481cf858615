//! Tables of routes.

use std::collections::HashSet;

use xds_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};

use crate::model::mesh::Mesh;
use crate::model::service::{Port, Protocol, Service};
use crate::translate::names;
use crate::translate::route::{self, Asking};

/// The port that a host without one means.
const HTTP_PORT: u16 = 80;

/// The table of one service's port, whatever host a request names: where it came in says which service is meant.
pub(super) fn of_service(asking: Asking<'_>, service: &Service, port: &Port) -> RouteConfiguration {
    let name = names::service(&service.name, port.number);
    let host = VirtualHost {
        name: name.clone(),
        domains: vec!["*".to_owned()],
        routes: route::routes(asking, service, port),
        ..VirtualHost::default()
    };
    RouteConfiguration { name, virtual_hosts: vec![host], validate_clusters: Some(false), ..RouteConfiguration::default() }
}

/// The table by which a request's host says which service is meant.
pub(super) fn by_host(asking: Asking<'_>) -> RouteConfiguration {
    let mut taken = HashSet::new();
    let mut hosts = Vec::new();
    for service in visible(asking.mesh, asking.namespace) {
        let named = names::hosts(&service.name, asking.namespace, &asking.mesh.settings().domain);
        for port in service.ports.iter().filter(|port| port.protocol.is_http()) {
            let name = names::service(&service.name, port.number);
            let routes = || route::routes(asking, service, port);
            hosts.extend(host(name, &named, port.number, is_main(service, port), &mut taken, routes));
        }
    }
    for external in asking.mesh.externals().filter(|external| external.exports.reach(asking.namespace)) {
        let named: Vec<String> = external.hosts.iter().map(|host| host.to_string()).collect();
        for port in external.ports.iter().filter(|port| port.protocol.is_http()) {
            let name = names::external(&external.name, port.number);
            let routes = || vec![route::plain(asking, names::external(&external.name, port.number), None)];
            let main = port.number == HTTP_PORT || external.ports.len() == 1;
            hosts.extend(host(name, &named, port.number, main, &mut taken, routes));
        }
    }
    RouteConfiguration {
        name: names::OUTBOUND.to_owned(),
        virtual_hosts: hosts,
        validate_clusters: Some(false),
        ..RouteConfiguration::default()
    }
}

/// Services that a namespace may see.
pub(super) fn visible<'a>(mesh: &'a Mesh, namespace: &'a str) -> impl Iterator<Item = &'a Service> {
    mesh.services().map(AsRef::as_ref).filter(move |service| service.exports.reach(namespace))
}

/// Whether a port is meant where none is named.
fn is_main(service: &Service, port: &Port) -> bool {
    let http = |other: &&Port| matches!(other.protocol, Protocol::Http | Protocol::Http2);
    port.number == HTTP_PORT || (service.port(HTTP_PORT).is_none() && service.ports.iter().filter(http).count() == 1)
}

/// A proxy refuses a table in which two hosts have the same name: the first has it.
fn host(
    name: String,
    hosts: &[String],
    port: u16,
    main: bool,
    taken: &mut HashSet<String>,
    routes: impl FnOnce() -> Vec<xds_proto::envoy::config::route::v3::Route>,
) -> Option<VirtualHost> {
    let bare = hosts.iter().filter(|_| main).cloned();
    let domains: Vec<String> =
        bare.chain(hosts.iter().map(|host| format!("{host}:{port}"))).filter(|domain| taken.insert(domain.clone())).collect();
    (!domains.is_empty()).then(|| VirtualHost { name, domains, routes: routes(), ..VirtualHost::default() })
}
