//! Objects that come from files: now, and some time ago for those who follow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::model::name::Key;
use crate::snapshot::resource::Version;

/// Changes of objects that are remembered: a client that lists and then follows is a moment behind.
const PAST: usize = 4_096;

/// An object that comes from a file: the API shows it and does not change it.
#[derive(Clone, Debug, PartialEq)]
pub struct FromFile {
    /// The file.
    pub file: String,
    /// The object.
    pub object: Value,
    /// A name for what it says.
    version: Version,
}

impl FromFile {
    /// An object as a file says it.
    pub fn new(file: impl Into<String>, object: Value) -> Self {
        let version = Version::of(object.to_string().as_bytes());
        Self { file: file.into(), object, version }
    }
}

/// What files hold at a time. The same objects have the same name for all of them, in every process.
#[derive(Clone, Debug, Default)]
pub struct Held {
    objects: BTreeMap<Key, Arc<FromFile>>,
    version: Version,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

impl Held {
    fn new(objects: BTreeMap<Key, Arc<FromFile>>) -> Self {
        if objects.is_empty() {
            return Self::default();
        }
        let names: Vec<_> = objects.iter().map(|(key, from)| (key.to_string(), from.version)).collect();
        let version = Version::of_all(names.iter().map(|(name, version)| (name.as_str(), *version)));
        Self { objects, version }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&Arc<FromFile>> {
        self.objects.get(key)
    }

    /// All objects, by their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Arc<FromFile>)> {
        self.objects.iter()
    }

    /// Where an object is not the same as later.
    pub(super) fn differing(&self, later: &Self) -> BTreeSet<Key> {
        let keys: BTreeSet<&Key> = self.objects.keys().chain(later.objects.keys()).collect();
        keys.into_iter().filter(|key| self.version_of(key) != later.version_of(key)).cloned().collect()
    }

    fn version_of(&self, key: &Key) -> Option<Version> {
        self.objects.get(key).map(|from| from.version)
    }
}

/// The objects that come from files, whoever reads these.
#[derive(Debug, Default)]
pub struct Files {
    now: watch::Sender<Arc<Held>>,
    past: Mutex<VecDeque<Past>>,
}

/// The way back to what was before a change.
#[derive(Debug)]
struct Past {
    version: Version,
    /// What each object was that was not so afterwards.
    before: Vec<(Key, Option<Arc<FromFile>>)>,
}

impl Files {
    /// What they hold now.
    pub fn now(&self) -> Arc<Held> {
        Arc::clone(&self.now.borrow())
    }

    /// Takes what they hold from now on.
    pub fn replace(&self, objects: BTreeMap<Key, Arc<FromFile>>) {
        let held = Held::new(objects);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        let before = now.differing(&held).into_iter().map(|key| (key.clone(), now.get(&key).cloned()));
        past.push_back(Past { version: now.version, before: before.collect() });
        while past.iter().map(|past| past.before.len().max(1)).sum::<usize>() > PAST {
            past.pop_front();
        }
        self.now.send_replace(Arc::new(held));
    }

    /// Is told when they change.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Held>> {
        self.now.subscribe()
    }

    /// What they held when that had this name; none when it is not remembered.
    fn at(&self, version: Version) -> Option<Arc<Held>> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        if now.version == version {
            return Some(now);
        }
        let mut objects = now.objects.clone();
        for past in past.iter().rev() {
            for (key, before) in &past.before {
                match before {
                    Some(from) => objects.insert(key.clone(), Arc::clone(from)),
                    None => objects.remove(key),
                };
            }
            if past.version == version {
                return Some(Arc::new(Held { objects, version }));
            }
        }
        None
    }
}

/// How far a list or a client is, in the store and in files: its `resourceVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) revision: u64,
    files: Version,
}

impl Place {
    pub(super) fn new(revision: u64, held: &Held) -> Self {
        Self { revision, files: held.version }
    }

    /// As it was written by [`Display`](fmt::Display).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (revision, files) = match text.split_once('.') {
            None => (text, Version::NONE),
            Some((revision, files)) => (revision, Version::parse(files)?),
        };
        Some(Self { revision: revision.parse().ok()?, files })
    }

    /// What files held then, where that is remembered.
    pub(super) fn held(self, files: &Files, is_meant: impl Fn(&Key) -> bool) -> Option<Arc<Held>> {
        if self.files != Version::NONE {
            return files.at(self.files);
        }
        // A number alone may be an object's version too, which says nothing of files: it will do where there are none.
        let now = files.now();
        (!now.objects.keys().any(is_meant)).then_some(now)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.files == Version::NONE { write!(f, "{}", self.revision) } else { write!(f, "{}.{}", self.revision, self.files) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::kind::Kind;
    use crate::model::name::Name;

    fn held(names: &[(&str, u64)]) -> BTreeMap<Key, Arc<FromFile>> {
        let key = |name: &str| Key { kind: Kind::Service, name: Name::new("shop", name) };
        names.iter().map(|(name, port)| (key(name), Arc::new(FromFile::new("a.yaml", json!({ "port": port }))))).collect()
    }

    #[test]
    fn what_was_is_remembered_for_some_time() {
        let files = Files::default();
        let states = [&[("a", 1)][..], &[("a", 1), ("b", 2)], &[("a", 3), ("b", 2)], &[("b", 2)]].map(held);
        for state in &states {
            files.replace(state.clone());
        }
        for state in states {
            let then = Held::new(state);
            assert_eq!(files.at(then.version).as_deref(), Some(&then));
        }
        assert_eq!(files.at(Version::of(b"never")), None);
        let many = |port: u64| (0..PAST).map(|at| (format!("s{at}"), port)).collect::<Vec<_>>();
        let now = files.now();
        for port in 0..2 {
            let names = many(port);
            files.replace(held(&names.iter().map(|(name, port)| (name.as_str(), *port)).collect::<Vec<_>>()));
        }
        assert_eq!(files.at(now.version), None, "there is an end to it");
    }

    #[test]
    fn a_place_names_what_files_held_if_they_held_anything() {
        let files = Files::default();
        assert_eq!(Place::new(7, &files.now()).to_string(), "7");
        assert!(Place::parse("7").unwrap().held(&files, |_| true).is_some());
        files.replace(held(&[("a", 1)]));
        let place = Place::new(7, &files.now());
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        assert_eq!(place.held(&files, |_| true), Some(files.now()));
        assert_eq!(Place::parse("7").unwrap().held(&files, |_| true), None);
        assert_eq!(Place::parse("7").unwrap().held(&files, |_| false), Some(files.now()));
        assert!(["", "x", "7.", "7.1", "-1", "7.0123456789abcdeg"].iter().all(|wrong| Place::parse(wrong).is_none()));
    }
}
