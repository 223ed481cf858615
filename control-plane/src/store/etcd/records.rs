use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::etcd::client::Client;
use crate::store::etcd::{AGAIN, PAGE, SEEN, end_of, wire};
use crate::store::records::{Kept, Put, Records, Shelf, Wrote};

const RECORDS: &str = "/ninon/records/";
/// Records of one transaction; etcd takes 128 unless it is told otherwise.
const TOGETHER: usize = 100;

/// All records, and where to follow from.
pub(super) async fn open(client: &Client) -> Result<(Arc<Records>, i64), StoreError> {
    let (found, at) = load(client).await?;
    Ok((Arc::new(Records::new(found, unsigned(at))), at.saturating_add(1)))
}

/// Writes records, each by itself. They are tried together first: most are as their writer believes.
pub(super) async fn keep(client: &Client, records: &Records, puts: &[Put]) -> Result<Vec<bool>, StoreError> {
    let (mut kept, mut latest) = (Vec::with_capacity(puts.len()), 0);
    for some in puts.chunks(TOGETHER) {
        if let (true, at) = transaction(client, some).await? {
            latest = at;
            kept.extend(some.iter().map(|_| true));
            continue;
        }
        for one in some.chunks(1) {
            let (is_kept, at) = if some.len() > 1 { transaction(client, one).await? } else { (false, latest) };
            latest = at;
            kept.push(is_kept);
        }
    }
    let behind = || StoreError::Etcd("what was written is not known here yet".to_owned());
    tokio::time::timeout(SEEN, records.reached(latest)).await.map_err(|_| behind())?;
    Ok(kept)
}

/// Whether it was done, and the revision of etcd that it made, 0 if none.
async fn transaction(client: &Client, puts: &[Put]) -> Result<(bool, u64), StoreError> {
    let name = |put: &Put| format!("{RECORDS}{}/{}", put.shelf.as_str(), put.key).into_bytes();
    let compare = puts.iter().filter_map(|put| {
        let with = Some(wire::Compared::ModRevision(i64::try_from(put.expected?).unwrap_or(i64::MAX)));
        Some(wire::Compare { result: 0, target: 2, key: name(put), with })
    });
    let success = puts.iter().map(|put| {
        let request = match &put.text {
            Some(text) => wire::Request::Put(wire::PutRequest { key: name(put), value: text.clone().into_bytes() }),
            None => wire::Request::DeleteRange(wire::DeleteRangeRequest { key: name(put), range_end: Vec::new() }),
        };
        wire::RequestOp { request: Some(request) }
    });
    let request = wire::TxnRequest { compare: compare.collect(), success: success.collect() };
    let changes = puts.iter().any(|put| put.text.is_some() || put.expected.is_some_and(|expected| expected > 0));
    let done = client.txn(request).await?;
    let at = done.header.map_or(0, |header| unsigned(header.revision));
    // Taking away what is not there makes no revision, and nobody is told of one.
    Ok((done.succeeded, if done.succeeded && changes { at } else { 0 }))
}

/// Keeps what is known here current.
pub(super) async fn follow(client: Client, records: Arc<Records>, mut next: i64) {
    loop {
        match follow_once(&client, &records, &mut next).await {
            Ok(()) => tracing::info!("etcd ended the watch of records; it is begun anew"),
            Err(error) => tracing::warn!(%error, "the watch of records broke; it is begun anew"),
        }
        tokio::time::sleep(AGAIN).await;
        match load(&client).await {
            Ok((found, at)) => {
                records.replace(found, unsigned(at));
                next = at.saturating_add(1);
            }
            Err(error) => tracing::warn!(%error, "etcd cannot be read"),
        }
    }
}

async fn follow_once(client: &Client, records: &Records, next: &mut i64) -> Result<(), StoreError> {
    let create = wire::WatchCreateRequest { key: RECORDS.into(), range_end: end_of(RECORDS), start_revision: *next };
    let mut events = client.watch(create).await?;
    while let Some(response) = events.next().await? {
        if response.canceled {
            return Err(StoreError::Etcd(response.cancel_reason));
        }
        let (mut wrote, mut seen) = (Vec::new(), 0);
        for event in response.events {
            let Some(kv) = event.kv else { continue };
            seen = kv.mod_revision.max(seen);
            wrote.extend(read(&kv, event.kind == 0));
        }
        if seen > 0 {
            *next = seen.saturating_add(1);
            records.publish(wrote, unsigned(seen));
        }
    }
    Ok(())
}

async fn load(client: &Client) -> Result<(Vec<Wrote>, i64), StoreError> {
    let (mut found, mut at) = (Vec::new(), 0);
    let mut key: Vec<u8> = RECORDS.into();
    loop {
        let request = wire::RangeRequest { key, range_end: end_of(RECORDS), limit: PAGE, revision: at, sort_order: 1 };
        let page = client.range(request).await?;
        if at == 0 {
            at = page.header.map_or(0, |header| header.revision);
        }
        found.extend(page.kvs.iter().filter_map(|kv| read(kv, true)));
        match page.kvs.last() {
            Some(last) if page.more => key = [last.key.as_slice(), &[0]].concat(),
            _ => return Ok((found, at)),
        }
    }
}

/// Shelves of a later version are left alone.
fn read(kv: &wire::KeyValue, is_there: bool) -> Option<Wrote> {
    let (shelf, key) = std::str::from_utf8(&kv.key).ok()?.strip_prefix(RECORDS)?.split_once('/').filter(|(_, key)| !key.is_empty())?;
    let text = std::str::from_utf8(&kv.value).ok()?;
    let kept = is_there.then(|| Kept { text: text.into(), version: unsigned(kv.mod_revision) });
    Some(Wrote { shelf: Shelf::of_word(shelf)?, key: key.into(), kept })
}

fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or_default()
}
