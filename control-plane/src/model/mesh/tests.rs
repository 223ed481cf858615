use std::net::IpAddr;

use super::*;
use crate::model::endpoints::SliceEndpoint;
use crate::model::service::{Exports, Labels, Protocol, Target};
use crate::model::workload::{Sidecar, WorkloadPort};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn service(selector: Option<Labels>) -> Service {
    let port = Port { name: "http".into(), number: 80, target: Target::Name("web".into()), protocol: Protocol::Http };
    Service { name: Name::new("shop", "cart"), addresses: Vec::new(), ports: vec![port], selector, exports: Exports::All }
}

fn workload(name: &str, address: &str, ready: bool) -> Workload {
    Workload {
        name: Name::new("shop", name),
        labels: labels(&[("app", "cart")]),
        addresses: vec![address.parse().unwrap()],
        ports: vec![WorkloadPort { name: "web".into(), number: 8080, protocol: Protocol::Http, application: None }],
        service_account: "cart".into(),
        locality: Locality::default(),
        condition: if ready { Condition::Ready } else { Condition::NotReady },
        sidecar: Sidecar::default(),
    }
}

fn slice(address: &str, condition: Condition) -> EndpointSlice {
    let address: IpAddr = address.parse().unwrap();
    EndpointSlice {
        name: Name::new("shop", "cart-1"),
        service: Name::new("shop", "cart"),
        ports: vec![("http".into(), 8080)],
        endpoints: vec![SliceEndpoint { address, condition, locality: Locality::default() }],
    }
}

fn put(mesh: &mut Mesh, kind: Kind, name: &str, object: Object) {
    mesh.apply(&Key { kind, name: Name::new("shop", name) }, Some(object));
}

fn addresses(mesh: &Mesh) -> Vec<(String, Condition)> {
    let service = mesh.service(&Name::new("shop", "cart")).unwrap();
    mesh.endpoints(service, &service.ports[0]).into_iter().map(|endpoint| (endpoint.address.to_string(), endpoint.condition)).collect()
}

#[test]
fn a_service_has_the_workloads_that_it_selects_and_what_slices_say_each_address_once() {
    let mut mesh = Mesh::default();
    put(&mut mesh, Kind::Service, "cart", Object::Service(service(Some(labels(&[("app", "cart")])))));
    put(&mut mesh, Kind::Workload, "a", Object::Workload(workload("a", "10.0.0.1", true)));
    put(&mut mesh, Kind::Workload, "b", Object::Workload(workload("b", "10.0.0.2", false)));
    put(&mut mesh, Kind::EndpointSlice, "cart-1", Object::EndpointSlice(slice("10.0.0.2", Condition::Ready)));
    let both = [("10.0.0.1:8080".to_owned(), Condition::Ready), ("10.0.0.2:8080".to_owned(), Condition::Ready)];
    assert_eq!(addresses(&mesh), both);
}

#[test]
fn a_service_without_a_selector_has_no_workloads() {
    let mut mesh = Mesh::default();
    put(&mut mesh, Kind::Workload, "a", Object::Workload(workload("a", "10.0.0.1", true)));
    put(&mut mesh, Kind::Service, "cart", Object::Service(service(None)));
    assert_eq!(addresses(&mesh), []);
    put(&mut mesh, Kind::Service, "cart", Object::Service(service(Some(Labels::new()))));
    assert_eq!(addresses(&mesh), []);
}

#[test]
fn an_endpoint_touches_its_service_and_no_wiring() {
    let mut mesh = Mesh::default();
    put(&mut mesh, Kind::Service, "cart", Object::Service(service(Some(labels(&[("app", "cart")])))));
    let wiring = mesh.changes().wiring;
    put(&mut mesh, Kind::Workload, "a", Object::Workload(workload("a", "10.0.0.1", true)));
    put(&mut mesh, Kind::EndpointSlice, "cart-1", Object::EndpointSlice(slice("10.0.0.2", Condition::Ready)));
    assert_eq!(mesh.changes().wiring, wiring);
    assert_eq!(mesh.changes().services[&Name::new("shop", "cart")], mesh.changes().count);
}

#[test]
fn a_slice_that_moves_to_another_service_touches_both() {
    let mut mesh = Mesh::default();
    put(&mut mesh, Kind::EndpointSlice, "cart-1", Object::EndpointSlice(slice("10.0.0.2", Condition::Ready)));
    let moved = EndpointSlice { service: Name::new("shop", "till"), ..slice("10.0.0.2", Condition::Ready) };
    put(&mut mesh, Kind::EndpointSlice, "cart-1", Object::EndpointSlice(moved));
    let changed: Vec<_> =
        mesh.changes().services.iter().filter(|(_, at)| **at == mesh.changes().count).map(|(name, _)| name.to_string()).collect();
    assert_eq!(changed, ["shop/cart", "shop/till"]);
}

#[test]
fn references_across_namespaces_need_a_grant() {
    let mut mesh = Mesh::default();
    let target = Name::new("shop", "cart");
    assert!(mesh.permits(Kind::HttpRoute, "shop", Kind::Service, &target));
    assert!(!mesh.permits(Kind::HttpRoute, "web", Kind::Service, &target));
    let grant = ReferenceGrant {
        name: Name::new("shop", "let-web-in"),
        from: vec![(Kind::HttpRoute, "web".into())],
        to: vec![(Kind::Service, Some("cart".into()))],
    };
    put(&mut mesh, Kind::ReferenceGrant, "let-web-in", Object::ReferenceGrant(grant));
    assert!(mesh.permits(Kind::HttpRoute, "web", Kind::Service, &target));
    assert!(!mesh.permits(Kind::GrpcRoute, "web", Kind::Service, &target));
    assert!(!mesh.permits(Kind::HttpRoute, "web", Kind::Service, &Name::new("shop", "till")));
}
