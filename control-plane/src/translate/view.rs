//! Snapshots for proxies, made anew as far as something has changed.
//!
//! What comes out depends on the mesh and on who asks, and on nothing that was asked before: what is kept here are results.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use prost::{Message, Name as ProstName};

use crate::model::mesh::Mesh;
use crate::model::name::Name;
use crate::model::service::{Exports, Service};
use crate::model::workload::Workload;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;
use crate::snapshot::{Layer, Snapshot};
use crate::translate::route::Asking;
use crate::translate::{assignment, cluster, dns, grpc, inbound, listener, names, table, token, trust};

/// Which dialect of xDS a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A proxy beside a workload: Ninon's, Envoy.
    Sidecar,
    /// One that has a certificate of the mesh.
    Identified,
    /// Likewise, and it may choose the version of HTTP by what it agrees on with each endpoint: Ninon's.
    Negotiating,
    /// A gRPC library without a proxy.
    Grpc,
}

impl Form {
    /// Whether it is a proxy beside a workload.
    pub const fn is_sidecar(self) -> bool {
        matches!(self, Self::Sidecar | Self::Identified | Self::Negotiating)
    }

    /// Whether it has a certificate of the mesh.
    pub const fn is_identified(self) -> bool {
        matches!(self, Self::Identified | Self::Negotiating)
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    /// How it is told.
    pub form: Form,
    /// Where it is.
    pub namespace: Arc<str>,
    /// Which workload of the namespace it is beside; gRPC clients are beside none.
    pub workload: Option<Arc<str>>,
    /// Of whom its certificate is, if it has one: a workload of another account is none of its.
    pub account: Option<Arc<str>>,
    /// Connections to its workload come to it with both addresses as they are (TPROXY).
    pub transparent: bool,
}

/// Makes snapshots.
#[derive(Debug, Default)]
pub struct Translator {
    shared: HashMap<Form, Shared>,
    wiring: BTreeMap<(Form, Arc<str>), (u64, Arc<Layer>)>,
    /// By namespace and address: it is long, and most sidecars of a namespace have the same.
    outbound: BTreeMap<(Arc<str>, Vec<SocketAddr>), Outbound>,
    own: BTreeMap<View, (u64, Arc<Layer>)>,
    made: BTreeMap<View, Arc<Snapshot>>,
    nothing: Arc<Layer>,
    trust: Arc<Layer>,
}

/// The listener for what goes out, and the change of the wiring that it was made after.
type Outbound = (u64, Arc<Resource>);

/// Clusters and endpoints.
#[derive(Debug, Default)]
struct Shared {
    /// Changes that have been looked at.
    count: Option<u64>,
    settings: u64,
    /// By service.
    services: BTreeMap<Name, Made>,
    externals: BTreeMap<Name, Made>,
    /// What all namespaces see.
    common: Arc<Layer>,
    /// What only some namespaces see.
    private: BTreeMap<Arc<str>, Arc<Layer>>,
}

/// What a service comes to.
#[derive(Debug)]
struct Made {
    exports: Exports,
    clusters: Vec<Arc<Resource>>,
    endpoints: Vec<Arc<Resource>>,
    names: Option<Arc<Resource>>,
}

impl Translator {
    /// Whom everybody is to trust from now on: see [`trust::bundle`].
    pub fn trust(&mut self, bundle: &Arc<Resource>) {
        let same = self.trust.of(Kind::Secret).get(&bundle.name).is_some_and(|known| known.version == bundle.version);
        if !same {
            self.trust = trust::layer(&self.trust, bundle);
        }
    }

    /// What a proxy is to see now. The same as before, if nothing has changed for it.
    pub fn snapshot(&mut self, mesh: &Mesh, view: &View) -> Arc<Snapshot> {
        let shared = self.shared.entry(view.form).or_default();
        shared.update(mesh, view.form);
        let mut layers = vec![Arc::clone(&shared.common)];
        // Every layer keeps its place, whether there is something in it or not.
        layers.push(Arc::clone(shared.private.get(&view.namespace).unwrap_or(&self.nothing)));
        layers.push(self.wiring(mesh, view));
        layers.push(Arc::clone(&self.trust));
        layers.extend(self.own(mesh, view));
        let made = self.made.get(view).filter(|made| made.layers.len() == layers.len());
        if let Some(same) = made.filter(|made| made.layers.iter().zip(&layers).all(|(one, other)| Arc::ptr_eq(one, other))) {
            return Arc::clone(same);
        }
        let snapshot = Arc::new(Snapshot { layers });
        self.made.insert(view.clone(), Arc::clone(&snapshot));
        snapshot
    }

    /// Forgets what nobody asks for any more.
    pub fn keep(&mut self, is_asked: impl Fn(&View) -> bool) {
        self.made.retain(|view, _| is_asked(view));
        self.own.retain(|view, _| is_asked(view));
        let asked: BTreeSet<(Form, Arc<str>)> = self.made.keys().map(|view| (view.form, Arc::clone(&view.namespace))).collect();
        self.wiring.retain(|key, _| asked.contains(key));
        self.outbound.retain(|(namespace, _), _| {
            let mut forms = [Form::Sidecar, Form::Identified, Form::Negotiating].into_iter();
            forms.any(|form| asked.contains(&(form, Arc::clone(namespace))))
        });
    }

    /// Tables of routes, and what gRPC clients know as listeners.
    fn wiring(&mut self, mesh: &Mesh, view: &View) -> Arc<Layer> {
        let at = mesh.changes().wiring;
        let key = (view.form, Arc::clone(&view.namespace));
        let before = self.wiring.get(&key);
        if let Some((_, layer)) = before.filter(|(made, _)| *made == at) {
            return Arc::clone(layer);
        }
        let asking = Asking { mesh, namespace: &view.namespace, form: view.form };
        let (mut routes, mut listeners) = (Vec::new(), Vec::new());
        for service in table::visible(mesh, &view.namespace) {
            for port in service.ports.iter().filter(|port| port.protocol.is_http()) {
                let made = table::of_service(asking, service, port);
                routes.push(encoded(&made.name, &made));
                if view.form == Form::Grpc {
                    let made = grpc::listeners(mesh, &view.namespace, service, port);
                    listeners.extend(made.iter().map(|listener| encoded(&listener.name, listener)));
                }
            }
        }
        if view.form.is_sidecar() {
            let made = table::by_host(asking);
            routes.push(encoded(&made.name, &made));
        }
        let layer = renewed(before.map(|(_, layer)| layer), [(Kind::Route, routes), (Kind::Listener, listeners)]);
        self.wiring.insert(key, (at, Arc::clone(&layer)));
        layer
    }

    /// What only this proxy has.
    fn own(&mut self, mesh: &Mesh, view: &View) -> Option<Arc<Layer>> {
        if view.form == Form::Grpc {
            return None;
        }
        let name = view.workload.as_ref().map(|name| Name::new(Arc::clone(&view.namespace), Arc::clone(name)));
        let changes = mesh.changes();
        let of_workload = name.as_ref().and_then(|name| changes.workloads.get(name)).copied().unwrap_or_default();
        let at = changes.wiring.max(of_workload);
        if let Some((_, layer)) = self.own.get(view).filter(|(made, _)| *made == at) {
            return Some(Arc::clone(layer));
        }
        let is_its = |workload: &&Workload| view.account.as_ref().is_none_or(|account| *account == workload.service_account);
        let workload = name.as_ref().and_then(|name| mesh.workload(name)).map(AsRef::as_ref).filter(is_its);
        let mut all = vec![self.outbound(mesh, &view.namespace, listener::outbound_addresses(workload))];
        let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
        if let Some(workload) = workload {
            listeners.extend(inbound::listeners(mesh, workload, view.form, view.transparent));
            let mut addresses: BTreeSet<SocketAddr> = BTreeSet::new();
            let binds = workload.sidecar.binds.iter().filter(|bind| addresses.insert(bind.address));
            listeners.extend(binds.filter_map(|bind| listener::bind(mesh, &view.namespace, bind)));
            clusters = inbound_clusters(mesh, workload, view.transparent);
            let of_keys = token::clusters(mesh, workload, view.form);
            clusters.extend(of_keys.iter().map(|cluster| encoded(&cluster.name, cluster)));
        }
        all.extend(listeners.iter().map(|listener| encoded(&listener.name, listener)));
        let before = self.own.get(view).map(|(_, layer)| layer);
        let layer = renewed(before, [(Kind::Cluster, clusters), (Kind::Listener, all)]);
        self.own.insert(view.clone(), (at, Arc::clone(&layer)));
        Some(layer)
    }

    /// The listener for what an application sends.
    fn outbound(&mut self, mesh: &Mesh, namespace: &Arc<str>, addresses: Vec<SocketAddr>) -> Arc<Resource> {
        let at = mesh.changes().wiring;
        let key = (Arc::clone(namespace), addresses);
        if let Some((_, same)) = self.outbound.get(&key).filter(|(made, _)| *made == at) {
            return Arc::clone(same);
        }
        let listener = listener::outbound(mesh, namespace, &key.1);
        let made = encoded(&listener.name, &listener);
        self.outbound.insert(key, (at, Arc::clone(&made)));
        made
    }
}

/// Two ports may lead to the same port of the application.
fn inbound_clusters(mesh: &Mesh, workload: &Workload, transparent: bool) -> Vec<Arc<Resource>> {
    let mut seen = BTreeSet::new();
    let ports = workload.ports.iter().map(|port| {
        let transparent = transparent && port.application.is_none();
        (port.application.unwrap_or(port.number), transparent, port.protocol)
    });
    let clusters = ports.filter(|(number, transparent, _)| seen.insert((*number, *transparent)));
    let clusters = clusters.map(|(number, transparent, protocol)| match transparent {
        true => cluster::inbound_transparent(number, protocol),
        false => cluster::inbound(number, protocol),
    });
    let unnamed = transparent.then(|| cluster::unnamed_transparent(mesh));
    clusters.chain(unnamed).map(|cluster| encoded(&cluster.name, &cluster)).collect()
}

impl Shared {
    fn update(&mut self, mesh: &Mesh, form: Form) {
        let changes = mesh.changes();
        if self.count == Some(changes.count) {
            return;
        }
        let since = self.count.filter(|_| self.settings == changes.settings);
        let is_new = |at: &u64| since.is_none_or(|since| *at > since);
        let services: BTreeSet<&Name> = changes.services.iter().filter(|(_, at)| is_new(at)).map(|(name, _)| name).collect();
        let externals: BTreeSet<&Name> = changes.externals.iter().filter(|(_, at)| is_new(at)).map(|(name, _)| name).collect();
        let mut touched = Touched { all: since.is_none(), namespaces: BTreeSet::new() };
        for name in services {
            let made = mesh.service(name).map(|service| of_service(mesh, service, form));
            touched.replace(&mut self.services, name, made);
        }
        for name in externals {
            let made = mesh.external(name).map(|external| {
                // gRPC's C library refuses a cluster of fixed addresses.
                let ports = external.ports.iter().filter(|_| form.is_sidecar());
                let clusters = ports.map(|port| cluster::of_external(mesh, external, port, form));
                let clusters = clusters.map(|cluster| encoded(&cluster.name, &cluster)).collect();
                let names = dns::of_external(external).filter(|_| form.is_sidecar());
                let names = names.map(|made| encoded(&names::hosts_of_external(name), &made));
                Made { exports: external.exports.clone(), clusters, endpoints: Vec::new(), names }
            });
            touched.replace(&mut self.externals, name, made);
        }
        if touched.all {
            self.common = self.layer(Some(&self.common), mesh, form, |exports| *exports == Exports::All);
        }
        for namespace in touched.namespaces {
            let reach = |exports: &Exports| *exports != Exports::All && exports.reach(&namespace);
            let layer = self.layer(self.private.get(&namespace), mesh, form, reach);
            let is_empty = Kind::ALL.into_iter().all(|kind| layer.of(kind).is_empty());
            if is_empty || !self.services.values().chain(self.externals.values()).any(|made| reach(&made.exports)) {
                self.private.remove(&namespace);
            } else {
                self.private.insert(namespace, layer);
            }
        }
        (self.count, self.settings) = (Some(changes.count), changes.settings);
    }

    fn layer(&self, before: Option<&Arc<Layer>>, mesh: &Mesh, form: Form, which: impl Fn(&Exports) -> bool) -> Arc<Layer> {
        let made: Vec<&Made> = self.services.values().chain(self.externals.values()).filter(|made| which(&made.exports)).collect();
        let mut clusters: Vec<_> = made.iter().flat_map(|made| made.clusters.iter().cloned()).collect();
        let endpoints = made.iter().flat_map(|made| made.endpoints.iter().cloned()).collect();
        if form.is_sidecar() && which(&Exports::All) {
            clusters.extend(
                [cluster::passthrough(mesh), cluster::inbound_passthrough(mesh), cluster::blackhole(mesh)]
                    .map(|cluster| encoded(&cluster.name, &cluster)),
            );
        }
        let names = made.iter().filter_map(|made| made.names.clone()).collect();
        renewed(before, [(Kind::Cluster, clusters), (Kind::Endpoint, endpoints), (Kind::Names, names)])
    }
}

/// Which layers are to be made anew.
struct Touched {
    all: bool,
    namespaces: BTreeSet<Arc<str>>,
}

impl Touched {
    fn replace(&mut self, all: &mut BTreeMap<Name, Made>, name: &Name, made: Option<Made>) {
        let before = all.remove(name);
        for exports in before.iter().chain(&made).map(|made| &made.exports) {
            match exports {
                Exports::All => self.all = true,
                Exports::Namespaces(namespaces) => self.namespaces.extend(namespaces.iter().cloned()),
            }
        }
        if let Some(made) = made {
            all.insert(name.clone(), made);
        }
    }
}

fn of_service(mesh: &Mesh, service: &Service, form: Form) -> Made {
    let (mut clusters, mut endpoints) = (Vec::new(), Vec::new());
    for port in &service.ports {
        let name = names::service(&service.name, port.number);
        let found = mesh.endpoints(service, port);
        clusters.push(encoded(&name, &cluster::of_service(mesh, service, port, &found, form)));
        endpoints.push(encoded(&name, &assignment::assignment(&name, &found, form)));
    }
    let named = form.is_sidecar().then(|| dns::of_service(mesh, service)).flatten();
    let named = named.map(|made| encoded(&names::hosts_of_service(&service.name), &made));
    Made { exports: service.exports.clone(), clusters, endpoints, names: named }
}

fn encoded<M: Message + ProstName + 'static>(name: &str, message: &M) -> Arc<Resource> {
    Arc::new(Resource::new(name, message))
}

/// A layer, with what is as it was in the layer before taken from there: streams see then at a glance that it has not changed.
fn renewed<const N: usize>(before: Option<&Arc<Layer>>, of: [(Kind, Vec<Arc<Resource>>); N]) -> Arc<Layer> {
    let mut sets: BTreeMap<Kind, Vec<Arc<Resource>>> = of.into_iter().collect();
    let layer = Layer::new(|kind| {
        let known = before.map(|layer| layer.of(kind));
        let resources = sets.remove(&kind).unwrap_or_default().into_iter().map(|resource| {
            let same = known.and_then(|known| known.get(&resource.name)).filter(|known| known.version == resource.version);
            same.map_or(resource, Arc::clone)
        });
        let set = Set::new(resources);
        match known.filter(|known| known.version() == set.version()) {
            Some(same) => Arc::clone(same),
            None => Arc::new(set),
        }
    });
    match before {
        Some(before) if Kind::ALL.into_iter().all(|kind| Arc::ptr_eq(before.of(kind), layer.of(kind))) => Arc::clone(before),
        _ => Arc::new(layer),
    }
}
