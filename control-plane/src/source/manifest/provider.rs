//! `extensionProviders` into the model. They say who may do what: whatever cannot be held to is refused, and nothing is passed over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::authorization::Pattern;
use crate::model::provider::{Body, Copied, Provider, Server, Way};
use crate::source::manifest::authorization::pattern;
use crate::source::manifest::custom::provider as written;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::text;

/// Long for a decision, and short enough for a client to wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// As the proxy: more of a body is never kept for one request.
const MOST_BODY: u32 = 64 * 1024 * 1024;
/// What clients get when there is no answer.
const STATUS_ON_ERROR: u16 = 403;

/// All of them, each with a name of its own.
pub(super) fn providers(written: &[written::ExtensionProvider], reader: &mut Reader) -> Vec<Provider> {
    let providers = reader.each("extensionProviders", written, provider);
    for (at, provider) in providers.iter().enumerate() {
        if providers.iter().take(at).any(|other| other.name == provider.name) {
            reader.refuse_at::<()>("extensionProviders", format_args!("the name {:?} is there twice", provider.name));
        }
    }
    providers
}

fn provider(provider: &written::ExtensionProvider, reader: &mut Reader) -> Option<Provider> {
    let name = reader.at("name", |reader| text::subdomain(&provider.name, reader));
    let (place, common, way) = match (&provider.envoy_ext_authz_grpc, &provider.envoy_ext_authz_http) {
        (Some(grpc), None) => ("envoyExtAuthzGrpc", Common::of_grpc(grpc), Some(Way::Grpc)),
        (None, Some(http)) => {
            let copied = reader.at("envoyExtAuthzHttp", |reader| copied(http, reader));
            ("envoyExtAuthzHttp", Common::of_http(http), copied.map(|copied| Way::Http(Box::new(copied))))
        }
        _ => return reader.refuse("exactly one of envoyExtAuthzGrpc, envoyExtAuthzHttp is required"),
    };
    reader.at(place, |reader| {
        let server = server(common.service, common.port, reader);
        let timeout = match common.timeout {
            None => Some(TIMEOUT),
            Some(text) => reader.at("timeout", |reader| text::wait(text, "answer", reader)),
        };
        let status = match common.status_on_error {
            None => Some(STATUS_ON_ERROR),
            Some(text) => reader.at("statusOnError", |reader| status(text, reader)),
        };
        let is_grpc = matches!(way, Some(Way::Grpc));
        let body = match common.body {
            None => Some(None),
            Some(written) => reader.at("includeRequestBodyInCheck", |reader| body(written, is_grpc, reader)).map(Some),
        };
        Some(Provider {
            name: name?,
            server: server?,
            way: way?,
            timeout: timeout?,
            fail_open: common.fail_open.unwrap_or(false),
            status_on_error: status?,
            body: body?,
        })
    })
}

/// What both ways of asking have.
struct Common<'a> {
    service: &'a str,
    port: i64,
    timeout: Option<&'a str>,
    fail_open: Option<bool>,
    status_on_error: Option<&'a str>,
    body: Option<&'a written::RequestBody>,
}

impl<'a> Common<'a> {
    fn of_grpc(grpc: &'a written::GrpcProvider) -> Self {
        Self {
            service: &grpc.service,
            port: grpc.port,
            timeout: grpc.timeout.as_deref(),
            fail_open: grpc.fail_open,
            status_on_error: grpc.status_on_error.as_deref(),
            body: grpc.include_request_body_in_check.as_ref(),
        }
    }

    fn of_http(http: &'a written::HttpProvider) -> Self {
        Self {
            service: &http.service,
            port: http.port,
            timeout: http.timeout.as_deref(),
            fail_open: http.fail_open,
            status_on_error: http.status_on_error.as_deref(),
            body: http.include_request_body_in_check.as_ref(),
        }
    }
}

/// `HOST` or `NAMESPACE/HOST`.
fn server(service: &str, port: i64, reader: &mut Reader) -> Option<Server> {
    let port = reader.at("port", |reader| text::port(port, reader));
    let (namespace, host) = reader.at("service", |reader| {
        let (namespace, host) = match service.split_once('/') {
            Some((namespace, host)) => (Some(text::label(namespace, reader)?), host),
            None => (None, service),
        };
        let host = text::subdomain(host, reader)?;
        if namespace.is_none() && !host.contains('.') {
            return reader.refuse(format_args!("{service:?} is in no namespace: NAME.NAMESPACE is needed"));
        }
        Some((namespace, host))
    })?;
    Some(Server { namespace, host, port: port? })
}

/// A failure that looks like a success is none to its client; and Envoy takes a whole listener for wrong that has another one.
fn status(text: &str, reader: &mut Reader) -> Option<u16> {
    let status = Some(text).filter(|text| text.len() == 3).and_then(|text| text.parse().ok());
    match status.filter(|status| matches!(status, 400..=417 | 421..=424 | 426 | 428 | 429 | 431 | 500..=508 | 510 | 511)) {
        None => reader.refuse(format_args!("{text:?} is not a status from 400 to 599 that Envoy has a name for")),
        status => status,
    }
}

fn body(written: &written::RequestBody, is_grpc: bool, reader: &mut Reader) -> Option<Body> {
    let most = written.max_request_bytes.filter(|most| (1..=MOST_BODY).contains(most));
    let bytes = written.pack_as_bytes.unwrap_or(false);
    if bytes && !is_grpc {
        reader.refuse_at::<()>("packAsBytes", "only with envoyExtAuthzGrpc: by HTTP a body is what it is");
    }
    match most {
        None => reader.refuse_at("maxRequestBytes", format_args!("required, 1 to {MOST_BODY}")),
        Some(most) => Some(Body { most, partial: written.allow_partial_message.unwrap_or(false), bytes }),
    }
}

fn copied(http: &written::HttpProvider, reader: &mut Reader) -> Option<Copied> {
    let prefix = http.path_prefix.as_deref().unwrap_or_default();
    let is_path =
        prefix.is_empty() || (prefix.starts_with('/') && prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte)));
    if !is_path {
        reader.refuse_at::<()>("pathPrefix", format_args!("{prefix:?} is not the beginning of a path, such as /check"));
    }
    let none = BTreeMap::new();
    let added = http.include_additional_headers_in_check.as_ref().unwrap_or(&none);
    let added: Vec<_> = reader.at("includeAdditionalHeadersInCheck", |reader| {
        added.iter().filter_map(|(name, value)| reader.at(name, |reader| header(name, value, reader))).collect()
    });
    let to_application = names("headersToUpstreamOnAllow", http.headers_to_upstream_on_allow.as_ref(), reader);
    for pattern in &to_application {
        if let Some(framing) = text::framing().find(|name| pattern.fits(name)) {
            reader.refuse_at::<()>("headersToUpstreamOnAllow", format_args!("{framing:?} would be among them, and is the request's own"));
        }
    }
    Some(Copied {
        path_prefix: prefix.into(),
        headers: names("includeRequestHeadersInCheck", http.include_request_headers_in_check.as_ref(), reader),
        added,
        to_application,
        to_denied: names("headersToDownstreamOnDeny", http.headers_to_downstream_on_deny.as_ref(), reader),
        to_allowed: names("headersToDownstreamOnAllow", http.headers_to_downstream_on_allow.as_ref(), reader),
    })
}

/// Proxies would read `%` as the beginning of something that is put in.
fn header(name: &str, value: &str, reader: &mut Reader) -> Option<(Arc<str>, Arc<str>)> {
    let name = text::header_name(name, reader)?;
    if text::framing().any(|framing| *framing == *name) {
        return reader.refuse(format_args!("{name:?} is the question's own"));
    }
    if value.contains('%') {
        return reader.refuse(format_args!("{value:?}: '%' cannot be in it"));
    }
    Some((name, text::header_value(value, reader)?))
}

/// A list that is there has something in it: an empty one would mean what no list means.
fn names(field: &str, list: Option<&Vec<String>>, reader: &mut Reader) -> Vec<Pattern> {
    let Some(list) = list else { return Vec::new() };
    if list.is_empty() {
        reader.refuse_at::<()>(field, "it is empty: leave it out if it does not matter");
    }
    reader.each(field, list, |name, reader| {
        let pattern = pattern::text(&name.to_ascii_lowercase(), reader)?;
        let fixed = match &pattern {
            Pattern::Present => return Some(pattern),
            Pattern::Exact(part) | Pattern::Prefix(part) | Pattern::Suffix(part) => text::header_name(part, reader),
        };
        fixed.map(|_| pattern)
    })
}

#[cfg(test)]
mod tests;
