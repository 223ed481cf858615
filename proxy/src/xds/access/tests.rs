use serde_json::{Value, json};
use xds_proto::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use xds_proto::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;

use super::*;
use crate::xds::test_wire::message as wire;

fn http_of(rules: Value) -> Result<Option<Rules>, String> {
    let filter: HttpRbac = wire(&json!({"rules": rules}));
    let mut parser = Parser::new();
    let parsed = http(&filter, &mut parser);
    parser.finish(parsed).map(|(access, _)| access.rules).map_err(|faults| faults.to_string())
}

fn network_of(filter: Value) -> Result<NetworkAccess, String> {
    let filter: NetworkRbac = wire(&filter);
    let mut parser = Parser::new();
    let parsed = network(&filter, &mut parser);
    parser.finish(parsed).map(|(access, _)| access).map_err(|faults| faults.to_string())
}

fn with_permission(permission: Value) -> Result<Option<Rules>, String> {
    http_of(json!({"policies": {"p": {"permissions": [permission], "principals": [{"any": true}]}}}))
}

fn with_principal(principal: Value) -> Result<Option<Rules>, String> {
    http_of(json!({"policies": {"p": {"permissions": [{"any": true}], "principals": [principal]}}}))
}

#[test]
fn no_rules_are_something_else_than_empty_rules() {
    let none: HttpRbac = wire(&json!({}));
    assert!(http(&none, &mut Parser::new()).unwrap().rules.is_none());
    let empty = http_of(json!({})).unwrap().unwrap();
    assert_eq!((empty.action, empty.policies.len()), (Action::Allow, 0));
}

#[test]
fn policies_are_in_the_order_of_their_names() {
    let policy = json!({"permissions": [{"any": true}], "principals": [{"any": true}]});
    let rules = http_of(json!({"action": "DENY", "policies": {"b": policy, "a": policy}})).unwrap().unwrap();
    let names: Vec<_> = rules.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!((rules.action, names), (Action::Deny, vec!["a", "b"]));
}

#[test]
fn every_permission_that_decides_is_read() {
    for permission in [
        json!({"any": true}),
        json!({"header": {"name": "a"}}),
        json!({"url_path": {"path": {"exact": "/a"}}}),
        json!({"uri_template": {"name": "t", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", "path_template": "/a/{b}"}}}),
        json!({"destination_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}),
        json!({"destination_port": 80}),
        json!({"destination_port_range": {"start": 1, "end": 65536}}),
        json!({"requested_server_name": {"exact": "a"}}),
        json!({"metadata": {"filter": "a", "path": [{"key": "b"}], "value": {"present_match": true}}}),
        json!({"sourced_metadata": {"metadata_matcher": {"filter": "a", "path": [{"key": "b"}], "value": {"null_match": {}}}}}),
        json!({"not_rule": {"and_rules": {"rules": [{"or_rules": {"rules": [{"any": true}]}}]}}}),
    ] {
        with_permission(permission.clone()).unwrap_or_else(|faults| panic!("{permission}: {faults}"));
    }
}

#[test]
fn every_principal_that_decides_is_read() {
    let range = json!({"address_prefix": "10.0.0.0", "prefix_len": 8});
    for principal in [
        json!({"any": true}),
        json!({"authenticated": {}}),
        json!({"authenticated": {"principal_name": {"prefix": "spiffe://a/"}}}),
        json!({"source_ip": range}),
        json!({"direct_remote_ip": range}),
        json!({"remote_ip": range}),
        json!({"header": {"name": "a"}}),
        json!({"url_path": {"path": {"exact": "/a"}}}),
        json!({"not_id": {"and_ids": {"ids": [{"or_ids": {"ids": [{"any": true}]}}]}}}),
    ] {
        with_principal(principal.clone()).unwrap_or_else(|faults| panic!("{principal}: {faults}"));
    }
}

#[test]
fn whatever_is_not_supported_is_refused_with_its_place() {
    let at = r#"rules.policies["p"].permissions[0]"#;
    let metadata = json!({"filter": "a", "path": [{"key": "b"}], "value": {"present_match": true}});
    for (permission, fault) in [
        (json!({}), ": a rule is required".to_owned()),
        (json!({"any": false}), ".any: must be true".to_owned()),
        (
            json!({"metadata": {"filter": "a", "value": {"bool_match": true}}}),
            ".metadata.path: at least one segment is required".to_owned(),
        ),
        (json!({"metadata": {"filter": "a", "path": [{"key": "b"}]}}), ".metadata.value: required".to_owned()),
        (json!({"metadata": {"filter": "a", "path": [{}], "value": {"bool_match": true}}}), ".metadata.path[0].key: required".to_owned()),
        (
            json!({"metadata": {"filter": "a", "path": [{"key": "b"}], "value": {"or_match": {"value_matchers": [{"bool_match": true}]}}}}),
            ".metadata.value.or_match.value_matchers: at least two are required".to_owned(),
        ),
        (
            json!({"sourced_metadata": {"metadata_matcher": metadata, "metadata_source": "ROUTE"}}),
            ".sourced_metadata.metadata_source: only DYNAMIC is supported".to_owned(),
        ),
        (json!({"matcher": {"name": "a"}}), ".matcher: not supported".to_owned()),
        (json!({"uri_template": {"name": "a"}}), ".uri_template.typed_config: required".to_owned()),
        (json!({"and_rules": {}}), ".and_rules.rules: at least one is required".to_owned()),
        (json!({"or_rules": {"rules": [{}]}}), ".or_rules.rules[0]: a rule is required".to_owned()),
        (json!({"not_rule": {}}), ".not_rule: a rule is required".to_owned()),
        (json!({"url_path": {}}), ".url_path.path: required".to_owned()),
        (json!({"destination_port": 65536}), ".destination_port: 65536 is not between 0 and 65535".to_owned()),
        (json!({"destination_port_range": {"start": 5, "end": 5}}), ".destination_port_range: 5 is not below 5".to_owned()),
        (
            json!({"destination_port_range": {"start": -1, "end": 5}}),
            ".destination_port_range.start: -1 is not between 0 and 65536".to_owned(),
        ),
    ] {
        assert_eq!(with_permission(permission).unwrap_err(), format!("{at}{fault}"));
    }
    let at = r#"rules.policies["p"].principals[0]"#;
    for (principal, fault) in [
        (json!({}), ": an identifier is required".to_owned()),
        (json!({"metadata": {"path": [{"key": "b"}], "value": {"bool_match": true}}}), ".metadata.filter: must not be empty".to_owned()),
        (json!({"filter_state": {"key": "a", "string_match": {"exact": "b"}}}), ".filter_state: not supported".to_owned()),
        (json!({"custom": {"name": "a"}}), ".custom: not supported".to_owned()),
        (
            json!({"authenticated": {"principal_name": {}}}),
            ".authenticated.principal_name: one of exact, prefix, suffix, contains, safe_regex is required".to_owned(),
        ),
    ] {
        assert_eq!(with_principal(principal).unwrap_err(), format!("{at}{fault}"));
    }
    let faults = http_of(json!({"policies": {"p": {}}})).unwrap_err();
    let wanted = "rules.policies[\"p\"].permissions: at least one is required\nrules.policies[\"p\"].principals: at least one is required";
    assert_eq!(faults, wanted);
}

#[test]
fn an_audit_logger_has_to_be_there_unless_it_may_be_missing() {
    let with = |condition: &str, optional: bool| {
        let logger = json!({"audit_logger": {"name": "a"}, "is_optional": optional});
        http_of(json!({"audit_logging_options": {"audit_condition": condition, "logger_configs": [logger]}})).map(|_| ())
    };
    let wanted = "rules.audit_logging_options.logger_configs[0]: there is no such audit logger";
    assert_eq!(with("ON_DENY", false).unwrap_err(), wanted);
    with("ON_DENY", true).unwrap();
    with("NONE", false).unwrap();
}

#[test]
fn a_connection_is_not_decided_about_by_what_requests_have() {
    let of = |permission: Value| {
        let policy = json!({"permissions": [permission], "principals": [{"any": true}]});
        network_of(json!({"stat_prefix": "a", "rules": {"action": "DENY", "policies": {"p": policy}}})).map(|_| ())
    };
    of(json!({"destination_port": 80})).unwrap();
    let place = r#"rules.policies["p"].permissions[0]"#;
    let why = "a connection has none: the HTTP filter decides about requests";
    assert_eq!(of(json!({"header": {"name": "a"}})).unwrap_err(), format!("{place}.header: {why}"));
    let path = json!({"url_path": {"path": {"exact": "/a"}}});
    assert_eq!(of(path.clone()).unwrap_err(), format!("{place}.url_path: {why}"));
    assert_eq!(of(json!({"not_rule": path})).unwrap_err(), format!("{place}.not_rule.url_path: {why}"));
}

#[test]
fn the_network_filter_has_a_name_and_may_be_slow_to_refuse() {
    assert_eq!(network_of(json!({})).unwrap_err(), "stat_prefix: must not be empty");
    let filter =
        network_of(json!({"stat_prefix": "a", "delay_deny": "2s", "shadow_rules_stat_prefix": "s.", "enforcement_type": "CONTINUOUS"}));
    let filter = filter.unwrap();
    assert_eq!((filter.delay, filter.shadow_stat_prefix.as_str()), (Some(std::time::Duration::from_secs(2)), "s."));
    assert!(filter.rules.is_none());
}

#[test]
fn a_route_turns_the_filter_off_or_has_rules_of_its_own() {
    let of = |route: Value| of_route(&wire(&route), &mut Parser::new()).unwrap();
    assert!(of(json!({})).rules.is_none());
    assert!(of(json!({"rbac": {}})).rules.is_none());
    assert!(of(json!({"rbac": {"rules": {}}})).rules.is_some());
}
