//! Many objects at once: all of them or none, as one revision.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::auth::Role;
use crate::api::objects::ChangeQuery;
use crate::api::problem::Problem;
use crate::api::query::Asked;
use crate::api::{Api, body};
use crate::model::fault::Fault;
use crate::model::name::Key;
use crate::source::document;
use crate::source::manifest::DEFAULT_NAMESPACE;
use crate::store::object::Object;
use crate::store::revision::{Outcome, Verdict, Write, Written};
use crate::task::OwnedTask;

/// What a change did.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// The revision that it made; none when it changed nothing.
    pub revision: Option<u64>,
    /// Each object, in the order of the request.
    pub results: Vec<AppliedObject>,
    /// With `dryRun`: what connected proxies would be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Vec<ProxyChange>>,
}

/// What a proxy would be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProxyChange {
    /// Its node's id.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// Resources, by type and name.
    pub changes: Vec<ResourceChange>,
}

/// What would become of a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceChange {
    /// `clusters`, `endpoints`, `listeners`, `routes`, `secrets` or `names`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// In one word.
    pub change: Change,
}

/// What would become of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is not there now.
    Added,
    /// It says something else.
    Changed,
    /// It is not there any more.
    Removed,
}

/// What happened to one object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AppliedObject {
    /// Its kind.
    pub kind: String,
    /// Its namespace; empty for kinds without one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What happened.
    pub result: Verdict,
    /// What it is; only with `dryRun` of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Object>,
    /// What it would be; only with `dryRun` of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Object>,
}

impl From<Written> for Applied {
    fn from(written: Written) -> Self {
        let results = written.outcomes.iter().map(|outcome| AppliedObject {
            kind: outcome.key.kind.to_string(),
            namespace: outcome.key.name.namespace.to_string(),
            name: outcome.key.name.name.to_string(),
            result: Outcome::verdict(outcome),
            before: None,
            after: None,
        });
        Self { revision: written.revision, results: results.collect(), proxies: None }
    }
}

/// `POST` of many objects.
pub(super) async fn apply(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Applied>, Problem> {
    let mut documents = body::documents(&api, &headers, body).await?;
    let objects = std::mem::take(&mut documents.values).into_iter().flat_map(document::objects);
    let mut intents = Vec::new();
    let mut faults = Vec::new();
    for (at, object) in objects.enumerate() {
        match api.checked(object, DEFAULT_NAMESPACE) {
            Ok(intent) => intents.push(intent),
            Err((_, wrong)) => faults.extend(wrong.into_iter().map(|fault| within(at, fault))),
        }
    }
    if !faults.is_empty() {
        return Err(Problem::invalid("what is to be applied", &faults));
    }
    for intent in &intents {
        api.check_not_from_file(&intent.key)?;
    }
    let preview = query.dry_run.then(|| intents.iter().map(|intent| (intent.key.clone(), intent.wanted.clone())).collect());
    let write = Write { by: query.by(role)?, intents, dry_run: query.dry_run };
    let mut applied = Applied::from(self::write(&api, write).await?);
    if let Some(objects) = preview {
        applied.proxies = told(&api, objects).await;
    }
    Ok(Json(applied))
}

/// What proxies would be told.
pub(super) async fn told(api: &Arc<Api>, objects: Vec<(Key, Option<Value>)>) -> Option<Vec<ProxyChange>> {
    let api = Arc::clone(api);
    // Everything that all proxies are told is made twice.
    OwnedTask::blocking(move || (api.hooks.preview)(objects)).join().await
}

/// Writes, and says so in the log.
pub(super) async fn write(api: &Api, write: Write) -> Result<Written, Problem> {
    let by = write.by.clone();
    let written = api.store.write(write).await?;
    if let Some(revision) = written.revision {
        tracing::info!(revision, author = by.author, objects = written.outcomes.len(), "objects changed");
    }
    Ok(written)
}

fn within(at: usize, fault: Fault) -> Fault {
    let path = if fault.path.is_empty() { format!("objects[{at}]") } else { format!("objects[{at}].{}", fault.path) };
    Fault { path, problem: fault.problem }
}
