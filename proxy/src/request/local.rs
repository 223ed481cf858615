use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Method, StatusCode, Version};
use tokio::time::Instant;

use crate::codec::{Outgoing, RequestFault};
use crate::config::route::{DirectResponse, Redirect};
use crate::exchange::ResponseFlag;
use crate::forward::headers;
use crate::reply::LocalReply;
use crate::request::body::ResponseBody;
use crate::request::live::Live;
use crate::route;
use crate::telemetry::access_log;
use crate::telemetry::substitution::{self, Exchange};

/// Turns a local reply into the client's answer, as the listener's settings want it to look.
pub(super) fn answer(mut live: Box<Live>, reply: &LocalReply) -> Outgoing<ResponseBody> {
    live.answering(reply.status);
    live.info.details = reply.details.clone();
    if let Some(flag) = reply.flag {
        live.info.flags.set(flag);
    }
    let grpc = live.head.is_grpc();
    let (mut response, body) = map(&mut live, reply).render(grpc);
    if reply.routed {
        live.mutate_response(response.headers_mut());
    }
    live.change_response(response.headers_mut());
    let manager = Arc::clone(&live.connection.0.manager);
    headers::finish_response(&manager, response.headers_mut(), false);
    if manager.request_id.in_response
        && let Some(id) = live.head.headers.get("x-request-id")
    {
        response.headers_mut().insert("x-request-id", id.clone());
    }
    if live.head.version != Version::HTTP_2 && ends_connection(&live, reply) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    live.info.status = Some(response.status());
    live.info.response_began = Some(Instant::now());
    live.deadlines.activity.touch();
    // The answer is there: only a client that does not read it can still be late.
    live.deadlines.route = None;
    live.deadlines.per_try = None;
    live.deadlines.request = None;
    if !manager.access_log.is_empty() {
        live.response_headers = Some(response.headers().clone());
    }
    let body = ResponseBody::local(body, live);
    response.map(|()| body).into()
}

/// Whether an HTTP/1 connection ends with this answer: framing may be lost, or the client may go on as if it were a tunnel.
fn ends_connection(live: &Live, reply: &LocalReply) -> bool {
    let tunnel = live.head.upgrade.is_some() || live.head.method == Method::CONNECT;
    let refused = reply.status == StatusCode::BAD_REQUEST && !live.connection.0.manager.http1.override_stream_error;
    live.body_pending || live.closing || tunnel || refused
}

/// Applies the first mapper that fits, and the body format; also to what a gRPC client gets.
fn map<'a>(live: &mut Live, reply: &'a LocalReply) -> Cow<'a, LocalReply> {
    let manager = Arc::clone(&live.connection.0.manager);
    let settings = &manager.local_reply;
    if settings.mappers.is_empty() && settings.body_format.is_none() {
        return Cow::Borrowed(reply);
    }
    live.info.ended = Some(Instant::now());
    let mut text = String::from_utf8_lossy(&reply.body).into_owned();
    let mut mapped = reply.clone();
    let exchange = of_reply(live, &mapped.headers, &text);
    let mapper = settings.mappers.iter().find(|mapper| access_log::fits(&mapper.filter, &exchange));
    if let Some(mapper) = mapper {
        // Envoy: these see the status as it was, the body's format sees the new one.
        let source = route::mutate::Source { info: &live.info, hostname: &live.connection.0.worker.shared.hostname };
        route::mutate::apply(&mapper.headers, source, &live.head, &mut mapped.headers);
        if let Some(status) = mapper.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            mapped.status = status;
            live.info.status = Some(status);
        }
        if let Some(body) = &mapper.body {
            text.clone_from(body);
            mapped.body = Bytes::from(text.clone());
        }
    }
    let format = mapper.and_then(|mapper| mapper.body_format.as_ref()).or(settings.body_format.as_ref());
    if let Some(format) = format {
        let body = substitution::render(&format.format, &of_reply(live, &mapped.headers, &text));
        mapped.headers.insert(CONTENT_TYPE, format.content_type.clone());
        mapped.body = Bytes::from(body);
    }
    Cow::Owned(mapped)
}

fn of_reply<'a>(live: &'a Live, response: &'a http::HeaderMap, text: &'a str) -> Exchange<'a> {
    let exchange = Exchange::of_connection(&live.info, &live.connection.0.worker.shared.hostname);
    Exchange { request: Some(&live.head), response: Some(response), local_reply_body: Some(text), ..exchange }
}

/// A redirect that the route asks for.
pub(super) fn redirect(live: &Live, redirect: &Redirect) -> LocalReply {
    live.connection.0.stats.rq_redirect.inc();
    let location =
        live.info.route.as_deref().map(|route| route::action::redirect(redirect, &route.matches, &live.head)).unwrap_or_default();
    with_location(LocalReply::new(redirect.status, "", "direct_response"), &location)
}

/// A virtual host that is served over TLS only.
pub(super) fn redirect_to_tls(live: &Live) -> LocalReply {
    live.connection.0.stats.rq_redirect.inc();
    let location = route::action::https_location(&live.head);
    with_location(LocalReply::new(StatusCode::MOVED_PERMANENTLY, "", "direct_response"), &location)
}

fn with_location(mut reply: LocalReply, location: &str) -> LocalReply {
    if let Ok(location) = HeaderValue::try_from(location) {
        reply.headers.insert(LOCATION, location);
    }
    reply.routed()
}

/// A fixed answer.
pub(super) fn direct(live: &Live, direct: &DirectResponse) -> LocalReply {
    live.connection.0.stats.rq_direct_response.inc();
    let mut reply = LocalReply::new(direct.status, direct.body.clone(), "direct_response");
    if let Some(content_type) = &direct.content_type {
        reply.headers.insert(CONTENT_TYPE, content_type.clone());
    }
    if direct.status == StatusCode::CREATED {
        // Envoy tells where the created thing is: at the request's own URL.
        let path = live.head.path.as_ref().map_or("", crate::exchange::RequestPath::as_str);
        let scheme = live.head.scheme.to_str().unwrap_or("http");
        let url = format!("{scheme}://{}{path}", live.head.authority.to_str().unwrap_or(""));
        return with_location(reply, &url);
    }
    reply.routed()
}

/// The answer to a head that could not be read.
pub(super) fn fault_reply(fault: RequestFault) -> LocalReply {
    let protocol_error = |status, body: &'static str, details: &'static str, rule: &str| {
        LocalReply::new(status, body, details).because(Some(ResponseFlag::DownstreamProtocolError), "http_request_error", rule)
    };
    match fault {
        RequestFault::Malformed(rule) => protocol_error(StatusCode::BAD_REQUEST, "Bad Request", "http1.codec_error", rule),
        RequestFault::Version(rule) => protocol_error(StatusCode::UPGRADE_REQUIRED, "Upgrade Required", "low_version", rule),
        RequestFault::Coding(rule) => {
            protocol_error(StatusCode::NOT_IMPLEMENTED, "Not Implemented", "http1.invalid_transfer_encoding", rule)
        }
        RequestFault::HeadTooLarge(rule) => {
            protocol_error(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large", "http1.headers_too_large", rule)
        }
        RequestFault::HeadTimeout => {
            let reply = LocalReply::new(StatusCode::REQUEST_TIMEOUT, "request header timeout", "request_header_timeout");
            reply.because(Some(ResponseFlag::DownstreamProtocolError), "http_request_error", "the request's head did not arrive in time")
        }
    }
}
