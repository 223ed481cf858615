use serde_json::{Value, json};

use super::*;
use crate::xds::test_wire::{message, parsed};

fn with(change: Value) -> Result<(TcpProxy, Vec<String>), String> {
    let mut proxy = json!({"stat_prefix": "db", "cluster": "db"});
    let Value::Object(changes) = change else { panic!("an object") };
    for (name, value) in changes {
        proxy[name] = value;
    }
    parsed(|parser| parse(&message(&proxy), parser))
}

#[test]
fn a_cluster_is_enough() {
    let (proxy, warnings) = with(json!({})).unwrap();
    assert!(matches!(proxy.destination, TcpDestination::Cluster(name) if name.as_str() == "db"));
    assert_eq!(proxy.idle_timeout, Some(IDLE_TIMEOUT));
    assert_eq!(proxy.max_connect_attempts, 1);
    assert!(warnings.is_empty());
}

#[test]
fn an_idle_timeout_of_0_is_off() {
    assert_eq!(with(json!({"idle_timeout": "0s"})).unwrap().0.idle_timeout, None);
}

#[test]
fn weights_are_above_0_and_add_up() {
    let weighted = |weights: &[u32]| {
        let clusters: Vec<Value> = weights.iter().map(|weight| json!({"name": "a", "weight": weight})).collect();
        with(json!({"cluster": null, "weighted_clusters": {"clusters": clusters}}))
    };
    assert!(matches!(weighted(&[1, 99]).unwrap().0.destination, TcpDestination::Weighted(split) if split.total() == 100));
    assert_eq!(weighted(&[1, 0]).unwrap_err(), "weighted_clusters.clusters[1].weight: 0 is not at least 1");
    let fault = weighted(&[u32::MAX, 1]).unwrap_err();
    assert_eq!(fault, "weighted_clusters.clusters: the weights add up to more than 4294967295");
    assert_eq!(weighted(&[]).unwrap_err(), "weighted_clusters.clusters: at least one is required");
}

#[test]
fn what_cannot_be_left_out_is_refused_together() {
    let fault = with(json!({
        "stat_prefix": "",
        "max_connect_attempts": 0,
        "tunneling_config": {"hostname": "x"},
        "metadata_match": {},
        "upstream_connect_mode": "ON_DOWNSTREAM_DATA",
        "max_early_data_bytes": 1,
        "proxy_protocol_tlvs": [{"type": 1}],
        "max_downstream_connection_duration": "0s",
        "cluster": "",
    }));
    let expected = [
        "metadata_match: not supported",
        "tunneling_config: not supported",
        "proxy_protocol_tlvs: not supported",
        "max_early_data_bytes: not supported",
        "upstream_connect_mode: only IMMEDIATE is supported",
        "stat_prefix: required",
        "max_connect_attempts: 0 is not at least 1",
        "max_downstream_connection_duration: less than 1 ms",
        "cluster: required",
    ];
    assert_eq!(fault.unwrap_err(), expected.join("\n"));
}

#[test]
fn a_destination_is_required() {
    assert_eq!(with(json!({"cluster": null})).unwrap_err(), "one of cluster, weighted_clusters must be set");
}

#[test]
fn what_has_no_effect_is_told() {
    let (_, warnings) = with(json!({"hash_policy": [{"source_ip": {}}]})).unwrap();
    assert_eq!(warnings, ["hash_policy: ignored: no balancing policy here hashes connections"]);
}
