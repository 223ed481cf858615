//! The bootstrap of a data plane that follows a control plane: Envoy's, which `ninon-proxy` takes, too.

use serde_json::{Value, json};

use crate::control_plane::Dialect;

/// One that finds a control plane at any of these ports.
pub fn bootstrap(servers: &[u16], dialect: Dialect, node: &Value, admin: u16) -> Value {
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    let back_off = json!({ "retry_back_off": { "base_interval": "0.05s", "max_interval": "0.2s" } });
    let endpoints: Vec<_> = servers.iter().map(|port| json!({ "endpoint": { "address": address(*port) } })).collect();
    json!({
        "node": node,
        "admin": { "address": address(admin) },
        "dynamic_resources": {
            "ads_config": {
                "api_type": dialect.api_type(),
                "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "ads", "retry_policy": back_off } }],
            },
            "cds_config": { "ads": {}, "resource_api_version": "V3" },
            "lds_config": { "ads": {}, "resource_api_version": "V3" },
        },
        "static_resources": { "clusters": [{
            "name": "ads",
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
            "load_assignment": { "cluster_name": "ads", "endpoints": [{ "lb_endpoints": endpoints }] },
        }] },
    })
}

/// A port of the loopback address.
pub fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// The sum of the counters of a page `/stats` with such an end.
pub fn sum(stats: &str, end: &str) -> u64 {
    let counters = stats.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| name.ends_with(end));
    counters.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
}
