//! From what is known to what serves: which names to ask for next, what waits for what, and when a new snapshot is complete.
//!
//! Make before break: a changed cluster serves once its endpoints are there, a listener once its routes are, and until then the
//! old one serves. Routes that name a cluster which is still waited for are held back as long as it is; a cluster that was
//! taken away serves on while routes that serve name it, for a while.
//!
//! No I/O and no clock: the caller tells the time and what has been resolved.

/// Clusters that routes and listeners name.
mod named;
/// Which types are asked for.
mod scope;
/// Which scopes serve.
mod scopes;
/// What is waited for.
mod waits;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::cluster::{Cluster, Discovery};
use crate::config::endpoint::Assignment;
use crate::config::listener::Listener;
use crate::config::route::RouteTable;
use crate::config::snapshot::Snapshot;
use crate::config::{ClusterName, RouteTableName};
use crate::xds::inventory::Inventory;
use crate::xds::resource::Kind;
use crate::xds::subscription::Wanted;

pub use scope::Scope;

use named::Clusters;
use waits::{Key, Waits};

/// How long a cluster that was taken away serves routes that still name it: the server changes both, one after the other. And how
/// long routes that no listener names any more serve the connections of those that did, which go when their requests have ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long the start waits for secrets that listeners name; the listeners themselves wait on.
const SECRETS_WAIT: Duration = Duration::from_secs(15);

/// Route tables by name.
type Tables = HashMap<RouteTableName, Arc<RouteTable>>;

/// What is to be done after something has changed.
#[derive(Debug, Default)]
pub struct Step {
    /// A new snapshot to serve from.
    pub snapshot: Option<Snapshot>,
    /// New endpoints of clusters that serve.
    pub endpoints: Vec<(ClusterName, Arc<Assignment>)>,
    /// Clusters whose names are to be resolved before they serve.
    pub resolve: Vec<Arc<Cluster>>,
    /// Look again then, even if nothing happens.
    pub wake: Option<Instant>,
}

/// What serves, and what waits.
#[derive(Debug, Default)]
pub struct Cascade {
    scope: Scope,
    serving: Snapshot,
    /// Counts what has served.
    served: u64,
    /// The endpoints that serving clusters were given.
    given: HashMap<ClusterName, Arc<Assignment>>,
    /// Changes of endpoints that were looked at for that.
    given_until: u64,
    /// Clusters whose names have been resolved, or were found not to be.
    resolved: HashMap<ClusterName, Arc<Cluster>>,
    /// Since when something waits.
    waiting: HashMap<Key, Instant>,
    /// Clusters that were taken away, and serve what still names them. One of the same name that comes again is another one: what is
    /// asked for now is not to reach the endpoints of then.
    gone: HashSet<ClusterName>,
    /// Clusters have been told, and all of them served or were given up; listeners are asked for then.
    clusters_came: bool,
    listeners_wanted: bool,
    listeners_came: bool,
    /// Scopes have been told.
    scopes_came: bool,
    /// Everything that was told at first serves, or was given up.
    complete: bool,
    /// What was known at the last step.
    stepped: Option<Known>,
}

impl Cascade {
    /// This serves already.
    pub fn new(scope: Scope, serving: Snapshot) -> Self {
        Self { scope, serving, clusters_came: !scope.clusters, listeners_came: !scope.listeners, ..Self::default() }
    }

    /// What serves.
    pub fn serving(&self) -> &Snapshot {
        &self.serving
    }

    /// These listeners serve in fact: what others were to be could not be done.
    pub fn listeners_serve(&mut self, listeners: Vec<Arc<Listener>>) {
        self.serving.listeners = listeners;
        self.served = self.served.wrapping_add(1);
        self.stepped = None;
    }

    /// The server has told its clusters, or did not in time.
    pub fn clusters_told(&mut self) {
        self.clusters_came = true;
    }

    /// The server has told its listeners, or did not in time.
    pub fn listeners_told(&mut self) {
        self.listeners_came = true;
    }

    /// The server has told its scopes.
    pub fn scopes_told(&mut self) {
        self.scopes_came = true;
    }

    /// What the server has told of scopes does not hold any more: it was told that they are not wanted.
    pub fn scopes_forgotten(&mut self) {
        self.scopes_came = false;
    }

    /// Whether listeners are asked for.
    pub fn wants_listeners(&self) -> bool {
        self.scope.listeners && self.listeners_wanted
    }

    /// Whether everything that was told at first serves, or was given up. Once so, always so.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// A cluster's names have been resolved, or will not be.
    pub fn resolved(&mut self, cluster: &Arc<Cluster>) {
        self.resolved.insert(cluster.name.clone(), Arc::clone(cluster));
        self.stepped = None;
    }

    /// Counts what may change what is to be asked for.
    pub fn questions(&self, inventory: &Inventory) -> (u64, u64, bool) {
        let changes = [inventory.clusters.changes(), inventory.listeners.changes(), inventory.scopes.changes()];
        (changes.into_iter().fold(0, u64::wrapping_add), self.served, self.wants_listeners())
    }

    /// What to ask the server for, in the order in which to ask.
    pub fn wanted(&self, inventory: &Inventory) -> Vec<(Kind, Wanted)> {
        let all = |wanted| if wanted { Wanted::All } else { Wanted::Nothing };
        // What serves until another is warm still follows its endpoints; what was taken away has those that it had.
        let serving = self.serving.clusters.values().filter(|cluster| !self.gone.contains(&cluster.name));
        let clusters = inventory.clusters.values().map(|(_, cluster)| cluster).chain(serving);
        let endpoints = clusters.filter_map(|cluster| service_name(cluster)).map(str::to_owned).collect();
        let listeners = inventory.listeners.values().map(|(_, listener)| listener).chain(&self.serving.listeners);
        let tables = listeners.flat_map(|listener| listener.route_tables()).map(|(name, _)| name.as_str().to_owned());
        let tables = tables.chain(inventory.listeners.named().flat_map(|named| named.tables.iter().cloned()));
        let scoped = scopes::wanted(inventory, &self.serving.listeners);
        let scopes = inventory.scopes.values().map(|(_, scope)| scope).chain(self.serving.scopes.iter()).filter(|_| scoped);
        let tables = tables.chain(scopes.filter_map(|scope| scope.named_table()).map(|name| name.as_str().to_owned())).collect();
        vec![
            (Kind::Cluster, all(self.scope.clusters)),
            (Kind::Endpoint, Wanted::Names(endpoints)),
            (Kind::Listener, all(self.scope.listeners && self.listeners_wanted)),
            (Kind::ScopedRoute, all(scoped)),
            (Kind::Route, Wanted::Names(tables)),
            (Kind::Secret, Wanted::Names(inventory.secrets_named())),
            (Kind::Names, all(self.scope.names)),
        ]
    }

    /// Makes what is ready serve.
    pub fn step(&mut self, inventory: &Inventory, now: Instant) -> Step {
        let known = Known::of(self, inventory);
        let stepped = self.stepped.replace(known) == Some(known);
        if stepped && self.waiting.is_empty() {
            // At most endpoints have changed, of clusters that serve.
            return Step { endpoints: self.give_changed(inventory), ..Step::default() };
        }
        let mut waits = Waits { since: &mut self.waiting, still: HashSet::new(), wake: None, now };
        let mut step = Step::default();
        let clusters = clusters((&self.serving, &self.gone), &self.resolved, inventory, &mut waits, &mut step.resolve);
        let known = inventory.clusters.iter().filter(|(_, entry)| entry.known.is_some());
        let warming: HashSet<&str> = known.map(|(name, _)| name).filter(|name| !clusters.contains_key(*name)).collect();
        let named = Clusters { serving: &self.serving.clusters, next: &clusters, warming: warming.clone() };
        let tables = tables(&self.serving, &named, inventory, &mut waits);
        let scopes = match scopes::wanted(inventory, &self.serving.listeners) {
            true => scopes::scopes(&self.serving.scopes, &tables, &named, inventory, &mut waits),
            false => scopes::Next::default(),
        };
        let listeners = listeners(&self.serving, (&tables, &scopes, self.scopes_came), &named, inventory, &mut waits);
        let is_warm = warming.is_empty();
        let incomplete = inventory.listeners.iter().filter(|(_, entry)| entry.known.as_ref().is_some_and(|known| known.value.is_none()));
        let secrets_wait = incomplete.fold(false, |any, (name, _)| waits.wait(Kind::Secret, name, Some(SECRETS_WAIT)) || any);
        let is_scoped = scopes::wanted(inventory, &listeners);
        let scopes = if is_scoped { scopes.scopes } else { scopes::farewell(&self.serving.scopes, &mut waits) };
        let mut next = Snapshot { listeners, clusters, route_tables: tables, scopes };
        self.gone = keep_gone(&mut next, &self.serving, &warming, &mut waits);
        self.listeners_wanted |= self.clusters_came && is_warm;
        let Waits { still, wake, .. } = waits;
        let listeners_wait = secrets_wait || still.iter().any(|(_, kind, _)| *kind == Kind::Listener);
        self.complete |= self.clusters_came && self.listeners_came && is_warm && !listeners_wait;
        self.waiting.retain(|what, _| still.contains(what));
        step.wake = wake;
        self.resolved.retain(|name, cluster| inventory.clusters.value(name.as_str()).is_some_and(|known| Arc::ptr_eq(known, cluster)));
        self.given.retain(|name, _| next.clusters.get(name).is_some_and(|cluster| service_name(cluster).is_some()));
        step.endpoints = self.give(inventory, &next);
        if !is_same(&next, &self.serving) {
            self.serving = next.clone();
            self.served = self.served.wrapping_add(1);
            step.snapshot = Some(next);
        }
        step
    }

    /// Endpoints of clusters that serve and go on, as far as they have changed: of many thousands it is mostly one.
    fn give_changed(&mut self, inventory: &Inventory) -> Vec<(ClusterName, Arc<Assignment>)> {
        let since = std::mem::replace(&mut self.given_until, inventory.endpoints.changes());
        if since == self.given_until {
            return Vec::new();
        }
        let changed: HashMap<&str, &Arc<Assignment>> = inventory.endpoints.changed_since(since).collect();
        let mut given = Vec::new();
        for (name, cluster) in &self.serving.clusters {
            let Some(assignment) = service_name(cluster).and_then(|service| changed.get(service)) else { continue };
            self.given.insert(name.clone(), Arc::clone(assignment));
            given.push((name.clone(), Arc::clone(assignment)));
        }
        given
    }

    /// Endpoints that clusters of `next` have not been given yet.
    fn give(&mut self, inventory: &Inventory, next: &Snapshot) -> Vec<(ClusterName, Arc<Assignment>)> {
        self.given_until = inventory.endpoints.changes();
        let mut given = Vec::new();
        for (name, cluster) in &next.clusters {
            let Some(assignment) = service_name(cluster).and_then(|service| inventory.endpoints.value(service)) else { continue };
            let renewed = self.serving.clusters.get(name).is_none_or(|serving| !Arc::ptr_eq(serving, cluster));
            if renewed || self.given.get(name).is_none_or(|given| !Arc::ptr_eq(given, assignment)) {
                self.given.insert(name.clone(), Arc::clone(assignment));
                given.push((name.clone(), Arc::clone(assignment)));
            }
        }
        given
    }
}

/// What may change what is ready, other than time and endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    changes: (u64, u64, u64, u64),
    came: (bool, bool, bool),
}

impl Known {
    fn of(cascade: &Cascade, inventory: &Inventory) -> Self {
        let routes = (inventory.scopes.changes(), inventory.routes.changes());
        let changes = (inventory.clusters.changes(), inventory.listeners.changes(), routes.0, routes.1);
        Self { changes, came: (cascade.clusters_came, cascade.listeners_came, cascade.scopes_came) }
    }
}

fn service_name(cluster: &Cluster) -> Option<&str> {
    match &cluster.discovery {
        Discovery::Eds { service_name, .. } => Some(service_name),
        Discovery::Static(_) | Discovery::StrictDns(_) | Discovery::LogicalDns(_) | Discovery::OriginalDst(_) => None,
    }
}

fn clusters(
    (serving, gone): (&Snapshot, &HashSet<ClusterName>),
    resolved: &HashMap<ClusterName, Arc<Cluster>>,
    inventory: &Inventory,
    waits: &mut Waits<'_>,
    resolve: &mut Vec<Arc<Cluster>>,
) -> HashMap<ClusterName, Arc<Cluster>> {
    let mut next = HashMap::new();
    for (name, cluster) in inventory.clusters.values() {
        let current = serving.clusters.get(name).filter(|current| !gone.contains(&current.name));
        if current.is_some_and(|current| Arc::ptr_eq(current, cluster)) {
            next.insert(cluster.name.clone(), Arc::clone(cluster));
            continue;
        }
        let ready = match &cluster.discovery {
            Discovery::Static(_) | Discovery::OriginalDst(_) => true,
            Discovery::Eds { service_name, fetch_timeout } => {
                inventory.endpoints.value(service_name).is_some() || !waits.wait(Kind::Cluster, name, *fetch_timeout)
            }
            Discovery::StrictDns(_) | Discovery::LogicalDns(_) => {
                let is_resolved = resolved.get(name).is_some_and(|resolved| Arc::ptr_eq(resolved, cluster));
                if !is_resolved {
                    resolve.push(Arc::clone(cluster));
                }
                is_resolved
            }
        };
        match (ready, current) {
            (true, _) => drop(next.insert(cluster.name.clone(), Arc::clone(cluster))),
            (false, Some(current)) => drop(next.insert(cluster.name.clone(), Arc::clone(current))),
            (false, None) => {}
        }
    }
    next
}

fn tables(serving: &Snapshot, named: &Clusters<'_>, inventory: &Inventory, waits: &mut Waits<'_>) -> Tables {
    let mut next = HashMap::new();
    for (name, table) in inventory.routes.values() {
        let key = RouteTableName::from(name);
        let current = serving.route_tables.get(name);
        let same = current.is_some_and(|current| Arc::ptr_eq(current, table));
        let ready = same || {
            let limit = named.wait(&table.clusters(), current.map(|current| current.clusters()).as_ref());
            limit.is_none() || !waits.wait(Kind::Route, name, limit)
        };
        match (ready, current) {
            (true, _) => drop(next.insert(key, Arc::clone(table))),
            (false, Some(current)) => drop(next.insert(key, Arc::clone(current))),
            (false, None) => {}
        }
    }
    next
}

fn listeners(
    serving: &Snapshot,
    (tables, scopes, scopes_came): (&Tables, &scopes::Next, bool),
    named: &Clusters<'_>,
    inventory: &Inventory,
    waits: &mut Waits<'_>,
) -> Vec<Arc<Listener>> {
    let mut next = Vec::new();
    for (name, listener) in inventory.listeners.values() {
        let current = serving.listeners.iter().find(|current| current.name == listener.name);
        let same = current.is_some_and(|current| Arc::ptr_eq(current, listener));
        let ready = same || {
            let missing = listener.route_tables().filter(|(table, _)| !tables.contains_key(*table));
            let missing = missing.map(|(_, limit)| limit).chain(scopes::missing(listener, scopes_came, scopes));
            let limits: Vec<Option<Duration>> = missing.collect();
            let limit = scopes::longest(limits.iter().copied());
            let clusters_limit = named.wait(&listener.clusters(), current.map(|current| current.clusters()).as_ref());
            (limits.is_empty() || !waits.wait(Kind::Listener, name, limit))
                && (clusters_limit.is_none() || !waits.wait(Kind::Listener, name, clusters_limit))
        };
        match (ready, current) {
            (true, _) => next.push(Arc::clone(listener)),
            (false, Some(current)) => next.push(Arc::clone(current)),
            (false, None) => {}
        }
    }
    next
}

/// Routes that were taken away, and clusters that were and that what serves still names; these clusters' names. One that has come
/// again and is not ready does not hurry the one before.
fn keep_gone(next: &mut Snapshot, serving: &Snapshot, warming: &HashSet<&str>, waits: &mut Waits<'_>) -> HashSet<ClusterName> {
    for (name, table) in &serving.route_tables {
        if !next.route_tables.contains_key(name) && waits.farewell(Kind::Route, name.as_str(), FAREWELL) {
            next.route_tables.insert(name.clone(), Arc::clone(table));
        }
    }
    let gone: Vec<_> = serving.clusters.iter().filter(|(name, _)| !next.clusters.contains_key(*name)).collect();
    if gone.is_empty() {
        return HashSet::new();
    }
    let of_tables = next.route_tables.values().flat_map(|table| table.clusters());
    let of_tables = of_tables.chain(next.scopes.iter().flat_map(|scope| scope.clusters()));
    let named: HashSet<ClusterName> = of_tables.chain(next.listeners.iter().flat_map(|listener| listener.clusters())).cloned().collect();
    let mut kept = HashSet::new();
    for (name, cluster) in gone {
        let stays = warming.contains(name.as_str()) || waits.farewell(Kind::Cluster, name.as_str(), FAREWELL);
        if named.contains(name) && stays {
            next.clusters.insert(name.clone(), Arc::clone(cluster));
            kept.insert(name.clone());
        }
    }
    kept
}

fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    one.clusters.len() == other.clusters.len()
        && one.route_tables.len() == other.route_tables.len()
        && one.listeners.len() == other.listeners.len()
        && one.scopes == other.scopes
        && one.clusters.iter().all(|(name, cluster)| other.clusters.get(name).is_some_and(|same| Arc::ptr_eq(cluster, same)))
        && one.route_tables.iter().all(|(name, table)| other.route_tables.get(name).is_some_and(|same| Arc::ptr_eq(table, same)))
        && one.listeners.iter().zip(&other.listeners).all(|(one, other)| Arc::ptr_eq(one, other))
}

#[cfg(test)]
mod tests;
