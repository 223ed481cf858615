use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use crate::app::StartError;
use crate::app::control;
use crate::app::status::{Following, LinkStatus};
use crate::config::bootstrap::{Bootstrap, Dynamic};
use crate::config::cluster::Discovery;
use crate::config::listener::Listener;
use crate::config::snapshot::Snapshot;
use crate::dns::Book;
use crate::runtime::{ActiveListener, Generation, Shared};
use crate::telemetry::metrics::Registry;
use crate::upstream::ClusterState;
use crate::xds::cascade::{Cascade, Scope};
use crate::xds::follow::{Follower, Sources};
use crate::xds::invalid::Faults;
use crate::xds::inventory::Inventory;

/// What the file says and what needs no word of a control plane to serve.
pub(super) fn without_served(bootstrap: &Bootstrap) -> Snapshot {
    let mut snapshot = bootstrap.snapshot.clone();
    snapshot.clusters.retain(|_, cluster| !matches!(cluster.discovery, Discovery::Eds { .. }));
    let Snapshot { clusters, listeners, .. } = &mut snapshot;
    listeners.retain(|listener| {
        listener.route_tables().next().is_none()
            && listener.served_scopes().next().is_none()
            && listener.clusters().into_iter().all(|name| clusters.contains_key(name) || !bootstrap.snapshot.clusters.contains_key(name))
    });
    snapshot
}

/// What is known at the start, and what serves already.
pub(super) fn follow(
    bootstrap: &Bootstrap,
    dynamic: &Dynamic,
    serving: Snapshot,
    started: Instant,
    book: Option<Rc<Book>>,
) -> Result<Rc<RefCell<Following>>, Faults> {
    let (inventory, node) = Inventory::of_file(bootstrap)?;
    let scope = Scope { clusters: dynamic.clusters.is_some(), listeners: dynamic.listeners.is_some(), names: book.is_some() };
    let cascade = Cascade::new(scope, serving);
    let sources = Sources { clusters: dynamic.clusters.clone(), listeners: dynamic.listeners.clone() };
    let follower = Follower::new(dynamic.server.as_ref().map(control::dialect), node, inventory, cascade, sources);
    let link = dynamic.server.as_ref().map(|_| LinkStatus::new());
    Ok(Rc::new(RefCell::new(Following { follower, link, started, restored: false, book })))
}

/// Clusters and listeners of a configuration, with their live state.
pub(super) fn generation(snapshot: Snapshot, registry: &Registry) -> Result<Generation, StartError> {
    let mut clusters = HashMap::new();
    for (name, config) in &snapshot.clusters {
        let cluster = ClusterState::new(Arc::clone(config));
        registry.add_cluster(&cluster);
        registry.cluster_manager.cluster_added.inc();
        registry.cluster_manager.active_clusters.inc();
        clusters.insert(name.clone(), cluster);
    }
    let listeners = active(&snapshot.listeners, registry)?;
    Ok(Generation { snapshot, clusters, listeners })
}

/// What there is before the proxy has its identity, if it is to have one, and the listeners that wait for it: they may show it.
pub(super) fn before_identity(
    bootstrap: &Bootstrap,
    mut snapshot: Snapshot,
    registry: &Registry,
) -> Result<(Generation, Vec<Arc<Listener>>), StartError> {
    let waiting = if bootstrap.enrolment.is_some() { std::mem::take(&mut snapshot.listeners) } else { Vec::new() };
    Ok((generation(snapshot, registry)?, waiting))
}

/// Adds what has waited.
pub(super) fn serve_waiting(shared: &Shared, waiting: Vec<Arc<Listener>>) -> Result<(), StartError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let before = shared.current.load_full();
    let listeners = active(&waiting, &shared.registry)?;
    let snapshot = Snapshot { listeners: waiting, ..before.snapshot.clone() };
    shared.current.store(Arc::new(Generation { snapshot, clusters: before.clusters.clone(), listeners }));
    Ok(())
}

fn active(listeners: &[Arc<Listener>], registry: &Registry) -> Result<Vec<Arc<ActiveListener>>, StartError> {
    let mut active = Vec::new();
    for config in listeners {
        let listener = ActiveListener::new(Arc::clone(config), registry);
        let listener = listener.map_err(|(chain, cause)| StartError::Tls { listener: config.name.to_string(), chain, cause })?;
        registry.listener_manager.listener_added.inc();
        active.push(Arc::new(listener));
    }
    Ok(active)
}
