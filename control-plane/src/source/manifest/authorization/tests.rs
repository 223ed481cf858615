use serde_json::json;

use super::*;
use crate::model::authorization::{Path, Pattern};

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "ninon.dev/v1alpha1", "kind": "AuthorizationPolicy", "metadata": {"name": "a", "namespace": "shop", "generation": 7},
        "spec": spec,
    })
}

fn read(spec: &Value) -> Result<AuthorizationPolicy, Vec<String>> {
    let mut reader = Reader::default();
    let read = policy(&Name::new("shop", "a"), &object(spec), &mut reader);
    reader.finish(read).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(spec: &Value, fault: &str) {
    let faults = read(spec).unwrap_err();
    assert!(faults.iter().any(|said| said.starts_with(fault)), "{spec}: {faults:#?}");
}

/// A rule with one field of a source.
fn source(field: &str, values: &Value) -> Value {
    json!({"rules": [{"from": [{"source": {field: values}}]}]})
}

fn operation(field: &str, values: &Value) -> Value {
    json!({"rules": [{"to": [{"operation": {field: values}}]}]})
}

fn when(key: &str, values: &Value) -> Value {
    json!({"rules": [{"when": [{"key": key, "values": values}]}]})
}

fn first_what(spec: &Value) -> What {
    read(spec).unwrap_or_else(|faults| panic!("{spec}: {faults:?}")).rules[0].to[0][0].clone()
}

#[test]
fn nothing_said_is_an_allow_that_allows_nothing() {
    let policy = read(&json!({})).unwrap();
    assert_eq!((policy.action, policy.selector, policy.rules, policy.generation), (Action::Allow, None, vec![], 7));
    assert_eq!(read(&json!({"rules": [{}]})).unwrap().rules, [Rule::default()]);
    let empty = json!({"selector": {"matchLabels": {}}, "action": "AUDIT"});
    assert_eq!(read(&empty).map(|policy| (policy.selector, policy.action)), Ok((None, Action::Audit)));
}

#[test]
fn every_field_that_can_be_held_to_is_read() {
    for (field, value) in [
        ("principals", "cluster.local/ns/shop/sa/cart"),
        ("principals", "*"),
        ("principals", "*/sa/cart"),
        ("notPrincipals", "cluster.local/ns/shop/*"),
        ("namespaces", "shop"),
        ("namespaces", "shop-*"),
        ("notNamespaces", "*-test"),
        ("serviceAccounts", "cart"),
        ("notServiceAccounts", "bank/cart"),
        ("ipBlocks", "10.0.0.0/8"),
        ("ipBlocks", "fd00::/8"),
        ("notIpBlocks", "10.1.2.3"),
        ("requestPrincipals", "https://issuer.example/ada"),
        ("requestPrincipals", "https://issuer.example/*"),
        ("notRequestPrincipals", "*/ada"),
        ("notRequestPrincipals", "*"),
    ] {
        let policy = read(&source(field, &json!([value]))).unwrap_or_else(|faults| panic!("{field}: {faults:?}"));
        assert_eq!(policy.rules[0].from[0].len(), 1, "{field}");
    }
    for (field, value) in [
        ("hosts", "cart.shop:8080"),
        ("hosts", "*.example"),
        ("notHosts", "[::1]"),
        ("ports", "8080"),
        ("notPorts", "1"),
        ("methods", "GET"),
        ("methods", "P*"),
        ("notMethods", "*"),
        ("paths", "/a/b"),
        ("paths", "/caf%C3%A9/*"),
        ("paths", "*.json"),
        ("notPaths", "/a/{*}/b/{**}"),
    ] {
        let policy = read(&operation(field, &json!([value]))).unwrap_or_else(|faults| panic!("{field}: {faults:?}"));
        assert_eq!(policy.rules[0].to[0].len(), 1, "{field}");
    }
    for (key, value) in [
        ("request.headers[X-Role]", "admin*"),
        ("source.ip", "10.0.0.0/8"),
        ("source.namespace", "shop"),
        ("source.principal", "cluster.local/ns/shop/sa/cart"),
        ("source.serviceAccount", "shop/cart"),
        ("destination.ip", "10.0.0.1"),
        ("destination.port", "8080"),
        ("connection.sni", "*.example"),
        ("request.auth.principal", "issuer/ada"),
        ("request.auth.audiences", "shop"),
        ("request.auth.presenter", "web*"),
        ("request.auth.claims[groups]", "admin"),
        ("request.auth.claims[https://example/realm][roles]", "*"),
    ] {
        let rule = &read(&when(key, &json!([value]))).unwrap_or_else(|faults| panic!("{key}: {faults:?}")).rules[0];
        assert_eq!(rule.from.len() + rule.to.len(), 1, "{key}");
    }
}

#[test]
fn what_has_to_be_so_has_to_be_so_of_each() {
    let spec = json!({"rules": [{
        "from": [{"source": {"namespaces": ["a"]}}, {"source": {"namespaces": ["b"]}}],
        "when": [{"key": "source.ip", "notValues": ["10.0.0.0/8"]}, {"key": "destination.port", "values": ["80"]}],
    }]});
    let rule = &read(&spec).unwrap().rules[0];
    assert_eq!(rule.from.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(rule.to, [[What::Port(Test { one_of: vec![80], none_of: vec![] })]]);
}

#[test]
fn a_text_is_whole_or_open_at_one_end() {
    let of = |text: &str| {
        let What::ServerName(test) = first_what(&when("connection.sni", &json!([text]))) else { panic!("a server name") };
        test.one_of[0].clone()
    };
    assert_eq!(of("*"), Pattern::Present);
    assert_eq!(of("a.b"), Pattern::Exact("a.b".into()));
    assert_eq!(of("a.*"), Pattern::Prefix("a.".into()));
    assert_eq!(of("*.b"), Pattern::Suffix(".b".into()));
    for wrong in ["", "a*b", "*a*", "**", "a**"] {
        refused(&when("connection.sni", &json!([wrong])), "spec.rules[0].when[0].values[0]: ");
    }
}

#[test]
fn what_cannot_be_held_to_is_refused_with_its_field() {
    for (spec, fault) in [
        (json!({"action": "CUSTOM"}), "spec.provider.name: required with the action CUSTOM"),
        (json!({"action": "CUSTOM", "provider": {"name": ""}}), "spec.provider.name: required"),
        (json!({"action": "DENY", "provider": {"name": "a"}}), "spec.provider: only with the action CUSTOM"),
        (json!({"provider": {"name": "a"}}), "spec.provider: only with the action CUSTOM"),
        (json!({"targetRefs": [{"kind": "Gateway", "name": "a"}]}), "spec.targetRefs: not supported: it is for gateways"),
        (json!({"targetRef": {"kind": "Gateway", "name": "a"}}), "spec.targetRef: not supported: it is for gateways"),
        (
            source("requestPrincipals", &json!(["ada"])),
            "spec.rules[0].from[0].source.requestPrincipals[0]: \"ada\" is not of the form ISSUER/SUBJECT",
        ),
        (source("remoteIpBlocks", &json!(["::/0"])), "spec.rules[0].from[0].source.remoteIpBlocks: not supported: no header"),
        (source("notRemoteIpBlocks", &json!(["::/0"])), "spec.rules[0].from[0].source.notRemoteIpBlocks: not supported"),
        (when("remote.ip", &json!(["::/0"])), "spec.rules[0].when[0].key: not supported: no header"),
        (when("request.auth.claims", &json!(["a"])), "spec.rules[0].when[0].key: claims are request.auth.claims[NAME]"),
        (when("request.auth.claims[a][]", &json!(["a"])), "spec.rules[0].when[0].key: claims are request.auth.claims[NAME]"),
        (when("request.auth.claims[a]b", &json!(["a"])), "spec.rules[0].when[0].key: claims are request.auth.claims[NAME]"),
        (when("request.auth.claim[a]", &json!(["a"])), "spec.rules[0].when[0].key: there is no \"request.auth.claim[a]\""),
        (when("experimental.envoy.filters.a[b]", &json!(["a"])), "spec.rules[0].when[0].key: there is no \"experimental"),
        (when("request.headers", &json!(["a"])), "spec.rules[0].when[0].key: there is no \"request.headers\""),
        (when("request.headers[:path]", &json!(["a"])), "spec.rules[0].when[0].key: \":path\" is no header here"),
        (when("request.headers[Host]", &json!(["a"])), "spec.rules[0].when[0].key: \"Host\" is no header here"),
        (when("request.headers[a b]", &json!(["a"])), "spec.rules[0].when[0].key: \"a b\" is not the name of a header"),
        (json!({"rules": [{"when": [{"key": "source.ip"}]}]}), "spec.rules[0].when[0]: values or notValues are required"),
    ] {
        refused(&spec, fault);
    }
    let mut dry = object(&json!({}));
    dry["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let mut reader = Reader::default();
    let read = policy(&Name::new("shop", "a"), &dry, &mut reader);
    assert!(reader.finish(read).unwrap_err()[0].to_string().starts_with("metadata.annotations: istio.io/dry-run is not supported"));
}

#[test]
fn a_list_that_is_empty_is_not_taken_for_anybody() {
    for spec in [
        source("principals", &json!([])),
        operation("paths", &json!([])),
        when("source.ip", &json!([])),
        json!({"rules": [{"from": []}]}),
        json!({"rules": [{"to": []}]}),
        json!({"rules": [{"when": []}]}),
        json!({"rules": [{"from": [{"source": {}}]}]}),
        json!({"rules": [{"to": [{"operation": {}}]}]}),
    ] {
        assert!(read(&spec).unwrap_err()[0].contains("it is empty: leave"), "{spec}");
    }
}

#[test]
fn what_never_fits_is_refused() {
    for (field, value) in [
        ("principals", "spiffe://cluster.local/ns/shop/sa/cart"),
        ("principals", "ns/shop/sa/cart"),
        ("principals", "cluster.local/ns/shop/sa/"),
        ("namespaces", "Shop"),
        ("serviceAccounts", "a/b/c"),
        ("requestPrincipals", "/ada"),
        ("requestPrincipals", "https://issuer/"),
        ("requestPrincipals", "i*/ada"),
        ("requestPrincipals", &"/a".repeat(33)),
        ("ipBlocks", "10.0.0.0/33"),
        ("ipBlocks", "10.0.0.0/"),
        ("ipBlocks", "10.0.0.0/+8"),
        ("ipBlocks", "localhost"),
    ] {
        refused(&source(field, &json!([value])), &format!("spec.rules[0].from[0].source.{field}[0]: "));
    }
    for (field, value) in [
        ("hosts", "http://a"),
        ("hosts", "a b"),
        ("ports", "0"),
        ("ports", "http"),
        ("methods", "get"),
        ("methods", "A B"),
        ("paths", "admin"),
        ("paths", "/a//b"),
        ("paths", "/a/../b"),
        ("paths", "/a/."),
        ("paths", "/a?b=c"),
        ("paths", "/a\\b"),
        ("paths", "/%61dmin"),
        ("paths", "/a%2Fb"),
        ("paths", "/a%5cb"),
        ("paths", "/a%2"),
        ("paths", "/a%+1b"),
        ("paths", "/café"),
        ("paths", "/a b"),
        ("paths", "/a/{id}"),
        ("paths", "/a/x{*}"),
        ("paths", "/{**}/{*}"),
        ("paths", "{*}"),
        ("paths", "/{*}/%C3%A9"),
        ("paths", "/a/{*}//b"),
    ] {
        refused(&operation(field, &json!([value])), &format!("spec.rules[0].to[0].operation.{field}[0]: "));
    }
    let What::Path(template) = first_what(&operation("paths", &json!(["/a/{*}/b/{**}"]))) else { panic!("a path") };
    assert_eq!(template.one_of, [Path::Template("/a/*/b/**".into())]);
}

#[test]
fn identities_are_of_the_trust_domain() {
    let can_be = |text: &str| agrees(&object(&source("notPrincipals", &json!([text]))), "td.example").is_ok();
    for good in ["td.example/ns/a/sa/b", "td.example/*", "td.*", "*", "*/sa/b"] {
        assert!(can_be(good), "{good}");
    }
    for wrong in ["cluster.local/ns/a/sa/b", "td.example.org/*", "other*"] {
        assert!(!can_be(wrong), "{wrong}");
    }
    let fault = agrees(&object(&when("source.principal", &json!(["x/ns/a/sa/b"]))), "td.example").unwrap_err();
    assert!(fault[0].to_string().starts_with("spec.rules[0].when[0].values[0]: \"x/ns/a/sa/b\" is nobody's"), "{fault:?}");
}

#[test]
fn one_that_cannot_be_read_lets_nobody_in() {
    let of = |spec: &Value| {
        let policy = stand_in(&Name::new("shop", "a"), &object(spec));
        assert!(policy.is_broken);
        (policy.action, policy.rules.len(), policy.selector.map(|labels| labels.len()))
    };
    assert_eq!(of(&json!(null)), (Action::Allow, 0, None));
    assert_eq!(of(&json!({"selector": {"matchLabels": {"app": "cart"}}, "rule": []})), (Action::Allow, 0, Some(1)));
    assert_eq!(of(&json!({"action": "DENY", "selector": {"matchLabels": {"app": 1}}})), (Action::Deny, 1, None));
    assert_eq!(of(&json!({"action": "DENIED", "selector": {"matchLabel": {"app": "a"}}})), (Action::Deny, 1, None));
    assert_eq!(of(&json!({"action": 7})), (Action::Deny, 1, None));
    assert_eq!(of(&json!({"action": "AUDIT"})), (Action::Audit, 0, None));
}
