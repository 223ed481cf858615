use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::app::conditions::Conditions;
use crate::authority::lists::Lists;
use crate::model::kind::Kind;
use crate::model::mesh::{Mesh, Object};
use crate::model::name::{Key, Name};
use crate::model::workload::Workload;
use crate::snapshot::Snapshot;
use crate::snapshot::kind::Kind as Type;
use crate::snapshot::resource::{Resource, Version};
use crate::translate::trust;
use crate::translate::view::{Translator, View};

/// The mesh, and what each view sees of it.
#[derive(Default)]
pub(super) struct World {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    mesh: Mesh,
    translator: Translator,
    views: BTreeMap<View, watch::Sender<Arc<Snapshot>>>,
    conditions: Conditions,
    /// Workloads that an operator wrote.
    written: BTreeSet<Name>,
    /// Workloads that their sidecars have registered. One that an operator wrote counts over them.
    registered: BTreeMap<Name, Workload>,
    figures: Figures,
}

impl Inner {
    fn put(&mut self, key: &Key, object: Option<Object>) {
        self.mesh.apply(key, object);
        self.figures.changes = self.figures.changes.saturating_add(1);
    }

    /// What there is when an operator wrote this, or took it away.
    fn counts(&mut self, key: &Key, object: Option<Object>) -> Option<Object> {
        if key.kind != Kind::Workload {
            return object;
        }
        match object {
            Some(object) => {
                if self.written.insert(key.name.clone()) && self.registered.contains_key(&key.name) {
                    hidden(&key.name);
                }
                Some(object)
            }
            None => {
                self.written.remove(&key.name);
                self.registered.get(&key.name).cloned().map(Object::Workload)
            }
        }
    }
}

fn hidden(name: &Name) {
    tracing::warn!(workload = %name, "a sidecar has registered this workload, and the object of this name counts");
}

/// A resource that is not the same: its type, its name, and whether it was there before and is after.
pub(super) type Difference = (Type, Arc<str>, (bool, bool));

fn differences(old: &Snapshot, new: &Snapshot) -> Vec<Difference> {
    let mut all = Vec::new();
    for kind in Type::ALL {
        let of = |snapshot: &Snapshot| -> BTreeMap<Arc<str>, Version> {
            snapshot.of(kind).flat_map(|set| set.iter()).map(|resource| (Arc::clone(&resource.name), resource.version)).collect()
        };
        let (old, new) = (of(old), of(new));
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
        all.extend(changed.map(|name| (kind, Arc::clone(name), (old.contains_key(name), new.contains_key(name)))));
    }
    all
}

/// What happened here, for metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    /// Changes of objects.
    pub(super) changes: u64,
    /// How often snapshots were made.
    pub(super) pushes: u64,
    /// How long that took in all.
    pub(super) time: Duration,
    /// Views that somebody has.
    pub(super) views: usize,
}

impl World {
    pub(super) fn new(trust_domain: Arc<str>) -> Arc<Self> {
        let inner = Inner { mesh: Mesh::new(trust_domain), ..Inner::default() };
        Arc::new(Self { inner: Mutex::new(inner), ..Self::default() })
    }

    /// Whom proxies are to trust from now on, as PEM, and whom no longer.
    pub(super) fn trust(&self, bundle: &str, lists: &Lists) -> Arc<Resource> {
        let resource = trust::bundle(bundle, lists.pem.as_deref(), lists.only_leaves);
        self.lock().translator.trust(&resource);
        self.changed.notify_one();
        resource
    }

    /// The account of a workload.
    pub(super) fn account(&self, name: &Name) -> Option<Arc<str>> {
        self.lock().mesh.workload(name).map(|workload| Arc::clone(&workload.service_account))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes objects, together.
    pub(super) fn apply(&self, changes: impl IntoIterator<Item = (Key, Option<Object>)>) {
        let mut inner = self.lock();
        let mut any = false;
        for (key, object) in changes {
            let object = inner.counts(&key, object);
            inner.put(&key, object);
            any = true;
        }
        drop(inner);
        if any {
            self.changed.notify_one();
        }
    }

    /// Changes what sidecars have registered.
    pub(super) fn register(&self, changes: Vec<(Name, Option<Workload>)>) {
        let mut inner = self.lock();
        for (name, workload) in changes {
            let before = inner.registered.remove(&name);
            inner.registered.extend(workload.clone().map(|workload| (name.clone(), workload)));
            if !inner.written.contains(&name) {
                inner.put(&Key { kind: Kind::Workload, name }, workload.map(Object::Workload));
            } else if before.is_none() {
                hidden(&name);
            }
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Whether an object hides what a sidecar has registered.
    pub(super) fn hides(&self, name: &Name) -> bool {
        let inner = self.lock();
        inner.written.contains(name) && inner.registered.contains_key(name)
    }

    /// What a view sees, now and whenever that changes.
    pub(super) fn see(&self, view: View) -> watch::Receiver<Arc<Snapshot>> {
        let mut inner = self.lock();
        let Inner { mesh, translator, views, .. } = &mut *inner;
        let snapshot = translator.snapshot(mesh, &view);
        if let Some(sender) = views.get(&view) {
            // The next push may be some time off. Who comes is not to begin with what is old.
            renew(sender, snapshot);
            return sender.subscribe();
        }
        let sender = watch::Sender::new(snapshot);
        let receiver = sender.subscribe();
        views.insert(view, sender);
        receiver
    }

    /// All objects that operators wrote.
    pub(super) fn keys(&self) -> Vec<Key> {
        let inner = self.lock();
        let is_written = |key: &Key| key.kind != Kind::Workload || inner.written.contains(&key.name);
        inner.mesh.keys().into_iter().filter(is_written).collect()
    }

    /// What each view that somebody has would see differently, if these objects were so.
    pub(super) fn preview(&self, objects: Vec<(Key, Option<Object>)>) -> Vec<(View, Vec<Difference>)> {
        let (before, views) = {
            let inner = self.lock();
            (inner.mesh.clone(), inner.views.keys().cloned().collect::<Vec<_>>())
        };
        let mut after = before.clone();
        for (key, object) in objects {
            after.apply(&key, object);
        }
        let (mut old, mut new) = (Translator::default(), Translator::default());
        let compared = views.into_iter().map(|view| {
            let differences = differences(&old.snapshot(&before, &view), &new.snapshot(&after, &view));
            (view, differences)
        });
        compared.filter(|(_, differences)| !differences.is_empty()).collect()
    }

    /// How far an object holds; nothing is said of those without conditions.
    pub(super) fn status(&self, key: &Key) -> Option<Value> {
        let mut inner = self.lock();
        let Inner { mesh, conditions, .. } = &mut *inner;
        let now = SystemTime::now();
        conditions.update(mesh, now);
        conditions.status(mesh, key, now)
    }

    pub(super) fn figures(&self) -> Figures {
        let inner = self.lock();
        Figures { views: inner.views.len(), ..inner.figures }
    }

    /// Makes the snapshots that have changed. Views that nobody has any more are forgotten.
    fn make(&self) {
        let begun = Instant::now();
        let mut inner = self.lock();
        let Inner { mesh, translator, views, conditions, figures, .. } = &mut *inner;
        conditions.update(mesh, SystemTime::now());
        let before = views.len();
        views.retain(|_, sender| sender.receiver_count() > 0);
        if views.len() < before {
            translator.keep(|view| views.contains_key(view));
        }
        for (view, sender) in views {
            let snapshot = translator.snapshot(mesh, view);
            renew(sender, snapshot);
        }
        figures.pushes = figures.pushes.saturating_add(1);
        figures.time = figures.time.saturating_add(begun.elapsed());
    }
}

/// Tells those who see a view, if it is not the same.
fn renew(sender: &watch::Sender<Arc<Snapshot>>, snapshot: Arc<Snapshot>) {
    sender.send_if_modified(|before| {
        let same = Arc::ptr_eq(before, &snapshot);
        *before = snapshot;
        !same
    });
}

/// Makes snapshots when something has changed: many changes at once are one push.
pub(super) async fn publish(world: Arc<World>, quiet: Duration, wait: Duration) {
    loop {
        world.changed.notified().await;
        let until = Instant::now() + wait;
        loop {
            let pause = Instant::now() + quiet;
            tokio::select! {
                () = tokio::time::sleep_until(pause.min(until)) => break,
                () = world.changed.notified() => {}
            }
        }
        // Thousands of services take some milliseconds, which streams need not wait for.
        tokio::task::block_in_place(|| world.make());
    }
}
