//! The objects of a mesh of any size.

use serde_json::{Value, json};

/// Endpoints of a service.
const ENDPOINTS: u32 = 10;
/// Changes fit into the last three numbers of an address.
pub const MARK: u8 = 9;

/// How large, and who sees what.
#[derive(Clone, Copy, Debug)]
pub struct Mesh {
    pub services: u32,
    pub sidecars: u32,
    pub namespaces: u32,
    /// Services are exported to their own namespace only.
    pub is_scoped: bool,
    /// Services have an address each, so that every sidecar has a filter chain for each.
    pub has_addresses: bool,
}

impl Mesh {
    /// Everything is seen by everybody.
    pub fn open(sidecars: u32, services: u32) -> Self {
        Self { services, sidecars, namespaces: 20, is_scoped: false, has_addresses: false }
    }

    /// Everybody sees its own namespace.
    pub fn scoped(sidecars: u32, services: u32) -> Self {
        Self { is_scoped: true, ..Self::open(sidecars, services) }
    }

    /// How many services a sidecar of a namespace sees.
    pub fn seen(&self, namespace: u32) -> u32 {
        if self.is_scoped { share(self.services, self.namespaces, namespace) } else { self.services }
    }

    /// How many sidecars see a service.
    pub fn seeing(&self, service: u32) -> u32 {
        if self.is_scoped { share(self.sidecars, self.namespaces, service % self.namespaces) } else { self.sidecars }
    }

    /// Services, for files.
    pub fn services(&self) -> String {
        let exports = if self.is_scoped { json!({ "ninon.dev/exports": "." }) } else { json!({}) };
        documents((0..self.services).map(|service| {
            let mut spec = json!({ "ports": [{ "name": "http", "port": 80 }] });
            if self.has_addresses {
                spec["clusterIP"] = json!(format!("10.96.{}.{}", service / 250, service % 250 + 1));
            }
            let metadata = json!({ "name": name(service), "namespace": self.namespace(service), "annotations": exports });
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec })
        }))
    }

    /// Workloads, for files.
    pub fn workloads(&self) -> String {
        documents((0..self.sidecars).map(|sidecar| {
            let metadata = json!({ "name": format!("w-{sidecar}"), "namespace": self.namespace(sidecar), "labels": { "app": "w" } });
            let address = format!("10.200.{}.{}", sidecar / 250, sidecar % 250 + 1);
            let spec = json!({ "addresses": [address], "ports": [{ "name": "http", "port": 8080 }] });
            json!({ "apiVersion": "ninon.dev/v1alpha1", "kind": "Workload", "metadata": metadata, "spec": spec })
        }))
    }

    /// A service's endpoints, of which the first says which change this is.
    pub fn slice(&self, service: u32, change: u32) -> Value {
        let [_, a, b, c] = change.to_be_bytes();
        let first = if change == 0 { format!("10.0.0.{}", service % 250 + 1) } else { format!("{MARK}.{a}.{b}.{c}") };
        let others = (1..ENDPOINTS).map(|at| format!("10.{at}.{}.{}", service / 250, service % 250 + 1));
        let endpoints: Vec<Value> = std::iter::once(first).chain(others).map(|address| json!({ "addresses": [address] })).collect();
        let labels = json!({ "kubernetes.io/service-name": name(service) });
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": { "name": format!("{}-a", name(service)), "namespace": self.namespace(service), "labels": labels },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 8080 }],
            "endpoints": endpoints,
        })
    }

    /// All endpoints.
    pub fn slices(&self) -> Value {
        list((0..self.services).map(|service| self.slice(service, 0)))
    }

    fn namespace(&self, at: u32) -> String {
        format!("n-{}", at % self.namespaces)
    }
}

fn name(service: u32) -> String {
    format!("s-{service}")
}

/// Objects as one document.
pub fn list(items: impl Iterator<Item = Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>() })
}

/// Objects as a file.
fn documents(items: impl Iterator<Item = Value>) -> String {
    items.map(|item| format!("---\n{item}\n")).collect()
}

/// Of `all`, those that fall to one of so many namespaces.
fn share(all: u32, namespaces: u32, namespace: u32) -> u32 {
    all / namespaces + u32::from(namespace < all % namespaces)
}
