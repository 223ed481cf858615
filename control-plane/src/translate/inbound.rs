//! Listeners for what comes to the application, and who may come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use xds_proto::envoy::config::core::v3::TrafficDirection;
use xds_proto::envoy::config::listener::v3::{AdditionalAddress, Filter, FilterChain, FilterChainMatch, Listener};
use xds_proto::envoy::config::route::v3::route::Action;
use xds_proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use xds_proto::envoy::config::route::v3::route_match::PathSpecifier;
use xds_proto::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, SetCurrentClientCertDetails,
};

use crate::model::authentication::Mode;
use crate::model::mesh::Mesh;
use crate::model::service::Protocol;
use crate::model::workload::{Workload, WorkloadPort};
use crate::translate::authorization::Guard;
use crate::translate::http::{self, Routes};
use crate::translate::listener::{original_destination, original_source, port_match, server_name, tcp_filter};
use crate::translate::view::Form;
use crate::translate::{identity, names, token, wire};

/// Where redirected connections come in, unless the workload says otherwise.
const INBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 15006);
/// Where TLS and plain text may come, a client that says nothing for so long waits for the server to speak first.
const SILENCE: Duration = Duration::from_millis(500);

/// What a workload's listeners need to know.
#[derive(Clone, Copy)]
struct Inbound<'a> {
    mesh: &'a Mesh,
    workload: &'a Workload,
    form: Form,
    guard: &'a Guard<'a>,
    tokens: Option<&'a HttpFilter>,
    /// The application sees its clients' addresses.
    transparent: bool,
}

/// Listeners for what comes to the application.
pub(super) fn listeners(mesh: &Mesh, workload: &Workload, form: Form, transparent: bool) -> Vec<Listener> {
    let guard = Guard::of(mesh, workload);
    let tokens = token::filter(mesh, workload);
    let inbound = Inbound { mesh, workload, form, guard: &guard, transparent, tokens: tokens.as_ref() };
    let (own, redirected): (Vec<_>, Vec<_>) = workload.ports.iter().partition(|port| port.application.is_some());
    let mut listeners: Vec<Listener> = own.into_iter().filter_map(|port| inbound.own_port(port)).collect();
    if !redirected.is_empty() {
        listeners.push(inbound.redirected_ports(&redirected));
    }
    listeners
}

/// How a port may be reached, by a sidecar that may have a certificate or none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    Mutual,
    Both,
    /// Mutual TLS is demanded of a sidecar that cannot speak it.
    None,
}

impl Inbound<'_> {
    fn way(self, port: Option<u16>) -> Way {
        match (self.mesh.mode(self.workload, port), self.form) {
            (Mode::Strict, Form::Identified | Form::Negotiating) => Way::Mutual,
            (Mode::Strict, Form::Sidecar | Form::Grpc) => Way::None,
            (Mode::Permissive, Form::Identified | Form::Negotiating) => Way::Both,
            (Mode::Permissive, Form::Sidecar | Form::Grpc) | (Mode::Disable, _) => Way::Plain,
        }
    }

    fn log(self) -> bool {
        self.mesh.settings().access_log
    }

    fn own_port(self, port: &WorkloadPort) -> Option<Listener> {
        let mut addresses = self.workload.addresses.iter().map(|ip| wire::socket(SocketAddr::new(*ip, port.number)));
        let first = addresses.next()?;
        let further = addresses.map(|address| AdditionalAddress { address: Some(address), ..AdditionalAddress::default() });
        let way = self.way(Some(port.number));
        Some(Listener {
            name: names::inbound(port.number),
            address: Some(first),
            additional_addresses: further.collect(),
            filter_chains: self.chains(way, "", &FilterChainMatch::default(), port.protocol, &self.to_application(port)),
            traffic_direction: i32::from(TrafficDirection::Inbound),
            ..self.told_apart([way])
        })
    }

    /// A connection to the sidecar's own port would be sent to itself for ever: it is refused.
    fn redirected_ports(self, ports: &[&WorkloadPort]) -> Listener {
        let address = self.workload.sidecar.inbound.unwrap_or(INBOUND);
        let as_well = (address.ip() == Ipv4Addr::UNSPECIFIED).then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port()));
        let has_v6 = self.workload.addresses.iter().any(IpAddr::is_ipv6);
        let mut ways = Vec::new();
        let mut chains = Vec::new();
        for port in ports.iter().filter(|port| port.number != address.port()) {
            let way = self.way(Some(port.number));
            let (name, matched) = (names::inbound(port.number), port_match(port.number));
            chains.extend(self.chains(way, &name, &matched, port.protocol, &self.to_application(port)));
            ways.push(way);
        }
        chains.push(FilterChain {
            name: names::BLACKHOLE.to_owned(),
            filter_chain_match: Some(port_match(address.port())),
            filters: vec![tcp_filter(names::BLACKHOLE, vec![(names::BLACKHOLE.to_owned(), 1)], self.log())],
            ..FilterChain::default()
        });
        // What is said of all ports holds for those that the workload does not name, unless something is said of one of them.
        let way = self.way(None);
        let cluster = if self.transparent { names::INBOUND_TRANSPARENT } else { names::INBOUND_PASSTHROUGH };
        let onward = self.bytes_to("inbound_passthrough", cluster.to_owned());
        let named: Vec<u16> = self.workload.ports.iter().map(|port| port.number).chain([address.port()]).collect();
        for port in self.mesh.ports_with_mode(self.workload).into_iter().filter(|port| !named.contains(port)) {
            let way = self.way(Some(port));
            chains.extend(self.chains(way, &names::inbound(port), &port_match(port), Protocol::Tcp, &onward));
            ways.push(way);
        }
        let mut unnamed = self.chains(way, names::PASSTHROUGH, &FilterChainMatch::default(), Protocol::Tcp, &onward);
        let default_filter_chain = unnamed.pop().map(|chain| FilterChain { filter_chain_match: None, ..chain });
        chains.extend(unnamed);
        ways.push(way);
        let apart = self.told_apart(ways);
        Listener {
            name: names::INBOUND.to_owned(),
            address: Some(wire::socket(address)),
            additional_addresses: as_well.filter(|_| has_v6).into_iter().map(wire::further).collect(),
            filter_chains: chains,
            default_filter_chain,
            transparent: self.transparent.then_some(true),
            listener_filters: std::iter::once(original_destination())
                .chain(self.transparent.then(original_source))
                .chain(apart.listener_filters)
                .collect(),
            traffic_direction: i32::from(TrafficDirection::Inbound),
            ..Listener { listener_filters: Vec::new(), ..apart }
        }
    }

    /// What becomes of connections that fit; the last of them takes what the others do not.
    fn chains(self, way: Way, name: &str, matched: &FilterChainMatch, protocol: Protocol, filters: &[Filter]) -> Vec<FilterChain> {
        let filter_chain_match = (*matched != FilterChainMatch::default()).then(|| matched.clone());
        let plain = FilterChain { name: name.to_owned(), filter_chain_match, filters: filters.to_vec(), ..FilterChain::default() };
        let trust_domain = &self.mesh.settings().trust_domain;
        let mutual = || FilterChain { transport_socket: Some(identity::downstream(trust_domain, protocol)), ..plain.clone() };
        match way {
            Way::Plain => vec![plain],
            Way::None => vec![FilterChain { filters: vec![nowhere()], ..plain }],
            Way::Mutual => vec![mutual()],
            Way::Both => {
                let marked = FilterChainMatch {
                    transport_protocol: "tls".to_owned(),
                    application_protocols: vec![identity::MARK.to_owned()],
                    ..matched.clone()
                };
                let name = if name.is_empty() { "mutual".to_owned() } else { format!("{name}/mutual") };
                vec![FilterChain { name, filter_chain_match: Some(marked), ..mutual() }, plain]
            }
        }
    }

    /// Connections that may be.
    fn bytes_to(self, prefix: &str, cluster: String) -> Vec<Filter> {
        let mut filters = self.guard.network(prefix);
        filters.push(tcp_filter(prefix, vec![(cluster, 1)], self.log()));
        filters
    }

    fn to_application(self, port: &WorkloadPort) -> Vec<Filter> {
        let cluster = match port.application {
            None if self.transparent => names::inbound_transparent(port.number),
            application => names::inbound(application.unwrap_or(port.number)),
        };
        let prefix = names::inbound(port.number);
        if !port.protocol.is_http() {
            return self.bytes_to(&prefix, cluster);
        }
        let action = RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)),
            timeout: Some(wire::FOREVER),
            ..RouteAction::default()
        };
        let route = Route {
            r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() }),
            action: Some(Action::Route(action)),
            ..Route::default()
        };
        let host = VirtualHost { name: prefix.clone(), domains: vec!["*".to_owned()], routes: vec![route], ..VirtualHost::default() };
        let routes = RouteConfiguration { name: prefix.clone(), virtual_hosts: vec![host], ..RouteConfiguration::default() };
        let mut manager = http::manager(&prefix, Routes::Inline(Box::new(routes)), self.mesh.settings());
        manager.http_filters.splice(..0, self.guard.http(self.tokens));
        if matches!(self.form, Form::Identified | Form::Negotiating) {
            // The application is told who its client is, and what the client says of that itself is taken away, as with plain text.
            manager.forward_client_cert_details = i32::from(ForwardClientCertDetails::SanitizeSet);
            let told = SetCurrentClientCertDetails { uri: true, ..SetCurrentClientCertDetails::default() };
            manager.set_current_client_cert_details = Some(told);
        }
        vec![http::filter(&manager)]
    }

    /// A listener that looks whether TLS comes, and for which name, if that makes a difference.
    fn told_apart(self, ways: impl IntoIterator<Item = Way>) -> Listener {
        let (mut is_either, mut is_tls) = (false, true);
        for way in ways {
            is_either |= way == Way::Both;
            is_tls &= way == Way::Mutual;
        }
        if !is_either && !self.guard.asks_for_server_name() {
            return Listener::default();
        }
        let looks = Listener { listener_filters: vec![server_name()], ..Listener::default() };
        if is_tls {
            // Nobody waits here for a server that speaks first: a client that is silent has no name, and is not let in without.
            return looks;
        }
        Listener { listener_filters_timeout: Some(wire::duration(SILENCE)), continue_on_listener_filters_timeout: true, ..looks }
    }
}

fn nowhere() -> Filter {
    tcp_filter(names::BLACKHOLE, vec![(names::BLACKHOLE.to_owned(), 1)], false)
}
