//! One object, and lists of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::auth::Role;
use crate::api::files::{FromFile, Place};
use crate::api::problem::Problem;
use crate::api::query::{Asked, One, Target, expected, place, token};
use crate::api::selector::Selector;
use crate::api::{Api, apply, body, watch};
use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::source::document::placed;
use crate::source::manifest::DEFAULT_NAMESPACE;
use crate::store::Scope;
use crate::store::object::{Object, version_of};
use crate::store::revision::{By, Expected, Intent, Outcome, Verdict, Write};

/// The query of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct ListQuery {
    pub(super) label_selector: String,
    limit: usize,
    r#continue: String,
    pub(super) watch: bool,
    pub(super) resource_version: String,
    pub(super) timeout_seconds: Option<u64>,
}

/// The query of a change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct ChangeQuery {
    pub(super) dry_run: bool,
    pub(super) message: String,
    pub(super) author: String,
}

/// The words that somebody may say of a change are kept for long.
const LONGEST_WORDS: usize = 250;

impl ChangeQuery {
    /// Who, and why. An author is who holds the token; a name beside it is what they call themselves.
    pub(super) fn by(&self, role: Role) -> Result<By, Problem> {
        if [&self.author, &self.message].into_iter().any(|words| words.chars().count() > LONGEST_WORDS) {
            return Err(Problem::bad(format!("`author` and `message` may have {LONGEST_WORDS} characters at most")));
        }
        let author = if self.author.is_empty() { role.as_str().to_owned() } else { format!("{} ({})", self.author, role.as_str()) };
        Ok(By { author, message: self.message.clone() })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    api_version: String,
    kind: String,
    metadata: ListMetadata,
    items: Vec<Shown>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    resource_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#continue: Option<String>,
}

/// An object as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Shown {
    /// As it is kept.
    Kept(Object),
    /// With its status, or from a file.
    Made(Value),
}

impl Api {
    /// An object with its status.
    pub(super) fn shown(&self, key: &Key, object: &Object) -> Shown {
        let Some(status) = (self.hooks.status)(key) else { return Shown::Kept(object.clone()) };
        let mut value = object.value();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("status".to_owned(), status);
        }
        Shown::Made(value)
    }

    pub(super) fn shown_from_file(&self, key: &Key, found: &FromFile) -> Shown {
        let mut value = found.object.clone();
        if let (Some(fields), Some(status)) = (value.as_object_mut(), (self.hooks.status)(key)) {
            fields.insert("status".to_owned(), status);
        }
        Shown::Made(value)
    }

    /// Refuses to change what comes from a file.
    pub(super) fn check_not_from_file(&self, key: &Key) -> Result<(), Problem> {
        match self.hooks.files.now().get(key) {
            None => Ok(()),
            Some(found) => {
                let detail = format!("{key} comes from the file {}; change it there", found.file);
                Err(Problem::new(StatusCode::CONFLICT, detail))
            }
        }
    }

    /// A workload that its sidecar has registered.
    fn registered(&self, key: &Key) -> Option<Value> {
        let scope = Scope { kind: Some(key.kind), namespace: Some(Arc::clone(&key.name.namespace)) };
        (self.hooks.registered)(scope).remove(key)
    }

    /// Refuses to delete what is not written but registered.
    fn check_not_registered(&self, key: &Key) -> Result<(), Problem> {
        if self.store.get(key).is_none() && self.registered(key).is_some() {
            let detail = format!("{key} is registered by its sidecar, and goes with it; to send it away, revoke its token");
            return Err(Problem::new(StatusCode::CONFLICT, detail));
        }
        Ok(())
    }

    /// What an object is to become, when it breaks no rule.
    pub(super) fn checked(&self, value: Value, namespace: &str) -> Result<Intent, (String, Vec<Fault>)> {
        let expected = version_of(&value).map_or(Expected::Any, Expected::Version);
        let (key, value) = placed(value, namespace).map_err(|faults| ("the object".to_owned(), faults))?;
        (self.hooks.validate)(&value).map_err(|faults| (key.to_string(), faults))?;
        Ok(Intent { key, wanted: Some(value), expected })
    }
}

/// `GET` of an object, of a list, or of what happens to it.
pub(super) async fn get(State(api): State<Arc<Api>>, target: Target, Asked(query): Asked<ListQuery>) -> Result<Response, Problem> {
    match target {
        Target::Collection(kind, namespace) if query.watch => watch::follow(&api, &Target::scope(kind, namespace), &query),
        Target::Collection(kind, namespace) => list(&api, kind, namespace, &query),
        Target::Object(key) => {
            if let Some(found) = api.hooks.files.now().get(&key) {
                return Ok(axum::Json(api.shown_from_file(&key, found)).into_response());
            }
            if let Some(object) = api.store.get(&key) {
                return Ok(answer(StatusCode::OK, &api.shown(&key, &object), Some(object.version())));
            }
            let missing = || Problem::new(StatusCode::NOT_FOUND, format!("{key} does not exist"));
            api.registered(&key).map(|object| axum::Json(object).into_response()).ok_or_else(missing)
        }
    }
}

fn list(api: &Api, kind: Kind, namespace: Option<Arc<str>>, query: &ListQuery) -> Result<Response, Problem> {
    let selector = Selector::read(&query.label_selector).map_err(|problem| Problem::bad(format!("labelSelector: {problem}")))?;
    let after = if query.r#continue.is_empty() { None } else { Some(place(&query.r#continue)?) };
    let scope = Target::scope(kind, namespace);
    let listed = api.store.list(&scope);
    let files = api.hooks.files.now();
    let mut found: BTreeMap<Name, Shown> = BTreeMap::new();
    let is_after = |key: &Key| after.as_ref().is_none_or(|after| key.name > *after);
    // Whether the object's labels are those that are asked for or not.
    let hidden: BTreeSet<&Key> = listed.objects.iter().map(|(key, _)| key).collect();
    for (key, object) in (api.hooks.registered)(scope.clone()) {
        if is_after(&key) && !hidden.contains(&key) && files.get(&key).is_none() && selector.holds(&object) {
            found.insert(key.name, Shown::Made(object));
        }
    }
    for (key, object) in listed.objects.iter().filter(|(key, _)| is_after(key) && files.get(key).is_none()) {
        if selector.is_empty() || selector.holds(&object.value()) {
            found.insert(key.name.clone(), api.shown(key, object));
        }
    }
    for (key, from_file) in files.iter().filter(|(key, _)| scope.holds(key) && is_after(key)) {
        if selector.holds(&from_file.object) {
            found.insert(key.name.clone(), api.shown_from_file(key, from_file));
        }
    }
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    let more = (found.len() > limit).then(|| found.keys().nth(limit.saturating_sub(1)).map(token)).flatten();
    let items = List {
        api_version: kind.api_version(),
        kind: format!("{kind}List"),
        metadata: ListMetadata { resource_version: Place::new(listed.revision, &files).to_string(), r#continue: more },
        items: found.into_values().take(limit).collect(),
    };
    Ok(axum::Json(items).into_response())
}

/// `PUT` of an object: it becomes what is sent, created if it is not there.
pub(super) async fn put(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    One(key): One,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let by_header = expected(&headers)?;
    let value = named(body::documents(&api, &headers, body).await?.one()?, &key);
    let namespace = if key.kind.is_namespaced() { &key.name.namespace } else { DEFAULT_NAMESPACE };
    let intent = api.checked(value, namespace).map_err(|(what, faults)| Problem::invalid(&what, &faults))?;
    if intent.key != key {
        return Err(Problem::bad(format!("the path is of {key} and the body is {}", intent.key)));
    }
    api.check_not_from_file(&key)?;
    let expected = if by_header == Expected::Any { intent.expected } else { by_header };
    let write = Write { by: query.by(role)?, intents: vec![Intent { expected, ..intent }], dry_run: query.dry_run };
    changed(&api, write).await
}

/// `DELETE` of an object: the answer is what it was.
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(role): Extension<Role>,
    One(key): One,
    Asked(query): Asked<ChangeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let expected = expected(&headers)?;
    api.check_not_from_file(&key)?;
    api.check_not_registered(&key)?;
    let intents = vec![Intent { key, wanted: None, expected }];
    changed(&api, Write { by: query.by(role)?, intents, dry_run: query.dry_run }).await
}

async fn changed(api: &Api, write: Write) -> Result<Response, Problem> {
    let written = apply::write(api, write).await?;
    let Some(outcome) = written.outcomes.first() else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let status = if outcome.verdict() == Verdict::Created { StatusCode::CREATED } else { StatusCode::OK };
    let Outcome { key, before, after } = outcome;
    let Some(object) = after.as_ref().or(before.as_ref()) else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    Ok(answer(status, &api.shown(key, object), Some(object.version())))
}

fn answer(status: StatusCode, object: &Shown, version: Option<u64>) -> Response {
    let mut response = (status, axum::Json(object)).into_response();
    if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// A body need not repeat what the path says.
fn named(mut value: Value, key: &Key) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.entry("apiVersion").or_insert_with(|| json!(key.kind.api_version()));
        fields.entry("kind").or_insert_with(|| json!(key.kind.as_str()));
        if let Some(metadata) = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut() {
            metadata.entry("name").or_insert_with(|| json!(key.name.name.to_string()));
        }
    }
    value
}
