//! Addresses, ranges and socket settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::address::Address as Kind;
use xds_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use xds_proto::envoy::config::core::v3::socket_option::Value as OptionValue;

use crate::config::address::{Address, Cidr, SocketOption, SocketOptionValue, SocketState, TcpKeepalive};
use crate::config::endpoint::Target;
use crate::config::listener::ListenAddress;
use crate::xds::invalid::Parser;

/// The longest path of a Unix socket that Linux takes, without the final zero (`sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

/// Where a listener listens: an IP address, port 0 for one that the system picks, or a Unix socket.
pub fn listen(address: &wire::Address, parser: &mut Parser) -> Option<ListenAddress> {
    match kind(address, parser)? {
        Kind::SocketAddress(socket) => parser.at("socket_address", |parser| {
            let address = Address::Ip(SocketAddr::new(ip(socket, parser)?, any_port(socket, parser)?));
            Some(ListenAddress { address, ipv4_compat: socket.ipv4_compat, unix_mode: 0 })
        }),
        Kind::Pipe(pipe) => parser.at("pipe", |parser| {
            let address = Address::Unix(path(pipe, parser)?);
            Some(ListenAddress { address, ipv4_compat: false, unix_mode: mode(pipe, parser)? })
        }),
        Kind::EnvoyInternalAddress(_) => parser.refuse_at("envoy_internal_address", "not supported"),
    }
}

/// Where a peer is reached: an address with a port, a Unix socket, or a name and port where `names` allows it.
pub fn target(address: &wire::Address, names: bool, parser: &mut Parser) -> Option<Target> {
    match kind(address, parser)? {
        Kind::SocketAddress(socket) => parser.at("socket_address", |parser| {
            let port = port(socket, parser);
            if names && !socket.address.is_empty() && socket.address.parse::<IpAddr>().is_err() {
                common(socket, parser);
                return Some(Target::Name { host: socket.address.clone(), port: port? });
            }
            Some(Target::Address(Address::Ip(SocketAddr::new(ip(socket, parser)?, port?))))
        }),
        Kind::Pipe(pipe) => parser.at("pipe", |parser| Some(Target::Address(Address::Unix(path(pipe, parser)?)))),
        Kind::EnvoyInternalAddress(_) => parser.refuse_at("envoy_internal_address", "not supported"),
    }
}

/// A local address to connect from: an IP address, port 0 for any.
pub fn source(socket: &wire::SocketAddress, parser: &mut Parser) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip(socket, parser)?, any_port(socket, parser)?))
}

fn kind<'a>(address: &'a wire::Address, parser: &mut Parser) -> Option<&'a Kind> {
    match &address.address {
        None => parser.refuse("one of socket_address, pipe must be set"),
        Some(kind) => Some(kind),
    }
}

fn ip(socket: &wire::SocketAddress, parser: &mut Parser) -> Option<IpAddr> {
    common(socket, parser);
    match socket.address.parse() {
        Ok(ip) => Some(ip),
        Err(_) => parser.refuse_at("address", format_args!("{:?} is not an IP address", socket.address)),
    }
}

fn common(socket: &wire::SocketAddress, parser: &mut Parser) {
    if socket.protocol != i32::from(wire::socket_address::Protocol::Tcp) {
        parser.refuse_at::<()>("protocol", "only TCP is supported");
    }
    parser.unsupported("resolver_name", !socket.resolver_name.is_empty());
    parser.unsupported("network_namespace_filepath", !socket.network_namespace_filepath.is_empty());
}

/// A port from 0 to 65535.
fn any_port(socket: &wire::SocketAddress, parser: &mut Parser) -> Option<u16> {
    match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) => match u16::try_from(*port) {
            Ok(port) => Some(port),
            Err(_) => parser.refuse_at("port_value", format_args!("{port} is not between 0 and 65535")),
        },
        Some(PortSpecifier::NamedPort(_)) => parser.refuse_at("named_port", "not supported"),
        None => parser.refuse_at("port_value", "required"),
    }
}

/// A port from 1 to 65535.
fn port(socket: &wire::SocketAddress, parser: &mut Parser) -> Option<u16> {
    match any_port(socket, parser)? {
        0 => parser.refuse_at("port_value", "0 is not between 1 and 65535"),
        port => Some(port),
    }
}

fn path(pipe: &wire::Pipe, parser: &mut Parser) -> Option<PathBuf> {
    match pipe.path.len() {
        0 => parser.refuse_at("path", "required"),
        1..=LONGEST_SOCKET_PATH => Some(PathBuf::from(&pipe.path)),
        length => parser.refuse_at("path", format_args!("{length} bytes are longer than {LONGEST_SOCKET_PATH}")),
    }
}

fn mode(pipe: &wire::Pipe, parser: &mut Parser) -> Option<u32> {
    if pipe.mode > 0o777 {
        return parser.refuse_at("mode", format_args!("{} is above 511 (octal 777)", pipe.mode));
    }
    if pipe.mode != 0 && pipe.path.starts_with('@') {
        return parser.refuse_at("mode", "a socket in the abstract namespace (@) has no mode");
    }
    Some(pipe.mode)
}

/// An address range. A missing length is 0: every address of the family.
pub fn cidr(range: &wire::CidrRange, parser: &mut Parser) -> Option<Cidr> {
    let Ok(network) = range.address_prefix.parse() else {
        return parser.refuse_at("address_prefix", format_args!("{:?} is not an IP address", range.address_prefix));
    };
    let length = range.prefix_len.unwrap_or(0);
    let cidr = u8::try_from(length).ok().and_then(|length| Cidr::new(network, length));
    cidr.or_else(|| parser.refuse_at("prefix_len", format_args!("{length} is longer than {network}")))
}

/// Keep-alive probes.
pub fn keepalive(keepalive: &wire::TcpKeepalive, parser: &mut Parser) -> TcpKeepalive {
    let mut positive = |field, value: Option<u32>| match value {
        Some(0) => parser.refuse_at(field, "0 is not above 0"),
        value => value,
    };
    TcpKeepalive {
        probes: positive("keepalive_probes", keepalive.keepalive_probes),
        time: positive("keepalive_time", keepalive.keepalive_time).map(seconds),
        interval: positive("keepalive_interval", keepalive.keepalive_interval).map(seconds),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}

/// A socket option by number.
pub fn socket_option(option: &wire::SocketOption, parser: &mut Parser) -> Option<SocketOption> {
    use wire::socket_option::SocketState as State;
    parser.unsupported("type", option.r#type.is_some());
    parser.unsupported("ip_version", option.ip_version != 0);
    let level = number("level", option.level, parser);
    let name = number("name", option.name, parser);
    let value = match &option.value {
        Some(OptionValue::IntValue(value)) => number("int_value", *value, parser).map(SocketOptionValue::Int),
        Some(OptionValue::BufValue(bytes)) => Some(SocketOptionValue::Bytes(bytes.to_vec())),
        None => parser.refuse("one of int_value, buf_value must be set"),
    };
    let state = match parser.choice("state", option.state)? {
        State::StatePrebind => SocketState::Prebind,
        State::StateBound => SocketState::Bound,
        State::StateListening => SocketState::Listening,
    };
    Some(SocketOption { level: level?, name: name?, value: value?, state })
}

fn number(field: &'static str, value: i64, parser: &mut Parser) -> Option<i32> {
    let number = i32::try_from(value).ok();
    number.or_else(|| parser.refuse_at(field, format_args!("{value} does not fit 32 bits")))
}

#[cfg(test)]
mod tests;
