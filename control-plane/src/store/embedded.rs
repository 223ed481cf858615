//! The embedded home: a file in the state directory, and the objects in memory. One thread writes; writes that wait for it
//! become one transaction, each a revision of its own, and are answered when that is on disk.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use crate::model::name::Key;
use crate::store::disk::{self, Disk, Loaded};
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::prepare::{changes, prepare, undo};
use crate::store::recent::{Recent, Watch};
use crate::store::revision::{By, Intent, Revision, Write, Written};
use crate::store::{Limits, Listed, Scope};
use crate::task::OwnedTask;

/// Writes that wait. More are told to wait by waiting.
const WAITING: usize = 256;
/// Writes of one transaction: enough that a storm is a few syncs of the disk.
const TOGETHER: usize = 128;

/// Revisions that are read at the start, so that those who followed before may go on.
const AT_START: usize = 256;

/// The embedded home.
#[derive(Debug)]
pub struct Embedded {
    objects: Arc<RwLock<BTreeMap<Key, Object>>>,
    recent: Arc<Recent>,
    disk: Arc<Disk>,
    requests: mpsc::Sender<Request>,
    _writer: OwnedTask,
}

#[derive(Debug)]
struct Request {
    work: Work,
    by: By,
    dry_run: bool,
    answer: oneshot::Sender<Result<Written, StoreError>>,
}

#[derive(Debug)]
enum Work {
    Write(Vec<Intent>),
    Rollback(u64),
    Close,
}

impl Embedded {
    /// Opens the file in a directory, or makes both.
    pub(super) async fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let opened = blocking(move || {
            let disk = Disk::open(&directory)?;
            let Loaded { latest, objects } = disk.load()?;
            let mut revisions = disk.history(None, u64::MAX, limits.recent.min(AT_START))?;
            revisions.reverse();
            Ok((disk, latest, objects, revisions))
        });
        let (disk, latest, objects, revisions) = opened.await?;
        let recent = Arc::new(Recent::new(limits, latest));
        revisions.into_iter().for_each(|revision| recent.push(revision));
        let objects = Arc::new(RwLock::new(objects.into_iter().collect()));
        let disk = Arc::new(disk);
        let (requests, waiting) = mpsc::channel(WAITING);
        let writer = Writer { objects: Arc::clone(&objects), recent: Arc::clone(&recent), disk: Arc::clone(&disk), limits };
        Ok(Self { objects, recent, disk, requests, _writer: OwnedTask::blocking(move || writer.run(waiting)) })
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

    pub(super) async fn write(&self, Write { by, intents, dry_run }: Write) -> Result<Written, StoreError> {
        self.ask(Work::Write(intents), by, dry_run).await
    }

    pub(super) async fn rollback(&self, to: u64, by: By) -> Result<Written, StoreError> {
        self.ask(Work::Rollback(to), by, false).await
    }

    pub(super) fn watch(&self, since: u64) -> Watch {
        self.recent.watch(since)
    }

    pub(super) async fn history(&self, of: Option<Key>, before: Option<u64>, most: usize) -> Result<Vec<Arc<Revision>>, StoreError> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.history(of.as_ref(), before.unwrap_or(u64::MAX), most)).await
    }

    pub(super) async fn revision(&self, number: u64) -> Result<Arc<Revision>, StoreError> {
        let (disk, latest) = (Arc::clone(&self.disk), self.latest());
        blocking(move || match disk.revision(number)? {
            Some(revision) => Ok(revision),
            None if number == 0 || number > latest => Err(StoreError::NoRevision { asked: number, latest }),
            None => Err(StoreError::Gone { asked: number, oldest: disk.forgotten()? + 1 }),
        })
        .await
    }

    /// Ends the writer and lets go of the file.
    pub(super) async fn close(&self) {
        // It is closed already when nobody takes this.
        let _closed = self.ask(Work::Close, By::default(), true).await;
    }

    async fn ask(&self, work: Work, by: By, dry_run: bool) -> Result<Written, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { work, by, dry_run, answer }).await.map_err(|_| StoreError::Closed)?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    OwnedTask::blocking(work).join().await.unwrap_or(Err(StoreError::Closed))
}

/// The one that writes.
struct Writer {
    objects: Arc<RwLock<BTreeMap<Key, Object>>>,
    recent: Arc<Recent>,
    disk: Arc<Disk>,
    limits: Limits,
}

/// A transaction that is not yet on disk.
#[derive(Default)]
struct Pending {
    objects: HashMap<Key, Option<Object>>,
    revisions: Vec<Revision>,
}

type Answers = Vec<(oneshot::Sender<Result<Written, StoreError>>, Result<Written, StoreError>)>;

impl Writer {
    fn run(self, mut waiting: mpsc::Receiver<Request>) {
        while !self.disk.is_closed()
            && let Some(first) = waiting.blocking_recv()
        {
            let mut requests = vec![first];
            while requests.len() < TOGETHER
                && let Ok(next) = waiting.try_recv()
            {
                requests.push(next);
            }
            for (answer, result) in self.transaction(requests) {
                // Who no longer waits needs no answer.
                let _unheard = answer.send(result).is_err();
            }
        }
    }

    fn transaction(&self, requests: Vec<Request>) -> Answers {
        let mut answers: Answers = Vec::with_capacity(requests.len());
        let mut pending = Pending::default();
        let mut requests = requests.into_iter();
        let committed = self.disk.write(|write| {
            self.catch_up(write)?;
            for Request { work, by, dry_run, answer } in requests.by_ref() {
                let result = self.one(write, &mut pending, work, by, dry_run);
                let broken = match &result {
                    Err(error @ StoreError::Disk(_)) => Some(error.clone()),
                    _ => None,
                };
                answers.push((answer, result));
                if let Some(error) = broken {
                    return Err(error);
                }
            }
            Ok(())
        });
        match committed {
            Ok(()) => self.publish(pending),
            // Nothing of the transaction is on disk, so nobody is told that it is.
            Err(error) => {
                answers.iter_mut().for_each(|(_, result)| *result = Err(error.clone()));
                answers.extend(requests.map(|request| (request.answer, Err(error.clone()))));
            }
        }
        answers
    }

    fn one(&self, write: &WriteTransaction, pending: &mut Pending, work: Work, by: By, dry_run: bool) -> Result<Written, StoreError> {
        let (latest, forgotten) = disk::numbers(write)?;
        let (number, now) = (latest + 1, SystemTime::now());
        let intents = match work {
            Work::Write(intents) => intents,
            Work::Rollback(to) if to > latest => return Err(StoreError::NoRevision { asked: to, latest }),
            Work::Rollback(to) if to < forgotten => return Err(StoreError::Gone { asked: to, oldest: forgotten }),
            Work::Close => {
                self.disk.close();
                return Err(StoreError::Closed);
            }
            Work::Rollback(to) => undo(&disk::revisions_after(write, to)?),
        };
        let current = |key: &Key| match pending.objects.get(key) {
            Some(object) => object.clone(),
            None => self.objects.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned(),
        };
        let outcomes = prepare(current, intents, number, now)?;
        let changes = changes(&outcomes);
        if dry_run || changes.is_empty() {
            return Ok(Written { revision: None, outcomes });
        }
        let revision = Revision { number, time: now, by, changes };
        disk::add(write, &revision, self.limits.revisions, self.limits.revision_bytes)?;
        pending.objects.extend(revision.changes.iter().map(|change| (change.key.clone(), change.after.clone())));
        pending.revisions.push(revision);
        Ok(Written { revision: Some(number), outcomes })
    }

    /// A transaction whose end was in doubt may be on disk after all: its revisions are known then, and nobody was told so.
    fn catch_up(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let (latest, _) = disk::numbers(write)?;
        if latest > self.recent.latest() {
            let revisions = disk::revisions_after(write, self.recent.latest())?;
            self.publish(Pending { revisions, ..Pending::default() });
        }
        Ok(())
    }

    fn publish(&self, pending: Pending) {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        for revision in pending.revisions {
            for change in &revision.changes {
                match &change.after {
                    Some(object) => objects.insert(change.key.clone(), object.clone()),
                    None => objects.remove(&change.key),
                };
            }
            self.recent.push(Arc::new(revision));
        }
    }
}

#[cfg(test)]
mod tests;
