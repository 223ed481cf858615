use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::api::files::{Files as FromFiles, FromFile};
use crate::app::world::World;
use crate::model::mesh::Object;
use crate::model::name::Key;
use crate::source::files::{FileFault, Files, Found};
use crate::source::manifest;
use crate::store::error::StoreError;
use crate::store::{Scope, Store};
use crate::task::OwnedTask;

/// The folders are looked at this often even if nothing was heard of them: not every file system tells.
const LOOK: Duration = Duration::from_secs(30);
/// An editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(10);

/// Brings objects into the mesh: those of files, and of the store where no file has one of that name.
pub(super) struct Objects {
    world: Arc<World>,
    store: Store,
    trust_domain: Arc<str>,
    files: Files,
    roots: Vec<PathBuf>,
    /// What files hold, for the API.
    from_files: Arc<FromFiles>,
    /// Of the store, how far the mesh is.
    seen: u64,
}

impl Objects {
    /// Reads everything there is.
    ///
    /// # Errors
    /// What may say who may do what, and cannot be read at all: nothing can stand in for it, and a mesh without it would be open.
    pub(super) async fn load(world: Arc<World>, store: Store, roots: Vec<PathBuf>, trust_domain: Arc<str>) -> Result<Self, FileFault> {
        let files = Files::new(roots.clone()).of(Arc::clone(&trust_domain));
        let mut objects = Self { world, store, trust_domain, files, roots, from_files: Arc::default(), seen: 0 };
        objects.look().await;
        if let Some(fault) = objects.files.faults().iter().find(|fault| fault.may_be_policy) {
            return Err(fault.clone());
        }
        objects.list();
        Ok(objects)
    }

    /// What files hold, now and later.
    pub(super) fn of_files(&self) -> Arc<FromFiles> {
        Arc::clone(&self.from_files)
    }

    /// Takes the store as it is.
    fn list(&mut self) {
        let listed = self.store.list(&Scope::default());
        self.seen = listed.revision;
        let stored: BTreeMap<Key, Object> = listed
            .objects
            .into_iter()
            .filter_map(|(key, object)| Some((key.clone(), read(&key, &object.value(), &self.trust_domain)?)))
            .collect();
        let gone: Vec<Key> = self.world.keys().into_iter().filter(|key| !self.in_files(key) && !stored.contains_key(key)).collect();
        let changes = stored.into_iter().filter(|(key, _)| !self.in_files(key)).map(|(key, object)| (key, Some(object)));
        let changes: Vec<_> = changes.chain(gone.into_iter().map(|key| (key, None))).collect();
        self.world.apply(changes);
    }

    fn in_files(&self, key: &Key) -> bool {
        self.files.objects().contains_key(key)
    }

    /// Follows files and store for ever.
    pub(super) async fn follow(mut self) {
        // One that is not taken yet says the same as the next.
        let (hear, mut heard) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _full = hear.try_send(()).is_err();
            }
        });
        let mut watcher = watcher.inspect_err(|error| tracing::warn!(%error, "folders are looked at every 30 s only")).ok();
        for (folder, error) in self.watch(watcher.as_mut()) {
            tracing::warn!(folder = %folder.display(), %error, "looked at every 30 s only");
        }
        // What was written before anybody listened.
        self.look().await;
        let mut written = self.store.watch(self.seen);
        loop {
            tokio::select! {
                revision = written.next() => match revision {
                    Ok(revision) => {
                        self.seen = revision.number;
                        let changes: Vec<_> = revision.changes.iter().filter(|change| !self.in_files(&change.key)).map(|change| {
                            let object = change.after.as_ref().and_then(|object| read(&change.key, &object.value(), &self.trust_domain));
                            (change.key.clone(), object)
                        }).collect();
                        self.world.apply(changes);
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::debug!(%error, "the store is read anew");
                        self.list();
                        written = self.store.watch(self.seen);
                    }
                },
                Some(()) = heard.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    self.look().await;
                }
                () = tokio::time::sleep(LOOK), if !self.roots.is_empty() => {
                    // A folder that was taken away and put back is another one.
                    let _told_at_the_start = self.watch(watcher.as_mut());
                    self.look().await;
                }
            }
        }
    }

    /// Hears of changes from now on; the folders of which the system does not tell.
    fn watch(&self, watcher: Option<&mut RecommendedWatcher>) -> Vec<(PathBuf, notify::Error)> {
        let Some(watcher) = watcher else { return Vec::new() };
        let watched = self.roots.iter().map(|root| (root.clone(), watcher.watch(root, RecursiveMode::Recursive)));
        watched.filter_map(|(root, watched)| Some((root, watched.err()?))).collect()
    }

    /// Looks at the folders.
    async fn look(&mut self) {
        let mut files = std::mem::take(&mut self.files);
        let looked = OwnedTask::blocking(move || {
            let found = files.look();
            (files, found)
        });
        // The task fails with the process.
        let Some((files, Found { changes, news })) = looked.join().await else { return };
        self.files = files;
        news.iter().for_each(tell);
        if changes.is_empty() {
            return;
        }
        tracing::info!(changes = changes.len(), "files have changed");
        let changes = changes.into_iter().map(|(key, written)| {
            let object = written.map(|written| written.object);
            // What the store has of that name was hidden.
            let stored = || self.store.get(&key).and_then(|stored| read(&key, &stored.value(), &self.trust_domain));
            (key.clone(), object.or_else(stored))
        });
        let changes: Vec<_> = changes.collect();
        self.world.apply(changes);
        self.show();
    }

    /// Shows the API what files hold.
    fn show(&self) {
        let before = self.from_files.now();
        let all = self.files.objects().iter().map(|(key, written)| {
            let file = written.path.display().to_string();
            let same = before.get(key).filter(|known| known.file == file && known.object == written.value);
            (key.clone(), same.map_or_else(|| Arc::new(FromFile::new(file, written.value.clone())), Arc::clone))
        });
        self.from_files.replace(all.collect());
    }
}

fn tell(fault: &FileFault) {
    tracing::warn!("{fault}; what was good before stays");
}

/// What the API took was good then; a newer program may see it otherwise.
fn read(key: &Key, value: &serde_json::Value, trust_domain: &str) -> Option<Object> {
    match manifest::read(value).and_then(|read| manifest::agrees(value, trust_domain).map(|()| read)) {
        Ok((_, object)) => Some(object),
        Err(faults) => {
            let instead = manifest::stand_in(value).map(|(_, object)| object);
            let becomes = if instead.is_some() { "denies until it can be read" } else { "left out" };
            for fault in faults {
                tracing::warn!(%key, %fault, "in the store, and {becomes}");
            }
            instead
        }
    }
}
