mod balancing;
mod discovery;
mod options;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::cluster::{BalancingPolicy, Discovery, DnsFamily, Limits};
use crate::xds::test_wire::{message, parsed};

const TYPE: &str = "type.googleapis.com/envoy.extensions";

/// A cluster that is valid, with some fields changed.
fn with(changes: &Value) -> Value {
    let mut cluster = json!({
        "name": "web",
        "load_assignment": {
            "cluster_name": "web",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]}],
        },
    });
    for (field, value) in changes.as_object().unwrap() {
        cluster[field] = value.clone();
    }
    cluster
}

fn read(changes: &Value) -> Result<(Cluster, Vec<String>), String> {
    let wire = message::<wire::Cluster>(&with(changes));
    parsed(|parser| parse(&wire, parser))
}

fn accepted(changes: &Value) -> Cluster {
    read(changes).unwrap().0
}

fn refused(changes: &Value, problem: &str) {
    assert_eq!(read(changes).unwrap_err(), problem);
}

fn told(changes: &Value, warning: &str) {
    assert_eq!(read(changes).unwrap().1, [warning]);
}

fn typed_policy(name: &str) -> Value {
    json!({"typed_extension_config": {"name": "x", "typed_config": {"@type": format!("{TYPE}.load_balancing_policies.{name}")}}})
}

#[test]
fn a_cluster_has_envoys_defaults() {
    let (cluster, warnings) = read(&json!({})).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(cluster.name.as_str(), "web");
    assert_eq!(cluster.stat_name, "web");
    assert!(matches!(&cluster.discovery, Discovery::Static(assignment) if assignment.localities.len() == 1));
    assert_eq!(cluster.policy, BalancingPolicy::RoundRobin);
    assert_eq!(cluster.panic_threshold, 50);
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.protocol, UpstreamProtocol::Http1);
    assert_eq!((cluster.max_response_headers_bytes, cluster.max_headers_count), (80 * 1024, 100));
    assert_eq!(cluster.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(cluster.max_requests_per_connection, None);
    assert_eq!((cluster.limits, cluster.high_priority_limits), (Limits::default(), Limits::default()));
    assert_eq!(cluster.buffer_limit, 1 << 20);
    assert_eq!(cluster.dns.refresh, Duration::from_secs(5));
    assert!(cluster.tls.is_none());
}

#[test]
fn a_cluster_needs_a_name() {
    refused(&json!({"name": ""}), "name: must not be empty");
}

#[test]
fn the_name_in_metrics_may_differ() {
    assert_eq!(accepted(&json!({"alt_stat_name": "other"})).stat_name, "other");
}

#[test]
fn a_cluster_may_be_empty() {
    assert!(read(&json!({"load_assignment": null})).is_ok());
    assert!(read(&json!({"load_assignment": null, "type": "STRICT_DNS"})).is_ok());
}

#[test]
fn a_connection_takes_some_time() {
    assert_eq!(accepted(&json!({"connect_timeout": "0.25s"})).connect_timeout, Duration::from_millis(250));
    refused(&json!({"connect_timeout": "0s"}), "connect_timeout: must be above 0");
}

#[test]
fn sockets_are_set_up_as_asked() {
    let cluster = accepted(&json!({
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}},
        "upstream_bind_config": {"source_address": {"address": "10.0.0.9", "port_value": 0}},
        "per_connection_buffer_limit_bytes": 0,
    }));
    assert_eq!(cluster.keepalive.unwrap().time, Some(Duration::from_secs(30)));
    assert_eq!(cluster.source_address, Some("10.0.0.9:0".parse().unwrap()));
    assert_eq!(cluster.buffer_limit, usize::MAX);
    let bind = |config: Value| json!({"upstream_bind_config": config});
    refused(&bind(json!({"freebind": true})), "upstream_bind_config.freebind: not supported");
    refused(&bind(json!({"extra_source_addresses": [{}]})), "upstream_bind_config.extra_source_addresses: not supported");
}

#[test]
fn what_decides_whom_a_connection_belongs_to_is_refused() {
    refused(&json!({"transport_socket_matches": [{"name": "x"}]}), "transport_socket_matches: not supported");
    refused(&json!({"filters": [{"name": "x"}]}), "filters: not supported");
    refused(&json!({"upstream_config": {"name": "x"}}), "upstream_config: not supported");
    refused(
        &json!({"connection_pool_per_downstream_connection": true}),
        "connection_pool_per_downstream_connection: not supported: connections are shared between clients",
    );
}

#[test]
fn what_only_makes_a_cluster_more_available_is_told() {
    told(
        &json!({"health_checks": [{"timeout": "1s"}]}),
        "health_checks: ignored: endpoints are not probed, their configured health counts",
    );
    told(&json!({"outlier_detection": {}}), "outlier_detection: ignored: failing endpoints are not ejected");
    told(
        &json!({"common_lb_config": {"locality_weighted_lb_config": {}}}),
        "common_lb_config.locality_weighted_lb_config: ignored: endpoints of a priority are chosen without regard to locality",
    );
}

#[test]
fn all_faults_are_told_together() {
    refused(
        &json!({"name": "", "connect_timeout": "0s", "filters": [{"name": "x"}], "lb_policy": "MAGLEV"}),
        "filters: not supported\nname: must not be empty\nlb_policy: MAGLEV is not supported yet\nconnect_timeout: must be above 0",
    );
}

/// A cluster with much in it. Made once: it takes the descriptors.
static RICH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rich = with(&json!({
        "type": "STRICT_DNS", "lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 4},
        "circuit_breakers": {"thresholds": [{"priority": "HIGH", "retry_budget": {"budget_percent": {"value": 5}}}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 20}},
        "dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "9s"},
        "common_http_protocol_options": {"idle_timeout": "1s", "max_response_headers_kb": 5},
        "http2_protocol_options": {"max_concurrent_streams": 9},
    }));
    prost::Message::encode_to_vec(&message::<wire::Cluster>(&rich))
});

proptest! {
    /// Some bytes changed: whatever still decodes is parsed or refused.
    #[test]
    fn no_cluster_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = RICH.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(wire) = <wire::Cluster as prost::Message>::decode(bytes.as_slice()) {
            drop(parsed(|parser| parse(&wire, parser)));
        }
    }
}
