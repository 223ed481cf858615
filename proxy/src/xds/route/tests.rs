//! Tables, virtual hosts and routes as wholes; their parts are tested below.

mod action;
mod matches;
mod retry;

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Fraction;
use crate::config::filter::{FilterKind, FilterOverride};
use crate::config::route::{Route, RouteAction};
use crate::xds::test_wire::{message, parsed};

/// A table that is valid, with some fields changed.
fn table_with(changes: &Value) -> Value {
    with(json!({"name": "shop", "virtual_hosts": [host_with(&json!({}))]}), changes)
}

/// A virtual host that is valid, with some fields changed.
fn host_with(changes: &Value) -> Value {
    with(json!({"name": "web", "domains": ["*"], "routes": [route_with(&json!({}))]}), changes)
}

/// A route that is valid, with some fields changed.
fn route_with(changes: &Value) -> Value {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "web"}});
    let other = ["redirect", "direct_response", "non_forwarding_action"];
    let mut route = with(route, changes);
    if other.iter().any(|action| changes.get(action).is_some()) {
        route.as_object_mut().unwrap().remove("route");
    }
    route
}

fn with(mut valid: Value, changes: &Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        valid[field] = value.clone();
    }
    valid
}

fn read(table: &Value) -> Result<(RouteTable, Vec<String>), String> {
    let wire = message::<wire::RouteConfiguration>(table);
    parsed(|parser| parse(&wire, parser))
}

fn read_table(changes: &Value) -> Result<(RouteTable, Vec<String>), String> {
    read(&table_with(changes))
}

fn read_host(changes: &Value) -> Result<(Arc<VirtualHost>, Vec<String>), String> {
    let (table, warnings) = read_table(&json!({"virtual_hosts": [host_with(changes)]})).map_err(|faults| inside(&faults, HOST))?;
    Ok((Arc::clone(&table.virtual_hosts[0]), inside_all(&warnings, HOST)))
}

fn read_route(changes: &Value) -> Result<(Arc<Route>, Vec<String>), String> {
    let read = read_host(&json!({"routes": [route_with(changes)]}));
    let (host, warnings) = read.map_err(|faults| inside(&faults, ROUTE))?;
    Ok((Arc::clone(&host.routes[0]), inside_all(&warnings, ROUTE)))
}

const HOST: &str = "virtual_hosts[0]";
const ROUTE: &str = "routes[0]";

/// Paths below `place` are told from there.
fn inside(faults: &str, place: &str) -> String {
    faults.replace(&format!("{place}."), "").replace(&format!("{place}: "), "")
}

fn inside_all(warnings: &[String], place: &str) -> Vec<String> {
    warnings.iter().map(|warning| inside(warning, place)).collect()
}

fn route_refused(changes: &Value, problem: &str) {
    assert_eq!(read_route(changes).unwrap_err(), problem);
}

fn route_told(changes: &Value, warning: &str) {
    assert_eq!(read_route(changes).unwrap().1, [warning]);
}

#[test]
fn a_table_has_envoys_defaults() {
    let (table, warnings) = read_table(&json!({})).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(table.name.as_str(), "shop");
    assert!(!table.ignore_port && !table.most_specific_mutations_win);
    assert_eq!(table.max_direct_response_body, 4096);
    let host = &table.virtual_hosts[0];
    assert_eq!((host.name.as_str(), host.domains.as_slice()), ("web", [Domain::Any].as_slice()));
    assert_eq!(host.require_tls, RequireTls::No);
    assert!(host.retry.is_none() && host.mirrors.is_empty());
    assert_eq!(host.replay_limit, None);
}

#[test]
fn everything_about_a_table_is_read() {
    let (table, _) = read_table(&json!({
        "request_headers_to_add": [{"header": {"key": "x-a", "value": "b"}}], "response_headers_to_remove": ["x-b"],
        "most_specific_header_mutations_wins": true, "max_direct_response_body_size_bytes": 5,
        "ignore_port_in_host_matching": true, "request_mirror_policies": [{"cluster": "copy"}],
    }))
    .unwrap();
    assert_eq!((table.request_headers.set.len(), table.response_headers.remove.len()), (1, 1));
    assert!(table.most_specific_mutations_win && table.ignore_port);
    assert_eq!(table.max_direct_response_body, 5);
    assert_eq!(table.virtual_hosts[0].mirrors.len(), 1);
}

#[test]
fn what_a_table_may_not_have_is_refused() {
    let refused = |changes: Value, problem: &str| assert_eq!(read_table(&changes).unwrap_err(), problem);
    refused(json!({"vhds": {}}), "vhds: virtual hosts that are served on demand are not supported");
    refused(
        json!({"internal_only_headers": ["x-secret"]}),
        "internal_only_headers: not supported: remove them with request_headers_to_remove",
    );
    refused(json!({"vhost_header": "x"}), "vhost_header: not supported");
    refused(json!({"ignore_path_parameters_in_path_matching": true}), "ignore_path_parameters_in_path_matching: not supported");
    refused(json!({"cluster_specifier_plugins": [{}]}), "cluster_specifier_plugins: not supported");
    refused(json!({"route_specifiers": [{}]}), "route_specifiers: not supported");
}

#[test]
fn clusters_are_checked_unless_the_table_says_otherwise() {
    let read = |changes: &Value| {
        let wire = message::<wire::RouteConfiguration>(&table_with(changes));
        parsed(|parser| {
            parser.know_clusters(["other".to_owned()]);
            parse(&wire, parser)
        })
    };
    assert_eq!(read(&json!({})).unwrap_err(), "virtual_hosts[0].routes[0].route.cluster: there is no cluster \"web\"");
    assert!(read(&json!({"validate_clusters": false})).is_ok());
    assert!(read(&json!({"validate_clusters": true})).is_err());
}

#[test]
fn domains_have_four_forms() {
    let (host, _) = read_host(&json!({"domains": ["WWW.Example.com:80", "*.example.com", "www.*", "*", "", "a*b"]})).unwrap();
    let text = str::to_owned;
    assert_eq!(
        host.domains,
        [
            Domain::Exact(text("www.example.com:80")),
            Domain::Suffix(text(".example.com")),
            Domain::Prefix(text("www.")),
            Domain::Any,
            Domain::Exact(text("")),
            Domain::Exact(text("a*b")),
        ]
    );
}

#[test]
fn a_domain_is_served_once_in_a_table() {
    let hosts = |first: &str, second: &str| {
        let of = |name: &str, domain: &str| host_with(&json!({"name": name, "domains": [domain]}));
        read_table(&json!({"virtual_hosts": [of("a", first), of("b", second)]})).map(|_| ())
    };
    let refused = |first: &str, second: &str| {
        let problem = format!("virtual_hosts[1].domains[0]: {second:?} is served already: each domain may be listed once");
        assert_eq!(hosts(first, second).unwrap_err(), problem);
    };
    refused("*", "*");
    refused("A.com", "a.com");
    refused("*.a.com", "*.A.com");
    assert!(hosts("*.a.com", ".a.com").is_ok());
}

#[test]
fn a_virtual_host_needs_a_name_and_a_domain() {
    assert_eq!(
        read_host(&json!({"name": "", "domains": []})).map(|_| ()).unwrap_err(),
        "domains: at least one is required\nname: must not be empty"
    );
}

#[test]
fn everything_about_a_virtual_host_is_read() {
    let (host, _) = read_host(&json!({
        "require_tls": "EXTERNAL_ONLY", "include_request_attempt_count": true, "include_attempt_count_in_response": true,
        "retry_policy": {"retry_on": "5xx"}, "per_request_buffer_limit_bytes": 7, "request_mirror_policies": [{"cluster": "copy"}],
    }))
    .unwrap();
    assert_eq!(host.require_tls, RequireTls::ExternalOnly);
    assert!(host.attempt_count_in_request && host.attempt_count_in_response);
    assert!(host.retry.is_some());
    assert_eq!(host.replay_limit, Some(7));
    assert_eq!(host.mirrors.len(), 1);
    let both = read_host(&json!({"per_request_buffer_limit_bytes": 7, "request_body_buffer_limit": 9})).unwrap().0;
    assert_eq!(both.replay_limit, Some(9));
}

#[test]
fn what_a_virtual_host_may_not_have_is_refused() {
    let refused = |changes: Value, problem: &str| assert_eq!(read_host(&changes).map(|_| ()).unwrap_err(), problem);
    refused(json!({"rate_limits": [{}]}), "rate_limits: not supported");
    refused(json!({"cors": {}}), "cors: not supported");
    refused(json!({"retry_policy_typed_config": {}}), "retry_policy_typed_config: not supported");
    refused(json!({"route_specifiers": [{}]}), "route_specifiers: not supported");
}

#[test]
fn an_unknown_tls_requirement_is_refused() {
    let mut wire = message::<wire::RouteConfiguration>(&table_with(&json!({})));
    wire.virtual_hosts[0].require_tls = 7;
    let problem = parsed(|parser| parse(&wire, parser)).unwrap_err();
    assert_eq!(problem, "virtual_hosts[0].require_tls: 7 is not a value of this enum");
}

#[test]
fn what_a_virtual_host_asks_in_vain_is_told() {
    let told = |changes: Value, warning: &str| assert_eq!(read_host(&changes).unwrap().1, [warning]);
    told(json!({"hedge_policy": {}}), "hedge_policy: ignored: requests are not hedged, a slow attempt is only retried");
    told(
        json!({"include_is_timeout_retry_header": true}),
        "include_is_timeout_retry_header: ignored: x-envoy-is-timeout-retry is not added",
    );
    told(json!({"metadata": {}}), "metadata: ignored: only filters that are not supported read it");
}

#[test]
fn settings_of_filters_are_refused_unless_they_are_optional() {
    let setting = |setting: Value| json!({"typed_per_filter_config": {"x": setting}});
    let config = |rest: Value| with(json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"}), &rest);
    let router = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let url = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    route_refused(&setting(router.clone()), &format!("typed_per_filter_config[\"x\"]: there is no filter with settings of type {url:?}"));
    route_refused(
        &setting(config(json!({"config": router}))),
        &format!("typed_per_filter_config[\"x\"].config: there is no filter with settings of type {url:?}"),
    );
    route_told(
        &setting(config(json!({"config": router, "is_optional": true}))),
        "typed_per_filter_config[\"x\"]: ignored: there is no such filter, and it is optional",
    );
}

#[test]
fn a_route_sets_filters_by_their_names() {
    let said = |setting: Value| {
        let (route, warnings) = read_route(&json!({"typed_per_filter_config": {"x": setting}})).unwrap();
        assert!(warnings.is_empty() && route.filters.of("y").is_none(), "{warnings:?}");
        route.filters.of("x").cloned().unwrap()
    };
    let config = |rest: Value| with(json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig"}), &rest);
    let rbac = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {"rules": {}}});
    assert!(matches!(said(config(json!({"disabled": true}))), FilterOverride::Disabled));
    assert!(matches!(said(config(json!({"disabled": true, "config": rbac}))), FilterOverride::Disabled));
    assert!(matches!(said(config(json!({}))), FilterOverride::Enabled));
    for setting in [rbac.clone(), config(json!({"config": rbac}))] {
        let FilterOverride::Kind(FilterKind::Access(access)) = said(setting) else { panic!("of another kind") };
        assert!(access.rules.is_some());
    }
    let part = json!({"name": "a", "weight": 1, "typed_per_filter_config": {"x": rbac}});
    let split = json!({"route": {"weighted_clusters": {"clusters": [part]}}});
    let refused = read_route(&split).map(|_| ()).unwrap_err();
    assert!(refused.ends_with("clusters[0].typed_per_filter_config: not supported on a part of a split: set it on the route"), "{refused}");
}

#[test]
fn a_route_needs_a_match_and_an_action() {
    assert_eq!(
        read_host(&json!({"routes": [{}]})).map(|_| ()).unwrap_err(),
        "routes[0].match: required\nroutes[0]: one of route, redirect, direct_response, non_forwarding_action is required"
    );
}

#[test]
fn everything_about_a_route_is_read() {
    let (route, _) = read_route(&json!({
        "name": "cart", "decorator": {"operation": "buy"}, "request_body_buffer_limit": 5,
        "tracing": {"random_sampling": {"numerator": 1}},
        "response_headers_to_add": [{"header": {"key": "x-a", "value": "b"}}], "request_headers_to_remove": ["x-b"],
    }))
    .unwrap();
    assert_eq!((route.name.as_str(), route.operation.as_deref()), ("cart", Some("buy")));
    assert_eq!(route.replay_limit, Some(5));
    let tracing = route.tracing.unwrap();
    assert_eq!((tracing.client_sampling, tracing.random_sampling), (Fraction::ALL, Fraction::per_million(10_000)));
    assert_eq!((route.response_headers.set.len(), route.request_headers.remove.len()), (1, 1));
    route_refused(&json!({"decorator": {"operation": ""}}), "decorator.operation: must not be empty");
    route_told(&json!({"stat_prefix": "x"}), "stat_prefix: ignored: requests are not counted by route");
}

#[test]
fn a_route_may_be_for_clients_that_route_themselves() {
    let (route, _) = read_route(&json!({"non_forwarding_action": {}})).unwrap();
    assert!(matches!(route.action, RouteAction::NonForwarding));
}

#[test]
fn all_faults_are_told_together() {
    let bad = json!({"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "", "timeout": "-1s"}});
    assert_eq!(
        read_host(&json!({"name": "", "routes": [bad, {"match": {}}]})).map(|_| ()).unwrap_err(),
        "name: must not be empty\n\
         routes[0].match.safe_regex.regex: unclosed group\n\
         routes[0].route.cluster: required\n\
         routes[0].route.timeout: -1s 0ns is not between 0 and 315576000000s\n\
         routes[1].match: one of prefix, path, safe_regex, connect_matcher, path_separated_prefix, path_match_policy is required\n\
         routes[1]: one of route, redirect, direct_response, non_forwarding_action is required",
    );
}

/// A table with much in it. Made once: it takes the descriptors.
static RICH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let template = json!({"@type": matches::TEMPLATE, "path_template": "/{a}/{b=**}"});
    let routes = json!([
        {"match": {"safe_regex": {"regex": "/a[0-9]+"}, "headers": [{"name": "x", "range_match": {"start": 1, "end": 5}}]},
         "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 3}, {"cluster_header": "x-b", "weight": 4}]},
                   "regex_rewrite": {"pattern": {"regex": "a(b)"}, "substitution": "\\1"},
                   "retry_policy": {"retry_on": "5xx,reset", "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}}},
        {"match": {"path_match_policy": {"name": "t", "typed_config": template}}, "redirect": {"port_redirect": 8443}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": "no"}}},
    ]);
    let table = table_with(&json!({"virtual_hosts": [host_with(&json!({"domains": ["*.a.b", "a.*"], "routes": routes}))]}));
    prost::Message::encode_to_vec(&message::<wire::RouteConfiguration>(&table))
});

proptest! {
    /// Some bytes changed: whatever still decodes is parsed or refused.
    #[test]
    fn no_table_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = RICH.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(wire) = <wire::RouteConfiguration as prost::Message>::decode(bytes.as_slice()) {
            drop(parsed(|parser| parse(&wire, parser)));
        }
    }

    #[test]
    fn no_template_panics(text in "[/{}*=a-c.é?]{0,24}") {
        if let Ok(matched) = template::pattern(&text) {
            drop(template::rewrite(&text, &matched));
        }
    }

    #[test]
    fn no_domain_panics(text in any::<String>()) {
        drop(parsed(|parser| domain(&text, parser)));
    }
}
