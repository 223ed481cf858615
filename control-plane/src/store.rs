//! Where objects live, and every change that was made to them.
//!
//! A write changes one object or many, all of them or none, and is a revision: a number, who, when, why, and what each object
//! was before and is after. An answer to a write means that it is on disk. Objects are JSON in the form that operators know
//! from Kubernetes; what is in them is no concern of this module, except for the server's part of their metadata.

/// The file of the embedded home.
mod disk;
/// A file in the state directory.
pub mod embedded;
/// Refusals.
pub mod error;
/// etcd.
pub mod etcd;
/// Objects as they are kept.
pub mod object;
/// What a write makes of the objects there are.
mod prepare;
/// The latest revisions, for those who follow.
mod recent;
/// Short texts beside the objects.
pub mod records;
/// The objects in memory.
mod replica;
/// Writes and what they did.
pub mod revision;

use std::path::Path;
use std::sync::Arc;

use crate::model::kind::Kind;
use crate::model::name::Key;

use embedded::Embedded;
use error::StoreError;
use etcd::Etcd;
use object::Object;
use records::{Put, Records};
use replica::Replica;
use revision::{By, Revision, Write, Written};

pub use recent::Watch;

/// How much is kept of what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Revisions that are kept for `history` and `rollback`.
    pub revisions: u64,
    /// Bytes that they may take.
    pub revision_bytes: u64,
    /// Revisions that are kept in memory for those who follow.
    pub recent: usize,
    /// Bytes that these may take.
    pub recent_bytes: usize,
}

impl Default for Limits {
    /// Weeks of a busy mesh's changes on disk; and in memory enough that a follower may be away for seconds of a storm.
    fn default() -> Self {
        Self { revisions: 10_000, revision_bytes: 512 << 20, recent: 4_096, recent_bytes: 16 << 20 }
    }
}

/// Where objects live. Clones are the same store.
#[derive(Clone, Debug)]
pub enum Store {
    /// A file in the state directory.
    Embedded(Arc<Embedded>),
    /// etcd, which several control planes share.
    Etcd(Arc<Etcd>),
}

/// Objects, and the revision that they are of.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// The latest revision when they were listed.
    pub revision: u64,
    /// The objects in the order of their keys.
    pub objects: Vec<(Key, Object)>,
}

/// Which objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Of one kind.
    pub kind: Option<Kind>,
    /// In one namespace.
    pub namespace: Option<Arc<str>>,
}

impl Scope {
    /// Whether an object is meant.
    pub fn holds(&self, key: &Key) -> bool {
        self.kind.is_none_or(|kind| kind == key.kind) && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.name.namespace)
    }
}

impl Store {
    /// Opens the store in a directory, which is made if it is missing. One process at a time has it.
    pub async fn embedded(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        Embedded::open(directory, limits).await.map(|home| Self::Embedded(Arc::new(home)))
    }

    /// Opens the store that other control planes share: etcd at some of `host:port`.
    pub async fn etcd(endpoints: &[String], limits: Limits) -> Result<Self, StoreError> {
        Etcd::open(endpoints, limits).await.map(|home| Self::Etcd(Arc::new(home)))
    }

    /// Finishes what is being written and lets go of the state directory. Everything afterwards is refused.
    pub async fn close(&self) {
        match self {
            Self::Embedded(home) => home.close().await,
            Self::Etcd(home) => home.close().await,
        }
    }

    /// The latest revision; 0 when nothing was ever written.
    pub fn latest(&self) -> u64 {
        self.replica().latest()
    }

    fn replica(&self) -> &Replica {
        match self {
            Self::Embedded(home) => home.replica(),
            Self::Etcd(home) => home.replica(),
        }
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Object> {
        self.replica().get(key)
    }

    /// Some objects.
    pub fn list(&self, scope: &Scope) -> Listed {
        self.replica().list(scope)
    }

    /// Changes objects, all of them or none. What changes nothing is no revision.
    pub async fn write(&self, write: Write) -> Result<Written, StoreError> {
        match self {
            Self::Embedded(home) => home.write(write).await,
            Self::Etcd(home) => home.write(write).await,
        }
    }

    /// Makes the objects what they were after revision `to`. That is a revision of its own.
    pub async fn rollback(&self, to: u64, by: By) -> Result<Written, StoreError> {
        match self {
            Self::Embedded(home) => home.rollback(to, by).await,
            Self::Etcd(home) => home.rollback(to, by).await,
        }
    }

    /// Short texts beside the objects.
    pub fn records(&self) -> &Arc<Records> {
        match self {
            Self::Embedded(home) => home.records(),
            Self::Etcd(home) => home.records(),
        }
    }

    /// Writes records, each by itself; whether each was what its writer believed, and so was written. What is written is known here
    /// when this returns.
    pub async fn keep(&self, puts: Vec<Put>) -> Result<Vec<bool>, StoreError> {
        match self {
            Self::Embedded(home) => home.keep(puts).await,
            Self::Etcd(home) => home.keep(puts).await,
        }
    }

    /// Whether other control planes may have the same store.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Etcd(_))
    }

    /// What [`rollback`](Self::rollback) would do.
    pub async fn preview_rollback(&self, to: u64) -> Result<Written, StoreError> {
        match self {
            Self::Embedded(home) => home.preview_rollback(to).await,
            Self::Etcd(home) => home.preview_rollback(to).await,
        }
    }

    /// Follows what happens after revision `since`.
    pub fn watch(&self, since: u64) -> Watch {
        self.replica().watch(since)
    }

    /// Revisions before `before` (all if there is none), newest first, at most `most`; of one object or of all.
    pub async fn history(&self, of: Option<Key>, before: Option<u64>, most: usize) -> Result<Vec<Arc<Revision>>, StoreError> {
        match self {
            Self::Embedded(home) => home.history(of, before, most).await,
            Self::Etcd(home) => home.history(of, before, most).await,
        }
    }

    /// One revision.
    pub async fn revision(&self, number: u64) -> Result<Arc<Revision>, StoreError> {
        match self {
            Self::Embedded(home) => home.revision(number).await,
            Self::Etcd(home) => home.revision(number).await,
        }
    }
}
