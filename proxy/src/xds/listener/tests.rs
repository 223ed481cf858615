use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::config::listener::{ChainHandler, OriginalSource, ServerNameMatch};
use crate::xds::test_wire::{message, parsed};

fn tcp() -> Value {
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "a",
        "cluster": "a",
    });
    json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": config})
}

fn chain(matches: Value) -> Value {
    json!({"filters": [tcp()], "filter_chain_match": matches})
}

fn listener_filter(kind: &str) -> Value {
    json!({"name": kind, "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.filters.listener.{kind}")}})
}

/// A valid listener but for `changes`; `null` takes a field out.
fn with(changes: Value) -> Result<(Listener, Vec<String>), String> {
    let mut listener = json!({
        "name": "in",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}},
        "filter_chains": [chain(json!({}))],
    });
    let Value::Object(changes) = changes else { panic!("an object") };
    for (name, value) in changes {
        listener[name] = value;
    }
    parsed(|parser| parse(&message(&listener), &Runtime::default(), parser))
}

fn good(changes: Value) -> Listener {
    with(changes).unwrap().0
}

fn fault(changes: Value) -> String {
    with(changes).unwrap_err()
}

fn matched(matches: Value) -> Result<(Listener, Vec<String>), String> {
    with(json!({"filter_chains": [chain(matches)]}))
}

#[test]
fn the_defaults_are_envoys() {
    let listener = good(json!({}));
    assert_eq!(listener.name.as_str(), "in");
    assert!(listener.bind_to_port && listener.reuse_port);
    assert_eq!(listener.buffer_limit, 1024 * 1024);
    assert_eq!(listener.detection.timeout, Some(Duration::from_secs(15)));
    assert_eq!(listener.max_connections, None);
    assert!(matches!(listener.chains[0].handler, ChainHandler::Tcp(_)));
}

#[test]
fn a_listener_without_a_name_is_called_by_its_address() {
    assert_eq!(good(json!({"name": ""})).name.as_str(), "127.0.0.1:80");
}

#[test]
fn an_address_is_required() {
    assert_eq!(fault(json!({"address": null})), "address: required");
}

#[test]
fn an_address_is_listed_once() {
    let more = json!([{"address": {"socket_address": {"address": "127.0.0.1", "port_value": 80}}}]);
    assert_eq!(fault(json!({"additional_addresses": more})), "additional_addresses[0]: 127.0.0.1:80 is listed twice");
}

#[test]
fn a_listener_does_something() {
    assert_eq!(fault(json!({"filter_chains": []})), "filter_chains: at least one is required");
    assert_eq!(fault(json!({"filter_chains": [{"filters": []}]})), "filter_chains[0].filters: at least one is required");
    assert!(with(json!({"filter_chains": [], "default_filter_chain": chain(json!({}))})).is_ok());
}

#[test]
fn the_filter_that_handles_the_connection_is_the_last() {
    let fault = fault(json!({"filter_chains": [{"filters": [tcp(), tcp()]}]}));
    assert_eq!(fault, "filter_chains[0].filters[0]: must be the last filter of its chain");
}

#[test]
fn a_network_filter_that_is_not_available_is_refused() {
    let url = "type.googleapis.com/envoy.extensions.filters.network.ratelimit.v3.RateLimit";
    let limit = json!({"name": "limit", "typed_config": {"@type": url}});
    let expected = format!(
        "filter_chains[0].filters[0].typed_config: network filter of type {url:?} is not available; \
         there are: HttpConnectionManager, TcpProxy, RBAC"
    );
    assert_eq!(fault(json!({"filter_chains": [{"filters": [limit, tcp()]}]})), expected);
    let bare = json!({"filter_chains": [{"filters": [{"name": "envoy.filters.network.tcp_proxy"}]}]});
    assert_eq!(fault(bare), "filter_chains[0].filters[0].typed_config: required");
}

#[test]
fn who_may_connect_is_said_before_what_is_done_with_connections() {
    let url = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC";
    let rbac = |prefix: &str| json!({"name": "rbac", "typed_config": {"@type": url, "stat_prefix": prefix, "rules": {}}});
    let listener = good(json!({"filter_chains": [{"filters": [rbac("a"), rbac("b"), tcp()]}]}));
    let names: Vec<_> = listener.chains[0].access.iter().map(|access| access.stat_prefix.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let last = fault(json!({"filter_chains": [{"filters": [rbac("a")]}]}));
    assert!(last.starts_with("filter_chains[0].filters[0]: must be followed by a filter that does something"), "{last}");
    // One that cannot be read leaves nothing of its chain.
    let fault = fault(json!({"filter_chains": [{"filters": [rbac(""), tcp()]}]}));
    assert_eq!(fault, "filter_chains[0].filters[0].typed_config.stat_prefix: must not be empty");
}

#[test]
fn chains_with_the_same_match_are_refused() {
    let twice = json!({"filter_chains": [chain(json!({})), chain(json!({}))]});
    let expected = "filter_chains[1].filter_chain_match: takes connections that filter_chains[0] takes with the same match";
    assert_eq!(fault(twice), expected);
    let one = json!({"server_names": ["a.example", "b.example"], "destination_port": 1});
    let other = json!({"server_names": ["B.example"], "destination_port": 1});
    assert_eq!(fault(json!({"filter_chains": [chain(one.clone()), chain(other)]})), expected);
    let other = json!({"server_names": ["b.example"], "destination_port": 2});
    assert!(with(json!({"filter_chains": [chain(one), chain(other)]})).is_ok());
}

#[test]
fn server_names_have_one_wildcard_in_front() {
    let (listener, _) = matched(json!({"server_names": ["A.example", "*.b.example"]})).unwrap();
    let expected = [ServerNameMatch::Exact("a.example".to_owned()), ServerNameMatch::Suffix(".b.example".to_owned())];
    assert_eq!(listener.chains[0].matches.server_names, expected);
    let at = "filter_chains[0].filter_chain_match.server_names[0]";
    for (name, problem) in [
        ("www.*.example", "\"www.*.example\": a wildcard stands for the first label only"),
        ("*", "\"*\": a wildcard is written *.example.com"),
        ("*b.example", "\"*b.example\": a wildcard is written *.example.com"),
        ("", "must not be empty"),
    ] {
        assert_eq!(matched(json!({"server_names": [name]})).unwrap_err(), format!("{at}: {problem}"));
    }
}

#[test]
fn a_chain_match_is_refused_where_it_cannot_be_kept() {
    let fault = matched(json!({
        "destination_port": 70_000,
        "transport_protocol": "quic",
        "source_ports": [0],
        "suffix_len": 8,
        "prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 40}],
    }));
    let at = "filter_chains[0].filter_chain_match";
    let expected = [
        "suffix_len: not supported",
        "destination_port: 70000 is not between 1 and 65535",
        "transport_protocol: \"quic\" is neither raw_buffer nor tls",
        "prefix_ranges[0].prefix_len: 40 is longer than 10.0.0.0",
        "source_ports[0]: 0 is not between 1 and 65535",
    ];
    let expected: Vec<String> = expected.iter().map(|problem| format!("{at}.{problem}")).collect();
    assert_eq!(fault.unwrap_err(), expected.join("\n"));
}

#[test]
fn an_enum_value_that_does_not_exist_is_refused() {
    let mut chain: wire::FilterChain = message(&chain(json!({"source_type": "EXTERNAL"})));
    chain.filter_chain_match.as_mut().unwrap().source_type = 7;
    let fault = parsed(|parser| chain::parse(&chain, parser)).unwrap_err();
    assert_eq!(fault, "filter_chain_match.source_type: 7 is not a value of this enum");
}

#[test]
fn listener_filters_are_what_is_detected() {
    let filters = [
        "proxy_protocol.v3.ProxyProtocol",
        "original_dst.v3.OriginalDst",
        "tls_inspector.v3.TlsInspector",
        "http_inspector.v3.HttpInspector",
    ];
    let filters: Vec<Value> = filters.into_iter().map(listener_filter).collect();
    let detection = good(json!({"listener_filters": filters})).detection;
    assert!(detection.proxy_protocol.is_some() && detection.original_dst && detection.tls && detection.http);
}

#[test]
fn endpoints_may_see_the_clients_address() {
    let mut filter = listener_filter("original_src.v3.OriginalSrc");
    assert_eq!(
        good(json!({"listener_filters": [filter.clone()]})).detection.original_src,
        Some(OriginalSource { bind_port: false, mark: 0 })
    );
    filter["typed_config"]["bind_port"] = json!(true);
    filter["typed_config"]["mark"] = json!(1337);
    assert_eq!(good(json!({"listener_filters": [filter]})).detection.original_src, Some(OriginalSource { bind_port: true, mark: 1337 }));
}

#[test]
fn the_proxy_header_comes_first() {
    let filters = [listener_filter("tls_inspector.v3.TlsInspector"), listener_filter("proxy_protocol.v3.ProxyProtocol")];
    let expected = "listener_filters[1].typed_config: must stand before tls_inspector and http_inspector: the PROXY header comes first";
    assert_eq!(fault(json!({"listener_filters": filters})), expected);
}

#[test]
fn a_listener_filter_that_is_not_available_is_refused() {
    let url = "type.googleapis.com/envoy.extensions.filters.listener.x.v3.X";
    let expected = format!(
        "listener_filters[0].typed_config: listener filter of type {url:?} is not available; \
         there are: TlsInspector, HttpInspector, OriginalDst, OriginalSrc, ProxyProtocol"
    );
    assert_eq!(fault(json!({"listener_filters": [listener_filter("x.v3.X")]})), expected);
    let mut partly = listener_filter("tls_inspector.v3.TlsInspector");
    partly["filter_disabled"] = json!({"any_match": true});
    assert_eq!(fault(json!({"listener_filters": [partly]})), "listener_filters[0].filter_disabled: not supported");
}

#[test]
fn the_tls_inspector_is_added_where_matches_need_it() {
    let (listener, warnings) = matched(json!({"server_names": ["a.example"]})).unwrap();
    assert!(listener.detection.tls);
    let expected = "listener_filters: tls_inspector is added: a filter chain matches by server name, application protocol or TLS";
    assert_eq!(warnings, [expected]);
}

#[test]
fn a_detection_timeout_of_0_is_off() {
    assert_eq!(good(json!({"listener_filters_timeout": "0s"})).detection.timeout, None);
}

#[test]
fn buffers_are_bounded() {
    let expected = "per_connection_buffer_limit_bytes: 0 (no limit) is not supported";
    assert_eq!(fault(json!({"per_connection_buffer_limit_bytes": 0})), expected);
}

#[test]
fn a_listener_for_grpc_clients_is_not_for_this_proxy() {
    let expected = "api_listener: not supported: this proxy opens sockets; leave it to gRPC clients";
    assert_eq!(fault(json!({"api_listener": {}})), expected);
}
