//! All objects together, what they mean for one another, and what has changed.

/// Objects that say who may reach whom.
mod guards;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::authentication::PeerAuthentication;
use crate::model::authorization::AuthorizationPolicy;
use crate::model::endpoints::{Condition, EndpointSlice};
use crate::model::external::ExternalService;
use crate::model::grant::ReferenceGrant;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::model::policy::TrafficPolicy;
use crate::model::route::Route;
use crate::model::service::{Port, Service};
use crate::model::settings::MeshSettings;
use crate::model::token::RequestAuthentication;
use crate::model::workload::{Locality, Workload};

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `Service`.
    Service(Service),
    /// `EndpointSlice`.
    EndpointSlice(EndpointSlice),
    /// `HTTPRoute`, `GRPCRoute`, `TCPRoute`, `TLSRoute`.
    Route(Route),
    /// `ReferenceGrant`.
    ReferenceGrant(ReferenceGrant),
    /// `Workload`.
    Workload(Workload),
    /// `TrafficPolicy`.
    TrafficPolicy(TrafficPolicy),
    /// `ExternalService`.
    ExternalService(ExternalService),
    /// `PeerAuthentication`.
    PeerAuthentication(PeerAuthentication),
    /// `RequestAuthentication`.
    RequestAuthentication(RequestAuthentication),
    /// `AuthorizationPolicy`.
    AuthorizationPolicy(AuthorizationPolicy),
    /// `MeshConfig`.
    MeshConfig(MeshSettings),
}

/// The mesh.
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    settings: MeshSettings,
    services: BTreeMap<Name, Arc<Service>>,
    slices: BTreeMap<Name, Arc<EndpointSlice>>,
    /// Slices by service.
    slices_of: BTreeMap<Name, BTreeSet<Name>>,
    workloads: BTreeMap<Name, Arc<Workload>>,
    routes: BTreeMap<(Kind, Name), Arc<Route>>,
    policies: BTreeMap<Name, Arc<TrafficPolicy>>,
    externals: BTreeMap<Name, Arc<ExternalService>>,
    grants: BTreeMap<Name, Arc<ReferenceGrant>>,
    authentications: BTreeMap<Name, Arc<PeerAuthentication>>,
    tokens: BTreeMap<Name, Arc<RequestAuthentication>>,
    authorizations: BTreeMap<Name, Arc<AuthorizationPolicy>>,
    changes: Changes,
}

/// When what changed, by a counter of changes.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// All changes.
    pub count: u64,
    /// The last that may have changed a listener or a route.
    pub wiring: u64,
    /// The last of the settings.
    pub settings: u64,
    /// The last that may have changed a service's clusters or endpoints.
    pub services: BTreeMap<Name, u64>,
    /// Likewise of external services.
    pub externals: BTreeMap<Name, u64>,
    /// The last of a workload.
    pub workloads: BTreeMap<Name, u64>,
}

/// An endpoint of a service's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it is.
    pub locality: Locality,
    /// Where it is reached.
    pub address: SocketAddr,
    /// What it can do.
    pub condition: Condition,
    /// Who it shows that it is, where it is reached by mutual TLS: `ns/NAMESPACE/sa/ACCOUNT`.
    pub identity: Option<Arc<str>>,
}

impl Mesh {
    /// Without objects, for identities of a trust domain.
    pub fn new(trust_domain: Arc<str>) -> Self {
        let settings = MeshSettings { trust_domain, ..MeshSettings::default() };
        Self { settings, ..Self::default() }
    }

    /// Puts an object in the place of the one of its key, or takes that away.
    pub fn apply(&mut self, key: &Key, object: Option<Object>) {
        self.changes.count = self.changes.count.saturating_add(1);
        let name = &key.name;
        match (key.kind, object) {
            (Kind::Service, object) => self.set_service(name, object),
            (Kind::EndpointSlice, object) => self.set_slice(name, object),
            (Kind::Workload, object) => self.set_workload(name, object),
            (Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute, object) => {
                let id = (key.kind, name.clone());
                match object {
                    Some(Object::Route(route)) => drop(self.routes.insert(id, Arc::new(route))),
                    _ => drop(self.routes.remove(&id)),
                }
                self.changes.wiring = self.changes.count;
            }
            (Kind::TrafficPolicy, object) => self.set_policy(name, object),
            (Kind::PeerAuthentication, object) => self.set_authentication(name, object),
            (Kind::RequestAuthentication | Kind::AuthorizationPolicy, object) => self.set_guard(key, object),
            (Kind::ExternalService, object) => {
                match object {
                    Some(Object::ExternalService(external)) => drop(self.externals.insert(name.clone(), Arc::new(external))),
                    _ => drop(self.externals.remove(name)),
                }
                self.changes.externals.insert(name.clone(), self.changes.count);
                self.changes.wiring = self.changes.count;
            }
            (Kind::ReferenceGrant, object) => {
                match object {
                    Some(Object::ReferenceGrant(grant)) => drop(self.grants.insert(name.clone(), Arc::new(grant))),
                    _ => drop(self.grants.remove(name)),
                }
                self.changes.wiring = self.changes.count;
            }
            (Kind::MeshConfig, object) => {
                let trust_domain = Arc::clone(&self.settings.trust_domain);
                let settings = match object {
                    Some(Object::MeshConfig(settings)) => settings,
                    _ => MeshSettings::default(),
                };
                // What identities there are is not up to an object.
                self.settings = MeshSettings { trust_domain, ..settings };
                self.changes.settings = self.changes.count;
                self.changes.wiring = self.changes.count;
            }
        }
    }

    fn set_service(&mut self, name: &Name, object: Option<Object>) {
        let before = self.services.remove(name);
        if let Some(Object::Service(service)) = object {
            self.services.insert(name.clone(), Arc::new(service));
        }
        self.touch(name);
        if before.as_ref() != self.services.get(name) {
            self.changes.wiring = self.changes.count;
        }
    }

    fn set_slice(&mut self, name: &Name, object: Option<Object>) {
        if let Some(before) = self.slices.remove(name) {
            if let Some(slices) = self.slices_of.get_mut(&before.service) {
                slices.remove(name);
            }
            self.touch(&before.service);
        }
        if let Some(Object::EndpointSlice(slice)) = object {
            self.slices_of.entry(slice.service.clone()).or_default().insert(name.clone());
            self.touch(&slice.service);
            self.slices.insert(name.clone(), Arc::new(slice));
        }
    }

    fn set_workload(&mut self, name: &Name, object: Option<Object>) {
        let before = self.workloads.remove(name);
        if let Some(Object::Workload(workload)) = object {
            self.workloads.insert(name.clone(), Arc::new(workload));
        }
        let now = self.workloads.get(name);
        let concerned = |service: &Service| {
            let selects = |workload: &Arc<Workload>| service.selects(workload);
            before.as_ref().is_some_and(selects) || now.is_some_and(selects)
        };
        let services = in_namespace(&self.services, &name.namespace).filter(|(_, service)| concerned(service));
        let services: Vec<Name> = services.map(|(name, _)| name.clone()).collect();
        for service in services {
            self.touch(&service);
        }
        self.changes.workloads.insert(name.clone(), self.changes.count);
    }

    fn set_policy(&mut self, name: &Name, object: Option<Object>) {
        let of = |policy: &TrafficPolicy| Name::new(Arc::clone(&policy.name.namespace), Arc::clone(&policy.service));
        if let Some(before) = self.policies.remove(name) {
            self.touch(&of(&before));
        }
        if let Some(Object::TrafficPolicy(policy)) = object {
            self.touch(&of(&policy));
            self.policies.insert(name.clone(), Arc::new(policy));
        }
        self.changes.wiring = self.changes.count;
    }

    fn touch(&mut self, service: &Name) {
        self.changes.services.insert(service.clone(), self.changes.count);
    }

    /// All objects, but for the settings.
    pub fn keys(&self) -> Vec<Key> {
        fn of<T>(kind: Kind, objects: &BTreeMap<Name, T>) -> impl Iterator<Item = Key> {
            objects.keys().map(move |name| Key { kind, name: name.clone() })
        }
        let routes = self.routes.keys().map(|(kind, name)| Key { kind: *kind, name: name.clone() });
        let first = of(Kind::Service, &self.services).chain(of(Kind::EndpointSlice, &self.slices)).chain(routes);
        let then = of(Kind::Workload, &self.workloads).chain(of(Kind::TrafficPolicy, &self.policies));
        first
            .chain(then)
            .chain(of(Kind::ExternalService, &self.externals))
            .chain(of(Kind::ReferenceGrant, &self.grants))
            .chain(of(Kind::PeerAuthentication, &self.authentications))
            .chain(of(Kind::RequestAuthentication, &self.tokens))
            .chain(of(Kind::AuthorizationPolicy, &self.authorizations))
            .collect()
    }

    /// What has changed when.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Settings of all.
    pub fn settings(&self) -> &MeshSettings {
        &self.settings
    }

    /// All services.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// One service.
    pub fn service(&self, name: &Name) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// All external services.
    pub fn externals(&self) -> impl Iterator<Item = &Arc<ExternalService>> {
        self.externals.values()
    }

    /// One external service.
    pub fn external(&self, name: &Name) -> Option<&Arc<ExternalService>> {
        self.externals.get(name)
    }

    /// One workload.
    pub fn workload(&self, name: &Name) -> Option<&Arc<Workload>> {
        self.workloads.get(name)
    }

    /// All workloads.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values()
    }

    /// One route.
    pub fn route(&self, key: &Key) -> Option<&Arc<Route>> {
        self.routes.get(&(key.kind, key.name.clone()))
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.values()
    }

    /// The policy for a service's port: one for the port counts before one for all ports, then the first by name.
    pub fn policy(&self, service: &Name, port: u16) -> Option<&Arc<TrafficPolicy>> {
        let of_service = in_namespace(&self.policies, &service.namespace).map(|(_, policy)| policy);
        let fitting = of_service.filter(|policy| policy.service == service.name && policy.port.is_none_or(|named| named == port));
        fitting.min_by_key(|policy| policy.port.is_none())
    }

    /// Whether an object may refer to one of another namespace.
    pub fn permits(&self, from: Kind, namespace: &str, kind: Kind, target: &Name) -> bool {
        *target.namespace == *namespace || self.grants.values().any(|grant| grant.permits(from, namespace, kind, target))
    }

    /// Endpoints of a service's port, in a fixed order, each once.
    pub fn endpoints(&self, service: &Service, port: &Port) -> Vec<Endpoint> {
        let slices = self.slices_of.get(&service.name).into_iter().flatten().filter_map(|name| self.slices.get(name));
        let mut found: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
        for slice in slices {
            let Some((_, number)) = slice.ports.iter().find(|(name, _)| *name == port.name) else { continue };
            for endpoint in &slice.endpoints {
                let address = SocketAddr::new(endpoint.address, *number);
                let (locality, condition) = (endpoint.locality.clone(), endpoint.condition);
                add(&mut found, Endpoint { locality, address, condition, identity: None });
            }
        }
        if service.selector.is_some() {
            let workloads = in_namespace(&self.workloads, &service.name.namespace).map(|(_, workload)| workload);
            for workload in workloads.filter(|workload| service.selects(workload)) {
                let Some(number) = workload.reached_at(port) else { continue };
                let identity = self.identity(workload, number);
                for address in &workload.addresses {
                    let address = SocketAddr::new(*address, number);
                    let (locality, condition) = (workload.locality.clone(), workload.condition);
                    add(&mut found, Endpoint { locality, address, condition, identity: identity.clone() });
                }
            }
        }
        let mut endpoints: Vec<Endpoint> = found.into_values().collect();
        endpoints.sort();
        endpoints
    }
}

/// Of two at the same address the better one counts; who it is says whichever knows.
fn add(found: &mut BTreeMap<SocketAddr, Endpoint>, endpoint: Endpoint) {
    match found.get_mut(&endpoint.address) {
        Some(known) => {
            let identity = known.identity.take().or(endpoint.identity);
            if endpoint.condition < known.condition {
                (known.locality, known.condition) = (endpoint.locality, endpoint.condition);
            }
            known.identity = identity;
        }
        None => drop(found.insert(endpoint.address, endpoint)),
    }
}

fn in_namespace<'a, T>(objects: &'a BTreeMap<Name, T>, namespace: &str) -> impl Iterator<Item = (&'a Name, &'a T)> {
    let first = Bound::Included(Name::new(namespace, ""));
    objects.range((first, Bound::Unbounded)).take_while(move |(name, _)| *name.namespace == *namespace)
}

#[cfg(test)]
mod tests;
