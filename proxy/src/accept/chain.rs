use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::address::{Address, Cidr};
use crate::config::listener::{FilterChain, Listener, ServerNameMatch, SourceType, TransportProtocol};

/// What is known of a connection when its chain is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where it was going.
    pub destination: &'a Address,
    /// The peer of the socket.
    pub peer: &'a Address,
    /// The client.
    pub client: &'a Address,
    /// SNI, lower case.
    pub server_name: Option<&'a str>,
    /// Whether a ClientHello was seen.
    pub transport: TransportProtocol,
    /// ALPN offered, or the HTTP version seen.
    pub application_protocols: &'a [String],
}

/// The most specific chain: the criteria are tried in the order of the specification, and each keeps only the chains that
/// fit it best (`envoy.config.listener.v3.FilterChainMatch`). Without any, the default chain.
pub fn select<'a>(listener: &'a Listener, facts: &Facts<'_>) -> Option<&'a Arc<FilterChain>> {
    let mut left: Vec<&Arc<FilterChain>> = listener.chains.iter().collect();
    for criterion in CRITERIA {
        let best = left.iter().filter_map(|chain| criterion(chain, facts)).max();
        left.retain(|chain| best.is_some() && criterion(chain, facts) == best);
    }
    left.first().copied().or(listener.default_chain.as_ref())
}

/// How well a chain fits one criterion; `None` does not fit, 0 does not ask.
type Criterion = fn(&FilterChain, &Facts<'_>) -> Option<usize>;

const CRITERIA: [Criterion; 9] = [
    |chain, facts| match chain.matches.destination_port {
        None => Some(0),
        Some(port) => socket(facts.destination).is_some_and(|address| address.port() == port).then_some(1),
    },
    |chain, facts| longest(&chain.matches.destination, ip(facts.destination)),
    |chain, facts| server_name(&chain.matches.server_names, facts.server_name),
    |chain, facts| match chain.matches.transport_protocol {
        None => Some(0),
        Some(wanted) => (wanted == facts.transport).then_some(1),
    },
    |chain, facts| {
        let wanted = &chain.matches.application_protocols;
        let fits = || wanted.iter().any(|name| facts.application_protocols.contains(name));
        if wanted.is_empty() { Some(0) } else { fits().then_some(1) }
    },
    |chain, facts| longest(&chain.matches.direct_source, ip(facts.peer)),
    |chain, facts| source_type(chain.matches.source_type, facts),
    |chain, facts| longest(&chain.matches.source, ip(facts.client)),
    |chain, facts| {
        let ports = &chain.matches.source_ports;
        let fits = || socket(facts.client).is_some_and(|address| ports.contains(&address.port()));
        if ports.is_empty() { Some(0) } else { fits().then_some(1) }
    },
];

fn socket(address: &Address) -> Option<SocketAddr> {
    match address {
        Address::Ip(address) => Some(*address),
        Address::Unix(_) => None,
    }
}

fn ip(address: &Address) -> Option<IpAddr> {
    socket(address).map(|address| address.ip())
}

/// One more than the longest prefix that holds the address.
fn longest(ranges: &[Cidr], address: Option<IpAddr>) -> Option<usize> {
    if ranges.is_empty() {
        return Some(0);
    }
    let address = address?;
    let lengths = ranges.iter().filter(|range| range.contains(address)).map(|range| usize::from(range.length()).saturating_add(1));
    lengths.max()
}

/// An exact name beats every suffix; of suffixes the longest wins.
fn server_name(names: &[ServerNameMatch], asked: Option<&str>) -> Option<usize> {
    if names.is_empty() {
        return Some(0);
    }
    let asked = asked?;
    let fit = |name: &ServerNameMatch| match name {
        ServerNameMatch::Exact(exact) => (exact == asked).then_some(usize::MAX),
        ServerNameMatch::Suffix(suffix) => (asked.len() > suffix.len() && asked.ends_with(suffix)).then_some(suffix.len()),
    };
    names.iter().filter_map(fit).max()
}

fn source_type(wanted: SourceType, facts: &Facts<'_>) -> Option<usize> {
    let same = match (ip(facts.client), ip(facts.destination)) {
        (Some(client), Some(destination)) => client == destination || client.is_loopback(),
        _ => matches!(facts.client, Address::Unix(_)),
    };
    match wanted {
        SourceType::Any => Some(0),
        SourceType::SameIpOrLoopback => same.then_some(1),
        SourceType::External => (!same).then_some(1),
    }
}
