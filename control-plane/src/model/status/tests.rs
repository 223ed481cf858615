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
