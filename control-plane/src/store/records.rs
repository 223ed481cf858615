//! Short texts beside the objects: what the control plane notes for itself, and no operator writes. They have no history. All of
//! them are in memory; a version of each is what a writer compares.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// Tokens by which workloads join.
    Tokens,
    /// Workloads that their sidecars have registered.
    Registrations,
    /// Control planes that share a store.
    Replicas,
    /// The authority: its roots, and how far their rotation is.
    Authority,
    /// Certificates that hold, by whose they are. There are many, and nobody follows them.
    Issued,
    /// Certificates that were revoked before their time.
    Revocations,
}

impl Shelf {
    const ALL: [Self; 6] = [Self::Tokens, Self::Registrations, Self::Replicas, Self::Authority, Self::Issued, Self::Revocations];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Registrations => "registrations",
            Self::Replicas => "replicas",
            Self::Authority => "authority",
            Self::Issued => "issued",
            Self::Revocations => "revocations",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.as_str() == word)
    }
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it says.
    pub text: Arc<str>,
    /// Another one after each write; never 0.
    pub version: u64,
}

/// What is to become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// What it is of.
    pub shelf: Shelf,
    /// Its name there.
    pub key: String,
    /// What it is to say; none takes it away.
    pub text: Option<String>,
    /// The version that the writer believes it has, 0 for none; `None` is whatever there is.
    pub expected: Option<u64>,
}

/// One that was written.
#[derive(Clone, Debug)]
pub(super) struct Wrote {
    pub(super) shelf: Shelf,
    pub(super) key: Arc<str>,
    /// None when it is gone.
    pub(super) kept: Option<Kept>,
}

type All = BTreeMap<Shelf, BTreeMap<Arc<str>, Kept>>;

/// All records.
#[derive(Debug)]
pub struct Records {
    all: RwLock<All>,
    seen: watch::Sender<u64>,
    /// The same, without what nobody follows.
    followed: watch::Sender<u64>,
}

impl Records {
    /// As they were found, at a version of the whole.
    pub(super) fn new(found: Vec<Wrote>, seen: u64) -> Self {
        let records = Self { all: RwLock::default(), seen: watch::Sender::new(0), followed: watch::Sender::new(0) };
        records.replace(found, seen);
        records
    }

    /// One record.
    pub fn get(&self, shelf: Shelf, key: &str) -> Option<Kept> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(&shelf)?.get(key).cloned()
    }

    /// All of a shelf, in the order of their names.
    pub fn list(&self, shelf: Shelf) -> BTreeMap<Arc<str>, Kept> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(&shelf).cloned().unwrap_or_default()
    }

    /// How many there are.
    pub fn count(&self, shelf: Shelf) -> usize {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(&shelf).map_or(0, BTreeMap::len)
    }

    /// Those of a shelf whose names begin so, in the order of their names.
    pub fn list_under(&self, shelf: Shelf, start: &str) -> BTreeMap<Arc<str>, Kept> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let found = all.get(&shelf).into_iter().flat_map(|shelf| under(shelf, start));
        found.map(|(key, kept)| (Arc::clone(key), kept.clone())).collect()
    }

    /// How many there are of those.
    pub fn count_under(&self, shelf: Shelf, start: &str) -> usize {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(&shelf).map_or(0, |shelf| under(shelf, start).count())
    }

    /// Hears of every change, except for those of [`Shelf::Issued`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.followed.subscribe()
    }

    /// The latest version of the whole.
    pub(super) fn seen(&self) -> u64 {
        *self.seen.borrow()
    }

    /// Waits until a version of the whole is known.
    pub(super) async fn reached(&self, version: u64) {
        // The sender lives as long as this.
        let _gone = self.seen.subscribe().wait_for(|seen| *seen >= version).await.is_err();
    }

    /// Takes over what was written.
    pub(super) fn publish(&self, wrote: Vec<Wrote>, seen: u64) {
        let is_followed = wrote.iter().any(|wrote| wrote.shelf != Shelf::Issued);
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        enter(&mut all, wrote);
        drop(all);
        self.tell(seen, is_followed);
    }

    /// Begins anew.
    pub(super) fn replace(&self, found: Vec<Wrote>, seen: u64) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.clear();
        enter(&mut all, found);
        drop(all);
        self.tell(seen, true);
    }

    fn tell(&self, seen: u64, is_followed: bool) {
        self.seen.send_modify(|now| *now = seen.max(*now));
        if is_followed {
            self.followed.send_modify(|now| *now = seen.max(*now));
        }
    }
}

fn under<'a>(shelf: &'a BTreeMap<Arc<str>, Kept>, start: &str) -> impl Iterator<Item = (&'a Arc<str>, &'a Kept)> {
    shelf.range::<str, _>((Bound::Included(start), Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(start))
}

fn enter(all: &mut All, wrote: Vec<Wrote>) {
    for Wrote { shelf, key, kept } in wrote {
        let shelf = all.entry(shelf).or_default();
        match kept {
            Some(kept) => drop(shelf.insert(key, kept)),
            None => drop(shelf.remove(&key)),
        }
    }
}
