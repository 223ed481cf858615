//! A case's configuration fragment becomes a whole Envoy bootstrap.
//!
//! Both proxies get the same bytes but for the ports.

use crate::case::{Case, Protocol};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// What the placeholders of a bootstrap stand for.
pub type Places = BTreeMap<String, String>;

/// The bootstrap of `case` as JSON, placeholders filled in.
pub fn render(case: &Case, config: &Value, places: &Places) -> String {
    fill(&build(case, config).to_string(), places)
}

/// Replaces `"{{port}}"` by the number and `{{name}}` within a string by the text.
fn fill(text: &str, places: &Places) -> String {
    let mut text = text.to_owned();
    for (name, value) in places {
        let place = format!("{{{{{name}}}}}");
        if value.parse::<u16>().is_ok() {
            text = text.replace(&format!("\"{place}\""), value);
        }
        text = text.replace(&place, value);
    }
    text
}

fn build(case: &Case, config: &Value) -> Value {
    let chains: Vec<Value> = match config.get("filter_chains") {
        Some(Value::Array(chains)) => chains.iter().map(|chain| filter_chain(case, chain)).collect(),
        _ => vec![filter_chain(case, config)],
    };
    let mut listener = json!({
        "name": "main",
        "address": address("{{listener}}"),
        "filter_chains": chains,
    });
    if let Some(chain) = config.get("default_chain") {
        set(&mut listener, "default_filter_chain", filter_chain(case, chain));
    }
    if let Some(Value::Array(names)) = config.get("listener_filters") {
        set(&mut listener, "listener_filters", names.iter().map(listener_filter).collect());
    }
    merge(&mut listener, config.get("listener"));
    let clusters: Vec<Value> = case
        .upstreams
        .iter()
        .map(|(name, upstream)| cluster(name, upstream.protocol, config.get("clusters").and_then(|all| all.get(name))))
        .collect();
    let extra = config.get("extra_clusters").and_then(Value::as_array).cloned().unwrap_or_default();
    let clusters = [clusters, extra].concat();
    let mut whole = json!({
        "node": {"id": "differential", "cluster": "differential"},
        "admin": {"address": address("{{admin}}")},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    });
    merge(&mut whole, config.get("bootstrap"));
    whole
}

/// One filter chain from the keys `match`, `tcp`, or `hcm` and its shorter forms.
fn filter_chain(case: &Case, config: &Value) -> Value {
    let mut chain = json!({});
    for (key, field) in [("match", "filter_chain_match"), ("name", "name")] {
        if let Some(value) = config.get(key) {
            set(&mut chain, field, value.clone());
        }
    }
    let filter = config.get("tcp").map_or_else(|| connection_manager(case, config), tcp_proxy);
    let filters: Vec<_> = filters(config.get("network_filters"), "network").into_iter().chain([filter]).collect();
    set(&mut chain, "filters", json!(filters));
    merge(&mut chain, config.get("chain"));
    chain
}

/// Filters by their type, before the last one: `- rbac: {...}`, with a `name` beside it where a route speaks of it.
fn filters(list: Option<&Value>, kind: &str) -> Vec<Value> {
    let entries = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
    let filter = |entry: &serde_json::Map<String, Value>| {
        let (module, fields) = entry.iter().find(|(_, value)| value.is_object())?;
        let message = match module.as_str() {
            "rbac" => "RBAC",
            "ext_authz" => "ExtAuthz",
            "jwt_authn" => "JwtAuthentication",
            // Refused by either proxy.
            _ => "Unknown",
        };
        let mut typed = json!({"@type": format!("{TYPES}.filters.{kind}.{module}.v3.{message}")});
        merge(&mut typed, Some(fields));
        let mut whole = json!({"name": module, "typed_config": typed});
        for (key, value) in entry.iter().filter(|(key, _)| *key != module) {
            set(&mut whole, key, value.clone());
        }
        Some(whole)
    };
    entries.filter_map(filter).collect()
}

fn tcp_proxy(fields: &Value) -> Value {
    let mut typed = json!({"@type": format!("{TYPES}.filters.network.tcp_proxy.v3.TcpProxy"), "stat_prefix": "tcp"});
    merge(&mut typed, Some(fields));
    access_log(&mut typed, fields);
    json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": typed})
}

fn connection_manager(case: &Case, config: &Value) -> Value {
    let mut router = json!({"@type": format!("{TYPES}.filters.http.router.v3.Router")});
    merge(&mut router, config.get("router"));
    let router = json!({"name": "envoy.filters.http.router", "typed_config": router});
    let http_filters: Vec<_> = filters(config.get("http_filters"), "http").into_iter().chain([router]).collect();
    let mut routes = json!({"name": "local", "virtual_hosts": virtual_hosts(case, config)});
    merge(&mut routes, config.get("route_config"));
    let mut typed = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http",
        // Envoy's second is too long to wait for in every case that ends in a close.
        "delayed_close_timeout": "0.05s",
        "route_config": routes,
        "http_filters": http_filters,
    });
    merge(&mut typed, config.get("hcm"));
    access_log(&mut typed, config);
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": typed})
}

fn virtual_hosts(case: &Case, config: &Value) -> Value {
    if let Some(hosts) = config.get("virtual_hosts") {
        return hosts.clone();
    }
    let first = case.upstreams.keys().next().cloned().unwrap_or_else(|| "none".to_owned());
    let everything = json!([{"match": {"prefix": "/"}, "route": {"cluster": first}}]);
    let routes = config.get("routes").cloned().unwrap_or(everything);
    let mut host = json!({"name": "all", "domains": ["*"], "routes": routes});
    merge(&mut host, config.get("virtual_host"));
    json!([host])
}

/// `access_log: FORMAT` is a file log in that format.
fn access_log(typed: &mut Value, config: &Value) {
    let Some(format) = config.get("access_log").filter(|format| !format.is_array()) else {
        return;
    };
    let format = match format {
        Value::String(text) => {
            json!({"text_format_source": {"inline_string": format!("{text}\n")}})
        }
        fields => fields.clone(),
    };
    let log = json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": format!("{TYPES}.access_loggers.file.v3.FileAccessLog"),
            "path": "{{log}}",
            "log_format": format,
        },
    });
    set(typed, "access_log", json!([log]));
}

fn listener_filter(filter: &Value) -> Value {
    let (name, fields) = match filter {
        Value::Object(one) => one.iter().next().map_or(("", None), |(name, fields)| (name.as_str(), Some(fields))),
        name => (name.as_str().unwrap_or_default(), None),
    };
    let message = match name {
        "tls_inspector" => "TlsInspector",
        "http_inspector" => "HttpInspector",
        "original_dst" => "OriginalDst",
        "proxy_protocol" => "ProxyProtocol",
        // Refused by either proxy, as a mutant's filter without a name is to be.
        _ => "Unknown",
    };
    let mut typed = json!({"@type": format!("{TYPES}.filters.listener.{name}.v3.{message}")});
    merge(&mut typed, fields);
    json!({"name": format!("envoy.filters.listener.{name}"), "typed_config": typed})
}

/// A static cluster of one upstream; `endpoints: [a, b]` names others.
fn cluster(name: &str, protocol: Protocol, config: Option<&Value>) -> Value {
    let own = vec![json!(name)];
    let members = config.and_then(|fields| fields.get("endpoints")).and_then(Value::as_array).unwrap_or(&own);
    let endpoints: Vec<_> = members.iter().map(endpoint).collect();
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    });
    if protocol == Protocol::Http2 {
        let options = json!({
            "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
            "explicit_http_config": {"http2_protocol_options": {}},
        });
        let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        set(&mut cluster, "typed_extension_protocol_options", json!({key: options}));
    }
    merge(&mut cluster, config);
    if let Some(fields) = cluster.as_object_mut() {
        fields.remove("endpoints");
    }
    cluster
}

fn endpoint(member: &Value) -> Value {
    match member {
        Value::String(name) => {
            json!({"endpoint": {"address": address(&format!("{{{{upstream.{name}}}}}"))}})
        }
        fields => fields.clone(),
    }
}

fn address(port: &str) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn set(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

/// Lays `over` on `base`: objects field by field, all else replaced, null removes.
fn merge(base: &mut Value, over: Option<&Value>) {
    match (base, over) {
        (_, None) => {}
        (Value::Object(base), Some(Value::Object(over))) => {
            for (key, value) in over {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), Some(value));
                }
            }
        }
        (base, Some(over)) => *base = over.clone(),
    }
}
