use std::time::Duration;

use http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use xds_proto::envoy::config::route::v3 as wire;

use super::{matches, read_route, route_refused, route_told, with};
use crate::config::Fraction;
use crate::config::matcher::MatchedName;
use crate::config::route::{
    ClusterChoice, Forward, HashBy, HostRewrite, PathRewrite, Priority, Redirect, RedirectPath, RouteAction, TemplatePart, WeightedTarget,
};
use crate::xds::test_wire::{message, parsed};

fn action(changes: &Value) -> Value {
    json!({"route": with(json!({"cluster": "web"}), changes)})
}

fn read(changes: Value) -> Forward {
    forward(&action(&changes))
}

fn forward(changes: &Value) -> Forward {
    let RouteAction::Forward(forward) = &read_route(changes).unwrap().0.action else { panic!("of another kind") };
    Forward::clone(forward)
}

fn refused(changes: Value, problem: &str) {
    route_refused(&action(&changes), &format!("route.{problem}"));
}

#[test]
fn an_action_has_envoys_defaults() {
    let forward = read(json!({}));
    assert!(matches!(&forward.cluster, ClusterChoice::Cluster(name) if name.as_str() == "web"));
    assert_eq!(forward.cluster_not_found, StatusCode::SERVICE_UNAVAILABLE);
    assert!(matches!(forward.path_rewrite, PathRewrite::Keep) && matches!(forward.host_rewrite, HostRewrite::Keep));
    assert_eq!(forward.timeouts.response, Some(Duration::from_secs(15)));
    assert_eq!((forward.timeouts.idle, forward.timeouts.max_stream), (None, None));
    assert_eq!((forward.timeouts.grpc_max, forward.timeouts.grpc_offset), (None, Duration::ZERO));
    assert_eq!(forward.priority, Priority::Default);
    assert!(forward.retry.is_none() && forward.mirrors.is_none());
}

#[test]
fn a_cluster_is_named_in_one_of_three_ways() {
    let by_header = forward(&json!({"route": {"cluster_header": ":authority"}}));
    assert!(matches!(by_header.cluster, ClusterChoice::Header(name) if name == http::header::HOST));
    route_refused(&json!({"route": {}}), "route: one of cluster, cluster_header, weighted_clusters is required");
    refused(json!({"cluster": ""}), "cluster: required");
    route_refused(&json!({"route": {"cluster_header": ""}}), "route.cluster_header: must not be empty");
    route_refused(&json!({"route": {"cluster_specifier_plugin": "x"}}), "route.cluster_specifier_plugin: not supported");
    route_refused(&json!({"route": {"inline_cluster_specifier_plugin": {}}}), "route.inline_cluster_specifier_plugin: not supported");
}

fn weighted(rest: Value) -> Value {
    json!({"route": {"weighted_clusters": rest}})
}

#[test]
fn a_split_is_read() {
    let parts = json!([
        {"name": "a", "weight": 1, "request_headers_to_remove": ["x"], "host_rewrite_literal": "h"},
        {"cluster_header": "x-b", "weight": 3},
        {"name": "c", "weight": 0},
    ]);
    let forward = forward(&weighted(json!({"clusters": parts, "header_name": "x-draw"})));
    let ClusterChoice::Weighted(split) = forward.cluster else { panic!("{:?}", forward.cluster) };
    assert_eq!(split.draw_header, Some(HeaderName::from_static("x-draw")));
    assert_eq!(split.split.total(), 4);
    let (first, weight) = &split.split.entries()[0];
    assert_eq!((*weight, first.request_headers.remove.len()), (1, 1));
    assert_eq!(first.host_rewrite.as_ref().unwrap(), "h");
    assert_eq!(split.split.entries()[1].0.cluster, WeightedTarget::Header(HeaderName::from_static("x-b")));
}

#[test]
fn the_weights_of_a_split_have_a_sum() {
    let sum = "route.weighted_clusters.clusters: the sum of weights must be between 1 and 4294967295";
    route_refused(&weighted(json!({"clusters": [{"name": "a", "weight": 0}]})), sum);
    let heavy = json!([{"name": "a", "weight": u32::MAX}, {"name": "b", "weight": 1}]);
    route_refused(&weighted(json!({"clusters": heavy})), sum);
    route_refused(&weighted(json!({"clusters": []})), "route.weighted_clusters.clusters: at least one is required");
    let place = "route.weighted_clusters.clusters[0]";
    route_refused(&weighted(json!({"clusters": [{"name": "a"}]})), &format!("{place}.weight: required"));
    route_refused(&weighted(json!({"clusters": [{"weight": 1}]})), &format!("{place}: one of name, cluster_header is required"));
    route_refused(
        &weighted(json!({"clusters": [{"name": "a", "cluster_header": "b", "weight": 1}]})),
        &format!("{place}: only one of name, cluster_header may be set"),
    );
}

#[test]
fn what_a_split_asks_in_vain_is_told() {
    let one = json!([{"name": "a", "weight": 1}]);
    route_told(
        &weighted(json!({"clusters": one, "total_weight": 5})),
        "route.weighted_clusters.total_weight: ignored: the total is the sum of the weights, as in Envoy",
    );
    route_told(
        &weighted(json!({"clusters": one, "runtime_key_prefix": "x"})),
        "route.weighted_clusters.runtime_key_prefix: ignored: there is no runtime, the weights always count",
    );
    route_told(
        &weighted(json!({"clusters": one, "use_hash_policy": true})),
        "route.weighted_clusters.use_hash_policy: ignored: the part is drawn at random",
    );
}

#[test]
fn a_missing_cluster_has_an_answer() {
    assert_eq!(read(json!({"cluster_not_found_response_code": "NOT_FOUND"})).cluster_not_found, StatusCode::NOT_FOUND);
    let internal = read(json!({"cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}));
    assert_eq!(internal.cluster_not_found, StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_path_is_rewritten_in_one_way() {
    assert!(matches!(read(json!({"prefix_rewrite": "/x"})).path_rewrite, PathRewrite::Prefix(prefix) if prefix == "/x"));
    let regex = json!({"pattern": {"regex": "a(b)"}, "substitution": "\\1"});
    assert!(matches!(read(json!({"regex_rewrite": regex})).path_rewrite, PathRewrite::Regex(_)));
    route_refused(
        &action(&json!({"prefix_rewrite": "/x", "regex_rewrite": regex})),
        "route: only one of prefix_rewrite, regex_rewrite, path_rewrite_policy may be set",
    );
    refused(json!({"regex_rewrite": {}}), "regex_rewrite.pattern: required");
    refused(json!({"prefix_rewrite": "/\n"}), "prefix_rewrite: \"/\\n\" cannot stand in a header");
    refused(json!({"path_rewrite": "/x"}), "path_rewrite: not supported");
}

#[test]
fn a_path_is_built_from_a_template() {
    let policy = |template: &str| {
        let kind = "type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";
        json!({"name": "r", "typed_config": {"@type": kind, "path_template_rewrite": template}})
    };
    let route = |template: &str| {
        let matched = json!({"name": "t", "typed_config": {"@type": matches::TEMPLATE, "path_template": "/{a}"}});
        with(action(&json!({"path_rewrite_policy": policy(template)})), &json!({"match": {"path_match_policy": matched}}))
    };
    let PathRewrite::Template(parts) = forward(&route("/x/{a}")).path_rewrite else { panic!("no template") };
    assert_eq!(parts, [TemplatePart::Literal("/x/".to_owned()), TemplatePart::Capture(0)]);
    let place = "route.path_rewrite_policy.typed_config";
    route_refused(&route("/{b}"), &format!("{place}.path_template_rewrite: the path's template has no variable \"b\""));
    route_refused(
        &action(&json!({"path_rewrite_policy": policy("/x")})),
        &format!("{place}: needs a route that matches by a path_match_policy with a URI template"),
    );
}

#[test]
fn a_host_is_rewritten_in_one_way() {
    let host = |changes: Value| read(changes).host_rewrite;
    assert!(matches!(host(json!({"host_rewrite_literal": "h"})), HostRewrite::Literal(host) if host == "h"));
    assert!(matches!(host(json!({"host_rewrite_literal": ""})), HostRewrite::Keep));
    assert!(matches!(host(json!({"auto_host_rewrite": true})), HostRewrite::Auto));
    assert!(matches!(host(json!({"auto_host_rewrite": false})), HostRewrite::Keep));
    assert!(matches!(host(json!({"host_rewrite_header": "X-H"})), HostRewrite::Header(name) if name == "x-h"));
    let regex = json!({"pattern": {"regex": "^/(.+)/.+$"}, "substitution": "\\1"});
    assert!(matches!(host(json!({"host_rewrite_path_regex": regex})), HostRewrite::PathRegex(_)));
    refused(json!({"host_rewrite": "x"}), "host_rewrite: not supported");
    refused(json!({"host_rewrite_literal": "a\r\nb"}), "host_rewrite_literal: \"a\\r\\nb\" cannot stand in a header");
}

#[test]
fn timeouts_are_read_and_0_is_off() {
    let timeouts = read(json!({
        "timeout": "0s", "idle_timeout": "0s",
        "max_stream_duration": {"max_stream_duration": "3s", "grpc_timeout_header_max": "0s", "grpc_timeout_header_offset": "1s"},
    }))
    .timeouts;
    assert_eq!((timeouts.response, timeouts.idle), (None, Some(None)));
    assert_eq!(timeouts.max_stream, Some(Some(Duration::from_secs(3))));
    assert_eq!((timeouts.grpc_max, timeouts.grpc_offset), (Some(Duration::ZERO), Duration::from_secs(1)));
    let older = read(json!({"max_grpc_timeout": "7s", "grpc_timeout_offset": "2s"})).timeouts;
    assert_eq!((older.grpc_max, older.grpc_offset), (Some(Duration::from_secs(7)), Duration::from_secs(2)));
}

#[test]
fn upgrades_are_read_once_each() {
    let configs =
        json!([{"upgrade_type": "WebSocket"}, {"upgrade_type": "CONNECT", "enabled": false, "connect_config": {"allow_post": true}}]);
    let upgrades = read(json!({"upgrade_configs": configs})).upgrades;
    assert_eq!((upgrades[0].protocol.as_str(), upgrades[0].enabled, upgrades[0].connect_terminate), ("websocket", true, false));
    assert!(!upgrades[1].enabled && upgrades[1].connect_terminate && upgrades[1].allow_post);
    let of = |configs: Value| json!({"upgrade_configs": configs});
    refused(of(json!([{}])), "upgrade_configs[0].upgrade_type: must not be empty");
    refused(of(json!([{"upgrade_type": "a"}, {"upgrade_type": "A"}])), "upgrade_configs[1].upgrade_type: \"a\" is there already");
    refused(
        of(json!([{"upgrade_type": "websocket", "connect_config": {}}])),
        "upgrade_configs[0].connect_config: is for CONNECT, not for \"websocket\"",
    );
    refused(
        of(json!([{"upgrade_type": "connect", "connect_config": {"proxy_protocol_config": {}}}])),
        "upgrade_configs[0].connect_config.proxy_protocol_config: not supported",
    );
}

#[test]
fn mirrors_are_read() {
    let policies =
        json!([{"cluster": "copy", "runtime_fraction": {"default_value": {"numerator": 5}}, "disable_shadow_host_suffix_append": true}]);
    let mirrors = read(json!({"request_mirror_policies": policies})).mirrors.unwrap();
    assert_eq!((mirrors[0].fraction, mirrors[0].keep_host), (Fraction::per_million(50_000), true));
    let of = |policy: Value| json!({"request_mirror_policies": [policy]});
    assert_eq!(read(of(json!({"cluster_header": "x"}))).mirrors.unwrap()[0].fraction, Fraction::ALL);
    let place = "request_mirror_policies[0]";
    refused(of(json!({})), &format!("{place}: one of cluster, cluster_header is required"));
    refused(of(json!({"cluster": "a", "cluster_header": "b"})), &format!("{place}: only one of cluster, cluster_header may be set"));
    refused(of(json!({"cluster": "a", "host_rewrite_literal": "h"})), &format!("{place}.host_rewrite_literal: not supported"));
}

#[test]
fn hash_policies_are_read() {
    let hash = read(json!({"hash_policy": [
        {"header": {"header_name": ":path"}, "terminal": true}, {"cookie": {"name": "c", "ttl": "0s", "path": "/"}},
        {"connection_properties": {"source_ip": true}}, {"connection_properties": {}}, {"query_parameter": {"name": "q"}},
    ]}))
    .hash;
    assert_eq!(hash.len(), 4);
    assert!(hash[0].terminal && matches!(&hash[0].by, HashBy::Header(MatchedName::Path)));
    assert!(matches!(&hash[1].by, HashBy::Cookie { ttl: Some(Duration::ZERO), .. }));
    assert!(matches!(hash[2].by, HashBy::SourceIp));
    let of = |policy: Value| json!({"hash_policy": [policy]});
    let ways = "header, cookie, connection_properties, query_parameter, filter_state";
    refused(of(json!({})), &format!("hash_policy[0]: one of {ways} is required"));
    refused(of(json!({"header": {}})), "hash_policy[0].header.header_name: must not be empty");
    refused(of(json!({"cookie": {}})), "hash_policy[0].cookie.name: must not be empty");
    refused(of(json!({"query_parameter": {}})), "hash_policy[0].query_parameter.name: must not be empty");
    let regex = json!({"pattern": {"regex": "a"}});
    refused(of(json!({"header": {"header_name": "a", "regex_rewrite": regex}})), "hash_policy[0].header.regex_rewrite: not supported");
}

#[test]
fn what_decides_who_may_do_what_is_refused() {
    refused(json!({"rate_limits": [{}]}), "rate_limits: not supported");
    refused(json!({"cors": {}}), "cors: not supported");
    let following = "redirects are answered to the client: following them is not supported";
    refused(json!({"internal_redirect_policy": {}}), &format!("internal_redirect_policy: {following}"));
    refused(json!({"internal_redirect_action": "HANDLE_INTERNAL_REDIRECT"}), &format!("internal_redirect_action: {following}"));
    refused(json!({"retry_policy_typed_config": {}}), "retry_policy_typed_config: not supported");
}

#[test]
fn what_an_action_asks_in_vain_is_told() {
    let told = |changes: Value, warning: &str| route_told(&action(&changes), &format!("route.{warning}"));
    told(json!({"hedge_policy": {}}), "hedge_policy: ignored: requests are not hedged, a slow attempt is only retried");
    told(json!({"metadata_match": {}}), "metadata_match: ignored: clusters have no subsets, any endpoint may be taken");
    told(json!({"early_data_policy": {}}), "early_data_policy: ignored: no request is sent as early data");
    told(json!({"flush_timeout": "1s"}), "flush_timeout: ignored: the idle timeout holds for the end of a stream too");
}

#[test]
fn an_unknown_priority_is_refused() {
    assert_eq!(read(json!({"priority": "HIGH"})).priority, Priority::High);
    let wire = wire::RouteAction { priority: 7, ..message(&json!({"cluster": "web"})) };
    let problem = parsed(|parser| crate::xds::route::action::forward(&wire, None, parser)).unwrap_err();
    assert_eq!(problem, "priority: 7 is not a value of this enum");
}

fn redirect(changes: Value) -> Redirect {
    let RouteAction::Redirect(redirect) = &read_route(&json!({"redirect": changes})).unwrap().0.action else { panic!("of another kind") };
    Redirect::clone(redirect)
}

#[test]
fn redirects_are_read() {
    let plain = redirect(json!({}));
    assert_eq!(plain.status, StatusCode::MOVED_PERMANENTLY);
    assert!(plain.scheme.is_none() && plain.host.is_none() && plain.port.is_none() && !plain.strip_query);
    assert!(matches!(plain.path, RedirectPath::Keep));
    let full = redirect(json!({
        "https_redirect": true, "host_redirect": "h", "port_redirect": 8443, "prefix_rewrite": "/x",
        "response_code": "PERMANENT_REDIRECT", "strip_query": true,
    }));
    assert_eq!((full.scheme.as_deref(), full.host.as_deref(), full.port), (Some("https"), Some("h"), Some(8443)));
    assert_eq!((full.status, full.strip_query), (StatusCode::PERMANENT_REDIRECT, true));
    assert!(matches!(full.path, RedirectPath::Prefix(prefix) if prefix == "/x"));
    assert!(matches!(redirect(json!({"path_redirect": "/p?q"})).path, RedirectPath::Replace(path) if path == "/p?q"));
    assert!(matches!(redirect(json!({"path_redirect": ""})).path, RedirectPath::Keep));
    let regex = json!({"pattern": {"regex": "a"}, "substitution": "b"});
    assert!(matches!(redirect(json!({"regex_rewrite": regex})).path, RedirectPath::Regex(_)));
    assert_eq!(redirect(json!({"scheme_redirect": "ws"})).scheme.as_deref(), Some("ws"));
}

#[test]
fn wrong_redirects_are_refused() {
    let refused = |changes: Value, problem: &str| route_refused(&json!({"redirect": changes}), &format!("redirect.{problem}"));
    refused(json!({"port_redirect": 65536}), "port_redirect: 65536 is not between 1 and 65535");
    let unknown = wire::RedirectAction { response_code: 9, ..message(&json!({})) };
    let problem = parsed(|parser| crate::xds::route::redirect::parse(&unknown, parser)).unwrap_err();
    assert_eq!(problem, "response_code: 9 is not a value of this enum");
    refused(json!({"host_redirect": "a\nb"}), "host_redirect: \"a\\nb\" cannot stand in a header");
    refused(json!({"path_rewrite": "/x"}), "path_rewrite: not supported");
}

#[test]
fn direct_responses_are_read() {
    let direct = |changes: Value| {
        let RouteAction::Direct(direct) = &read_route(&json!({"direct_response": changes})).unwrap().0.action else {
            panic!("of another kind")
        };
        direct.clone()
    };
    assert_eq!(direct(json!({"status": 200})).body, "");
    let full = direct(json!({"status": 599, "body": {"inline_string": "no"}}));
    assert_eq!((full.status.as_u16(), full.body), (599, "no".into()));
}

#[test]
fn a_direct_response_may_come_from_a_file() {
    let path = std::env::temp_dir().join(format!("ninon-direct-{}", std::process::id()));
    std::fs::write(&path, "from a file").unwrap();
    let (route, _) = read_route(&json!({"direct_response": {"status": 200, "body": {"filename": path}}})).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(&route.action, RouteAction::Direct(direct) if direct.body == "from a file"));
}

#[test]
fn wrong_direct_responses_are_refused() {
    let refused = |changes: Value, problem: &str| {
        route_refused(&json!({"direct_response": changes}), &format!("direct_response.{problem}"));
    };
    refused(json!({"status": 199}), "status: 199 is not between 200 and 599");
    refused(json!({"status": 600}), "status: 600 is not between 200 and 599");
    refused(json!({"status": 200, "body_format": {}}), "body_format: not supported");
    refused(
        json!({"status": 200, "body": {"inline_string": "x".repeat(4097)}}),
        "body: 4097 bytes are more than max_direct_response_body_size_bytes, 4096",
    );
    refused(json!({"status": 200, "body": {}}), "body: one of filename, inline_bytes, inline_string must be set");
}
