use std::net::SocketAddr;
use std::time::Duration;

use prost_types::Duration as WireDuration;
use xds_proto::any;
use xds_proto::envoy::config::cluster::v3 as wire;
use xds_proto::envoy::config::cluster::v3::cluster::{DnsLookupFamily, RefreshRate};
use xds_proto::envoy::config::core::v3::{Address as WireAddress, DnsResolverOptions, TypedExtensionConfig};
use xds_proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use xds_proto::envoy::extensions::network::dns_resolver::getaddrinfo::v3::GetAddrInfoDnsResolverConfig;

use crate::config::address::Address;
use crate::config::cluster::{Dns, DnsFamily};
use crate::config::endpoint::Target;
use crate::xds::address;
use crate::xds::invalid::Parser;

/// Envoy's default for `dns_refresh_rate`.
const REFRESH: Duration = Duration::from_secs(5);

/// Envoy's rule: intervals are longer than this.
const TOO_SHORT: Duration = Duration::from_millis(1);

/// Envoy's default for `dns_failure_refresh_rate.max_interval`, in first intervals.
const MAX_INTERVAL_FACTOR: u32 = 10;

/// The fields that say how names are resolved. They are checked for every type of cluster, as in Envoy.
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Dns {
    let family = parser.choice("dns_lookup_family", cluster.dns_lookup_family).map_or(DnsFamily::Auto, family);
    let refresh = interval("dns_refresh_rate", cluster.dns_refresh_rate.as_ref(), parser).unwrap_or(REFRESH);
    let failure = cluster.dns_failure_refresh_rate.as_ref();
    let failure = failure.and_then(|rate| parser.at("dns_failure_refresh_rate", |parser| failure_refresh(rate, parser)));
    let jitter = parser.duration("dns_jitter", cluster.dns_jitter.as_ref()).unwrap_or_default();
    let (resolvers, use_tcp) = servers(cluster, parser).unwrap_or_default();
    Dns { refresh, failure_refresh: failure, respect_ttl: cluster.respect_dns_ttl, jitter, family, resolvers, use_tcp }
}

fn family(family: DnsLookupFamily) -> DnsFamily {
    match family {
        DnsLookupFamily::Auto => DnsFamily::Auto,
        DnsLookupFamily::V4Only => DnsFamily::V4Only,
        DnsLookupFamily::V6Only => DnsFamily::V6Only,
        DnsLookupFamily::V4Preferred => DnsFamily::V4Preferred,
        DnsLookupFamily::All => DnsFamily::All,
    }
}

fn interval(field: &'static str, wire: Option<&WireDuration>, parser: &mut Parser) -> Option<Duration> {
    let interval = parser.duration(field, wire)?;
    if interval <= TOO_SHORT {
        return parser.refuse_at(field, format_args!("{interval:?} is not above {TOO_SHORT:?}"));
    }
    Some(interval)
}

fn failure_refresh(rate: &RefreshRate, parser: &mut Parser) -> Option<(Duration, Duration)> {
    parser.required("base_interval", rate.base_interval.as_ref())?;
    let base = interval("base_interval", rate.base_interval.as_ref(), parser)?;
    let max = match &rate.max_interval {
        None => base.saturating_mul(MAX_INTERVAL_FACTOR),
        set => interval("max_interval", set.as_ref(), parser)?,
    };
    if max < base {
        return parser.refuse_at("max_interval", "must not be shorter than base_interval");
    }
    Some((base, max))
}

/// Servers to ask, and whether over TCP. The newest of the three ways to write them counts, as in Envoy.
fn servers(cluster: &wire::Cluster, parser: &mut Parser) -> Option<(Vec<SocketAddr>, bool)> {
    if let Some(typed) = &cluster.typed_dns_resolver_config {
        return parser.at("typed_dns_resolver_config", |parser| typed_servers(typed, parser));
    }
    if let Some(config) = &cluster.dns_resolution_config {
        return parser.at("dns_resolution_config", |parser| {
            let use_tcp = options(config.dns_resolver_options, parser);
            Some((parser.each("resolvers", &config.resolvers, server), use_tcp))
        });
    }
    Some((parser.each("dns_resolvers", &cluster.dns_resolvers, server), cluster.use_tcp_for_dns_lookups))
}

fn typed_servers(typed: &TypedExtensionConfig, parser: &mut Parser) -> Option<(Vec<SocketAddr>, bool)> {
    let packed = parser.required("typed_config", typed.typed_config.as_ref())?;
    parser.at("typed_config", |parser| {
        if any::is::<GetAddrInfoDnsResolverConfig>(packed) {
            // The system's servers, which is what no server at all means.
            return Some((Vec::new(), false));
        }
        if !any::is::<CaresDnsResolverConfig>(packed) {
            let available = "CaresDnsResolverConfig, GetAddrInfoDnsResolverConfig";
            return parser.refuse_type("DNS resolver", packed, available);
        }
        let config = parser.unpack::<CaresDnsResolverConfig>(packed)?;
        tell_ignored(&config, parser);
        let use_tcp = options(config.dns_resolver_options, parser);
        Some((parser.each("resolvers", &config.resolvers, server), use_tcp))
    })
}

fn tell_ignored(config: &CaresDnsResolverConfig, parser: &mut Parser) {
    let own_way = "the resolver does this its own way";
    for (field, is_set) in [
        ("use_resolvers_as_fallback", config.use_resolvers_as_fallback),
        ("filter_unroutable_families", config.filter_unroutable_families),
        ("udp_max_queries", config.udp_max_queries.is_some()),
        ("query_timeout_seconds", config.query_timeout_seconds.is_some()),
        ("query_tries", config.query_tries.is_some()),
        ("rotate_nameservers", config.rotate_nameservers),
        ("edns0_max_payload_size", config.edns0_max_payload_size.is_some()),
        ("max_udp_channel_duration", config.max_udp_channel_duration.is_some()),
        ("reinit_channel_on_timeout", config.reinit_channel_on_timeout),
        ("qcache_max_ttl", config.qcache_max_ttl.is_some()),
    ] {
        parser.ignored(field, is_set, own_way);
    }
}

fn options(options: Option<DnsResolverOptions>, parser: &mut Parser) -> bool {
    let options = options.unwrap_or_default();
    parser.at("dns_resolver_options", |parser| {
        let plain = options.no_default_search_domain;
        parser.ignored("no_default_search_domain", plain, "the system's search domains are used");
    });
    options.use_tcp_for_dns_lookups
}

fn server(wire: &WireAddress, parser: &mut Parser) -> Option<SocketAddr> {
    match address::target(wire, false, parser)? {
        Target::Address(Address::Ip(address)) => Some(address),
        Target::Address(Address::Unix(_)) | Target::Name { .. } => parser.refuse("a DNS server has an IP address"),
    }
}
