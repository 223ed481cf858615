//! The home that several control planes share: etcd, below `/ninon/`. Each holds all objects in memory and follows the revisions.
//!
//! A write is one transaction of etcd, which holds only if nobody has written in the meantime: so revisions have no gaps and every
//! replica sees the same ones in the same order. etcd bounds a transaction (128 operations and 1.5 MiB, unless it is started with
//! other bounds), and so what one write may change.

/// Calls.
mod client;
/// Short texts beside the objects.
mod records;
/// Messages.
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::store::Limits;
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::prepare::{changes, prepare, undo};
use crate::store::records::{Put, Records};
use crate::store::replica::Replica;
use crate::store::revision::{By, Intent, Revision, Write, Written};
use crate::task::OwnedTask;
use client::Client;

const OBJECTS: &str = "/ninon/objects/";
const REVISIONS: &str = "/ninon/revisions/";
/// The number of the latest revision. Every write changes it, and holds only if it is what the writer believes.
const LATEST: &str = "/ninon/latest";
/// Keys of one answer.
const PAGE: i64 = 500;
/// A writer that others are always ahead of gives up.
const TRIES: usize = 50;
/// The first wait before another try; others are longer, and random.
const WAIT: Duration = Duration::from_millis(2);
/// After the connection broke.
const AGAIN: Duration = Duration::from_millis(500);
/// A write that is in etcd is here soon.
const SEEN: Duration = Duration::from_secs(10);

/// etcd, and what is known of it here.
#[derive(Debug)]
pub struct Etcd {
    client: Client,
    replica: Arc<Replica>,
    records: Arc<Records>,
    limits: Limits,
    _followers: [OwnedTask; 2],
}

enum Work {
    Write(Vec<Intent>),
    Rollback(u64),
}

/// Everything, at one revision of etcd.
struct Loaded {
    latest: u64,
    objects: BTreeMap<Key, Object>,
    /// Where to follow from.
    next: i64,
}

impl Etcd {
    pub(super) async fn open(endpoints: &[String], limits: Limits) -> Result<Self, StoreError> {
        let client = Client::new(endpoints)?;
        let Loaded { latest, objects, next } = load(&client).await?;
        let replica = Arc::new(Replica::new(limits, latest, objects));
        let follower = OwnedTask::spawn(follow(client.clone(), Arc::clone(&replica), next));
        let (records, next) = records::open(&client).await?;
        let keeper = OwnedTask::spawn(records::follow(client.clone(), Arc::clone(&records), next));
        Ok(Self { client, replica, records, limits, _followers: [follower, keeper] })
    }

    pub(super) fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(super) fn records(&self) -> &Arc<Records> {
        &self.records
    }

    pub(super) async fn keep(&self, puts: Vec<Put>) -> Result<Vec<bool>, StoreError> {
        records::keep(&self.client, &self.records, &puts).await
    }

    pub(super) async fn close(&self) {}

    pub(super) async fn write(&self, Write { by, intents, dry_run }: Write) -> Result<Written, StoreError> {
        self.attempt(by, dry_run, &Work::Write(intents)).await
    }

    pub(super) async fn rollback(&self, to: u64, by: By) -> Result<Written, StoreError> {
        self.attempt(by, false, &Work::Rollback(to)).await
    }

    pub(super) async fn preview_rollback(&self, to: u64) -> Result<Written, StoreError> {
        self.attempt(By::default(), true, &Work::Rollback(to)).await
    }

    pub(super) async fn history(&self, of: Option<Key>, before: Option<u64>, most: usize) -> Result<Vec<Arc<Revision>>, StoreError> {
        let mut found = Vec::new();
        let mut end = before.unwrap_or(u64::MAX);
        while found.len() < most {
            let page = self.page(0, end, 2).await?;
            let Some(last) = page.last() else { break };
            end = last.number;
            let meant = |revision: &Revision| of.as_ref().is_none_or(|key| revision.changes.iter().any(|change| change.key == *key));
            found.extend(page.into_iter().filter(meant).map(Arc::new));
        }
        found.truncate(most);
        Ok(found)
    }

    pub(super) async fn revision(&self, number: u64) -> Result<Arc<Revision>, StoreError> {
        let latest = self.replica.latest();
        match self.page(number, number.saturating_add(1), 1).await?.pop() {
            Some(revision) => Ok(Arc::new(revision)),
            None if number == 0 || number > latest => Err(StoreError::NoRevision { asked: number, latest }),
            None => {
                let oldest = self.page(0, u64::MAX, 1).await?.first().map_or(latest, |oldest| oldest.number);
                Err(StoreError::Gone { asked: number, oldest })
            }
        }
    }

    /// What is to happen to each object, when it is the next after revision `latest`.
    async fn intents(&self, work: &Work, latest: u64) -> Result<Vec<Intent>, StoreError> {
        match work {
            Work::Write(intents) => Ok(intents.clone()),
            Work::Rollback(to) if *to > latest => Err(StoreError::NoRevision { asked: *to, latest }),
            Work::Rollback(to) => {
                let since = revisions(&self.client, *to, latest).await?;
                match since.first() {
                    Some(first) if first.number != to + 1 => Err(StoreError::Gone { asked: *to, oldest: first.number.saturating_sub(1) }),
                    _ => Ok(undo(&since)),
                }
            }
        }
    }

    /// Tries until nobody writes in between.
    async fn attempt(&self, by: By, dry_run: bool, work: &Work) -> Result<Written, StoreError> {
        for attempt in 0..TRIES {
            let (latest, mod_revision) = latest(&self.client).await?;
            self.seen(latest).await?;
            let (number, time) = (latest + 1, SystemTime::now());
            let outcomes = prepare(|key| self.replica.get(key), self.intents(work, latest).await?, number, time)?;
            let changes = changes(&outcomes);
            if self.replica.latest() == latest && (dry_run || changes.is_empty()) {
                return Ok(Written { revision: None, outcomes });
            }
            let revision = Revision { number, time, by: by.clone(), changes };
            if self.replica.latest() == latest && self.client.txn(self.transaction(&revision, mod_revision)).await?.succeeded {
                self.seen(number).await?;
                return Ok(Written { revision: Some(number), outcomes });
            }
            let longest = WAIT.saturating_mul(u32::try_from(attempt + 1).unwrap_or(u32::MAX));
            tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
        }
        Err(StoreError::Busy)
    }

    fn transaction(&self, revision: &Revision, mod_revision: i64) -> wire::TxnRequest {
        let put = |key: String, value: String| wire::Request::Put(wire::PutRequest { key: key.into_bytes(), value: value.into_bytes() });
        let delete = |key: String, end: String| {
            wire::Request::DeleteRange(wire::DeleteRangeRequest { key: key.into_bytes(), range_end: end.into_bytes() })
        };
        let mut requests = vec![put(LATEST.to_owned(), revision.number.to_string()), put(revision_key(revision.number), revision.text())];
        requests.extend(revision.changes.iter().map(|change| match &change.after {
            Some(object) => put(object_key(&change.key), object.text().to_owned()),
            None => delete(object_key(&change.key), String::new()),
        }));
        if revision.number > self.limits.revisions {
            requests.push(delete(revision_key(0), revision_key(revision.number - self.limits.revisions + 1)));
        }
        let compared = Some(wire::Compared::ModRevision(mod_revision));
        wire::TxnRequest {
            compare: vec![wire::Compare { result: 0, target: 2, key: LATEST.into(), with: compared }],
            success: requests.into_iter().map(|request| wire::RequestOp { request: Some(request) }).collect(),
        }
    }

    /// Waits until a revision is known here.
    async fn seen(&self, number: u64) -> Result<(), StoreError> {
        let behind = || StoreError::Etcd(format!("revision {number} is not known here yet"));
        tokio::time::timeout(SEEN, self.replica.reached(number)).await.map_err(|_| behind())
    }

    async fn page(&self, from: u64, end: u64, order: i32) -> Result<Vec<Revision>, StoreError> {
        page(&self.client, from, end, order).await
    }
}

/// Keeps what is known here current.
async fn follow(client: Client, replica: Arc<Replica>, mut next: i64) {
    loop {
        match follow_once(&client, &replica, &mut next).await {
            Ok(()) => tracing::info!("etcd ended the watch; it is begun anew"),
            Err(error) => tracing::warn!(%error, "the watch of etcd broke; it is begun anew"),
        }
        tokio::time::sleep(AGAIN).await;
        match catch_up(&client, &replica).await {
            Ok(then) => next = then,
            Err(error) => tracing::warn!(%error, "etcd cannot be read"),
        }
    }
}

async fn follow_once(client: &Client, replica: &Replica, next: &mut i64) -> Result<(), StoreError> {
    let create = wire::WatchCreateRequest { key: REVISIONS.into(), range_end: end_of(REVISIONS), start_revision: *next };
    let mut events = client.watch(create).await?;
    while let Some(response) = events.next().await? {
        if response.canceled {
            return Err(StoreError::Etcd(response.cancel_reason));
        }
        for kv in response.events.into_iter().filter(|event| event.kind == 0).filter_map(|event| event.kv) {
            *next = kv.mod_revision.saturating_add(1);
            let revision = read_revision(&kv)?;
            if revision.number == replica.latest() + 1 {
                replica.publish(vec![revision]);
            } else if revision.number > replica.latest() {
                return Err(StoreError::Etcd(format!("revision {} came after {}", revision.number, replica.latest())));
            }
        }
    }
    Ok(())
}

/// Takes over what happened while nobody followed, and says where to follow from.
async fn catch_up(client: &Client, replica: &Replica) -> Result<i64, StoreError> {
    let loaded = load(client).await?;
    let known = replica.latest();
    let missed = revisions(client, known, loaded.latest).await?;
    if known <= loaded.latest && missed.first().is_none_or(|first| first.number == known + 1) {
        replica.publish(missed);
    } else {
        replica.replace(loaded.latest, loaded.objects);
    }
    Ok(loaded.next)
}

async fn load(client: &Client) -> Result<Loaded, StoreError> {
    let request = wire::RangeRequest { key: LATEST.into(), ..wire::RangeRequest::default() };
    let first = client.range(request).await?;
    let at = first.header.map_or(0, |header| header.revision);
    let latest = first.kvs.first().map_or(Ok(0), number)?;
    let mut objects = BTreeMap::new();
    let mut key: Vec<u8> = OBJECTS.into();
    loop {
        let request = wire::RangeRequest { key, range_end: end_of(OBJECTS), limit: PAGE, revision: at, sort_order: 1 };
        let page = client.range(request).await?;
        for kv in &page.kvs {
            let (Some(key), Some(object)) = (key_of(&kv.key), std::str::from_utf8(&kv.value).ok().and_then(Object::read)) else { continue };
            objects.insert(key, object);
        }
        match page.kvs.last() {
            Some(last) if page.more => key = [last.key.as_slice(), &[0]].concat(),
            _ => return Ok(Loaded { latest, objects, next: at.saturating_add(1) }),
        }
    }
}

async fn latest(client: &Client) -> Result<(u64, i64), StoreError> {
    let found = client.range(wire::RangeRequest { key: LATEST.into(), ..wire::RangeRequest::default() }).await?;
    found.kvs.first().map_or(Ok((0, 0)), |kv| Ok((number(kv)?, kv.mod_revision)))
}

/// Revisions after one, up to another, oldest first.
async fn revisions(client: &Client, mut since: u64, latest: u64) -> Result<Vec<Revision>, StoreError> {
    let mut all: Vec<Revision> = Vec::new();
    while since < latest {
        let page = page(client, since + 1, latest.saturating_add(1), 1).await?;
        let Some(last) = page.last() else { break };
        since = last.number;
        all.extend(page);
    }
    Ok(all)
}

async fn page(client: &Client, from: u64, end: u64, order: i32) -> Result<Vec<Revision>, StoreError> {
    let (key, range_end) = (revision_key(from).into_bytes(), revision_key(end).into_bytes());
    let found = client.range(wire::RangeRequest { key, range_end, limit: PAGE, revision: 0, sort_order: order }).await?;
    found.kvs.iter().map(read_revision).collect()
}

fn read_revision(kv: &wire::KeyValue) -> Result<Revision, StoreError> {
    let number = std::str::from_utf8(&kv.key).ok().and_then(|key| key.strip_prefix(REVISIONS)?.parse().ok());
    let text = std::str::from_utf8(&kv.value).ok();
    let revision = number.zip(text).and_then(|(number, text)| Revision::read(number, text));
    revision.ok_or_else(|| StoreError::Etcd(format!("{} cannot be read", String::from_utf8_lossy(&kv.key))))
}

fn number(kv: &wire::KeyValue) -> Result<u64, StoreError> {
    let number = std::str::from_utf8(&kv.value).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| StoreError::Etcd(format!("{LATEST} is not a number")))
}

/// In the order of the numbers.
fn revision_key(number: u64) -> String {
    format!("{REVISIONS}{number:020}")
}

fn object_key(key: &Key) -> String {
    format!("{OBJECTS}{}/{}/{}", key.kind.plural(), key.name.namespace, key.name.name)
}

fn key_of(key: &[u8]) -> Option<Key> {
    let mut parts = std::str::from_utf8(key).ok()?.strip_prefix(OBJECTS)?.splitn(3, '/');
    let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Key { kind: Kind::of_word(kind)?, name: Name::new(namespace, name) })
}

/// The end of the keys that begin with a prefix, which ends in `/`.
fn end_of(prefix: &str) -> Vec<u8> {
    format!("{}0", prefix.trim_end_matches('/')).into_bytes()
}

#[cfg(test)]
mod tests;
