//! `FilterChain` to `FilterChain`.

use std::sync::Arc;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::CidrRange;
use xds_proto::envoy::config::listener::v3 as wire;
use xds_proto::envoy::config::listener::v3::filter::ConfigType;
use xds_proto::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use xds_proto::envoy::extensions::filters::network::rbac::v3::Rbac;
use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

use crate::config::access::NetworkAccess;
use crate::config::address::Cidr;
use crate::config::listener::{ChainHandler, ChainMatch, FilterChain, ServerNameMatch, SourceType, TransportProtocol};
use crate::xds::invalid::Parser;
use crate::xds::listener::fingerprint;
use crate::xds::{access, address, http, tcp, tls};

/// Parses a filter chain.
pub fn parse(chain: &wire::FilterChain, parser: &mut Parser) -> Option<FilterChain> {
    let matches = match &chain.filter_chain_match {
        None => Some(ChainMatch::default()),
        Some(wire) => parser.at("filter_chain_match", |parser| chain_match(wire, parser)),
    };
    let tls = match &chain.transport_socket {
        None => Some(None),
        Some(socket) => parser.at("transport_socket", |parser| tls::server(socket, parser)),
    };
    let timeout = chain.transport_socket_connect_timeout.as_ref();
    let handshake_timeout = parser.limit("transport_socket_connect_timeout", timeout, None);
    let filters = filters(&chain.filters, parser);
    let Filters { access, handler } = filters?;
    Some(FilterChain {
        name: chain.name.clone(),
        matches: matches?,
        tls: tls?,
        handshake_timeout,
        access,
        handler,
        fingerprint: fingerprint::of(chain),
    })
}

struct Filters {
    access: Vec<Arc<NetworkAccess>>,
    handler: ChainHandler,
}

enum NetworkFilter {
    Access(Arc<NetworkAccess>),
    Handler(ChainHandler),
}

/// The last filter is the one that does something with the connection; those before it may only refuse it.
fn filters(filters: &[wire::Filter], parser: &mut Parser) -> Option<Filters> {
    let last = filters.len().checked_sub(1);
    if last.is_none() {
        return parser.refuse_at("filters", "at least one is required");
    }
    let mut index = 0_usize;
    let parsed = parser.each("filters", filters, |filter, parser| {
        let is_last = Some(index) == last;
        index = index.saturating_add(1);
        match (filter_of(filter, parser)?, is_last) {
            (NetworkFilter::Handler(_), false) => parser.refuse("must be the last filter of its chain"),
            (NetworkFilter::Access(_), true) => {
                parser.refuse("must be followed by a filter that does something with the connection: HttpConnectionManager, TcpProxy")
            }
            (filter, _) => Some(filter),
        }
    });
    if parsed.len() < filters.len() {
        return None;
    }
    let (mut access, mut handler) = (Vec::new(), None);
    for filter in parsed {
        match filter {
            NetworkFilter::Access(one) => access.push(one),
            NetworkFilter::Handler(one) => handler = Some(one),
        }
    }
    Some(Filters { access, handler: handler? })
}

fn filter_of(filter: &wire::Filter, parser: &mut Parser) -> Option<NetworkFilter> {
    if filter.name.is_empty() {
        parser.refuse_at::<()>("name", "required");
    }
    match &filter.config_type {
        None => parser.refuse_at("typed_config", "required"),
        Some(ConfigType::ConfigDiscovery(_)) => parser.refuse_at("config_discovery", "not supported"),
        Some(ConfigType::TypedConfig(config)) => parser.at("typed_config", |parser| network_filter(config, parser)),
    }
}

fn network_filter(config: &Any, parser: &mut Parser) -> Option<NetworkFilter> {
    if any::is::<HttpConnectionManager>(config) {
        let manager = parser.unpack(config)?;
        return http::parse(&manager, parser).map(|manager| NetworkFilter::Handler(ChainHandler::Http(Arc::new(manager))));
    }
    if any::is::<TcpProxy>(config) {
        let proxy = parser.unpack(config)?;
        return tcp::parse(&proxy, parser).map(|proxy| NetworkFilter::Handler(ChainHandler::Tcp(Arc::new(proxy))));
    }
    if any::is::<Rbac>(config) {
        let filter = parser.unpack(config)?;
        return access::network(&filter, parser).map(|access| NetworkFilter::Access(Arc::new(access)));
    }
    parser.refuse_type("network filter", config, "HttpConnectionManager, TcpProxy, RBAC")
}

fn chain_match(matches: &wire::FilterChainMatch, parser: &mut Parser) -> Option<ChainMatch> {
    parser.unsupported("address_suffix", !matches.address_suffix.is_empty());
    parser.unsupported("suffix_len", matches.suffix_len.is_some());
    let destination_port = match matches.destination_port {
        None => Some(None),
        Some(value) => parser.at("destination_port", |parser| port(value, parser)).map(Some),
    };
    let transport_protocol = match matches.transport_protocol.as_str() {
        "" => Some(None),
        "raw_buffer" => Some(Some(TransportProtocol::RawBuffer)),
        "tls" => Some(Some(TransportProtocol::Tls)),
        other => parser.refuse_at("transport_protocol", format_args!("{other:?} is neither raw_buffer nor tls")),
    };
    let source_type = match parser.choice("source_type", matches.source_type) {
        None => None,
        Some(ConnectionSourceType::Any) => Some(SourceType::Any),
        Some(ConnectionSourceType::SameIpOrLoopback) => Some(SourceType::SameIpOrLoopback),
        Some(ConnectionSourceType::External) => Some(SourceType::External),
    };
    let parsed = ChainMatch {
        destination: ranges("prefix_ranges", &matches.prefix_ranges, parser),
        server_names: parser.each("server_names", &matches.server_names, |name, parser| server_name(name, parser)),
        application_protocols: matches.application_protocols.clone(),
        direct_source: ranges("direct_source_prefix_ranges", &matches.direct_source_prefix_ranges, parser),
        source: ranges("source_prefix_ranges", &matches.source_prefix_ranges, parser),
        source_ports: parser.each("source_ports", &matches.source_ports, |value, parser| port(*value, parser)),
        destination_port: destination_port?,
        transport_protocol: transport_protocol?,
        source_type: source_type?,
    };
    Some(parsed)
}

fn ranges(field: &'static str, ranges: &[CidrRange], parser: &mut Parser) -> Vec<Cidr> {
    parser.each(field, ranges, address::cidr)
}

fn port(value: u32, parser: &mut Parser) -> Option<u16> {
    match u16::try_from(value) {
        Ok(port) if port > 0 => Some(port),
        _ => parser.refuse(format_args!("{value} is not between 1 and 65535")),
    }
}

fn server_name(name: &str, parser: &mut Parser) -> Option<ServerNameMatch> {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix('*') {
        None if name.is_empty() => parser.refuse("must not be empty"),
        None if name.contains('*') => parser.refuse(format_args!("{name:?}: a wildcard stands for the first label only")),
        None => Some(ServerNameMatch::Exact(name)),
        Some(suffix) if suffix.starts_with('.') && suffix.len() > 1 && !suffix.contains('*') => {
            Some(ServerNameMatch::Suffix(suffix.to_owned()))
        }
        Some(_) => parser.refuse(format_args!("{name:?}: a wildcard is written *.example.com")),
    }
}

/// Whether there are connections that both take with equally specific matches: in each dimension both say nothing, or
/// share a value. Envoy refuses this, as neither would be the better one.
pub fn overlap(one: &ChainMatch, other: &ChainMatch) -> bool {
    one.destination_port == other.destination_port
        && one.transport_protocol == other.transport_protocol
        && one.source_type == other.source_type
        && meet(&one.destination, &other.destination)
        && meet(&one.server_names, &other.server_names)
        && meet(&one.application_protocols, &other.application_protocols)
        && meet(&one.direct_source, &other.direct_source)
        && meet(&one.source, &other.source)
        && meet(&one.source_ports, &other.source_ports)
}

fn meet<T: PartialEq>(one: &[T], other: &[T]) -> bool {
    (one.is_empty() && other.is_empty()) || one.iter().any(|value| other.contains(value))
}
