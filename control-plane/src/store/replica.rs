//! The objects in memory, and the latest revisions: what reads are answered from, whatever the home.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::name::Key;
use crate::store::object::Object;
use crate::store::recent::{Recent, Watch};
use crate::store::revision::Revision;
use crate::store::{Limits, Listed, Scope};

/// The objects as they are after the latest revision.
#[derive(Debug)]
pub(super) struct Replica {
    objects: RwLock<BTreeMap<Key, Object>>,
    recent: Arc<Recent>,
}

impl Replica {
    pub(super) fn new(limits: Limits, latest: u64, objects: BTreeMap<Key, Object>) -> Self {
        Self { objects: RwLock::new(objects), recent: Arc::new(Recent::new(limits, latest)) }
    }

    /// What was before the start, for those who follow.
    pub(super) fn remember(&self, revision: Arc<Revision>) {
        self.recent.push(revision);
    }

    pub(super) fn latest(&self) -> u64 {
        self.recent.latest()
    }

    pub(super) fn get(&self, key: &Key) -> Option<Object> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn list(&self, scope: &Scope) -> Listed {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        let found = objects.iter().filter(|(key, _)| scope.holds(key)).map(|(key, object)| (key.clone(), object.clone())).collect();
        // Revisions are published while the objects are locked.
        Listed { revision: self.recent.latest(), objects: found }
    }

    pub(super) fn watch(&self, since: u64) -> Watch {
        self.recent.watch(since)
    }

    /// Waits until a revision is known.
    pub(super) async fn reached(&self, number: u64) {
        self.recent.reached(number).await;
    }

    /// Takes over what revisions changed.
    pub(super) fn publish(&self, revisions: Vec<Revision>) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        for revision in revisions {
            for change in &revision.changes {
                match &change.after {
                    Some(object) => objects.insert(change.key.clone(), object.clone()),
                    None => objects.remove(&change.key),
                };
            }
            self.recent.push(Arc::new(revision));
        }
    }

    /// Begins anew, when what happened in between is not known: those who follow have to list again.
    pub(super) fn replace(&self, latest: u64, all: BTreeMap<Key, Object>) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        *objects = all;
        self.recent.forget(latest);
    }
}
