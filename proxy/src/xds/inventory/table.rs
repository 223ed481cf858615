/// Resources that may turn out not to be able to serve.
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use prost_types::Any;
use tokio::time::Instant;

use crate::xds::invalid::{Faults, Invalid, Named};

/// Resources of one type, by name.
#[derive(Debug)]
pub struct Table<T> {
    entries: BTreeMap<String, Entry<T>>,
    /// Counts changes of what is known.
    pub(super) changes: u64,
    /// There was a time to live, ever: most servers set none, and then nobody looks for those that are over.
    has_limits: bool,
}

/// One name.
#[derive(Debug)]
pub struct Entry<T> {
    /// Where it comes from.
    pub origin: Origin,
    /// The last good one.
    pub known: Option<Known<T>>,
    /// A later one that was refused.
    pub refused: Option<Refused>,
    /// The good one before, until the last one is known to serve.
    before: Option<Box<Known<T>>>,
}

/// Where a resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The bootstrap file.
    File,
    /// A control plane.
    Server,
    /// A file that is watched.
    Watched,
}

/// A good resource.
#[derive(Debug)]
pub struct Known<T> {
    /// The server's name for this state of it.
    pub version: String,
    /// As it came; `None` for one that the bootstrap file holds.
    pub body: Option<Any>,
    /// When it was accepted.
    pub since: SystemTime,
    /// When it outlives its time.
    pub(super) expires: Option<Instant>,
    /// The change of the table that it came with; the table sets it.
    pub(super) change: u64,
    /// Made into the model; `None` while secrets are missing.
    pub value: Option<Arc<T>>,
    /// What it refers to.
    pub named: Named,
    /// What is accepted without effect.
    pub warnings: Vec<Invalid>,
}

/// A resource that was refused.
#[derive(Debug)]
pub struct Refused {
    /// The server's name for this state of it.
    pub version: String,
    /// As it came.
    pub body: Any,
    /// What is wrong.
    pub faults: Faults,
    /// When.
    pub at: SystemTime,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), changes: 0, has_limits: false }
    }
}

impl<T> Table<T> {
    /// All names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry<T>)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// One name.
    pub fn get(&self, name: &str) -> Option<&Entry<T>> {
        self.entries.get(name)
    }

    /// The last good resource of a name, made into the model.
    pub fn value(&self, name: &str) -> Option<&Arc<T>> {
        self.get(name)?.known.as_ref()?.value.as_ref()
    }

    /// Resources that are good and complete.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.iter().filter_map(|(name, entry)| Some((name, entry.known.as_ref()?.value.as_ref()?)))
    }

    /// What servers have sent and was good: name, version, and the resource as it came.
    pub(super) fn sent(&self) -> impl Iterator<Item = (&str, &str, &Any)> {
        let served = self.iter().filter(|(_, entry)| entry.origin == Origin::Server);
        served.filter_map(|(name, entry)| {
            let known = entry.known.as_ref()?;
            Some((name, known.version.as_str(), known.body.as_ref()?))
        })
    }

    /// How often what is known has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Good and complete resources that have come since the table had changed so often.
    pub fn changed_since(&self, changes: u64) -> impl Iterator<Item = (&str, &Arc<T>)> {
        let newer = self.iter().filter(move |(_, entry)| entry.known.as_ref().is_some_and(|known| known.change > changes));
        newer.filter_map(|(name, entry)| Some((name, entry.known.as_ref()?.value.as_ref()?)))
    }

    /// The resource that is known is the one that was sent: only its version and its time are new.
    pub(super) fn renew(&mut self, name: &str, version: Option<&str>, expires: Option<Instant>) {
        self.has_limits |= expires.is_some();
        if let Some(known) = self.known_mut(name) {
            known.expires = expires;
            if let Some(version) = version {
                version.clone_into(&mut known.version);
            }
        }
    }

    pub(super) fn known_mut(&mut self, name: &str) -> Option<&mut Known<T>> {
        self.entries.get_mut(name)?.known.as_mut()
    }

    pub(super) fn adopt(&mut self, name: String, value: Arc<T>, named: Named) {
        let known = Known {
            version: String::new(),
            body: None,
            since: SystemTime::now(),
            expires: None,
            change: 0,
            value: Some(value),
            named,
            warnings: Vec::new(),
        };
        self.accept(&name, Origin::File, known);
    }

    pub(super) fn accept(&mut self, name: &str, origin: Origin, mut known: Known<T>) {
        self.changes = self.changes.wrapping_add(1);
        self.has_limits |= known.expires.is_some();
        known.change = self.changes;
        let before = self.entries.remove(name).and_then(|entry| entry.known);
        // Until its secrets are there, what serves stays.
        if known.value.is_none() {
            known.value = before.and_then(|before| before.value);
        }
        self.entries.insert(name.to_owned(), Entry { origin, known: Some(known), refused: None, before: None });
    }

    pub(super) fn refuse(&mut self, name: &str, origin: Origin, refused: Refused) {
        let entry = self.entries.entry(name.to_owned()).or_insert_with(|| Entry { origin, known: None, refused: None, before: None });
        entry.refused = Some(refused);
    }

    /// The server came back to what is known.
    pub(super) fn forgive(&mut self, name: &str) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.refused = None;
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.entries.get(name).is_some_and(|entry| entry.origin != Origin::File) {
            self.entries.remove(name);
            self.changes = self.changes.wrapping_add(1);
        }
    }

    pub(super) fn retain(&mut self, wanted: &BTreeSet<String>) {
        let before = self.entries.len();
        self.entries.retain(|name, entry| entry.origin == Origin::File || wanted.contains(name));
        if self.entries.len() != before {
            self.changes = self.changes.wrapping_add(1);
        }
    }

    /// Names of what comes from somewhere.
    pub(super) fn names_from(&self, origin: Origin) -> Vec<String> {
        self.entries.iter().filter(|(_, entry)| entry.origin == origin).map(|(name, _)| name.clone()).collect()
    }

    /// What resources refer to, those included that wait for secrets, and those that serve until others do.
    pub fn named(&self) -> impl Iterator<Item = &Named> {
        self.entries.values().flat_map(|entry| entry.known.iter().chain(entry.before.as_deref())).map(|known| &known.named)
    }

    pub(super) fn naming_secret(&self, secret: &str) -> Vec<(String, Any)> {
        let naming = self.entries.iter().filter_map(|(name, entry)| {
            let known = entry.known.as_ref().filter(|known| known.named.secrets.contains(secret))?;
            Some((name.clone(), known.body.clone()?))
        });
        naming.collect()
    }

    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        if !self.has_limits {
            return Vec::new();
        }
        let is_over = |entry: &Entry<T>| entry.known.as_ref().and_then(|known| known.expires).is_some_and(|expires| expires <= now);
        let names: Vec<String> = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(name, _)| name.clone()).collect();
        for name in &names {
            self.remove(name);
        }
        names
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let limits = self.entries.values().filter_map(|entry| entry.known.as_ref()?.expires);
        self.has_limits.then(|| limits.min()).flatten()
    }
}
