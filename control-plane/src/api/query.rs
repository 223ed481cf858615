//! What clients ask for, in path and query.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use crate::api::problem::Problem;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::store::Scope;
use crate::store::revision::Expected;

/// RFC 1123: the longest name.
const LONGEST_NAME: usize = 253;

/// What a path means: an object, or all of a kind, perhaps in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Object(Key),
    Collection(Kind, Option<Arc<str>>),
}

impl Target {
    /// One object, or a refusal of what is a list.
    fn object(self) -> Result<Key, Problem> {
        match self {
            Self::Object(key) => Ok(key),
            Self::Collection(kind, _) => {
                let path = format!("/api/v1/{}/{{namespace}}/{{name}}", kind.plural());
                let detail = format!("a list can only be read; one {kind} is at {path}");
                Err(Problem { allow: Some("GET,HEAD"), ..Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail) })
            }
        }
    }

    pub(super) fn scope(kind: Kind, namespace: Option<Arc<str>>) -> Scope {
        Scope { kind: Some(kind), namespace }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|error| Problem::bad(error.body_text()))?;
        let words: Vec<&str> = params.iter().map(|(_, word)| word).collect();
        if words.iter().any(|word| word.len() > LONGEST_NAME) {
            return Err(Problem::bad(format!("a name has {LONGEST_NAME} characters at most")));
        }
        let nowhere = |detail: String| Problem::new(StatusCode::NOT_FOUND, detail);
        let Some((kind, rest)) = words.split_first() else { return Err(nowhere("there is nothing here".to_owned())) };
        let Some(kind) = Kind::of_word(kind) else {
            let known: Vec<_> = Kind::ALL.into_iter().map(Kind::plural).collect();
            return Err(nowhere(format!("there are no {kind:?}; there are {}", known.join(", "))));
        };
        match (rest, kind.is_namespaced()) {
            ([], _) => Ok(Self::Collection(kind, None)),
            ([namespace], true) => Ok(Self::Collection(kind, Some(Arc::from(*namespace)))),
            ([name], false) => Ok(Self::Object(Key { kind, name: Name::new("", *name) })),
            ([namespace, name], true) => Ok(Self::Object(Key { kind, name: Name::new(*namespace, *name) })),
            _ => Err(nowhere(format!("{kind} has no namespace: /api/v1/{}/{{name}}", kind.plural()))),
        }
    }
}

/// A path that means an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct One(pub(super) Key);

impl<S: Send + Sync> FromRequestParts<S> for One {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Target::from_request_parts(parts, state).await?.object().map(Self)
    }
}

/// The query. One that says more than is known here is refused: `dryrun` is not `dryRun`.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = Query::try_from_uri(&parts.uri);
        read.map(|Query(asked)| Self(asked)).map_err(|error| Problem::bad(format!("the query is not understood: {}", error.body_text())))
    }
}

/// What `If-Match` and `If-None-Match` say of an object.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expected::Any),
        (Some("*"), None) => Ok(Expected::Present),
        (Some(tag), None) => {
            let version = tag.trim_start_matches("W/").trim_matches('"').parse();
            version.map(Expected::Version).map_err(|_| Problem::bad(format!("If-Match must be a resourceVersion or *, got {tag:?}")))
        }
        (None, Some("*")) => Ok(Expected::Absent),
        (None, Some(tag)) => Err(Problem::bad(format!("If-None-Match must be *, got {tag:?}"))),
        (Some(_), Some(_)) => Err(Problem::bad("If-Match and If-None-Match cannot both be given")),
    }
}

/// The place in a list where its next page begins. Clients are to see nothing in it.
pub(super) fn token(after: &Name) -> String {
    format!("{}/{}", after.namespace, after.name).bytes().fold(String::new(), |token, byte| format!("{token}{byte:02x}"))
}

/// Reads one back.
pub(super) fn place(token: &str) -> Result<Name, Problem> {
    let digits = token.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    let text = digits.collect::<Option<Vec<u8>>>().and_then(|bytes| String::from_utf8(bytes).ok());
    let place = text.as_deref().and_then(|text| text.split_once('/'));
    place.map(|(namespace, name)| Name::new(namespace, name)).ok_or_else(|| Problem::bad("`continue` is not one of this server's"))
}
