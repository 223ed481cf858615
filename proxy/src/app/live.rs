use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::accept::listeners::{self, BindError};
use crate::config::ClusterName;
use crate::config::cluster::Cluster;
use crate::config::listener::Listener;
use crate::config::snapshot::Snapshot;
use crate::resolve::{Resolvers, Watch};
use crate::runtime::{ActiveListener, Door, Generation, Shared};
use crate::task::OwnedTask;
use crate::upstream::ClusterState;
use crate::worker::Command;
use crate::xds::cascade::Step;
use crate::xds::follow::{Served, Unable};
use crate::xds::invalid::Faults;

/// How long the first look-ups of a cluster's names may hold back what names it (Envoy: 5 s).
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// Brings what the configuration says to life: the one place that changes what workers serve from.
pub(super) struct Live {
    shared: Arc<Shared>,
    workers: Vec<mpsc::Sender<Command>>,
    resolvers: Resolvers,
    /// Names that are looked up, of clusters that serve.
    watches: HashMap<ClusterName, Watch>,
    /// Clusters whose names are looked up before they serve.
    warming: HashMap<ClusterName, Warming>,
    /// Tells of clusters that are warm.
    warm: mpsc::Sender<Arc<Cluster>>,
}

struct Warming {
    cluster: Arc<ClusterState>,
    watch: Option<Watch>,
    _tells: OwnedTask,
}

impl Live {
    /// Clusters whose names have been looked up are told to `warm`.
    pub(super) fn new(shared: &Arc<Shared>, workers: Vec<mpsc::Sender<Command>>, warm: mpsc::Sender<Arc<Cluster>>) -> Self {
        Self {
            shared: Arc::clone(shared),
            workers,
            resolvers: Resolvers::default(),
            watches: HashMap::new(),
            warming: HashMap::new(),
            warm,
        }
    }

    /// Opens all listeners there are.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(super) async fn open_all(&self) -> Result<(), BindError> {
        for listener in &self.shared.current.load_full().listeners {
            self.open(listener).await?;
        }
        Ok(())
    }

    /// Makes a step of the configuration serve; what does now, if that has changed. A listener that cannot leaves what was there.
    pub(super) async fn apply(&mut self, step: Step) -> Option<Served> {
        for cluster in step.resolve {
            self.resolve(cluster);
        }
        let generation = self.shared.current.load_full();
        let Some(mut snapshot) = step.snapshot else {
            for (name, assignment) in step.endpoints {
                if let Some(cluster) = generation.clusters.get(&name) {
                    cluster.replace_assignment(&assignment);
                }
            }
            return None;
        };
        let clusters = self.clusters(&snapshot, &generation);
        for (name, assignment) in step.endpoints {
            if let Some(cluster) = clusters.get(&name) {
                cluster.replace_assignment(&assignment);
            }
        }
        let Listeners { now: listeners, changed, gone, unable } = self.listeners(&snapshot, &generation).await;
        snapshot.listeners = listeners.iter().map(|listener| Arc::clone(&listener.config)).collect();
        let served = Served { listeners: snapshot.listeners.clone(), unable };
        // Requests find all of it at once, and the doors lead to nothing that is not there yet.
        self.shared.current.store(Arc::new(Generation { snapshot, clusters, listeners }));
        for (listener, before) in changed {
            Door::lead_to(&listener);
            before.tell_gone(&listener);
            self.shared.registry.listener_manager.listener_modified.inc();
        }
        for listener in gone {
            listener.shut(true);
            // One that has moved has a successor, whose word holds for the connections that it leaves behind.
            let generation = self.shared.current.load();
            if let Some(after) = generation.listeners.iter().find(|after| after.config.name == listener.config.name) {
                listener.obey(after);
            }
            let stats = &self.shared.registry.listener_manager;
            stats.listener_removed.inc();
            stats.total_listeners_active.dec();
        }
        self.shared.registry.forget_clusters();
        for worker in &self.workers {
            // A worker that is gone has ended with the process.
            let _told = worker.send(Command::Tidy).await.is_ok();
        }
        Some(served)
    }

    /// Listeners of a snapshot: those that have not changed go on, new ones are opened.
    async fn listeners(&self, snapshot: &Snapshot, before: &Generation) -> Listeners {
        let mut next = Listeners { now: Vec::new(), changed: Vec::new(), gone: Vec::new(), unable: Vec::new() };
        for config in &snapshot.listeners {
            let named = before.listeners.iter().find(|known| known.config.name == config.name);
            let made = match self.listener(config, named, behind_which_door(config, named, before)) {
                Ok(Change::Open(listener)) => self.open(&listener).await.map(|()| Change::None(listener)).map_err(|error| error.fault()),
                made => made,
            };
            match made {
                Ok(Change::None(listener) | Change::Open(listener)) => next.now.push(listener),
                Ok(Change::Behind(listener, before)) => {
                    next.changed.push((Arc::clone(&listener), before));
                    next.now.push(listener);
                }
                Err(problem) => {
                    self.shared.registry.listener_manager.listener_create_failure.inc();
                    next.unable.push(Unable { listener: Arc::clone(config), faults: Faults::one(problem) });
                    next.now.extend(named.cloned());
                }
            }
        }
        // One that was to move, and whose sockets another has taken over, does not serve any more.
        next.now.retain(|known| !next.changed.iter().any(|(_, before)| Arc::ptr_eq(before, known)));
        // What is behind a door in another's place has changed; what has lost its door is gone.
        let keeps_door = |known: &Arc<ActiveListener>| next.now.iter().any(|listener| Arc::ptr_eq(&listener.door, &known.door));
        next.gone = before.listeners.iter().filter(|known| !keeps_door(known)).cloned().collect();
        next
    }

    /// Clusters of a snapshot: those that have not changed go on, with their connections and their load.
    fn clusters(&mut self, snapshot: &Snapshot, before: &Generation) -> HashMap<ClusterName, Arc<ClusterState>> {
        let stats = &self.shared.registry.cluster_manager;
        let mut clusters = HashMap::with_capacity(snapshot.clusters.len());
        for (name, config) in &snapshot.clusters {
            let known = before.clusters.get(name);
            if let Some(same) = known.filter(|known| Arc::ptr_eq(known.config(), config)) {
                clusters.insert(name.clone(), Arc::clone(same));
                continue;
            }
            let warmed = self.warming.remove(name).filter(|warming| Arc::ptr_eq(warming.cluster.config(), config));
            let (cluster, watch) = match warmed {
                Some(Warming { cluster, watch, .. }) => (cluster, watch),
                None => (ClusterState::new(Arc::clone(config)), None),
            };
            self.watches.remove(name);
            self.watches.extend(watch.map(|watch| (name.clone(), watch)));
            self.shared.registry.add_cluster(&cluster);
            match known {
                Some(_) => stats.cluster_modified.inc(),
                None => {
                    stats.cluster_added.inc();
                    stats.active_clusters.inc();
                }
            }
            clusters.insert(name.clone(), cluster);
        }
        for name in before.clusters.keys().filter(|name| !snapshot.clusters.contains_key(*name)) {
            self.watches.remove(name);
            stats.cluster_removed.inc();
            stats.active_clusters.dec();
        }
        clusters
    }

    /// `named` is what had its name before, `seated` what had its sockets. Or why it cannot serve.
    fn listener(
        &self,
        config: &Arc<Listener>,
        named: Option<&Arc<ActiveListener>>,
        seated: Option<&Arc<ActiveListener>>,
    ) -> Result<Change, String> {
        if let Some(same) = named.filter(|named| Arc::ptr_eq(&named.config, config)) {
            return Ok(Change::None(Arc::clone(same)));
        }
        let registry = &self.shared.registry;
        let made = match seated {
            Some(seated) => seated.changed(Arc::clone(config), registry).map(|made| Change::Behind(Arc::new(made), Arc::clone(seated))),
            None => ActiveListener::new(Arc::clone(config), registry).map(|made| Change::Open(Arc::new(made))),
        };
        made.map_err(|(chain, error)| format!("filter chain {chain:?}: {error}"))
    }

    /// Opens a listener's sockets on all workers.
    async fn open(&self, listener: &Arc<ActiveListener>) -> Result<(), BindError> {
        if !listener.config.bind_to_port {
            return Ok(());
        }
        let bound = listeners::bind(&listener.config, self.workers.len())?;
        let addresses = bound.first().into_iter().flatten().filter_map(|socket| socket.local_address().ok());
        listener.door.opened(addresses.collect(), bound.iter().map(Vec::len).sum(), &self.shared.own);
        Door::lead_to(listener);
        for (worker, sockets) in self.workers.iter().zip(bound) {
            // A worker that is gone has ended with the process.
            let _told = worker.send(Command::Open(Arc::clone(&listener.door), sockets)).await.is_ok();
        }
        let stats = &self.shared.registry.listener_manager;
        stats.listener_create_success.inc();
        stats.total_listeners_active.inc();
        Ok(())
    }

    /// Begins to look up the names of a cluster that is to serve.
    fn resolve(&mut self, config: Arc<Cluster>) {
        if self.warming.get(&config.name).is_some_and(|warming| Arc::ptr_eq(warming.cluster.config(), &config)) {
            return;
        }
        let cluster = ClusterState::new(Arc::clone(&config));
        let watch = self.resolvers.watch(&cluster);
        let (waits, warm, name) = (Arc::clone(&cluster), self.warm.clone(), config.name.clone());
        let tells = OwnedTask::spawn(async move {
            if tokio::time::timeout(RESOLVE_LIMIT, waits.warmed()).await.is_err() {
                tracing::warn!(cluster = %config.name, "its names are not resolved yet; it has no endpoints until they are");
            }
            // Nobody to tell: the process ends.
            let _told = warm.send(config).await.is_ok();
        });
        self.warming.insert(name, Warming { cluster, watch, _tells: tells });
    }
}

/// The listener whose sockets do for this one, whatever its name: to close some and open others at the same address would reset
/// connections that the kernel completes in between.
fn behind_which_door<'a>(
    config: &Listener,
    named: Option<&'a Arc<ActiveListener>>,
    before: &'a Generation,
) -> Option<&'a Arc<ActiveListener>> {
    let mut others = before.listeners.iter().filter(|_| config.bind_to_port);
    named.filter(|named| named.config.same_sockets(config)).or_else(|| others.find(|known| known.config.same_sockets(config)))
}

/// What becomes of all listeners.
struct Listeners {
    now: Vec<Arc<ActiveListener>>,
    /// Another one behind the same door, and the one before.
    changed: Vec<(Arc<ActiveListener>, Arc<ActiveListener>)>,
    gone: Vec<Arc<ActiveListener>>,
    unable: Vec<Unable>,
}

/// What becomes of a listener.
enum Change {
    /// Nothing more.
    None(Arc<ActiveListener>),
    /// Another one comes behind the same door.
    Behind(Arc<ActiveListener>, Arc<ActiveListener>),
    /// It gets sockets of its own.
    Open(Arc<ActiveListener>),
}
