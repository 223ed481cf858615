use serde_json::{Value, json};

use super::*;
use crate::config::http::{ClientCert, ClientCertParts, EscapedSlashes, HeaderCase, SchemeSetting, StripPort};
use crate::xds::test_wire::{message, parsed};

fn router() -> Value {
    let config = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    json!({"name": "envoy.filters.http.router", "typed_config": config})
}

/// A valid connection manager but for `changes`; `null` takes a field out.
fn with(changes: Value) -> Result<(HttpConnectionManager, Vec<String>), String> {
    let mut manager = json!({"stat_prefix": "in", "route_config": {"name": "r"}, "http_filters": [router()]});
    let Value::Object(changes) = changes else { panic!("an object") };
    for (name, value) in changes {
        manager[name] = value;
    }
    parsed(|parser| parse(&message(&manager), parser))
}

fn good(changes: Value) -> HttpConnectionManager {
    with(changes).unwrap().0
}

fn fault(changes: Value) -> String {
    with(changes).unwrap_err()
}

#[test]
fn the_defaults_are_envoys() {
    let manager = good(json!({}));
    assert_eq!(manager.codec, CodecChoice::Auto);
    assert_eq!(manager.max_request_headers_bytes, 60 * 1024);
    assert_eq!(manager.max_headers_count, 100);
    assert_eq!(manager.server_name, "envoy");
    assert_eq!(manager.timeouts.idle, Some(Duration::from_secs(3600)));
    assert_eq!(manager.timeouts.stream_idle, Some(Duration::from_secs(300)));
    assert_eq!(manager.timeouts.request, None);
    assert_eq!(manager.timeouts.drain, Duration::from_secs(5));
    assert_eq!(manager.timeouts.delayed_close, Duration::from_secs(1));
    assert!(!manager.forwarded.use_remote_address && manager.forwarded.internal_ranges.is_empty());
    assert!(manager.request_id.generate && manager.request_id.pack_trace_reason);
    assert!(!manager.path.normalize && manager.path.escaped_slashes == EscapedSlashes::Keep);
    assert_eq!(manager.client_cert, ClientCert::Sanitize);
}

#[test]
fn slow_heads_have_a_limit_that_can_be_turned_off() {
    assert_eq!(good(json!({})).timeouts.request_headers, Some(REQUEST_HEADERS_TIMEOUT));
    assert_eq!(good(json!({"request_headers_timeout": "0s"})).timeouts.request_headers, None);
}

#[test]
fn a_timeout_of_0_is_off() {
    let manager = good(json!({"stream_idle_timeout": "0s", "common_http_protocol_options": {"idle_timeout": "0s"}}));
    assert_eq!((manager.timeouts.stream_idle, manager.timeouts.idle), (None, None));
}

#[test]
fn the_router_is_required_and_last() {
    assert_eq!(fault(json!({"http_filters": []})), "http_filters: the last filter must be envoy.filters.http.router");
    let mut second = router();
    second["name"] = json!("again");
    assert_eq!(fault(json!({"http_filters": [router(), second]})), "http_filters[0]: the router must be the last filter");
    let mut disabled = router();
    disabled["disabled"] = json!(true);
    assert_eq!(fault(json!({"http_filters": [disabled]})), "http_filters[0].disabled: the router cannot be disabled");
}

#[test]
fn a_filter_that_is_not_available_refuses_the_listener_unless_it_is_optional() {
    let url = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua";
    let mut lua = json!({"name": "lua", "typed_config": {"@type": url}});
    let expected = format!(
        "http_filters[0].typed_config: HTTP filter of type {url:?} is not available; there are: Router, RBAC, JwtAuthentication, ExtAuthz"
    );
    assert_eq!(fault(json!({"http_filters": [lua, router()]})), expected);
    lua["is_optional"] = json!(true);
    let (_, warnings) = with(json!({"http_filters": [lua, router()]})).unwrap();
    assert_eq!(warnings, [format!("http_filters[0]: skipped: filter of type {url:?} is not available, and is optional")]);
    lua["is_optional"] = json!(false);
    lua["disabled"] = json!(true);
    assert_eq!(fault(json!({"http_filters": [lua, router()]})), expected, "a route may enable it");
    lua["is_optional"] = json!(true);
    assert_eq!(
        fault(json!({"http_filters": [router(), lua]})),
        "http_filters[0]: the router must be the last filter\nhttp_filters[1]: the last filter must be envoy.filters.http.router"
    );
}

#[test]
fn a_filter_has_a_name_of_its_own() {
    let mut nameless = router();
    nameless["name"] = json!("");
    assert_eq!(fault(json!({"http_filters": [nameless]})), "http_filters[0].name: required");
    let lua = json!({"name": "x", "is_optional": true, "typed_config": {"@type": "t.example/x.Lua"}});
    assert_eq!(fault(json!({"http_filters": [lua, lua, router()]})), "http_filters[1].name: \"x\" is used twice");
}

#[test]
fn routes_are_written_in_place_or_come_from_a_server() {
    assert_eq!(fault(json!({"route_config": null})), "one of route_config, rds, scoped_routes must be set");
    let rds = json!({"route_config": null, "rds": {"route_config_name": "r", "config_source": {"ads": {}}}});
    assert_eq!(fault(rds), "rds.config_source: there is no server to ask: dynamic_resources.ads_config is not set");
}

#[test]
fn ports_are_stripped_one_way() {
    assert_eq!(good(json!({"strip_any_host_port": true})).host.strip_port, StripPort::Any);
    assert_eq!(
        fault(json!({"strip_any_host_port": true, "strip_matching_host_port": true})),
        "strip_any_host_port: strip_matching_host_port and strip_any_host_port exclude each other"
    );
}

#[test]
fn the_scheme_is_http_or_https() {
    let scheme = |name: &str| json!({"scheme_header_transformation": {"scheme_to_overwrite": name}});
    assert_eq!(good(scheme("https")).scheme, SchemeSetting::Https);
    let expected = "scheme_header_transformation.scheme_to_overwrite: \"ftp\" is neither http nor https";
    assert_eq!(fault(scheme("ftp")), expected);
}

#[test]
fn upgrades_are_listed_once() {
    let manager = good(json!({"upgrade_configs": [{"upgrade_type": "WebSocket"}, {"upgrade_type": "CONNECT", "enabled": false}]}));
    assert_eq!(manager.upgrades, [("websocket".to_owned(), true), ("connect".to_owned(), false)]);
    let twice = json!({"upgrade_configs": [{"upgrade_type": "websocket"}, {"upgrade_type": "WEBSOCKET"}]});
    assert_eq!(fault(twice), "upgrade_configs[1].upgrade_type: \"websocket\" is listed twice");
    let filters = json!({"upgrade_configs": [{"upgrade_type": "x", "filters": [router()]}]});
    assert_eq!(fault(filters), "upgrade_configs[0].filters: not supported: upgrades pass the listener's own filters");
}

#[test]
fn limits_have_bounds() {
    assert_eq!(fault(json!({"max_request_headers_kb": 8193})), "max_request_headers_kb: 8193 is not between 1 and 8192");
    let options = json!({"common_http_protocol_options": {"max_headers_count": 0}});
    assert_eq!(fault(options), "common_http_protocol_options.max_headers_count: 0 is not at least 1");
    let options = json!({"http2_protocol_options": {"initial_stream_window_size": 65_534, "max_concurrent_streams": 0}});
    let expected = "http2_protocol_options.max_concurrent_streams: 0 is not between 1 and 2147483647\n\
                    http2_protocol_options.initial_stream_window_size: 65534 is not between 65535 and 2147483647";
    assert_eq!(fault(options), expected);
    let options = json!({"http2_protocol_options": {"connection_keepalive": {"interval": "1s"}}});
    assert_eq!(fault(options), "http2_protocol_options.connection_keepalive.timeout: required");
}

#[test]
fn an_enum_value_that_does_not_exist_is_refused() {
    let manager = json!({"stat_prefix": "in", "route_config": {"name": "r"}, "http_filters": [router()]});
    let mut manager: wire::HttpConnectionManager = message(&manager);
    manager.server_header_transformation = 9;
    let expected = "server_header_transformation: 9 is not a value of this enum";
    assert_eq!(parsed(|parser| parse(&manager, parser)).unwrap_err(), expected);
    assert_eq!(fault(json!({"codec_type": "HTTP3"})), "codec_type: HTTP3 is not supported");
}

#[test]
fn header_case_is_kept_or_proper() {
    let format = |format: Value| json!({"http_protocol_options": {"header_key_format": format}});
    assert_eq!(good(format(json!({"proper_case_words": {}}))).http1.header_case, HeaderCase::ProperCase);
    let kept = json!({"@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"});
    let kept = json!({"stateful_formatter": {"name": "preserve_case", "typed_config": kept}});
    assert_eq!(good(format(kept)).http1.header_case, HeaderCase::AsReceived);
}

#[test]
fn local_replies_are_mapped() {
    let mapper = json!({
        "filter": {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": 404}}}},
        "status_code": 410,
        "body": {"inline_string": "gone"},
        "body_format_override": {"json_format": {"message": "%LOCAL_REPLY_BODY%"}},
        "headers_to_add": [{"header": {"key": "x-a", "value": "b"}}],
    });
    let reply = good(json!({"local_reply_config": {"mappers": [mapper]}})).local_reply;
    assert_eq!(reply.mappers[0].status, Some(410));
    assert_eq!(reply.mappers[0].body_format.as_ref().unwrap().content_type, "application/json");
    let fault = fault(json!({"local_reply_config": {"mappers": [{"status_code": 100}]}}));
    let expected = "local_reply_config.mappers[0].filter: required\n\
                    local_reply_config.mappers[0].status_code: 100 is not between 200 and 599";
    assert_eq!(fault, expected);
}

#[test]
fn what_decides_about_clients_is_refused_rather_than_forgotten() {
    let changes = json!({
        "original_ip_detection_extensions": [{"name": "x", "typed_config": {"@type": "t.example/x.Y"}}],
        "early_header_mutation_extensions": [{"name": "x", "typed_config": {"@type": "t.example/x.Y"}}],
        "set_current_client_cert_details": {"format": "JSON"},
        "represent_ipv4_remote_address_as_ipv4_mapped_ipv6": true,
    });
    let expected = "original_ip_detection_extensions: not supported\n\
                    early_header_mutation_extensions: not supported\n\
                    represent_ipv4_remote_address_as_ipv4_mapped_ipv6: not supported\n\
                    set_current_client_cert_details.format: only TEXT is supported";
    assert_eq!(fault(changes), expected);
}

#[test]
fn what_is_told_of_a_client_is_read() {
    let of = |details: &str| {
        let told = json!({"subject": true, "dns": true, "chain": true});
        let (manager, warnings) = with(json!({"forward_client_cert_details": details, "set_current_client_cert_details": told})).unwrap();
        (manager.client_cert, warnings.len())
    };
    let parts = ClientCertParts { subject: true, hosts: true, chain: true, ..ClientCertParts::default() };
    assert_eq!(of("SANITIZE_SET"), (ClientCert::Set(parts), 0));
    assert_eq!(of("APPEND_FORWARD"), (ClientCert::Append(parts), 0));
    assert_eq!(of("FORWARD_ONLY"), (ClientCert::Forward, 1), "what is told then is told nobody");
    assert_eq!(of("ALWAYS_FORWARD_ONLY"), (ClientCert::AlwaysForward, 1));
}

#[test]
fn a_header_value_must_be_one() {
    let expected = "via: \"a\\nb\" cannot stand in a header\nserver_name: \"\\0\" cannot stand in a header";
    assert_eq!(fault(json!({"via": "a\nb", "server_name": "\u{0}"})), expected);
}

#[test]
fn what_has_no_effect_is_told() {
    let (_, warnings) = with(json!({"append_local_overload": true})).unwrap();
    let expected = ["append_local_overload: ignored: x-envoy-local-overloaded is not written"];
    assert_eq!(warnings, expected);
}
