use super::*;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::source::{manifest, yaml};

const SERVICES: &str = "
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {ports: [{name: http, port: 80}, {name: mysql, port: 3306}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: till, namespace: bank}, spec: {ports: [{name: http, port: 80}]}}
";

fn conditions(parents: &str, rules: &str) -> Vec<String> {
    let route = format!(
        "{SERVICES}---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: r, namespace: shop}}, spec: {{parentRefs: {parents}, rules: {rules}}}}}"
    );
    let mut mesh = Mesh::default();
    for document in yaml::documents(&route) {
        let (key, object) = manifest::read(&document.unwrap().value).unwrap();
        mesh.apply(&key, Some(object));
    }
    let key = Key { kind: Kind::HttpRoute, name: Name::new("shop", "r") };
    let route = mesh.route(&key).unwrap();
    let of_parents = of_route(&mesh, route);
    let conditions = of_parents.iter().flat_map(|(_, conditions)| conditions);
    conditions.map(|one| format!("{}={} {} {}", one.kind, one.holds, one.reason, one.message).trim_end().to_owned()).collect()
}

#[test]
fn a_good_route_is_accepted_and_its_backends_are_there() {
    let told = conditions("[{group: '', kind: Service, name: cart}]", "[{backendRefs: [{name: cart, port: 80}]}]");
    assert_eq!(told, ["Accepted=true Accepted", "ResolvedRefs=true ResolvedRefs"]);
}

#[test]
fn a_parent_that_is_not_there_or_has_no_such_port_does_not_match() {
    let told = conditions("[{group: '', kind: Service, name: gone}, {group: '', kind: Service, name: cart, port: 81}]", "[{}]");
    assert_eq!(
        told,
        [
            "Accepted=false NoMatchingParent there is no Service shop/gone",
            "ResolvedRefs=true ResolvedRefs",
            "Accepted=false NoMatchingParent Service shop/cart has no such port",
            "ResolvedRefs=true ResolvedRefs"
        ]
    );
    let told = conditions("[{group: '', kind: Service, name: cart, port: 3306}]", "[{}]");
    let expected =
        "Accepted=false NoMatchingParent a HTTPRoute says nothing of what is spoken on that port of Service shop/cart; see appProtocol";
    assert_eq!(told[0], expected);
}

#[test]
fn gateways_are_not_ours_to_speak_for() {
    assert_eq!(conditions("[{name: edge}]", "[{}]"), Vec::<String>::new());
}

#[test]
fn every_reason_why_a_backend_leads_nowhere_has_its_word() {
    let told = |backend: &str| {
        conditions("[{group: '', kind: Service, name: cart, port: 80}]", &format!("[{{backendRefs: [{backend}]}}]"))[1].clone()
    };
    assert_eq!(
        told("{name: gone, port: 80}"),
        "ResolvedRefs=false BackendNotFound Service shop/gone:80: there is no such service, or it has no such port"
    );
    assert_eq!(
        told("{name: cart, port: 81}"),
        "ResolvedRefs=false BackendNotFound Service shop/cart:81: there is no such service, or it has no such port"
    );
    let grant = "ResolvedRefs=false RefNotPermitted Service bank/till:80: no ReferenceGrant of that namespace permits it";
    assert_eq!(told("{name: till, namespace: bank, port: 80}"), grant);
    assert!(told("{group: apps, kind: Deployment, name: cart, port: 80}").starts_with("ResolvedRefs=false InvalidKind "));
}

#[test]
fn a_filter_that_is_not_there_is_not_accepted() {
    let rules = "[{filters: [{type: CORS, cors: {}}], backendRefs: [{name: cart, port: 80}]}]";
    let told = conditions("[{group: '', kind: Service, name: cart, port: 80}]", rules);
    assert_eq!(told[0], "Accepted=false UnsupportedValue not supported: CORS; its requests are answered with 500");
}

/// What is said of whether a policy for the cart is held to.
fn enforced(spec: &str, mode: &str, ports: &str) -> String {
    enforced_beside(spec, mode, ports, "")
}

/// Likewise, where there are other objects.
fn enforced_beside(spec: &str, mode: &str, ports: &str, more: &str) -> String {
    let objects = format!(
        "{{apiVersion: ninon.dev/v1alpha1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: shop}}, spec: {spec}}}
---
{{apiVersion: ninon.dev/v1alpha1, kind: PeerAuthentication, metadata: {{name: p, namespace: shop}}, spec: {{mtls: {{mode: {mode}}}}}}}
---
{{apiVersion: ninon.dev/v1alpha1, kind: Workload, metadata: {{name: cart-1, namespace: shop, labels: {{app: cart}}}}, spec: {{addresses: [10.0.0.1], ports: {ports}}}}}
{more}"
    );
    let mut mesh = Mesh::default();
    for document in yaml::documents(&objects) {
        let (key, object) = manifest::read(&document.unwrap().value).unwrap();
        mesh.apply(&key, Some(object));
    }
    let policy = mesh.authorization(&Name::new("shop", "p")).unwrap();
    let conditions = of_authorization(&mesh, policy);
    assert_eq!((conditions[0].kind, conditions[0].holds, conditions[1].kind), ("Accepted", true, "Enforced"));
    format!("{} {} {}", conditions[1].holds, conditions[1].reason, conditions[1].message)
}

#[test]
fn a_policy_that_passes_by_whoever_shows_no_certificate_says_so() {
    let port = "[{name: http, port: 8080, applicationPort: 9080}]";
    let deny = "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}, {from: [{source: {namespaces: [bank]}}]}]}";
    let told = enforced(deny, "PERMISSIVE", port);
    assert!(
        told.starts_with("false PlainText rules[1] is about who the client is, and shop/cart-1 takes plain text at port 8080: "),
        "{told}"
    );
    assert!(enforced(deny, "DISABLE", port).starts_with("false PlainText"));
    assert_eq!(enforced(deny, "STRICT", port).trim_end(), "true Enforced");
    let audit = deny.replace("DENY", "AUDIT");
    assert!(enforced(&audit, "PERMISSIVE", "[]").starts_with("true"), "no port takes anything");
    assert!(enforced(&audit, "PERMISSIVE", port).starts_with("false PlainText"));
    // These deny whoever shows none.
    for spec in [
        "{rules: [{from: [{source: {namespaces: [bank]}}]}]}",
        "{action: DENY, rules: [{from: [{source: {notNamespaces: [bank]}}]}]}",
        "{action: DENY, rules: [{}]}",
    ] {
        assert_eq!(enforced(spec, "PERMISSIVE", port).trim_end(), "true Enforced", "{spec}");
    }
}

#[test]
fn a_policy_about_tokens_that_nobody_has_says_so() {
    let port = "[{name: http, port: 8080, applicationPort: 9080}]";
    let deny = "{action: DENY, rules: [{}, {from: [{source: {requestPrincipals: [a/b]}}]}]}";
    let told = enforced(deny, "STRICT", port);
    assert_eq!(told, "false NoTokens rules[1] is about tokens, and no RequestAuthentication is for shop/cart-1: it fits nobody there");
    for spec in [
        "{rules: [{from: [{source: {requestPrincipals: [a/b]}}]}]}",
        "{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ['*']}}]}]}",
    ] {
        assert_eq!(enforced(spec, "STRICT", port).trim_end(), "true Enforced", "{spec}: it denies whoever has none");
    }
}

#[test]
fn whose_keys_count_is_told() {
    let rule = |name: &str, uri: &str| {
        format!(
            "{{apiVersion: ninon.dev/v1alpha1, kind: RequestAuthentication, metadata: {{name: {name}, namespace: shop}}, spec: {{jwtRules: [{{issuer: i, jwksUri: '{uri}'}}]}}}}
---
"
        )
    };
    let workload =
        "{apiVersion: ninon.dev/v1alpha1, kind: Workload, metadata: {name: cart-1, namespace: shop}, spec: {addresses: [10.0.0.1]}}";
    let told = |objects: &[String]| {
        let mut mesh = Mesh::default();
        for document in yaml::documents(&objects.concat()) {
            let (key, object) = manifest::read(&document.unwrap().value).unwrap();
            mesh.apply(&key, Some(object));
        }
        let of = |name: &str| {
            let conditions = of_tokens(&mesh, mesh.request_authentication(&Name::new("shop", name)).unwrap());
            assert_eq!((conditions[0].kind, conditions[0].holds, conditions[1].kind), ("Accepted", true, "Enforced"));
            conditions[1].reason
        };
        (of("a"), of("b"))
    };
    let (same, other) = (rule("b", "http://a.example/keys"), rule("b", "http://b.example/keys"));
    let first = rule("a", "http://a.example/keys");
    assert_eq!(told(&[first.clone(), same.clone(), workload.to_owned()]), ("Enforced", "Enforced"));
    assert_eq!(told(&[first.clone(), other, workload.to_owned()]), ("Enforced", "Conflicted"));
    assert_eq!(told(&[first, same]), ("NoWorkloads", "NoWorkloads"));
}

#[test]
fn a_policy_for_nobody_says_so() {
    let told = enforced("{selector: {matchLabels: {app: web}}}", "STRICT", "[]");
    assert_eq!(told, "false NoWorkloads there is no workload that it is for");
}

#[test]
fn a_policy_whose_provider_cannot_be_asked_says_so() {
    let port = "[{name: http, port: 8080, applicationPort: 9080}]";
    let told = enforced("{action: CUSTOM, provider: {name: a}, rules: [{}]}", "STRICT", port);
    let wanted = "false NoProvider there is no \"a\" among the extensionProviders of the MeshConfig: what a rule fits is denied";
    assert_eq!(told, wanted);
}

#[test]
fn a_policy_whose_provider_would_be_asked_about_itself_says_so() {
    let of = |rules: &str| {
        let spec = format!("{{action: CUSTOM, provider: {{name: a}}, rules: {rules}}}");
        let more = "---
{apiVersion: v1, kind: Service, metadata: {name: authz, namespace: shop}, spec: {selector: {app: cart}, ports: [{port: 80, targetPort: grpc, appProtocol: grpc}]}}
---
{apiVersion: ninon.dev/v1alpha1, kind: MeshConfig, metadata: {name: mesh}, spec: {extensionProviders: [{name: a, envoyExtAuthzGrpc: {service: authz.shop, port: 80}}]}}
";
        enforced_beside(&spec, "STRICT", "[{name: http, port: 8080}, {name: grpc, port: 9000}]", more)
    };
    let told = "false AsksItself shop/cart-1 is behind its provider, and would be asked about every question to it";
    for rules in ["[{}]", "[{to: [{operation: {notPaths: [/a]}}]}]", "[{to: [{operation: {ports: ['8080', '9000']}}]}]"] {
        assert!(of(rules).starts_with(told), "{rules}: {}", of(rules));
    }
    for rules in [
        "[{to: [{operation: {notPorts: ['9000']}}]}]",
        "[{to: [{operation: {ports: ['8080']}}]}]",
        "[{to: [{operation: {paths: [/a*]}}]}]",
        "[{to: [{operation: {methods: [GET]}}]}]",
    ] {
        assert_eq!(of(rules).trim_end(), "true Enforced", "{rules}");
    }
}
