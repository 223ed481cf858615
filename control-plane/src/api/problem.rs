//! What clients are told when it did not work: problems of RFC 9457.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::model::fault::Fault;
use crate::store::error::StoreError;

/// The media type.
pub const PROBLEM: &str = "application/problem+json";

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The kind of problem; the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// What happened, for people.
    pub detail: String,
    /// Each field that is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The methods that there are, when the one that was used is not among them.
    #[serde(skip)]
    pub allow: Option<&'static str>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field.
    pub path: String,
    /// The rule that it breaks.
    pub problem: String,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown").to_owned();
        Self { kind: "about:blank".to_owned(), title, status: status.as_u16(), detail: detail.into(), errors: Vec::new(), allow: None }
    }

    /// The request cannot be understood.
    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// An object breaks rules.
    pub fn invalid(what: &str, faults: &[Fault]) -> Self {
        let errors = faults.iter().map(|Fault { path, problem }| FieldError { path: path.clone(), problem: problem.clone() });
        Self { errors: errors.collect(), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{what} is not valid")) }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Conflict { .. } | StoreError::Full(_) => StatusCode::CONFLICT,
            StoreError::NotFound(_) | StoreError::NoRevision { .. } => StatusCode::NOT_FOUND,
            StoreError::Twice(_) | StoreError::Shapeless(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StoreError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::Gone { .. } => StatusCode::GONE,
            StoreError::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::InUse(_) | StoreError::Etcd(_) | StoreError::Busy | StoreError::Closed => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM)], body).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ninon\""));
        }
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
