use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use xds_proto::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use xds_proto::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget;
use xds_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy, TransportSocketMatch,
};
use xds_proto::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use xds_proto::envoy::config::core::v3::data_source::Specifier;
use xds_proto::envoy::config::core::v3::transport_socket;
use xds_proto::envoy::config::core::v3::{
    BindConfig, DataSource, ExtraSourceAddress, Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions, TransportSocket,
};
use xds_proto::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use xds_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, UpstreamTlsContext,
};
use xds_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions as UpstreamOptions;
use xds_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use xds_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions,
};
use xds_proto::envoy::r#type::v3::Percent;

use crate::model::external::{ExternalPort, ExternalService};
use crate::model::mesh::{Endpoint, Mesh};
use crate::model::policy::{Balancing, Ejection, Limits, Retries, TrafficPolicy};
use crate::model::service::{Port, Protocol, Service};
use crate::model::settings::H2Upgrade;
use crate::model::token::KeyServer;
use crate::translate::view::Form;
use crate::translate::{assignment, identity, names, wire};

/// The key under which Envoy looks for settings of HTTP.
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// Authorities that the machine trusts, where Debian, Alpine and their like have them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Istio's, by which applications know its sidecar.
const OWN_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// To the application on the same machine.
const INBOUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The cluster of a service's port.
pub(super) fn of_service(mesh: &Mesh, service: &Service, port: &Port, endpoints: &[Endpoint], form: Form) -> Cluster {
    let policy = mesh.policy(&service.name, port.number).map(AsRef::as_ref);
    let upgrades = upgrades(mesh, service, port, policy, form);
    let eds = EdsClusterConfig { eds_config: Some(wire::ads()), ..EdsClusterConfig::default() };
    Cluster {
        eds_cluster_config: Some(eds),
        // Of the form for gRPC alone: what else reports load does so for all clusters, if its bootstrap says so.
        lrs_server: (form == Form::Grpc && mesh.settings().load_reports).then(wire::this_server),
        transport_socket_matches: mutual(mesh, service, (port, upgrades), endpoints, form).into_iter().collect(),
        ..with_policy(base(names::service(&service.name, port.number), DiscoveryType::Eds, mesh), policy, (port.protocol, upgrades), form)
    }
}

/// Whether HTTP/1 is HTTP/2 on the wire: to each endpoint by what TLS agrees on, and never in plain text. Who cannot choose for each
/// endpoint, as Envoy, goes on as it was.
fn upgrades(mesh: &Mesh, service: &Service, port: &Port, policy: Option<&TrafficPolicy>, form: Form) -> bool {
    let wanted = policy.and_then(|policy| policy.h2_upgrade).unwrap_or(mesh.settings().h2_upgrade);
    form == Form::Negotiating && service.selector.is_some() && port.protocol == Protocol::Http && wanted == H2Upgrade::Upgrade
}

/// Mutual TLS to those endpoints that have an identity, for those who have one. It is there before the first such endpoint and after
/// the last: clusters and endpoints change one after the other, and no request is to go in plain text in between.
fn mutual(
    mesh: &Mesh,
    service: &Service,
    (port, upgrades): (&Port, bool),
    endpoints: &[Endpoint],
    form: Form,
) -> Option<TransportSocketMatch> {
    if !form.is_identified() || service.selector.is_none() {
        return None;
    }
    let accounts: BTreeSet<&str> = endpoints.iter().filter_map(|endpoint| endpoint.identity.as_deref()).collect();
    Some(identity::upstream(&mesh.settings().trust_domain, accounts.into_iter(), port.protocol, upgrades))
}

/// The cluster of an external service's port.
pub(super) fn of_external(mesh: &Mesh, external: &ExternalService, port: &ExternalPort, form: Form) -> Cluster {
    let name = names::external(&external.name, port.number);
    let hosts = if external.endpoints.is_empty() { external.hosts.get(..1).unwrap_or_default() } else { &external.endpoints };
    let are_addresses = hosts.iter().all(|host| host.parse::<IpAddr>().is_ok());
    let kind = if are_addresses { DiscoveryType::Static } else { DiscoveryType::StrictDns };
    let addresses = hosts.iter().map(|host| wire::host(host.to_string(), port.target)).collect();
    let assignment = assignment::of_addresses(&name, addresses);
    Cluster {
        load_assignment: Some(assignment),
        transport_socket: port.tls.as_deref().map(tls),
        ..with_policy(base(name, kind, mesh), None, (port.protocol, false), form)
    }
}

/// The cluster of a server that has keys of tokens, outside of the mesh.
pub(super) fn of_key_server(mesh: &Mesh, server: &KeyServer, form: Form) -> Cluster {
    let name = names::key_server(server);
    let kind = if server.host.parse::<IpAddr>().is_ok() { DiscoveryType::Static } else { DiscoveryType::StrictDns };
    let assignment = assignment::of_addresses(&name, vec![wire::host(server.host.to_string(), server.port)]);
    Cluster {
        load_assignment: Some(assignment),
        transport_socket: server.tls.then(|| tls(&server.host)),
        ..with_policy(base(name, kind, mesh), None, (Protocol::Http, false), form)
    }
}

/// The cluster of the application's own port.
pub(super) fn inbound(port: u16, protocol: Protocol) -> Cluster {
    let name = names::inbound(port);
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(i32::from(DiscoveryType::Static))),
        connect_timeout: Some(wire::duration(INBOUND_CONNECT_TIMEOUT)),
        load_assignment: Some(assignment::of_addresses(&name, vec![wire::socket(address)])),
        typed_extension_protocol_options: options(None, protocol, false).into_iter().collect(),
        name,
        ..Cluster::default()
    }
}

/// The same where the application sees its clients' addresses: it is reached at its own address, since from a loopback address no answer
/// could be routed to theirs.
pub(super) fn inbound_transparent(port: u16, protocol: Protocol) -> Cluster {
    Cluster {
        name: names::inbound_transparent(port),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(i32::from(DiscoveryType::OriginalDst))),
        lb_policy: i32::from(LbPolicy::ClusterProvided),
        load_assignment: None,
        ..inbound(port, protocol)
    }
}

/// The same of ports that the workload does not name.
pub(super) fn unnamed_transparent(mesh: &Mesh) -> Cluster {
    Cluster { name: names::INBOUND_TRANSPARENT.to_owned(), ..passthrough(mesh) }
}

/// The cluster of connections that go where they were meant to go.
pub(super) fn passthrough(mesh: &Mesh) -> Cluster {
    Cluster { lb_policy: i32::from(LbPolicy::ClusterProvided), ..base(names::PASSTHROUGH.to_owned(), DiscoveryType::OriginalDst, mesh) }
}

/// The cluster of connections to the application's own address, at ports that the workload does not name. They come from a loopback address:
/// what the sidecar opens to its own machine otherwise is redirected to it, as from another.
pub(super) fn inbound_passthrough(mesh: &Mesh) -> Cluster {
    let source = |ip: IpAddr| wire::socket_address(SocketAddr::new(ip, 0));
    let further = ExtraSourceAddress { address: Some(source(Ipv6Addr::LOCALHOST.into())), ..ExtraSourceAddress::default() };
    let bind =
        BindConfig { source_address: Some(source(OWN_SOURCE.into())), extra_source_addresses: vec![further], ..BindConfig::default() };
    Cluster { upstream_bind_config: Some(bind), name: names::INBOUND_PASSTHROUGH.to_owned(), ..passthrough(mesh) }
}

/// The cluster without endpoints.
pub(super) fn blackhole(mesh: &Mesh) -> Cluster {
    let name = names::BLACKHOLE.to_owned();
    let load_assignment = Some(assignment::of_addresses(&name, Vec::new()));
    Cluster { load_assignment, ..base(name, DiscoveryType::Static, mesh) }
}

fn base(name: String, kind: DiscoveryType, mesh: &Mesh) -> Cluster {
    Cluster {
        name,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(i32::from(kind))),
        connect_timeout: Some(wire::duration(mesh.settings().connect_timeout)),
        ..Cluster::default()
    }
}

fn with_policy(cluster: Cluster, policy: Option<&TrafficPolicy>, (protocol, upgrades): (Protocol, bool), form: Form) -> Cluster {
    let balancing = policy.map(|policy| &policy.balancing).unwrap_or(&Balancing::LeastRequest);
    let repeats = form.is_sidecar() && protocol.is_http();
    Cluster {
        lb_policy: i32::from(lb_policy(balancing, form)),
        connect_timeout: policy.and_then(|policy| policy.connect_timeout).map(wire::duration).or(cluster.connect_timeout),
        circuit_breakers: circuit_breakers(policy.map(|policy| &policy.limits), repeats.then_some(RETRIES)),
        outlier_detection: policy.and_then(|policy| policy.ejection.as_ref()).map(outlier_detection),
        typed_extension_protocol_options: match form {
            Form::Sidecar | Form::Identified | Form::Negotiating => options(policy, protocol, upgrades).into_iter().collect(),
            // The client brings its own connections.
            Form::Grpc => Default::default(),
        },
        ..cluster
    }
}

/// gRPC's C library knows two; it refuses a cluster with any other.
const fn lb_policy(balancing: &Balancing, form: Form) -> LbPolicy {
    match (form, balancing) {
        (_, Balancing::RingHash(_)) | (Form::Grpc, Balancing::Maglev(_)) => LbPolicy::RingHash,
        (Form::Grpc, Balancing::LeastRequest | Balancing::RoundRobin | Balancing::Random) => LbPolicy::RoundRobin,
        (Form::Sidecar | Form::Identified | Form::Negotiating, Balancing::LeastRequest) => LbPolicy::LeastRequest,
        (Form::Sidecar | Form::Identified | Form::Negotiating, Balancing::RoundRobin) => LbPolicy::RoundRobin,
        (Form::Sidecar | Form::Identified | Form::Negotiating, Balancing::Random) => LbPolicy::Random,
        (Form::Sidecar | Form::Identified | Form::Negotiating, Balancing::Maglev(_)) => LbPolicy::Maglev,
    }
}

/// Retries at a time, where nobody says how many. Envoy's own 3 are used up by four requests at once to an endpoint that is dead; as
/// many as its own limit of requests are no limit of their own, and each request has a few only.
const RETRIES: u32 = 1024;

fn circuit_breakers(limits: Option<&Limits>, retries_at_a_time: Option<u32>) -> Option<CircuitBreakers> {
    let limits = limits.copied().unwrap_or_default();
    let Limits { connections, pending_requests, requests, retries, requests_per_connection: _ } = limits;
    let (max_retries, retry_budget) = match retries {
        None => (retries_at_a_time, None),
        Some(Retries::Most(most)) => (Some(most), None),
        Some(Retries::Budget { percent, least }) => {
            let percent = Percent { value: f64::from(percent) };
            (None, Some(RetryBudget { budget_percent: Some(percent), min_retry_concurrency: Some(least), ..RetryBudget::default() }))
        }
    };
    let thresholds = Thresholds {
        max_connections: connections,
        max_pending_requests: pending_requests,
        max_requests: requests,
        max_retries,
        retry_budget,
        ..Thresholds::default()
    };
    (thresholds != Thresholds::default()).then(|| CircuitBreakers { thresholds: vec![thresholds], ..CircuitBreakers::default() })
}

fn outlier_detection(ejection: &Ejection) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: Some(ejection.consecutive_5xx),
        interval: Some(wire::duration(ejection.interval)),
        base_ejection_time: Some(wire::duration(ejection.base_time)),
        max_ejection_percent: Some(ejection.max_percent),
        enforcing_success_rate: Some(0),
        ..OutlierDetection::default()
    }
}

/// Settings of HTTP, where they are not those that a proxy has anyway.
fn options(policy: Option<&TrafficPolicy>, protocol: Protocol, upgrades: bool) -> Option<(String, prost_types::Any)> {
    let idle_timeout = policy.and_then(|policy| policy.idle_timeout);
    let per_connection = policy.and_then(|policy| policy.limits.requests_per_connection);
    if !protocol.is_http() || (protocol == Protocol::Http && !upgrades && idle_timeout.is_none() && per_connection.is_none()) {
        return None;
    }
    let config = match protocol {
        Protocol::Http2 => ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()),
        Protocol::Http | Protocol::Tcp | Protocol::Tls => ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()),
    };
    let common = HttpProtocolOptions {
        idle_timeout: idle_timeout.map(wire::duration),
        max_requests_per_connection: per_connection,
        ..HttpProtocolOptions::default()
    };
    let version = if upgrades {
        UpstreamProtocolOptions::AutoConfig(AutoHttpConfig::default())
    } else {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config: Some(config) })
    };
    let options = UpstreamOptions {
        common_http_protocol_options: (idle_timeout.is_some() || per_connection.is_some()).then_some(common),
        upstream_protocol_options: Some(version),
        ..UpstreamOptions::default()
    };
    Some((HTTP_OPTIONS.to_owned(), wire::pack(&options)))
}

/// Checked by the authorities of the machine that the proxy runs on.
fn tls(server_name: &str) -> TransportSocket {
    let name = SubjectAltNameMatcher { san_type: i32::from(SanType::Dns), matcher: Some(wire::exactly(server_name)), ..Default::default() };
    let authorities = DataSource { specifier: Some(Specifier::Filename(AUTHORITIES.to_owned())), ..DataSource::default() };
    let validation = CertificateValidationContext {
        trusted_ca: Some(authorities),
        match_typed_subject_alt_names: vec![name],
        ..CertificateValidationContext::default()
    };
    let common = CommonTlsContext {
        validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
        ..CommonTlsContext::default()
    };
    let context = UpstreamTlsContext { common_tls_context: Some(common), sni: server_name.to_owned(), ..UpstreamTlsContext::default() };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(wire::pack(&context))),
    }
}
