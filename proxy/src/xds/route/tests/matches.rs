use serde_json::{Value, json};

use super::{read_route, route_refused, route_told};
use crate::config::Fraction;
use crate::config::route::{PathMatch, RouteMatch};

pub(super) const TEMPLATE: &str = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";

fn read(matched: Value) -> RouteMatch {
    read_route(&json!({"match": matched})).unwrap().0.matches.clone()
}

fn refused(matched: Value, problem: &str) {
    route_refused(&json!({"match": matched}), problem);
}

#[test]
fn a_match_has_envoys_defaults() {
    let matched = read(json!({"prefix": ""}));
    assert!(matches!(&matched.path, PathMatch::Prefix(prefix) if prefix.is_empty()));
    assert!(matched.case_sensitive && matched.without_metadata && !matched.grpc);
    assert!(matched.fraction.is_none() && matched.tls.is_none());
}

#[test]
fn every_way_to_match_a_path_is_read() {
    assert!(matches!(read(json!({"path": "/a"})).path, PathMatch::Exact(path) if path == "/a"));
    assert!(matches!(read(json!({"safe_regex": {"regex": "/a+"}})).path, PathMatch::Regex(regex) if regex.is_match(b"/aa")));
    assert!(matches!(read(json!({"connect_matcher": {}})).path, PathMatch::Connect));
    assert!(matches!(read(json!({"path_separated_prefix": "/a"})).path, PathMatch::SeparatedPrefix(path) if path == "/a"));
    let policy = json!({"name": "t", "typed_config": {"@type": TEMPLATE, "path_template": "/{id}"}});
    assert!(matches!(read(json!({"path_match_policy": policy})).path, PathMatch::Template(t) if t.variables == ["id"]));
}

#[test]
fn a_path_must_be_matched_somehow() {
    let ways = "prefix, path, safe_regex, connect_matcher, path_separated_prefix, path_match_policy";
    refused(json!({}), &format!("match: one of {ways} is required"));
    refused(json!({"safe_regex": {}}), "match.safe_regex.regex: must not be empty");
}

#[test]
fn a_separated_prefix_ends_where_a_segment_does() {
    for prefix in ["/", "a", "/a/", "/a?b", "/a#b", ""] {
        let rule = "must be at least two characters, without '?' and '#', and not end with '/'";
        refused(json!({"path_separated_prefix": prefix}), &format!("match.path_separated_prefix: {prefix:?} {rule}"));
    }
}

#[test]
fn other_policies_for_paths_are_refused() {
    let place = "match.path_match_policy";
    refused(json!({"path_match_policy": {"name": "t"}}), &format!("{place}.typed_config: required"));
    let template = json!({"@type": TEMPLATE, "path_template": "x"});
    refused(
        json!({"path_match_policy": {"name": "t", "typed_config": template}}),
        &format!("{place}.typed_config.path_template: \"x\" must begin with '/'"),
    );
}

#[test]
fn all_other_conditions_are_read() {
    let matched = read(json!({
        "prefix": "/", "case_sensitive": false, "grpc": {},
        "headers": [{"name": "x-a", "present_match": true}],
        "query_parameters": [{"name": "q", "present_match": true}],
        "cookies": [{"name": "c", "string_match": {"exact": "1"}, "invert_match": true}],
        "runtime_fraction": {"default_value": {"numerator": 5}},
        "tls_context": {"presented": true, "validated": false},
    }));
    assert!(!matched.case_sensitive && matched.grpc);
    assert_eq!((matched.headers.len(), matched.query.len(), matched.cookies.len()), (1, 1, 1));
    assert!(matched.cookies[0].invert);
    assert_eq!(matched.fraction, Some(Fraction::per_million(50_000)));
    let tls = matched.tls.unwrap();
    assert_eq!((tls.presented, tls.validated), (Some(true), Some(false)));
}

#[test]
fn a_fault_in_a_condition_says_which() {
    refused(
        json!({"prefix": "/", "headers": [{"name": "a", "present_match": true}, {"name": ""}]}),
        "match.headers[1].name: must not be empty",
    );
    refused(
        json!({"prefix": "/", "query_parameters": [{"name": ""}], "cookies": [{"name": "a"}]}),
        "match.query_parameters[0].name: must not be empty\nmatch.cookies[0].string_match: required",
    );
    refused(json!({"prefix": "/", "runtime_fraction": {}}), "match.runtime_fraction.default_value: required");
}

#[test]
fn metadata_that_nobody_sets_fits_only_inverted() {
    let on = |invert: bool| {
        let matcher = json!({"filter": "f", "path": [{"key": "k"}], "value": {"present_match": true}, "invert": invert});
        json!({"prefix": "/", "dynamic_metadata": [matcher]})
    };
    assert!(read(on(true)).without_metadata);
    assert!(!read(on(false)).without_metadata);
    route_told(
        &json!({"match": on(false)}),
        "match.dynamic_metadata[0]: never fits: a route is chosen without a look at what filters find out",
    );
    assert!(!read(json!({"prefix": "/", "filter_state": [{"key": "k", "string_match": {"exact": "x"}}]})).without_metadata);
}

#[test]
fn a_matcher_of_metadata_is_complete() {
    refused(
        json!({"prefix": "/", "dynamic_metadata": [{}]}),
        "match.dynamic_metadata[0].filter: must not be empty\n\
         match.dynamic_metadata[0].path: at least one segment is required\n\
         match.dynamic_metadata[0].value: required",
    );
    refused(
        json!({"prefix": "/", "filter_state": [{"key": ""}, {"key": "k"}]}),
        "match.filter_state[0].key: must not be empty\n\
         match.filter_state[1]: one of string_match, address_match is required",
    );
}
