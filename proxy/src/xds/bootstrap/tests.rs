use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn filter(kind: &str, config: Value) -> Value {
    let mut config = config;
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.network.{kind}"));
    json!({"name": "f", "typed_config": config})
}

fn listener(name: &str, port: u32, cluster: &str) -> Value {
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [filter("tcp_proxy.v3.TcpProxy", json!({"stat_prefix": "a", "cluster": cluster}))]}],
    })
}

fn cluster(name: &str) -> Value {
    json!({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name}})
}

fn file(listeners: &[Value], clusters: &[Value]) -> Value {
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

fn read(file: &Value) -> Result<(Bootstrap, Vec<String>), String> {
    let (bootstrap, warnings) = parse(file, false, None).map_err(|faults| faults.to_string())?;
    Ok((bootstrap, warnings.iter().map(ToString::to_string).collect()))
}

fn with(field: &str, value: Value) -> Result<(Bootstrap, Vec<String>), String> {
    let mut file = file(&[listener("in", 80, "a")], &[cluster("a")]);
    file[field] = value;
    read(&file)
}

#[test]
fn an_empty_file_is_a_proxy_that_does_nothing() {
    let (bootstrap, warnings) = read(&json!({})).unwrap();
    assert!(bootstrap.snapshot.listeners.is_empty() && bootstrap.admin.is_none() && warnings.is_empty());
}

#[test]
fn listeners_and_clusters_make_a_snapshot() {
    let (bootstrap, _) = with("admin", json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}})).unwrap();
    assert_eq!(bootstrap.snapshot.listeners[0].name.as_str(), "in");
    assert!(bootstrap.snapshot.clusters.contains_key("a"));
    assert_eq!(bootstrap.admin, Some(Address::Ip("127.0.0.1:9901".parse().unwrap())));
}

#[test]
fn a_node_says_who_it_is() {
    let node = json!({"id": "p", "cluster": "shop", "locality": {"zone": "a"}, "metadata": {"NAMESPACE": "x", "n": [1, true]}});
    let node = with("node", node).unwrap().0.node;
    assert_eq!((node.id.as_str(), node.cluster.as_str(), node.locality.zone.as_str()), ("p", "shop", "a"));
    assert_eq!(node.metadata["NAMESPACE"], "x");
}

#[test]
fn faults_of_shape_and_of_meaning_have_paths() {
    let mut shape = file(&[listener("in", 80, "a")], &[]);
    shape["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = json!("many");
    let fault = read(&shape).unwrap_err();
    assert!(fault.starts_with("static_resources.listeners[0].address.socket_address.port_value: "), "{fault}");
    // A cluster that a TCP proxy names may be missing, as in Envoy: its connections are closed.
    let fault = read(&file(&[listener("in", 65_536, "gone"), listener("in", 65_537, "gone")], &[])).unwrap_err();
    let expected = [
        "static_resources.listeners[0].address.socket_address.port_value: 65536 is not between 0 and 65535",
        "static_resources.listeners[1].address.socket_address.port_value: 65537 is not between 0 and 65535",
    ];
    assert_eq!(fault, expected.join("\n"));
}

#[test]
fn names_and_addresses_are_used_once() {
    let fault = read(&file(&[listener("in", 80, "a"), listener("in", 80, "a")], &[cluster("a"), cluster("a")])).unwrap_err();
    let expected = [
        "static_resources.clusters[1].name: there is a cluster \"a\" already",
        "static_resources.listeners[1].name: there is a listener \"in\" already",
        "static_resources.listeners[1].address: 127.0.0.1:80 is taken by listener \"in\"",
    ];
    assert_eq!(fault, expected.join("\n"));
    assert!(read(&file(&[listener("one", 0, "a"), listener("two", 0, "a")], &[cluster("a")])).is_ok());
}

#[test]
fn a_control_plane_is_named_by_its_clusters() {
    let server = |cluster: &str| json!({"envoy_grpc": {"cluster_name": cluster}});
    let ads = |kind: &str| json!({"api_type": kind, "transport_api_version": "V3", "grpc_services": [server("a")]});
    let dynamic = |kind: &str| json!({"ads_config": ads(kind), "cds_config": {"ads": {}}});
    let (bootstrap, warnings) = with("dynamic_resources", dynamic("DELTA_GRPC")).unwrap();
    let found = bootstrap.dynamic.expect("there is one");
    let follows = found.server.unwrap();
    assert!(follows.delta && found.clusters.is_some() && found.listeners.is_none());
    assert_eq!(follows.servers, ["a".into()]);
    assert!(warnings.is_empty());
    assert!(!with("dynamic_resources", dynamic("GRPC")).unwrap().0.dynamic.unwrap().server.unwrap().delta);
    assert!(with("dynamic_resources", json!({})).unwrap().0.dynamic.is_none());

    let fault = |dynamic: Value| with("dynamic_resources", dynamic).unwrap_err();
    let mut two = ads("GRPC");
    two["grpc_services"] = json!([server("a"), server("b")]);
    assert_eq!(
        fault(json!({"ads_config": two})),
        "dynamic_resources.ads_config.grpc_services[1].envoy_grpc.cluster_name: there is no cluster \"b\""
    );
    assert_eq!(fault(json!({"ads_config": ads("REST")})), "dynamic_resources.ads_config.api_type: only GRPC and DELTA_GRPC are supported");
    let mut old = ads("GRPC");
    old["transport_api_version"] = json!("V2");
    assert_eq!(fault(json!({"ads_config": old})), "dynamic_resources.ads_config.transport_api_version: must be V3");
    let nobody = "dynamic_resources.cds_config: there is no server to ask: dynamic_resources.ads_config is not set";
    assert_eq!(fault(json!({"cds_config": {"ads": {}}})), nobody);
}

#[test]
fn runtime_keys_limit_connections() {
    let layer = json!({
        "envoy": {"resource_limits": {"listener": {"in": {"connection_limit": 7}}}},
        "overload.global_downstream_max_connections": "50",
        "envoy.reloadable_features.x": false,
    });
    let (bootstrap, warnings) = with("layered_runtime", json!({"layers": [{"name": "s", "static_layer": layer}]})).unwrap();
    assert_eq!(bootstrap.snapshot.listeners[0].max_connections, Some(7));
    assert_eq!(bootstrap.max_connections, Some(50));
    let expected = "layered_runtime.layers[0].static_layer[\"envoy.reloadable_features.x\"]: ignored: this runtime key has no effect";
    assert_eq!(warnings, [expected]);
    let layer = json!({"overload.global_downstream_max_connections": -1});
    let fault = with("layered_runtime", json!({"layers": [{"name": "s", "static_layer": layer}]})).unwrap_err();
    let expected = "layered_runtime.layers[0].static_layer[\"overload.global_downstream_max_connections\"]: \
                    not a whole number from 0 up";
    assert_eq!(fault, expected);
}

#[test]
fn the_overload_managers_limit_of_connections_holds() {
    let url = "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
    let monitor = json!({"name": "m", "typed_config": {"@type": url, "max_active_downstream_connections": 9}});
    let (bootstrap, _) = with("overload_manager", json!({"resource_monitors": [monitor]})).unwrap();
    assert_eq!(bootstrap.max_connections, Some(9));
}

#[test]
fn a_field_outside_the_slice_is_told_or_under_strict_refused() {
    let mut odd = file(&[listener("in", 80, "a")], &[cluster("a")]);
    odd["static_resources"]["listeners"][0]["nonsense"] = json!(1);
    let (_, warnings) = read(&odd).unwrap();
    assert_eq!(warnings, ["static_resources.listeners[0].nonsense: ignored: no such field"]);
    let fault = parse(&odd, true, None).unwrap_err().to_string();
    assert_eq!(fault, "static_resources.listeners[0].nonsense: no such field");
}

#[test]
fn a_field_that_decides_who_may_connect_is_never_ignored() {
    let mut odd = file(&[listener("in", 80, "a")], &[cluster("a")]);
    odd["static_resources"]["listeners"][0]["filter_chains"][0]["filter_chain_match"] = json!({"sever_names": ["a"]});
    let at = "static_resources.listeners[0].filter_chains[0].filter_chain_match.sever_names";
    assert_eq!(read(&odd).unwrap_err(), format!("{at}: no such field; did you mean server_names?"));
}

#[test]
fn a_type_outside_the_slice_is_refused_once() {
    let mut odd = file(&[listener("in", 80, "a")], &[cluster("a")]);
    odd["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = json!([filter("rbac.v3.RBAC", json!({}))]);
    let fault = read(&odd).unwrap_err();
    assert_eq!(fault.lines().count(), 1, "{fault}");
    let url = "t.example/x.Unheard";
    let sink = json!([{"name": "s", "typed_config": {"@type": url}}]);
    let (_, warnings) = with("stats_sinks", sink).unwrap();
    assert_eq!(warnings, ["stats_sinks: ignored: metrics are read from /stats/prometheus"]);
}

#[test]
fn what_cannot_be_left_out_is_refused_together() {
    let fault = read(&json!({
        "header_prefix": "x-mine",
        "tracing": {"http": {"name": "x"}},
        "admin": {"allow_paths": [{"exact": "/stats"}]},
        "cluster_manager": {"upstream_bind_config": {}},
        "layered_runtime": {"layers": [{"name": "r", "rtds_layer": {}}]},
    }));
    let expected = [
        "header_prefix: not supported",
        "tracing: not supported: use tracing.provider of the connection manager",
        "cluster_manager.upstream_bind_config: not supported",
        "layered_runtime.layers[0].rtds_layer: not supported",
        "admin.allow_paths: not supported",
    ];
    assert_eq!(fault.unwrap_err(), expected.join("\n"));
}

/// JSON that has fields of xDS in it, so that it gets past the first check.
fn anything() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "static_resources",
        "listeners",
        "clusters",
        "secrets",
        "address",
        "socket_address",
        "port_value",
        "filter_chains",
        "filters",
        "typed_config",
        "@type",
        "name",
        "listener_filters",
        "filter_chain_match",
        "server_names",
        "layered_runtime",
        "layers",
        "static_layer",
        "admin",
        "node",
        "metadata",
        "transport_socket",
        "x",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        word.clone().prop_map(Value::from),
        Just(json!("type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")),
        Just(json!("type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

/// A good file in which one value is another.
fn damaged() -> impl Strategy<Value = Value> {
    (anything(), any::<prop::sample::Index>()).prop_map(|(value, place)| {
        let mut file = file(&[listener("in", 80, "a")], &[cluster("a")]);
        let mut pointers = Vec::new();
        collect(&file, String::new(), &mut pointers);
        let pointer = place.get(&pointers).clone();
        *file.pointer_mut(&pointer).unwrap() = value;
        file
    })
}

fn collect(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(value, format!("{pointer}/{name}"), pointers)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| collect(value, format!("{pointer}/{index}"), pointers));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    pointers.push(pointer);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_is_refused_or_read_but_never_panics(file in prop_oneof![anything(), damaged()]) {
        let _ = parse(&file, false, None);
    }
}
