//! Keys of providers, fetched for requests that wait for them, or ahead of them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Version};

use crate::config::jwt::keys::{self, Key};
use crate::exchange::{RequestHead, RequestPath};
use crate::request::own;
use crate::runtime::keys::Fetched;
use crate::task::spawn_bounded_by_connection;
use crate::worker::Worker;

/// A set of keys has no more bytes.
const MOST: usize = 1024 * 1024;

/// Keys are fetched so long before they are too old, at most.
const AHEAD: Duration = Duration::from_secs(5);

/// Waits until keys have been fetched, or could not be. Fetching goes on when nobody waits any more: others will ask.
pub(super) async fn obtain(worker: &Rc<Worker>, fetched: &Arc<Fetched>) {
    let Some((_one, mut ended)) = fetched.enter() else { return };
    if fetched.begin() {
        let (worker, fetched) = (Rc::clone(worker), Arc::clone(fetched));
        // Bounded by the time that fetching may take.
        spawn_bounded_by_connection(async move {
            let _is_good = fetch(&worker, &fetched).await;
        });
    }
    // Whoever fetches may be another worker, which ends.
    let limit = fetched.source.timeout.saturating_add(Duration::from_secs(1));
    let _in_time = tokio::time::timeout(limit, ended.changed()).await.is_ok();
}

/// Fetches keys, and again before they are too old, as long as there is a filter that wants them.
pub fn keep(worker: &Rc<Worker>, fetched: &Arc<Fetched>) {
    if !fetched.keep() {
        return;
    }
    let (worker, fetched) = (Rc::clone(worker), Arc::downgrade(fetched));
    // Ends with the last filter of the configuration that has these keys.
    spawn_bounded_by_connection(async move {
        while let Some(fetched) = fetched.upgrade() {
            let is_good = !fetched.begin() || fetch(&worker, &fetched).await;
            let source = Arc::clone(&fetched.source);
            drop(fetched);
            let wait = if is_good { source.cache.saturating_sub(AHEAD.min(source.cache / 2)) } else { source.pause };
            tokio::time::sleep(wait).await;
        }
    });
}

/// Whether there are keys now.
async fn fetch(worker: &Rc<Worker>, fetched: &Arc<Fetched>) -> bool {
    let keys = match read(worker, fetched).await {
        Ok(keys) => Some(keys),
        Err(reason) => {
            let source = &fetched.source;
            tracing::warn!(cluster = %source.cluster, path = source.path, "jwt_authn: keys could not be fetched: {reason}");
            None
        }
    };
    let is_good = keys.is_some();
    fetched.end(keys);
    is_good
}

async fn read(worker: &Rc<Worker>, fetched: &Arc<Fetched>) -> Result<Arc<[Key]>, String> {
    let source = &fetched.source;
    let mut headers = HeaderMap::new();
    if let Ok(own) = HeaderValue::try_from(worker.shared.local_ip.to_string()) {
        headers.insert("x-forwarded-for", own);
    }
    let head = RequestHead {
        method: Method::GET,
        scheme: source.scheme.clone(),
        authority: source.authority.clone(),
        path: Some(RequestPath::from_bytes(source.path.as_bytes()).map_err(|error| error.to_string())?),
        version: Version::HTTP_11,
        upgrade: None,
        headers,
    };
    let generation = worker.shared.current.load_full();
    let asked = own::ask(worker, (&generation, &source.cluster), (&head, Bytes::new()), (source.timeout, MOST));
    let answered = asked.await?;
    if answered.head.status() != StatusCode::OK {
        return Err(format!("the server answered with status {}", answered.head.status().as_u16()));
    }
    let (keys, left_out) = keys::parse(&answered.body).map_err(|error| error.to_string())?;
    left_out.iter().for_each(|reason| tracing::warn!(cluster = %source.cluster, "jwt_authn: {reason}"));
    Ok(keys.into())
}
