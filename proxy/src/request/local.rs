use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{StatusCode, Version};
use tokio::time::Instant;

use crate::codec::Outgoing;
use crate::config::http::ReplyMapper;
use crate::config::route::{DirectResponse, Redirect};
use crate::forward::headers;
use crate::reply::LocalReply;
use crate::request::live::{Live, ResponseBody};
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
    let (mut response, body) = reply.render(grpc);
    if reply.routed {
        mutate(&live, &mut response);
    }
    let body = if grpc { body } else { map(&mut live, &mut response, reply, body) };
    let manager = std::sync::Arc::clone(&live.connection.0.manager);
    headers::finish_response(&manager, response.headers_mut(), false);
    if manager.request_id.in_response
        && let Some(id) = live.head.headers.get("x-request-id")
    {
        response.headers_mut().insert("x-request-id", id.clone());
    }
    if live.head.version == Version::HTTP_2 {
        if body.is_empty() {
            // The stream's end says it.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
    } else if live.body_pending || live.closing {
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

fn mutate(live: &Live, response: &mut http::Response<()>) {
    live.mutate_response(response.headers_mut());
}

/// Applies the first mapper that fits, and the body format.
fn map(live: &mut Live, response: &mut http::Response<()>, reply: &LocalReply, body: Bytes) -> Bytes {
    let manager = std::sync::Arc::clone(&live.connection.0.manager);
    if manager.local_reply.mappers.is_empty() && manager.local_reply.body_format.is_none() {
        return body;
    }
    live.info.ended = Some(Instant::now());
    let mut text = String::from_utf8_lossy(&reply.body).into_owned();
    let mapper: Option<&ReplyMapper> = {
        let exchange = of_reply(live, response.headers(), &text);
        manager.local_reply.mappers.iter().find(|mapper| access_log::fits(&mapper.filter, &exchange))
    };
    if let Some(mapper) = mapper {
        if let Some(status) = mapper.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            *response.status_mut() = status;
        }
        if let Some(body) = &mapper.body {
            text.clone_from(body);
        }
        let hostname = live.connection.0.worker.shared.hostname.as_str();
        let source = route::mutate::Source { info: &live.info, hostname };
        route::mutate::apply(&mapper.headers, source, &live.head, response.headers_mut());
    }
    let format = mapper.and_then(|mapper| mapper.body_format.as_ref()).or(manager.local_reply.body_format.as_ref());
    let body = if let Some(format) = format {
        let mut rendered = Vec::new();
        substitution::log_line(&format.format, &of_reply(live, response.headers(), &text), &mut rendered);
        response.headers_mut().insert(CONTENT_TYPE, format.content_type.clone());
        Bytes::from(rendered)
    } else {
        if !text.is_empty() && !response.headers().contains_key(CONTENT_TYPE) {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        Bytes::from(text)
    };
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    body
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
        let path = live.head.path.as_ref().map_or("", http::uri::PathAndQuery::as_str);
        let scheme = live.head.scheme.to_str().unwrap_or("http");
        let url = format!("{scheme}://{}{path}", live.head.authority.to_str().unwrap_or(""));
        return with_location(reply, &url);
    }
    reply.routed()
}
