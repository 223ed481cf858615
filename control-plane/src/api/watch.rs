//! Follows objects: a line of JSON for each thing that happens, in Kubernetes' form.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::StreamBody;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Api;
use crate::api::objects::{ListQuery, Shown};
use crate::api::problem::Problem;
use crate::api::selector::Selector;
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::revision::Change;
use crate::store::{Scope, Watch};
use crate::task::OwnedTask;

/// The media type.
pub(super) const LINES_OF_JSON: &str = "application/x-ndjson";
/// Lines on their way to one client. A slow one is not waited for beyond what the store remembers.
const LINES: usize = 16;

#[derive(Debug, Serialize)]
struct Event {
    r#type: &'static str,
    object: Shown,
}

/// Begins to follow.
pub(super) fn follow(api: &Arc<Api>, scope: &Scope, query: &ListQuery) -> Result<Response, Problem> {
    let selector = Selector::read(&query.label_selector).map_err(|problem| Problem::bad(format!("labelSelector: {problem}")))?;
    let since = match query.resource_version.as_str() {
        "" | "0" => None,
        version => Some(version.parse().map_err(|_| Problem::bad(format!("resourceVersion must be a number, got {version:?}")))?),
    };
    if let Some(asked) = since.filter(|asked| *asked > api.store.latest()) {
        return Err(StoreError::NoRevision { asked, latest: api.store.latest() }.into());
    }
    let limit = query.timeout_seconds.map_or(api.limits.watch, Duration::from_secs).min(api.limits.watch);
    let permit = Arc::clone(&api.watches).try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, format!("{} watches are open already, which is the most", api.limits.watches))
    })?;
    let (lines, receiver) = mpsc::channel(LINES);
    let follower = Follower { api: Arc::clone(api), scope: scope.clone(), selector, lines, end: Instant::now() + limit };
    let task = OwnedTask::spawn(follower.run(since));
    let stream = Lines { lines: ReceiverStream::new(receiver), _task: task, _permit: permit };
    Ok(([(header::CONTENT_TYPE, LINES_OF_JSON)], Body::new(StreamBody::new(stream))).into_response())
}

/// The lines of one client, and the task that makes them.
struct Lines {
    lines: ReceiverStream<Bytes>,
    _task: OwnedTask,
    _permit: OwnedSemaphorePermit,
}

impl Stream for Lines {
    type Item = Result<hyper::body::Frame<Bytes>, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.lines).poll_next(context).map(|line| line.map(|line| Ok(hyper::body::Frame::data(line))))
    }
}

struct Follower {
    api: Arc<Api>,
    scope: Scope,
    selector: Selector,
    lines: mpsc::Sender<Bytes>,
    end: Instant,
}

/// The client went away.
struct Away;

impl Follower {
    async fn run(self, since: Option<u64>) {
        let mut stopping = self.api.stopping.subscribe();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => {}
            _away = self.follow(since) => {}
        }
    }

    async fn follow(&self, since: Option<u64>) -> Result<(), Away> {
        let mut watch = match since {
            Some(since) => self.api.store.watch(since),
            None => self.everything().await?,
        };
        loop {
            let silent_until = self.end.min(Instant::now() + self.api.limits.bookmark);
            match timeout_at(silent_until, watch.next()).await {
                Err(_) if Instant::now() >= self.end => return Ok(()),
                Err(_) => self.bookmark(watch.seen()).await?,
                Ok(Ok(revision)) => {
                    for change in revision.changes.iter().filter(|change| self.scope.holds(&change.key)) {
                        self.change(change).await?;
                    }
                }
                Ok(Err(error)) => {
                    let problem = Problem::from(error);
                    return self.send("ERROR", Shown::Made(serde_json::to_value(problem).unwrap_or_default())).await;
                }
            }
        }
    }

    /// What there is, and then how far that is.
    async fn everything(&self) -> Result<Watch, Away> {
        let listed = self.api.store.list(&self.scope);
        for (key, object) in &listed.objects {
            if self.is_meant(object) {
                self.send("ADDED", self.api.shown(key, object)).await?;
            }
        }
        self.bookmark(listed.revision).await?;
        Ok(self.api.store.watch(listed.revision))
    }

    /// An object that comes to have the labels is added for this client, and one that loses them is deleted.
    async fn change(&self, change: &Change) -> Result<(), Away> {
        let meant = |object: &Option<Object>| object.as_ref().filter(|object| self.is_meant(object)).cloned();
        match (meant(&change.before), meant(&change.after)) {
            (None, Some(after)) => self.send("ADDED", self.api.shown(&change.key, &after)).await,
            (Some(_), Some(after)) => self.send("MODIFIED", self.api.shown(&change.key, &after)).await,
            (Some(before), None) => self.send("DELETED", Shown::Kept(before)).await,
            (None, None) => Ok(()),
        }
    }

    fn is_meant(&self, object: &Object) -> bool {
        self.selector.is_empty() || self.selector.holds(&object.value())
    }

    async fn bookmark(&self, seen: u64) -> Result<(), Away> {
        let kind = self.scope.kind.map(|kind| (kind.as_str(), kind.api_version()));
        let value: Value = json!({
            "kind": kind.as_ref().map(|(kind, _)| kind),
            "apiVersion": kind.as_ref().map(|(_, version)| version),
            "metadata": {"resourceVersion": seen.to_string()},
        });
        self.send("BOOKMARK", Shown::Made(value)).await
    }

    async fn send(&self, r#type: &'static str, object: Shown) -> Result<(), Away> {
        let mut line = serde_json::to_vec(&Event { r#type, object }).unwrap_or_default();
        line.push(b'\n');
        self.lines.send(Bytes::from(line)).await.map_err(|_| Away)
    }
}
