use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Map, Value};

use crate::config::ext_authz::HttpService;
use crate::exchange::{RequestHead, RequestPath};
use crate::ext_authz::answer::{self, Allowed, Answer, Denied, Fault};
use crate::ext_authz::attributes::{self, any};
use crate::ext_authz::{Subject, ToldBody};

/// Headers of requests that the service names to be taken away.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// What every service is told.
const ALWAYS: [&str; 1] = ["authorization"];

/// What clients are told of a denial beside what the settings name.
const CLIENTS: [&str; 2] = ["location", "www-authenticate"];

pub(super) fn question(service: &HttpService, subject: &Subject<'_>) -> Result<(RequestHead, Bytes), Fault> {
    let Subject { filter, request, body, .. } = *subject;
    let mut headers = HeaderMap::new();
    for (name, value) in attributes::headers(filter, request, Some(&ALWAYS)) {
        // Framing is the question's own, and the pseudo-headers are its head.
        if answer::is_reserved(&name) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value)) {
            headers.insert(name, value);
        }
    }
    let bytes = body.map(|body| body.bytes.clone()).unwrap_or_default();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if let Some(ToldBody { partial, .. }) = body {
        headers.insert(attributes::PARTIAL_BODY, HeaderValue::from_static(if *partial { "true" } else { "false" }));
    }
    for (name, value) in &service.headers {
        headers.insert(name, value.clone());
    }
    let path = match &service.path_override {
        Some(path) => path.clone(),
        None => format!("{}{}", service.path_prefix, request.path.as_ref().map_or("/", RequestPath::as_str)),
    };
    let path = RequestPath::from_bytes(path.as_bytes()).map_err(|_| Fault::NoAnswer("the request's path cannot be told".to_owned()))?;
    let head = RequestHead { path: Some(path), headers, upgrade: None, ..request.clone() };
    Ok((head, bytes))
}

/// As Envoy: 200 is yes, 5xx is none, everything else is no.
pub(super) fn read(service: &HttpService, head: &Response<()>, body: Bytes) -> Result<Answer, Fault> {
    let status = head.status();
    if status.is_server_error() {
        return Err(Fault::NoAnswer(format!("the service answered with status {}", status.as_u16())));
    }
    if status == StatusCode::OK {
        return allowed(service, head.headers()).map(|allowed| Answer::Allowed(Box::new(allowed)));
    }
    let status = answer::status(i64::from(status.as_u16()))?;
    let mut denied = Denied { status, body, metadata: metadata(service, head.headers()), headers: HeaderMap::new() };
    for (name, value) in fields(head.headers()) {
        let told = match &service.client {
            None => true,
            Some(list) => any(list, name.as_str()) || CLIENTS.contains(&name.as_str()),
        };
        if told {
            denied.headers.append(name, value.clone());
        }
    }
    Ok(Answer::Denied(Box::new(denied)))
}

fn allowed(service: &HttpService, headers: &HeaderMap) -> Result<Allowed, Fault> {
    let mut allowed = Allowed { metadata: metadata(service, headers), ..Allowed::default() };
    for (name, value) in fields(headers) {
        let field = || (name.clone(), value.clone());
        if any(&service.upstream, name.as_str()) {
            allowed.set.push(field());
        }
        if any(&service.upstream_append, name.as_str()) {
            allowed.add.push(field());
        }
        if any(&service.client_on_success, name.as_str()) {
            allowed.response.add.push(field());
        }
    }
    for list in headers.get_all(TO_REMOVE) {
        let names = list.to_str().map_err(|_| Fault::Invalid(format!("{TO_REMOVE} is not text")))?;
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            allowed.remove.push(answer::name(name)?);
        }
    }
    Ok(allowed)
}

/// Those that are more than the framing of the service's answer.
fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers.iter().filter(|(name, _)| !answer::is_reserved(name.as_str()) && **name != HOST && **name != TO_REMOVE)
}

fn metadata(service: &HttpService, headers: &HeaderMap) -> Map<String, Value> {
    let kept = headers.iter().filter(|(name, _)| any(&service.metadata, name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), Value::String(attributes::text(value.as_bytes())))).collect()
}
