//! What was, and back to it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use crate::api::apply::Applied;
use crate::api::auth::Role;
use crate::api::objects::ChangeQuery;
use crate::api::problem::Problem;
use crate::api::query::Asked;
use crate::api::{Api, apply, body};
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::store::object::Object;
use crate::store::revision::{Outcome, Revision, Verdict};

/// The query of the history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
    kind: String,
    namespace: String,
    name: String,
    before: Option<u64>,
    limit: Option<usize>,
}

/// The query of a rollback.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RollbackQuery {
    author: String,
    dry_run: bool,
}

/// Revisions of an answer, when the client names no number.
const PAGE: usize = 100;
/// Revisions of an answer at most: they are read and held whole.
const MOST: usize = 1000;

/// The history.
#[derive(Debug, Serialize, Deserialize)]
pub struct Revisions {
    /// Newest first.
    pub items: Vec<ShownRevision>,
}

/// A revision.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownRevision {
    /// Its number.
    pub revision: u64,
    /// When, in RFC 3339.
    pub time: String,
    /// Who.
    pub author: String,
    /// Why; may be empty.
    pub message: String,
    /// What changed.
    pub changes: Vec<ShownChange>,
}

/// One object's part of a revision.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShownChange {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for kinds without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What happened.
    pub change: Verdict,
    /// What it was; only in the answer about one revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Object>,
    /// What it became; only in the answer about one revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Object>,
}

/// Where to go back to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    revision: u64,
    #[serde(default)]
    message: String,
}

pub(super) async fn list(State(api): State<Arc<Api>>, Asked(query): Asked<HistoryQuery>) -> Result<Json<Revisions>, Problem> {
    let of = match (query.kind.as_str(), query.name.as_str()) {
        ("", "") if query.namespace.is_empty() => None,
        ("", _) | (_, "") => return Err(Problem::bad("`kind` and `name` go together")),
        (kind, name) => {
            let kind = Kind::of_word(kind).ok_or_else(|| Problem::bad(format!("there are no {kind:?}")))?;
            Some(Key { kind, name: Name::new(query.namespace.as_str(), name) })
        }
    };
    let most = query.limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&most) {
        return Err(Problem::bad(format!("`limit` must be 1 to {MOST}, got {most}")));
    }
    let found = api.store.history(of, query.before, most).await?;
    Ok(Json(Revisions { items: found.iter().map(|revision| shown(revision, false)).collect() }))
}

pub(super) async fn get(State(api): State<Arc<Api>>, Path(number): Path<String>) -> Result<Json<ShownRevision>, Problem> {
    let number = number.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("{number:?} is not the number of a revision")))?;
    Ok(Json(shown(&*api.store.revision(number).await?, true)))
}

pub(super) async fn rollback(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    Asked(RollbackQuery { author, dry_run }): Asked<RollbackQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Applied>, Problem> {
    let back = body::documents(&api, &headers, body).await?.one()?;
    let Back { revision, message } = serde_json::from_value(back).map_err(|error| Problem::bad(format!("the body: {error}")))?;
    let message = if message.is_empty() { format!("rollback to revision {revision}") } else { message };
    let by = ChangeQuery { message, author, dry_run: false }.by(role)?;
    if dry_run {
        return preview(&api, revision).await.map(Json);
    }
    let author = by.author.clone();
    let written = api.store.rollback(revision, by).await?;
    if let Some(made) = written.revision {
        tracing::info!(revision = made, author, to = revision, "rolled back");
    }
    Ok(Json(written.into()))
}

/// What a rollback would change, of objects and of what proxies are told. An object of a file hides the one that would come back.
async fn preview(api: &Arc<Api>, to: u64) -> Result<Applied, Problem> {
    let written = api.store.preview_rollback(to).await?;
    let files = api.hooks.files.now();
    let seen = written.outcomes.iter().filter(|outcome| files.get(&outcome.key).is_none());
    let objects = seen.map(|outcome| (outcome.key.clone(), outcome.after.as_ref().map(Object::value))).collect();
    let proxies = apply::told(api, objects).await;
    let contents: Vec<_> = written.outcomes.iter().map(|outcome| (outcome.before.clone(), outcome.after.clone())).collect();
    let mut applied = Applied { proxies, ..Applied::from(written) };
    for (result, (before, after)) in applied.results.iter_mut().zip(contents) {
        (result.before, result.after) = (before, after);
    }
    Ok(applied)
}

fn shown(revision: &Revision, whole: bool) -> ShownRevision {
    let changes = revision.changes.iter().map(|change| {
        let outcome = Outcome { key: change.key.clone(), before: change.before.clone(), after: change.after.clone() };
        ShownChange {
            kind: change.key.kind.to_string(),
            namespace: change.key.name.namespace.to_string(),
            name: change.key.name.name.to_string(),
            change: outcome.verdict(),
            before: outcome.before.filter(|_| whole),
            after: outcome.after.filter(|_| whole),
        }
    });
    ShownRevision {
        revision: revision.number,
        time: humantime::format_rfc3339_seconds(revision.time).to_string(),
        author: revision.by.author.clone(),
        message: revision.by.message.clone(),
        changes: changes.collect(),
    }
}
