//! Follows objects: a line of JSON for each thing that happens, in Kubernetes' form.

use std::collections::BTreeMap;
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
use tokio::time::{Instant, sleep_until};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Api;
use crate::api::files::{FromFile, Held, Place};
use crate::api::objects::{ListQuery, Shown};
use crate::api::problem::Problem;
use crate::api::selector::Selector;
use crate::model::name::Key;
use crate::store::error::StoreError;
use crate::store::object::Object;
use crate::store::revision::Revision;
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
    let from = match query.resource_version.as_str() {
        "" | "0" => None,
        version => Some(place(api, scope, version)?),
    };
    let limit = query.timeout_seconds.map_or(api.limits.watch, Duration::from_secs).min(api.limits.watch);
    let permit = Arc::clone(&api.watches).try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, format!("{} watches are open already, which is the most", api.limits.watches))
    })?;
    let (lines, receiver) = mpsc::channel(LINES);
    let follower = Follower { api: Arc::clone(api), scope: scope.clone(), selector, lines, end: Instant::now() + limit };
    let task = OwnedTask::spawn(follower.run(from));
    let stream = Lines { lines: ReceiverStream::new(receiver), _task: task, _permit: permit };
    Ok(([(header::CONTENT_TYPE, LINES_OF_JSON)], Body::new(StreamBody::new(stream))).into_response())
}

/// How far a client is: the revision, and what files held then.
fn place(api: &Api, scope: &Scope, version: &str) -> Result<Start, Problem> {
    let place = Place::parse(version).ok_or_else(|| Problem::bad(format!("resourceVersion must be that of a list, got {version:?}")))?;
    if place.revision > api.store.latest() {
        return Err(StoreError::NoRevision { asked: place.revision, latest: api.store.latest() }.into());
    }
    let held = place.held(&api.hooks.files, |key| scope.holds(key));
    let gone = || Problem::new(StatusCode::GONE, format!("what files held at resourceVersion {version} is not known here; list again"));
    Ok(Start { revision: place.revision, held: held.ok_or_else(gone)? })
}

/// Where to follow from.
struct Start {
    revision: u64,
    held: Arc<Held>,
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

/// Why nothing more is told.
enum End {
    /// The client went away.
    Away,
    /// It is too far behind, or the store ends.
    Behind(StoreError),
}

/// An object, wherever it comes from.
#[derive(Clone)]
enum Seen {
    File(Arc<FromFile>),
    Stored(Object),
}

impl Follower {
    async fn run(self, from: Option<Start>) {
        let mut stopping = self.api.stopping.subscribe();
        let end = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => return,
            end = self.follow(from) => end,
        };
        if let Err(End::Behind(error)) = end {
            let problem = serde_json::to_value(Problem::from(error)).unwrap_or_default();
            let _away = self.send("ERROR", Shown::Made(problem)).await.is_err();
        }
    }

    async fn follow(&self, from: Option<Start>) -> Result<(), End> {
        let mut changes = self.api.hooks.files.changes();
        let Start { revision, mut held } = match from {
            Some(from) => from,
            None => self.everything().await?,
        };
        let mut watch = self.api.store.watch(revision);
        loop {
            let now = Arc::clone(&changes.borrow_and_update());
            if now != held {
                self.files_changed(&mut watch, &held, &now).await?;
                held = now;
                // Objects of files have no version that a client could follow from.
                self.bookmark(watch.seen(), &held).await?;
            }
            let silent_until = self.end.min(Instant::now() + self.api.limits.bookmark);
            tokio::select! {
                next = watch.next() => self.revision(&*next.map_err(End::Behind)?, &held).await?,
                // They change for as long as there is an API.
                _ = changes.changed() => {}
                () = sleep_until(silent_until) => {
                    if Instant::now() >= self.end {
                        return Ok(());
                    }
                    self.bookmark(watch.seen(), &held).await?;
                }
            }
        }
    }

    /// What there is, and then how far that is.
    async fn everything(&self) -> Result<Start, End> {
        let held = self.api.hooks.files.now();
        let listed = self.api.store.list(&self.scope);
        let stored = listed.objects.into_iter().filter(|(key, _)| held.get(key).is_none()).map(|(key, object)| (key, Seen::Stored(object)));
        let of_files = held.iter().filter(|(key, _)| self.scope.holds(key)).map(|(key, from)| (key.clone(), Seen::File(Arc::clone(from))));
        for (key, seen) in stored.chain(of_files).collect::<BTreeMap<_, _>>() {
            self.change(&key, None, Some(seen)).await?;
        }
        self.bookmark(listed.revision, &held).await?;
        Ok(Start { revision: listed.revision, held })
    }

    /// What the store's next revision changes; an object of a file hides the one in the store.
    async fn revision(&self, revision: &Revision, held: &Held) -> Result<(), End> {
        for change in revision.changes.iter().filter(|change| self.scope.holds(&change.key) && held.get(&change.key).is_none()) {
            let seen = |object: &Option<Object>| object.clone().map(Seen::Stored);
            self.change(&change.key, seen(&change.before), seen(&change.after)).await?;
        }
        Ok(())
    }

    /// What a change of files changes: what they hide or no longer hide is as the store has it when it is told.
    async fn files_changed(&self, watch: &mut Watch, before: &Held, after: &Held) -> Result<(), End> {
        let keys: Vec<Key> = before.differing(after).into_iter().filter(|key| self.scope.holds(key)).collect();
        let stored = loop {
            while self.api.store.latest() > watch.seen() {
                let revision = watch.next().await.map_err(End::Behind)?;
                self.revision(&revision, before).await?;
            }
            let stored: Vec<_> = keys.iter().map(|key| self.api.store.get(key)).collect();
            // Nothing was written in between.
            if self.api.store.latest() == watch.seen() {
                break stored;
            }
        };
        for (key, stored) in keys.iter().zip(stored) {
            let seen = |held: &Held| held.get(key).map(|from| Seen::File(Arc::clone(from))).or_else(|| stored.clone().map(Seen::Stored));
            self.change(key, seen(before), seen(after)).await?;
        }
        Ok(())
    }

    /// An object that comes to have the labels is added for this client, and one that loses them is deleted.
    async fn change(&self, key: &Key, before: Option<Seen>, after: Option<Seen>) -> Result<(), End> {
        let [before, after] = [before, after].map(|seen| seen.filter(|seen| self.is_meant(seen)));
        match (before, after) {
            (None, Some(after)) => self.send("ADDED", self.shown(key, &after)).await,
            (Some(_), Some(after)) => self.send("MODIFIED", self.shown(key, &after)).await,
            (Some(Seen::Stored(before)), None) => self.send("DELETED", Shown::Kept(before)).await,
            (Some(Seen::File(before)), None) => self.send("DELETED", Shown::Made(before.object.clone())).await,
            (None, None) => Ok(()),
        }
    }

    fn shown(&self, key: &Key, seen: &Seen) -> Shown {
        match seen {
            Seen::File(from) => self.api.shown_from_file(key, from),
            Seen::Stored(object) => self.api.shown(key, object),
        }
    }

    fn is_meant(&self, seen: &Seen) -> bool {
        self.selector.is_empty()
            || match seen {
                Seen::File(from) => self.selector.holds(&from.object),
                Seen::Stored(object) => self.selector.holds(&object.value()),
            }
    }

    async fn bookmark(&self, seen: u64, held: &Held) -> Result<(), End> {
        let kind = self.scope.kind.map(|kind| (kind.as_str(), kind.api_version()));
        let value: Value = json!({
            "kind": kind.as_ref().map(|(kind, _)| kind),
            "apiVersion": kind.as_ref().map(|(_, version)| version),
            "metadata": {"resourceVersion": Place::new(seen, held).to_string()},
        });
        self.send("BOOKMARK", Shown::Made(value)).await
    }

    async fn send(&self, r#type: &'static str, object: Shown) -> Result<(), End> {
        let mut line = serde_json::to_vec(&Event { r#type, object }).unwrap_or_default();
        line.push(b'\n');
        self.lines.send(Bytes::from(line)).await.map_err(|_| End::Away)
    }
}
