use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use prost::{Message, Name};
use xds_proto::any;
use xds_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use xds_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use xds_proto::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, CidrRange, ConfigSource, RuntimeFractionalPercent, SelfConfigSource, SocketAddress,
    address,
};
use xds_proto::envoy::config::listener::v3::AdditionalAddress;
use xds_proto::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use xds_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};

/// A duration; one that is too long for the wire is the longest.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: 315_576_000_000, nanos: 0 })
}

/// No limit.
pub(super) const FOREVER: prost_types::Duration = prost_types::Duration { seconds: 0, nanos: 0 };

/// An address and port.
pub(super) fn socket(address: SocketAddr) -> Address {
    host(address.ip().to_string(), address.port())
}

/// A host name or address, and port.
pub(super) fn host(host: String, port: u16) -> Address {
    let socket = SocketAddress { address: host, port_specifier: Some(PortSpecifier::PortValue(port.into())), ..SocketAddress::default() };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

/// Likewise, where only that kind of address can be.
pub(super) fn socket_address(address: SocketAddr) -> SocketAddress {
    let port_specifier = Some(PortSpecifier::PortValue(address.port().into()));
    SocketAddress { address: address.ip().to_string(), port_specifier, ..SocketAddress::default() }
}

/// The same port of another address, for a listener.
pub(super) fn further(address: SocketAddr) -> AdditionalAddress {
    AdditionalAddress { address: Some(socket(address)), ..AdditionalAddress::default() }
}

/// One address as a range.
pub(super) fn single(address: IpAddr) -> CidrRange {
    CidrRange { address_prefix: address.to_string(), prefix_len: Some(if address.is_ipv4() { 32 } else { 128 }) }
}

/// The server that it comes from.
pub(super) fn this_server() -> ConfigSource {
    let of_itself = SelfConfigSource { transport_api_version: i32::from(ApiVersion::V3) };
    ConfigSource { config_source_specifier: Some(ConfigSourceSpecifier::Self_(of_itself)), ..ConfigSource::default() }
}

/// Asked for on the same stream.
pub(super) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: i32::from(ApiVersion::V3),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource::default())),
        ..ConfigSource::default()
    }
}

/// A message in an `Any`.
pub(super) fn pack<M: Message + Name>(message: &M) -> prost_types::Any {
    any::pack(message)
}

/// An expression.
pub(super) fn regex(expression: &str) -> RegexMatcher {
    RegexMatcher { regex: expression.to_owned(), ..RegexMatcher::default() }
}

/// A text as a whole.
pub(super) fn exactly(text: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(string_matcher::MatchPattern::Exact(text.to_owned())), ..StringMatcher::default() }
}

/// An expression for a text as a whole.
pub(super) fn fits(expression: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(string_matcher::MatchPattern::SafeRegex(regex(expression))), ..StringMatcher::default() }
}

/// A part of all requests, to a millionth.
pub(super) fn share(numerator: u64, denominator: u64) -> RuntimeFractionalPercent {
    let millionths = numerator.saturating_mul(1_000_000).checked_div(denominator).unwrap_or(0);
    let default_value = FractionalPercent {
        numerator: u32::try_from(millionths).unwrap_or(1_000_000).min(1_000_000),
        denominator: i32::from(DenominatorType::Million),
    };
    RuntimeFractionalPercent { default_value: Some(default_value), ..RuntimeFractionalPercent::default() }
}
