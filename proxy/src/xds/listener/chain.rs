//! `FilterChain` to `FilterChain`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use prost::Message as _;
use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::CidrRange;
use xds_proto::envoy::config::listener::v3 as wire;
use xds_proto::envoy::config::listener::v3::filter::ConfigType;
use xds_proto::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

use crate::config::address::Cidr;
use crate::config::listener::{ChainHandler, ChainMatch, FilterChain, ServerNameMatch, SourceType, TransportProtocol};
use crate::xds::invalid::Parser;
use crate::xds::{address, http, tcp, tls};

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
    let handler = handler(&chain.filters, parser);
    Some(FilterChain {
        name: chain.name.clone(),
        matches: matches?,
        tls: tls?,
        handshake_timeout,
        handler: handler?,
        fingerprint: fingerprint(chain),
    })
}

/// Metadata is a map, which is written in any order, and has no effect.
fn fingerprint(chain: &wire::FilterChain) -> u64 {
    let mut hasher = DefaultHasher::new();
    wire::FilterChain { metadata: None, ..chain.clone() }.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

/// The last filter is the one that does something with the connection; no other kind is available.
fn handler(filters: &[wire::Filter], parser: &mut Parser) -> Option<ChainHandler> {
    let last = filters.len().checked_sub(1);
    let mut handler = None;
    parser.at("filters", |parser| {
        for (index, filter) in filters.iter().enumerate() {
            handler = parser.at_index(index, |parser| {
                if filter.name.is_empty() {
                    parser.refuse_at::<()>("name", "required");
                }
                let config = match &filter.config_type {
                    None => return parser.refuse_at("typed_config", "required"),
                    Some(ConfigType::ConfigDiscovery(_)) => {
                        return parser.refuse_at("config_discovery", "not supported");
                    }
                    Some(ConfigType::TypedConfig(config)) => config,
                };
                let parsed = parser.at("typed_config", |parser| network_filter(config, parser))?;
                if Some(index) == last { Some(parsed) } else { parser.refuse("must be the last filter of its chain") }
            });
        }
        if last.is_none() {
            return parser.refuse("at least one is required");
        }
        handler
    })
}

fn network_filter(config: &Any, parser: &mut Parser) -> Option<ChainHandler> {
    if any::is::<HttpConnectionManager>(config) {
        let manager = parser.unpack(config)?;
        return http::parse(&manager, parser).map(|manager| ChainHandler::Http(Arc::new(manager)));
    }
    if any::is::<TcpProxy>(config) {
        let proxy = parser.unpack(config)?;
        return tcp::parse(&proxy, parser).map(|proxy| ChainHandler::Tcp(Arc::new(proxy)));
    }
    parser.refuse_type("network filter", config, "HttpConnectionManager, TcpProxy")
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
