//! Every name of a resource is made here.

use std::net::SocketAddr;

use crate::model::attach::Target;
use crate::model::name::Name;
use crate::model::token::KeyServer;

/// The listener that takes what the application sends.
pub(crate) const OUTBOUND: &str = "outbound";
/// The listener that takes redirected connections to the application, and the first part of the names of others.
pub(crate) const INBOUND: &str = "inbound";
/// The cluster of connections that go where they were meant to go.
pub(crate) const PASSTHROUGH: &str = "passthrough";
/// The cluster of redirected connections to ports of the workload that it does not name.
pub(crate) const INBOUND_PASSTHROUGH: &str = "inbound_passthrough";
/// The same where the application sees its clients' addresses.
pub(crate) const INBOUND_TRANSPARENT: &str = "inbound_transparent";
/// The cluster without endpoints.
pub(crate) const BLACKHOLE: &str = "blackhole";

/// A service's port: its cluster, its endpoints, its table of routes.
pub(crate) fn service(name: &Name, port: u16) -> String {
    format!("{}.{}:{port}", name.name, name.namespace)
}

/// An external service's port.
pub(crate) fn external(name: &Name, port: u16) -> String {
    format!("{}.{}.external:{port}", name.name, name.namespace)
}

/// Hosts of a service, whatever its ports.
pub(crate) fn hosts_of_service(name: &Name) -> String {
    format!("{}.{}", name.name, name.namespace)
}

/// Hosts of an external service.
pub(crate) fn hosts_of_external(name: &Name) -> String {
    format!("{}.{}.external", name.name, name.namespace)
}

/// What a backend leads to.
pub(crate) fn target(target: &Target) -> String {
    match target {
        Target::Service(name, port) => service(name, *port),
        Target::External(name, port) => external(name, *port),
    }
}

/// The application's own port.
pub(crate) fn inbound(port: u16) -> String {
    format!("{INBOUND}:{port}")
}

/// A server that has keys of tokens.
pub(crate) fn key_server(server: &KeyServer) -> String {
    let scheme = if server.tls { "https" } else { "http" };
    format!("keys:{scheme}://{}:{}", server.host, server.port)
}

/// The application's own port, where it sees its clients' addresses.
pub(crate) fn inbound_transparent(port: u16) -> String {
    format!("{INBOUND}:{port}/transparent")
}

/// A listener that leads to one service.
pub(crate) fn bind(address: SocketAddr) -> String {
    format!("bind:{address}")
}

/// Names that clients of `namespace` may use for a service, the shortest first.
pub(crate) fn hosts(name: &Name, namespace: &str, domain: &str) -> Vec<String> {
    let Name { namespace: own, name } = name;
    let mut hosts = vec![format!("{name}.{own}"), format!("{name}.{own}.svc"), format!("{name}.{own}.svc.{domain}")];
    if **own == *namespace {
        hosts.insert(0, name.to_string());
    }
    hosts
}
