//! What clients send: JSON, or YAML of one or many documents.

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::sync::SemaphorePermit;

use crate::api::Api;
use crate::api::problem::Problem;
use crate::model::fault::Fault;
use crate::source::yaml;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Yaml,
}

/// A body that was read. Only so many are at a time.
pub(super) struct Documents<'a> {
    pub(super) values: Vec<Value>,
    _permit: SemaphorePermit<'a>,
}

/// Reads the documents of a body.
pub(super) async fn documents<'a>(api: &'a Api, headers: &HeaderMap, body: Body) -> Result<Documents<'a>, Problem> {
    let form = form(headers)?;
    let permit = api.writes.acquire().await.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the API is closing"))?;
    let bytes = axum::body::to_bytes(body, api.limits.body).await.map_err(|error| {
        let limit = api.limits.body;
        match std::error::Error::source(&error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            true => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body may have {limit} bytes at most")),
            false => Problem::bad("the body ended early"),
        }
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| Problem::bad(format!("the body is not UTF-8: {error}")))?;
    let values = match form {
        Form::Json => vec![serde_json::from_str(text).map_err(|error| Problem::bad(format!("the body is not JSON: {error}")))?],
        Form::Yaml => yaml_values(text)?,
    };
    if values.is_empty() {
        return Err(Problem::bad("the body says nothing"));
    }
    Ok(Documents { values, _permit: permit })
}

impl Documents<'_> {
    /// The only one.
    pub(super) fn one(&mut self) -> Result<Value, Problem> {
        match (self.values.pop(), self.values.len()) {
            (Some(value), 0) => Ok(value),
            (_, others) => Err(Problem::bad(format!("one object is expected, got {others} documents"))),
        }
    }
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let written = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let Some(written) = written else { return Ok(Form::Json) };
    let media = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "application/json" => Ok(Form::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "application/apply-patch+yaml" => Ok(Form::Yaml),
        _ => {
            let detail = format!("a body must be application/json or application/yaml, got {written:?}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

fn yaml_values(text: &str) -> Result<Vec<Value>, Problem> {
    let mut values = Vec::new();
    let mut faults = Vec::new();
    for document in yaml::documents(text) {
        match document {
            Ok(document) => values.push(document.value),
            Err(fault) => faults.push(Fault::at(format!("line {}", fault.line), fault.problem)),
        }
    }
    if faults.is_empty() {
        return Ok(values);
    }
    Err(Problem { errors: Problem::invalid("", &faults).errors, ..Problem::bad("the body is not YAML") })
}
