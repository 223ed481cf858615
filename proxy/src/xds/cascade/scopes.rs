//! Which scopes serve: each once its routes are there, and until then the one before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::listener::Listener;
use crate::config::scope::{Scope, Scopes};
use crate::xds::cascade::named::Clusters;
use crate::xds::cascade::waits::Waits;
use crate::xds::cascade::{FAREWELL, Tables};
use crate::xds::inventory::Inventory;
use crate::xds::resource::Kind;

/// Scopes that are to serve.
#[derive(Default)]
pub(super) struct Next {
    pub(super) scopes: Scopes,
    /// Some wait.
    pub(super) is_pending: bool,
}

/// Whether a listener asks for the scopes of the server.
pub(super) fn wanted(inventory: &Inventory, serving: &[Arc<Listener>]) -> bool {
    inventory.listeners.named().any(|named| named.scopes) || serving.iter().any(|listener| listener.served_scopes().next().is_some())
}

/// Those that stay when no listener asks for them any more: connections of the listener that is gone have them until they have ended.
pub(super) fn farewell(serving: &Scopes, waits: &mut Waits<'_>) -> Scopes {
    let stay = serving.iter().next().is_some() && waits.farewell(Kind::ScopedRoute, "", FAREWELL);
    if stay { serving.clone() } else { Scopes::default() }
}

/// What is to serve while listeners ask for scopes.
pub(super) fn scopes(serving: &Scopes, tables: &Tables, named: &Clusters<'_>, inventory: &Inventory, waits: &mut Waits<'_>) -> Next {
    let limit = longest(inventory.listeners.values().flat_map(|(_, listener)| listener.served_scopes()).map(|(_, tables)| tables));
    let current: HashMap<&str, &Arc<Scope>> = serving.iter().map(|scope| (scope.name.as_str(), scope)).collect();
    let (mut next, mut before) = (Vec::new(), Vec::new());
    let mut is_pending = false;
    for (name, scope) in inventory.scopes.values() {
        let current = current.get(name).copied();
        let same = current.is_some_and(|current| Arc::ptr_eq(current, scope));
        let ready = same || {
            let is_missing = scope.named_table().is_some_and(|table| !tables.contains_key(table));
            let clusters_limit = named.wait(&scope.clusters(), current.map(|current| current.clusters()).as_ref());
            (!is_missing || !waits.wait(Kind::ScopedRoute, name, limit))
                && (clusters_limit.is_none() || !waits.wait(Kind::ScopedRoute, name, clusters_limit))
        };
        is_pending |= !ready;
        if ready { next.push(Arc::clone(scope)) } else { before.extend(current.cloned()) }
    }
    // A key that another scope has now leads there.
    let taken: HashSet<&[String]> = next.iter().map(|scope| scope.key.as_slice()).collect();
    let before: Vec<_> = before.into_iter().filter(|scope| !taken.contains(scope.key.as_slice())).collect();
    Next { scopes: next.into_iter().chain(before).collect(), is_pending }
}

/// What a listener waits for, by how long it waits for each; `None` is for ever.
pub(super) fn missing<'a>(listener: &'a Listener, came: bool, next: &'a Next) -> impl Iterator<Item = Option<Duration>> + 'a {
    listener.served_scopes().filter_map(move |(scopes, tables)| match (came, next.is_pending) {
        (false, _) => Some(scopes),
        (true, true) => Some(tables),
        (true, false) => None,
    })
}

/// `None`, for ever, is the longest.
pub(super) fn longest(limits: impl IntoIterator<Item = Option<Duration>>) -> Option<Duration> {
    limits.into_iter().try_fold(Duration::ZERO, |longest, limit| limit.map(|limit| longest.max(limit)))
}
