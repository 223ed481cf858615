//! The embedded home: a file in the state directory, and the objects in memory. One thread writes; writes that wait for it
//! become one transaction, each a revision of its own, and are answered when that is on disk.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use crate::model::name::Key;
use crate::store::Limits;
use crate::store::disk::{self, Disk, Loaded};
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::prepare::{changes, prepare, undo};
use crate::store::records::{Kept, Put, Records, Shelf, Wrote};
use crate::store::replica::Replica;
use crate::store::revision::{By, Intent, Revision, Write, Written};
use crate::task::OwnedTask;

/// Writes that wait. More are told to wait by waiting.
const WAITING: usize = 256;
/// Writes of one transaction: enough that a storm is a few syncs of the disk.
const TOGETHER: usize = 128;

/// Revisions that are read at the start, so that those who followed before may go on.
const AT_START: usize = 256;

/// The version of the records that are found at the start.
pub(super) const FIRST: u64 = 1;

/// The embedded home.
#[derive(Debug)]
pub struct Embedded {
    replica: Arc<Replica>,
    records: Arc<Records>,
    disk: Arc<Disk>,
    requests: mpsc::Sender<Request>,
    _writer: OwnedTask,
}

#[derive(Debug)]
struct Request {
    work: Work,
    by: By,
    dry_run: bool,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<Done, StoreError>>;

#[derive(Clone, Debug)]
enum Done {
    Written(Written),
    /// Which of the records.
    Kept(Vec<bool>),
}

#[derive(Debug)]
enum Work {
    Write(Vec<Intent>),
    Rollback(u64),
    Keep(Vec<Put>),
    Close,
}

impl Embedded {
    /// Opens the file in a directory, or makes both.
    pub(super) async fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let directory = directory.to_owned();
        let opened = blocking(move || {
            let disk = Disk::open(&directory)?;
            let Loaded { latest, objects, records } = disk.load()?;
            let mut revisions = disk.history(None, u64::MAX, limits.recent.min(AT_START))?;
            revisions.reverse();
            Ok((disk, latest, (objects, records), revisions))
        });
        let (disk, latest, (objects, records), revisions) = opened.await?;
        let replica = Arc::new(Replica::new(limits, latest, objects.into_iter().collect()));
        revisions.into_iter().for_each(|revision| replica.remember(revision));
        let records = Arc::new(Records::new(records, FIRST));
        let disk = Arc::new(disk);
        let (requests, waiting) = mpsc::channel(WAITING);
        let writer = Writer { replica: Arc::clone(&replica), records: Arc::clone(&records), disk: Arc::clone(&disk), limits };
        Ok(Self { replica, records, disk, requests, _writer: OwnedTask::blocking(move || writer.run(waiting)) })
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(super) async fn write(&self, Write { by, intents, dry_run }: Write) -> Result<Written, StoreError> {
        self.written(Work::Write(intents), by, dry_run).await
    }

    pub(super) async fn rollback(&self, to: u64, by: By) -> Result<Written, StoreError> {
        self.written(Work::Rollback(to), by, false).await
    }

    pub(super) async fn preview_rollback(&self, to: u64) -> Result<Written, StoreError> {
        self.written(Work::Rollback(to), By::default(), true).await
    }

    pub(super) async fn history(&self, of: Option<Key>, before: Option<u64>, most: usize) -> Result<Vec<Arc<Revision>>, StoreError> {
        let disk = Arc::clone(&self.disk);
        blocking(move || disk.history(of.as_ref(), before.unwrap_or(u64::MAX), most)).await
    }

    pub(super) async fn revision(&self, number: u64) -> Result<Arc<Revision>, StoreError> {
        let (disk, latest) = (Arc::clone(&self.disk), self.replica.latest());
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

    pub(super) fn records(&self) -> &Arc<Records> {
        &self.records
    }

    pub(super) async fn keep(&self, puts: Vec<Put>) -> Result<Vec<bool>, StoreError> {
        match self.ask(Work::Keep(puts), By::default(), false).await? {
            Done::Kept(kept) => Ok(kept),
            Done::Written(_) => Err(StoreError::Closed),
        }
    }

    async fn written(&self, work: Work, by: By, dry_run: bool) -> Result<Written, StoreError> {
        match self.ask(work, by, dry_run).await? {
            Done::Written(written) => Ok(written),
            Done::Kept(_) => Err(StoreError::Closed),
        }
    }

    async fn ask(&self, work: Work, by: By, dry_run: bool) -> Result<Done, StoreError> {
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
    replica: Arc<Replica>,
    records: Arc<Records>,
    disk: Arc<Disk>,
    limits: Limits,
}

/// A transaction that is not yet on disk.
#[derive(Default)]
struct Pending {
    objects: HashMap<Key, Option<Object>>,
    revisions: Vec<Revision>,
    records: BTreeMap<(Shelf, String), Option<Kept>>,
}

type Answers = Vec<(Answer, Result<Done, StoreError>)>;

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
            Ok(()) => {
                self.replica.publish(pending.revisions);
                let wrote: Vec<_> =
                    pending.records.into_iter().map(|((shelf, key), kept)| Wrote { shelf, key: key.into(), kept }).collect();
                if !wrote.is_empty() {
                    self.records.publish(wrote, self.records.seen() + 1);
                }
            }
            // Nothing of the transaction is on disk, so nobody is told that it is.
            Err(error) => {
                answers.iter_mut().for_each(|(_, result)| *result = Err(error.clone()));
                answers.extend(requests.map(|request| (request.answer, Err(error.clone()))));
            }
        }
        answers
    }

    fn one(&self, write: &WriteTransaction, pending: &mut Pending, work: Work, by: By, dry_run: bool) -> Result<Done, StoreError> {
        let (latest, forgotten) = disk::numbers(write)?;
        let (number, now) = (latest + 1, SystemTime::now());
        let intents = match work {
            Work::Write(intents) => intents,
            Work::Rollback(to) if to > latest => return Err(StoreError::NoRevision { asked: to, latest }),
            Work::Rollback(to) if to < forgotten => return Err(StoreError::Gone { asked: to, oldest: forgotten }),
            Work::Keep(puts) => return self.keep(write, pending, puts).map(Done::Kept),
            Work::Close => {
                self.disk.close();
                return Err(StoreError::Closed);
            }
            Work::Rollback(to) => undo(&disk::revisions_after(write, to)?),
        };
        let current = |key: &Key| match pending.objects.get(key) {
            Some(object) => object.clone(),
            None => self.replica.get(key),
        };
        let outcomes = prepare(current, intents, number, now)?;
        let changes = changes(&outcomes);
        if dry_run || changes.is_empty() {
            return Ok(Done::Written(Written { revision: None, outcomes }));
        }
        let revision = Revision { number, time: now, by, changes };
        disk::add(write, &revision, self.limits.revisions, self.limits.revision_bytes)?;
        pending.objects.extend(revision.changes.iter().map(|change| (change.key.clone(), change.after.clone())));
        pending.revisions.push(revision);
        Ok(Done::Written(Written { revision: Some(number), outcomes }))
    }

    fn keep(&self, write: &WriteTransaction, pending: &mut Pending, puts: Vec<Put>) -> Result<Vec<bool>, StoreError> {
        // All of a transaction have one version: it is another one than what anybody has seen.
        let version = self.records.seen() + 1;
        let each = puts.into_iter().map(|Put { shelf, key, text, expected }| {
            let place = (shelf, key);
            let is = pending.records.get(&place).cloned().unwrap_or_else(|| self.records.get(place.0, &place.1));
            if expected.is_some_and(|expected| expected != is.map_or(0, |kept| kept.version)) {
                return Ok(false);
            }
            disk::put(write, shelf, &place.1, text.as_deref())?;
            pending.records.insert(place, text.map(|text| Kept { text: text.into(), version }));
            Ok(true)
        });
        each.collect()
    }

    /// A transaction whose end was in doubt may be on disk after all: its revisions are known then, and nobody was told so.
    fn catch_up(&self, write: &WriteTransaction) -> Result<(), StoreError> {
        let (latest, _) = disk::numbers(write)?;
        if latest > self.replica.latest() {
            self.replica.publish(disk::revisions_after(write, self.replica.latest())?);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
