//! `Cluster` to [`crate::config::cluster::Cluster`].
//!
//! Source of the rules: Envoy's API (`envoy.config.cluster.v3`), its validation rules, and what Envoy 1.40 refuses.
//! What only makes a cluster less available than asked (health checks, outlier detection) is told and accepted.

/// Sockets: keep-alive, source address, options.
pub mod connection;
/// Where endpoints come from.
pub mod discovery;
/// How names are resolved.
pub mod dns;
/// Circuit breakers.
pub mod limits;
/// Balancing policies.
pub mod policy;
/// HTTP versions and their settings.
pub mod protocol;

use std::sync::Arc;
use std::time::Duration;

use xds_proto::envoy::config::cluster::v3 as wire;

use crate::config::ClusterName;
use crate::config::cluster::{Cluster, TlsMatch, UpstreamProtocol};
use crate::config::identity::ClientTls;
use crate::xds::endpoint::labels;
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;
use crate::xds::tls;

/// Envoy's default for `connect_timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Envoy's default for `per_connection_buffer_limit_bytes`: 1 MiB.
const BUFFER_LIMIT: usize = 1 << 20;

/// A `Cluster`.
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Cluster> {
    refuse_fields(cluster, parser);
    tell_ignored(cluster, parser);
    let name = not_empty("name", &cluster.name, parser);
    let discovery = discovery::parse(cluster, parser);
    let policy = policy::parse(cluster, parser);
    let connect_timeout = connect_timeout(cluster, parser);
    let http = protocol::parse(cluster, parser);
    let (limits, high_priority_limits) = limits::parse(cluster.circuit_breakers.as_ref(), parser);
    let sockets = connection::parse(cluster, parser);
    let tls = transport(cluster, parser);
    let tls_matches = transport_matches(cluster, parser);
    let dns = dns::parse(cluster, parser);
    let (name, http, tls) = (name?, http?, tls?);
    // One that could not be read, or whose secrets are still to come, may speak TLS.
    let are_all_read = tls_matches.len() == cluster.transport_socket_matches.len();
    let is_plain = tls.is_none() && are_all_read && tls_matches.iter().all(|entry| entry.tls.is_none());
    if http.protocol == UpstreamProtocol::Auto && is_plain {
        // Envoy refuses it too: without TLS there is nothing to choose the version by.
        return parser.refuse("auto_config needs a TLS transport_socket, which chooses the HTTP version by ALPN");
    }
    let stat_name = if cluster.alt_stat_name.is_empty() { &name } else { &cluster.alt_stat_name };
    Some(Cluster {
        stat_name: stat_name.clone(),
        discovery: discovery?,
        policy: policy?,
        panic_threshold: policy::panic_threshold(cluster.common_lb_config.as_ref(), parser),
        connect_timeout: connect_timeout?,
        protocol: http.protocol,
        http1: http.http1,
        http2: http.http2,
        max_response_headers_bytes: http.common.max_response_headers_bytes,
        max_headers_count: http.common.max_headers_count,
        idle_timeout: http.common.idle_timeout,
        max_connection_duration: http.common.max_connection_duration,
        max_stream_duration: http.common.max_stream_duration,
        max_requests_per_connection: http.common.max_requests_per_connection,
        limits,
        high_priority_limits,
        buffer_limit: buffer_limit(cluster.per_connection_buffer_limit_bytes),
        keepalive: sockets.keepalive,
        source_addresses: sockets.source_addresses,
        socket_options: sockets.socket_options,
        tls: tls.map(|tls| with_auto_sni(tls, http.auto_sni)),
        tls_matches: tls_matches
            .into_iter()
            .map(|entry| TlsMatch { tls: entry.tls.map(|tls| with_auto_sni(tls, http.auto_sni)), ..entry })
            .collect(),
        dns,
        name: ClusterName::from(name),
    })
}

fn refuse_fields(cluster: &wire::Cluster, parser: &mut Parser) {
    parser.unsupported("filters", !cluster.filters.is_empty());
    parser.unsupported("upstream_config", cluster.upstream_config.is_some());
    if cluster.connection_pool_per_downstream_connection {
        // A server that identifies a client by its connection would mix up clients.
        parser.refuse_at::<()>("connection_pool_per_downstream_connection", "not supported: connections are shared between clients");
    }
}

fn tell_ignored(cluster: &wire::Cluster, parser: &mut Parser) {
    for (field, is_set, meaning) in [
        ("health_checks", !cluster.health_checks.is_empty(), "endpoints are not probed, their configured health counts"),
        ("outlier_detection", cluster.outlier_detection.is_some(), "failing endpoints are not ejected"),
        ("metadata", cluster.metadata.is_some(), "only filters that are not supported read it"),
        ("stats_matcher", cluster.stats_matcher.is_some(), "metrics are the same for every cluster"),
        ("track_cluster_stats", cluster.track_cluster_stats.is_some(), "metrics are the same for every cluster"),
        ("track_timeout_budgets", cluster.track_timeout_budgets, "metrics are the same for every cluster"),
        ("lrs_server", cluster.lrs_server.is_some(), "load is not reported"),
        ("lrs_report_endpoint_metrics", !cluster.lrs_report_endpoint_metrics.is_empty(), "load is not reported"),
        ("preconnect_policy", cluster.preconnect_policy.is_some(), "connections are made when they are needed"),
        ("wait_for_warm_on_init", cluster.wait_for_warm_on_init.is_some(), "a cluster always waits for its endpoints"),
        (
            "close_connections_on_host_health_failure",
            cluster.close_connections_on_host_health_failure,
            "connections to an unhealthy endpoint stay until they are idle",
        ),
        ("ignore_health_on_host_removal", cluster.ignore_health_on_host_removal, "removed endpoints always go"),
        (
            "per_connection_buffer_high_watermark_timeout",
            cluster.per_connection_buffer_high_watermark_timeout.is_some(),
            "the idle timeouts hold for a connection that is not read",
        ),
    ] {
        parser.ignored(field, is_set, meaning);
    }
}

fn connect_timeout(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Duration> {
    match parser.duration("connect_timeout", cluster.connect_timeout.as_ref()) {
        Some(Duration::ZERO) => parser.refuse_at("connect_timeout", "must be above 0"),
        Some(timeout) => Some(timeout),
        None => Some(CONNECT_TIMEOUT),
    }
}

/// 0 is no limit, as in Envoy.
fn buffer_limit(bytes: Option<u32>) -> usize {
    match bytes {
        None => BUFFER_LIMIT,
        Some(0) => usize::MAX,
        Some(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
    }
}

/// `None` inside is plain text.
fn transport(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Option<Arc<ClientTls>>> {
    match &cluster.transport_socket {
        None => Some(None),
        Some(socket) => parser.at("transport_socket", |parser| tls::client(socket, parser)),
    }
}

/// What a refused one would have been is not needed: the cluster is refused.
fn transport_matches(cluster: &wire::Cluster, parser: &mut Parser) -> Vec<TlsMatch> {
    parser.each("transport_socket_matches", &cluster.transport_socket_matches, |entry, parser| {
        let labels = parser.at("match", |parser| labels::wanted(entry.r#match.as_ref(), parser));
        let socket = parser.required("transport_socket", entry.transport_socket.as_ref())?;
        let tls = parser.at("transport_socket", |parser| tls::client(socket, parser));
        Some(TlsMatch { labels: labels?, tls: tls? })
    })
}

fn with_auto_sni(tls: Arc<ClientTls>, auto_sni: bool) -> Arc<ClientTls> {
    if !auto_sni || tls.auto_host_sni {
        return tls;
    }
    Arc::new(ClientTls { auto_host_sni: true, ..ClientTls::clone(&tls) })
}

#[cfg(test)]
mod tests;
