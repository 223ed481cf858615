//! `Listener` to `Listener`.

/// Filter chains: filters, transport socket, match.
pub mod chain;
/// Listener filters: what is learnt before a chain is chosen.
pub mod detection;
/// Whether a chain has changed.
mod fingerprint;

use std::sync::Arc;

use xds_proto::envoy::config::core::v3::{SocketOption as WireOption, TrafficDirection};
use xds_proto::envoy::config::listener::v3 as wire;

use crate::config::ListenerName;
use crate::config::listener::{Direction, FilterChain, ListenAddress, Listener};
use crate::xds::bootstrap::Runtime;
use crate::xds::invalid::Parser;
use crate::xds::{access_log, address};

/// As Envoy.
const BUFFER_LIMIT: u32 = 1024 * 1024;
/// As Envoy, which takes the system's `net.core.somaxconn` where nothing is said: the kernel cuts this to that.
const BACKLOG: u32 = 4096;

/// Parses a listener.
pub fn parse(listener: &wire::Listener, runtime: &Runtime, parser: &mut Parser) -> Option<Listener> {
    if listener.api_listener.is_some() {
        return parser.refuse_at("api_listener", "not supported: this proxy opens sockets; leave it to gRPC clients");
    }
    tell_ignored(listener, parser);
    let addresses = addresses(listener, parser);
    let detection = detection::parse(listener, parser);
    let chains = chains(listener, parser);
    let default_chain = match &listener.default_filter_chain {
        None => Some(None),
        Some(wire) => parser.at("default_filter_chain", |parser| {
            let matches = wire.filter_chain_match.is_some();
            parser.ignored("filter_chain_match", matches, "the default chain takes what no other takes");
            chain::parse(wire, parser).map(|chain| Some(Arc::new(chain)))
        }),
    };
    if listener.filter_chains.is_empty() && listener.default_filter_chain.is_none() {
        parser.refuse_at::<()>("filter_chains", "at least one is required");
    }
    let buffer_limit = match listener.per_connection_buffer_limit_bytes {
        Some(0) => parser.refuse_at("per_connection_buffer_limit_bytes", "0 (no limit) is not supported"),
        limit => usize::try_from(limit.unwrap_or(BUFFER_LIMIT)).ok(),
    };
    let access_log = parser.each("access_log", &listener.access_log, access_log::parse);
    let socket_options = socket_options(&listener.socket_options, parser);
    let keepalive = listener.tcp_keepalive.as_ref();
    let keepalive = keepalive.map(|wire| parser.at("tcp_keepalive", |parser| address::keepalive(wire, parser)));
    let direction = direction(listener.traffic_direction, parser);
    let addresses = addresses?;
    let name = name(listener, &addresses);
    Some(Listener {
        max_connections: runtime.connection_limit(name.as_str()),
        name,
        addresses,
        bind_to_port: listener.bind_to_port.unwrap_or(true),
        reuse_port: listener.enable_reuse_port.unwrap_or(true),
        backlog: listener.tcp_backlog_size.unwrap_or(BACKLOG),
        freebind: listener.freebind.unwrap_or(false),
        transparent: listener.transparent.unwrap_or(false),
        fast_open_queue: listener.tcp_fast_open_queue_length.unwrap_or(0),
        socket_options,
        keepalive,
        use_original_dst: listener.use_original_dst.unwrap_or(false),
        detection: detection?,
        chains,
        default_chain: default_chain?,
        buffer_limit: buffer_limit?,
        direction: direction?,
        access_log,
        stat_prefix: (!listener.stat_prefix.is_empty()).then(|| listener.stat_prefix.clone()),
    })
}

fn tell_ignored(listener: &wire::Listener, parser: &mut Parser) {
    let even = "connections are handed to the workers evenly";
    parser.ignored("connection_balance_config", listener.connection_balance_config.is_some(), even);
    let batches = listener.max_connections_to_accept_per_socket_event.is_some();
    parser.ignored("max_connections_to_accept_per_socket_event", batches, "the batch is fixed");
    parser.ignored("ignore_global_conn_limit", listener.ignore_global_conn_limit, "the limit holds for every listener");
    parser.ignored("bypass_overload_manager", listener.bypass_overload_manager, "the limits hold for every listener");
    parser.ignored("stats_matcher", listener.stats_matcher.is_some(), "series are made when first touched");
    parser.ignored(
        "per_connection_buffer_high_watermark_timeout",
        listener.per_connection_buffer_high_watermark_timeout.is_some(),
        "a stalled stream ends by stream_idle_timeout",
    );
    let drain = listener.drain_type != i32::from(wire::listener::DrainType::Default);
    parser.ignored("drain_type", drain, "a listener drains when it is changed, removed, or on demand");
    parser.ignored("reuse_port", listener.reuse_port, "replaced by enable_reuse_port");
}

fn addresses(listener: &wire::Listener, parser: &mut Parser) -> Option<Vec<ListenAddress>> {
    let first = parser.required("address", listener.address.as_ref());
    let first = first.and_then(|wire| parser.at("address", |parser| address::listen(wire, parser)));
    let more = parser.each("additional_addresses", &listener.additional_addresses, |additional, parser| {
        parser.unsupported("socket_options", additional.socket_options.is_some());
        parser.unsupported("tcp_keepalive", additional.tcp_keepalive.is_some());
        let wire = parser.required("address", additional.address.as_ref())?;
        parser.at("address", |parser| address::listen(wire, parser))
    });
    let mut addresses = vec![first?];
    for (index, address) in more.into_iter().enumerate() {
        if addresses.contains(&address) {
            let problem = format_args!("{} is listed twice", address.address);
            parser.at("additional_addresses", |parser| parser.at_index(index, |parser| parser.refuse::<()>(problem)));
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn name(listener: &wire::Listener, addresses: &[ListenAddress]) -> ListenerName {
    match (listener.name.as_str(), addresses.first()) {
        ("", Some(first)) => ListenerName::from(first.address.to_string()),
        (name, _) => ListenerName::from(name),
    }
}

fn socket_options(options: &[WireOption], parser: &mut Parser) -> Vec<crate::config::address::SocketOption> {
    parser.each("socket_options", options, address::socket_option)
}

fn direction(direction: i32, parser: &mut Parser) -> Option<Direction> {
    Some(match parser.choice("traffic_direction", direction)? {
        TrafficDirection::Unspecified => Direction::Unspecified,
        TrafficDirection::Inbound => Direction::Inbound,
        TrafficDirection::Outbound => Direction::Outbound,
    })
}

fn chains(listener: &wire::Listener, parser: &mut Parser) -> Vec<Arc<FilterChain>> {
    let mut parsed: Vec<(usize, Arc<FilterChain>)> = Vec::new();
    let mut position = 0_usize;
    parser.each("filter_chains", &listener.filter_chains, |wire, parser| {
        let index = position;
        position = position.saturating_add(1);
        let chain = Arc::new(chain::parse(wire, parser)?);
        if let Some((other, _)) = parsed.iter().find(|(_, other)| chain::overlap(&other.matches, &chain.matches)) {
            let problem = format_args!("takes connections that filter_chains[{other}] takes with the same match");
            parser.refuse_at::<()>("filter_chain_match", problem);
        }
        parsed.push((index, Arc::clone(&chain)));
        Some(chain)
    })
}

#[cfg(test)]
mod tests;
