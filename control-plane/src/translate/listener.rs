//! Listeners of a sidecar.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use xds_proto::envoy::config::core::v3::TrafficDirection;
use xds_proto::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use xds_proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, filter, listener_filter};
use xds_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use xds_proto::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use xds_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::{self, weighted_cluster};

use crate::model::attach;
use crate::model::kind::Kind;
use crate::model::mesh::Mesh;
use crate::model::route::Route as MeshRoute;
use crate::model::service::{Port, Protocol, Service};
use crate::model::settings::OutboundMode;
use crate::model::workload::{Bind, Workload};
use crate::translate::http::{self, Routes};
use crate::translate::{names, table, wire};

/// Where applications send what is to go out, unless the workload says otherwise.
const OUTBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15001);

/// By which the kernel brings the application's answers back to the sidecar (`ninon-proxy redirect --tproxy-mark`; Istio's, too).
const TPROXY_MARK: u32 = 1337;

/// Where a workload sends what is to go out: a redirected connection of IPv6 arrives at another loopback address.
pub(super) fn outbound_addresses(workload: Option<&Workload>) -> Vec<SocketAddr> {
    let address = workload.and_then(|workload| workload.sidecar.outbound).unwrap_or(OUTBOUND);
    let as_well = (address.ip() == Ipv4Addr::LOCALHOST).then(|| SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()));
    let has_v6 = workload.is_some_and(|workload| workload.addresses.iter().any(IpAddr::is_ipv6));
    std::iter::once(address).chain(as_well.filter(|_| has_v6)).collect()
}

/// A connection that was meant for the sidecar itself, by a program of this machine: anybody else would speak under its identity.
fn own_port(port: u16) -> FilterChainMatch {
    FilterChainMatch { source_type: i32::from(ConnectionSourceType::SameIpOrLoopback), ..port_match(port) }
}

/// The listener for what the application sends: by the address that a connection was meant for, and, where it was meant for the sidecar
/// itself, by the host that a request names.
pub(super) fn outbound(mesh: &Mesh, namespace: &str, addresses: &[SocketAddr]) -> Listener {
    let (address, further) = addresses.split_first().unwrap_or((&OUTBOUND, &[]));
    let log = mesh.settings().access_log;
    let mut chains = vec![FilterChain {
        name: names::OUTBOUND.to_owned(),
        filter_chain_match: Some(own_port(address.port())),
        filters: vec![http::filter(&http::manager(names::OUTBOUND, Routes::Named(names::OUTBOUND.to_owned()), mesh.settings()))],
        ..FilterChain::default()
    }];
    let mut taken = HashSet::new();
    for service in table::visible(mesh, namespace) {
        for port in &service.ports {
            let addresses: Vec<IpAddr> = service.addresses.iter().copied().filter(|ip| taken.insert((*ip, port.number))).collect();
            if !addresses.is_empty() {
                chains.extend(service_chains(mesh, namespace, service, port, &addresses));
            }
        }
    }
    let default = (mesh.settings().outbound == OutboundMode::AllowAny).then(|| FilterChain {
        name: names::PASSTHROUGH.to_owned(),
        filters: vec![tcp_filter(names::PASSTHROUGH, vec![(names::PASSTHROUGH.to_owned(), 1)], log)],
        ..FilterChain::default()
    });
    let by_name = chains.iter().any(|chain| chain.filter_chain_match.as_ref().is_some_and(|one| !one.server_names.is_empty()));
    let mut filters = vec![original_destination()];
    filters.extend(by_name.then(server_name));
    Listener {
        name: names::OUTBOUND.to_owned(),
        address: Some(wire::socket(*address)),
        additional_addresses: further.iter().copied().map(wire::further).collect(),
        filter_chains: chains,
        default_filter_chain: default,
        listener_filters: filters,
        traffic_direction: i32::from(TrafficDirection::Outbound),
        ..Listener::default()
    }
}

/// Connections to a service's own addresses.
fn service_chains(mesh: &Mesh, namespace: &str, service: &Service, port: &Port, addresses: &[IpAddr]) -> Vec<FilterChain> {
    let name = names::service(&service.name, port.number);
    let matched = FilterChainMatch { prefix_ranges: addresses.iter().copied().map(wire::single).collect(), ..port_match(port.number) };
    if port.protocol.is_http() {
        let filters = vec![http::filter(&http::manager(&name, Routes::Named(name.clone()), mesh.settings()))];
        return vec![FilterChain { name, filter_chain_match: Some(matched), filters, ..FilterChain::default() }];
    }
    let chains = tcp_chains(mesh, namespace, service, port).into_iter();
    let chains = chains.map(|(chain, server_names, filter)| FilterChain {
        name: chain,
        filter_chain_match: Some(FilterChainMatch { server_names, ..matched.clone() }),
        filters: vec![filter],
        ..FilterChain::default()
    });
    chains.collect()
}

/// What is done to connections to a service's port: for each, a name, the server names that it is for, and what is done.
fn tcp_chains(mesh: &Mesh, namespace: &str, service: &Service, port: &Port) -> Vec<(String, Vec<String>, Filter)> {
    let name = names::service(&service.name, port.number);
    let log = mesh.settings().access_log;
    let routes = attach::routes(mesh, namespace, service, port);
    if routes.is_empty() {
        let to_service = tcp_filter(&name, vec![(name.clone(), 1)], log);
        return vec![(name, Vec::new(), to_service)];
    }
    let mut taken = HashSet::new();
    let mut chains = Vec::new();
    for route in routes {
        let hosts: Vec<String> = route.hostnames.iter().map(|host| host.to_string()).filter(|host| taken.insert(host.clone())).collect();
        if route.kind == Kind::TlsRoute && hosts.is_empty() {
            continue;
        }
        let filter = tcp_filter(&name, backends(mesh, namespace, route), log);
        chains.push((format!("{name}/{}", route.name), hosts, filter));
        if route.kind == Kind::TcpRoute {
            // One connection has one way: the oldest route has it.
            break;
        }
    }
    chains
}

/// Clusters and weights; a backend that there is not takes its part of the connections to where nobody answers.
fn backends(mesh: &Mesh, namespace: &str, route: &MeshRoute) -> Vec<(String, u32)> {
    let backends = route.rules.iter().take(1).flat_map(|rule| &rule.backends).filter(|backend| backend.weight > 0);
    let clusters = backends.map(|backend| {
        let target = attach::resolve(mesh, route, &backend.target, namespace);
        (target.map_or_else(|_| names::BLACKHOLE.to_owned(), |target| names::target(&target)), backend.weight)
    });
    let clusters: Vec<_> = clusters.collect();
    if clusters.is_empty() { vec![(names::BLACKHOLE.to_owned(), 1)] } else { clusters }
}

/// A listener that leads to one service.
pub(super) fn bind(mesh: &Mesh, namespace: &str, bind: &Bind) -> Option<Listener> {
    let service = mesh.service(&bind.service).filter(|service| service.exports.reach(namespace))?;
    let port = service.port(bind.port)?;
    let table = names::service(&service.name, port.number);
    let filters = if port.protocol.is_http() {
        vec![FilterChain {
            filters: vec![http::filter(&http::manager(&table, Routes::Named(table.clone()), mesh.settings()))],
            ..FilterChain::default()
        }]
    } else {
        let chains = tcp_chains(mesh, namespace, service, port).into_iter();
        let chains = chains.map(|(name, server_names, filter)| FilterChain {
            name,
            filter_chain_match: (!server_names.is_empty()).then(|| FilterChainMatch { server_names, ..FilterChainMatch::default() }),
            filters: vec![filter],
            ..FilterChain::default()
        });
        chains.collect()
    };
    let by_name = port.protocol == Protocol::Tls;
    Some(Listener {
        name: names::bind(bind.address),
        address: Some(wire::socket(bind.address)),
        filter_chains: filters,
        listener_filters: by_name.then(server_name).into_iter().collect(),
        traffic_direction: i32::from(TrafficDirection::Outbound),
        ..Listener::default()
    })
}

pub(super) fn port_match(port: u16) -> FilterChainMatch {
    FilterChainMatch { destination_port: Some(port.into()), ..FilterChainMatch::default() }
}

pub(super) fn tcp_filter(stat_prefix: &str, clusters: Vec<(String, u32)>, log: bool) -> Filter {
    let specifier = match clusters.as_slice() {
        [(cluster, _)] => tcp_proxy::ClusterSpecifier::Cluster(cluster.clone()),
        _ => {
            let clusters = clusters.into_iter();
            let clusters = clusters.map(|(name, weight)| weighted_cluster::ClusterWeight { name, weight, ..Default::default() }).collect();
            tcp_proxy::ClusterSpecifier::WeightedClusters(tcp_proxy::WeightedCluster { clusters })
        }
    };
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        cluster_specifier: Some(specifier),
        access_log: log.then(http::line).into_iter().collect(),
        // A database's connection may be quiet for longer than an hour; the kernel's own keep-alive finds a peer that is gone.
        idle_timeout: Some(wire::FOREVER),
        ..TcpProxy::default()
    };
    Filter { name: "envoy.filters.network.tcp_proxy".to_owned(), config_type: Some(filter::ConfigType::TypedConfig(wire::pack(&proxy))) }
}

pub(super) fn original_destination() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.original_dst".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(wire::pack(&OriginalDst::default()))),
        ..ListenerFilter::default()
    }
}

/// Connections to the application have the client's address.
pub(super) fn original_source() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.original_src".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(wire::pack(&OriginalSrc {
            mark: TPROXY_MARK,
            ..OriginalSrc::default()
        }))),
        ..ListenerFilter::default()
    }
}

pub(super) fn server_name() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.tls_inspector".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(wire::pack(&TlsInspector::default()))),
        ..ListenerFilter::default()
    }
}
