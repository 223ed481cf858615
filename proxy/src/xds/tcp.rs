//! `TcpProxy` to `TcpProxy`.

use std::time::Duration;

use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3 as wire;
use xds_proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;

use crate::config::ClusterName;
use crate::config::route::Split;
use crate::config::tcp::{TcpDestination, TcpProxy};
use crate::xds::access_log;
use crate::xds::invalid::Parser;

/// As Envoy: a connection on which nothing moved for an hour has most likely lost its peer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// As Envoy: one dial. Another endpoint is tried only where the operator asks for it.
const CONNECT_ATTEMPTS: u32 = 1;

/// Parses a TCP proxy.
pub fn parse(proxy: &wire::TcpProxy, parser: &mut Parser) -> Option<TcpProxy> {
    refuse_unsupported(proxy, parser);
    tell_ignored(proxy, parser);
    if proxy.stat_prefix.is_empty() {
        parser.refuse_at::<()>("stat_prefix", "required");
    }
    let attempts = match proxy.max_connect_attempts {
        Some(0) => parser.refuse_at("max_connect_attempts", "0 is not at least 1"),
        attempts => Some(attempts.unwrap_or(CONNECT_ATTEMPTS)),
    };
    let lifetime = parser.duration("max_downstream_connection_duration", proxy.max_downstream_connection_duration.as_ref());
    if lifetime.is_some_and(|lifetime| lifetime < Duration::from_millis(1)) {
        parser.refuse_at::<()>("max_downstream_connection_duration", "less than 1 ms");
    }
    let destination = destination(proxy, parser);
    Some(TcpProxy {
        stat_prefix: proxy.stat_prefix.clone(),
        idle_timeout: parser.limit("idle_timeout", proxy.idle_timeout.as_ref(), Some(IDLE_TIMEOUT)),
        max_connection_duration: lifetime,
        access_log: parser.each("access_log", &proxy.access_log, access_log::parse),
        destination: destination?,
        max_connect_attempts: attempts?,
    })
}

fn destination(proxy: &wire::TcpProxy, parser: &mut Parser) -> Option<TcpDestination> {
    match &proxy.cluster_specifier {
        None => parser.refuse("one of cluster, weighted_clusters must be set"),
        Some(ClusterSpecifier::Cluster(name)) => named("cluster", name, parser).map(TcpDestination::Cluster),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => parser.at("weighted_clusters", |parser| {
            let entries = parser.each("clusters", &weighted.clusters, |entry, parser| {
                let name = named("name", &entry.name, parser);
                parser.unsupported("metadata_match", entry.metadata_match.is_some());
                if entry.weight == 0 {
                    return parser.refuse_at("weight", "0 is not at least 1");
                }
                Some((name?, entry.weight))
            });
            if weighted.clusters.is_empty() {
                return parser.refuse_at("clusters", "at least one is required");
            }
            if entries.len() < weighted.clusters.len() {
                return None;
            }
            let split = Split::new(entries).map(TcpDestination::Weighted);
            split.or_else(|| parser.refuse_at("clusters", "the weights add up to more than 4294967295"))
        }),
    }
}

/// As Envoy: that there is such a cluster is seen when a connection wants it.
fn named(field: &'static str, name: &str, parser: &mut Parser) -> Option<ClusterName> {
    if name.is_empty() { parser.refuse_at(field, "required") } else { Some(ClusterName::from(name)) }
}

fn refuse_unsupported(proxy: &wire::TcpProxy, parser: &mut Parser) {
    parser.unsupported("metadata_match", proxy.metadata_match.is_some());
    parser.unsupported("tunneling_config", proxy.tunneling_config.is_some());
    parser.unsupported("proxy_protocol_tlvs", !proxy.proxy_protocol_tlvs.is_empty());
    parser.unsupported("max_early_data_bytes", proxy.max_early_data_bytes.is_some());
    if proxy.upstream_connect_mode != i32::from(wire::UpstreamConnectMode::Immediate) {
        parser.refuse_at::<()>("upstream_connect_mode", "only IMMEDIATE is supported");
    }
}

fn tell_ignored(proxy: &wire::TcpProxy, parser: &mut Parser) {
    parser.ignored("hash_policy", !proxy.hash_policy.is_empty(), "no balancing policy here hashes connections");
    parser.ignored("backoff_options", proxy.backoff_options.is_some(), "the next endpoint is tried at once");
    parser.ignored(
        "max_downstream_connection_duration_jitter_percentage",
        proxy.max_downstream_connection_duration_jitter_percentage.is_some(),
        "the duration is kept exactly",
    );
    let one_line = "one line is written when the connection ends";
    parser.ignored("access_log_flush_interval", proxy.access_log_flush_interval.is_some(), one_line);
    parser.ignored("flush_access_log_on_connected", proxy.flush_access_log_on_connected, one_line);
    parser.ignored("access_log_options", proxy.access_log_options.is_some(), one_line);
    parser.ignored("check_drain_close", proxy.check_drain_close.is_some(), "connections are kept until the drain deadline");
    let one_timeout = "idle_timeout counts both directions";
    parser.ignored("downstream_idle_timeout", proxy.downstream_idle_timeout.is_some(), one_timeout);
    parser.ignored("upstream_idle_timeout", proxy.upstream_idle_timeout.is_some(), one_timeout);
}

#[cfg(test)]
mod tests;
