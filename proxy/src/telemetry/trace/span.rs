//! Source: OpenTelemetry semantic conventions for HTTP spans (1.38), and the names that Envoy gives its own attributes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{StatusCode, Version};
use tokio::time::Instant;

use crate::config::address::Address;
use crate::config::trace::{TraceTag, TraceTagValue, Tracing};
use crate::exchange::{RequestHead, StreamInfo};
use crate::telemetry::trace::Context;

/// Values from a peer are cut to this many bytes; the path has a limit of its own.
const MAX_VALUE: usize = 1024;

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// Whose provider gets it.
    pub tracing: Arc<Tracing>,
    /// Its place in the trace.
    pub context: Context,
    /// Of a request that was served, or of one that was sent.
    pub side: Side,
    /// Its name.
    pub name: String,
    /// Its beginning.
    pub start: SystemTime,
    /// Its end.
    pub end: SystemTime,
    /// It failed, for this reason.
    pub error: Option<Cow<'static, str>>,
    /// What else is told.
    pub attributes: Vec<(Cow<'static, str>, Attribute)>,
}

/// Which end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We served it.
    Server,
    /// We sent it.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

/// One try upstream.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Which one; 1 is the first.
    pub number: u32,
    /// Its beginning.
    pub began: Instant,
    /// Its answer's status, if there was one.
    pub status: Option<StatusCode>,
}

impl Span {
    /// Of a request that is over. `None` when it is not sampled.
    pub fn server(tracing: &Arc<Tracing>, context: &Context, info: &StreamInfo, request: &RequestHead) -> Option<Box<Self>> {
        if !context.sampled {
            return None;
        }
        let took = info.ended.unwrap_or_else(Instant::now).saturating_duration_since(info.started);
        let mut span = Self::new(tracing, context, Side::Server, server_name(info, request), (info.started_at, took));
        span.request(request, tracing.max_path_tag_length);
        span.version(info.protocol);
        span.address(("client.address", "client.port"), &info.remote);
        span.address(("network.peer.address", "network.peer.port"), &info.connection.peer);
        for (name, header) in [("user_agent.original", "user-agent"), ("guid:x-request-id", "x-request-id")] {
            if let Some(value) = request.headers.get(header) {
                span.text(name, readable(value.as_bytes()));
            }
        }
        span.number("request_size", info.bytes_received);
        span.number("response_size", info.bytes_sent);
        span.outcome(info, info.status);
        span.tags(&tracing.tags, request);
        Some(Box::new(span))
    }

    /// Of one try upstream that is over. `None` when it is not sampled, or no such spans are wanted.
    pub fn client(
        tracing: &Arc<Tracing>,
        context: &Context,
        info: &StreamInfo,
        request: &RequestHead,
        attempt: Attempt,
    ) -> Option<Box<Self>> {
        if !context.sampled || !tracing.spawn_upstream_span {
            return None;
        }
        let cluster = info.upstream.cluster.as_ref().map_or("", |cluster| cluster.as_str());
        let start = info.started_at.checked_add(attempt.began.saturating_duration_since(info.started)).unwrap_or(info.started_at);
        let end = info.upstream.response_ended.unwrap_or_else(Instant::now);
        let took = end.saturating_duration_since(attempt.began);
        let mut span = Self::new(tracing, context, Side::Client, format!("router {cluster} egress"), (start, took));
        span.request(request, tracing.max_path_tag_length);
        span.version(info.upstream.protocol);
        if let Some(host) = &info.upstream.host {
            span.address(("server.address", "server.port"), host);
            span.address(("network.peer.address", "network.peer.port"), host);
        }
        if attempt.number > 1 {
            span.number("http.request.resend_count", u64::from(attempt.number.saturating_sub(1)));
        }
        span.outcome(info, attempt.status);
        Some(Box::new(span))
    }

    fn new(tracing: &Arc<Tracing>, context: &Context, side: Side, name: String, (start, took): (SystemTime, Duration)) -> Self {
        let attributes = Vec::with_capacity(16);
        let end = start.checked_add(took).unwrap_or(start);
        Self { tracing: Arc::clone(tracing), context: context.clone(), side, name, start, end, error: None, attributes }
    }

    fn text(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.attributes.push((Cow::Borrowed(name), Attribute::Text(value.into())));
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.attributes.push((Cow::Borrowed(name), Attribute::Number(i64::try_from(value).unwrap_or(i64::MAX))));
    }

    fn address(&mut self, (name, port): (&'static str, &'static str), address: &Address) {
        match address {
            Address::Ip(address) => {
                self.text(name, address.ip().to_string());
                self.number(port, u64::from(address.port()));
            }
            Address::Unix(path) => self.text(name, path.display().to_string()),
        }
    }

    fn request(&mut self, request: &RequestHead, max_path: usize) {
        self.text("http.request.method", request.method.as_str().to_owned());
        self.text("url.scheme", readable(request.scheme.as_bytes()));
        self.text("url.path", cut(request.path_only(), max_path).to_owned());
        if self.side == Side::Server {
            self.text("server.address", readable(request.authority.as_bytes()));
        }
    }

    fn version(&mut self, version: Option<Version>) {
        let version = match version {
            Some(Version::HTTP_10) => "1.0",
            Some(Version::HTTP_11) => "1.1",
            Some(Version::HTTP_2) => "2",
            Some(_) | None => return,
        };
        self.text("network.protocol.version", version);
    }

    /// How it ended. By the conventions a client's mistake (4xx) is an error of the client span only.
    fn outcome(&mut self, info: &StreamInfo, status: Option<StatusCode>) {
        if let Some(status) = status {
            self.number("http.response.status_code", u64::from(status.as_u16()));
        }
        if let Some(cluster) = &info.upstream.cluster {
            self.text("upstream_cluster", cluster.to_string());
        }
        if self.side == Side::Server
            && let Some(host) = &info.upstream.host
        {
            self.text("upstream_address", host.to_string());
        }
        self.text("response_flags", info.flags.to_string());
        self.text("component", "proxy");
        let failed = match (self.side, status) {
            (Side::Server, Some(status)) => status.is_server_error(),
            (Side::Client, Some(status)) => status.is_server_error() || status.is_client_error(),
            (Side::Server | Side::Client, None) => true,
        };
        if failed {
            let kind = status.map_or_else(|| Cow::Borrowed("_OTHER"), |status| Cow::Owned(status.as_str().to_owned()));
            self.text("error.type", kind);
            self.error = Some(match &info.upstream.failure {
                Some(failure) => Cow::Owned(cut(failure, MAX_VALUE).to_owned()),
                None => info.details.clone(),
            });
        }
    }

    fn tags(&mut self, tags: &[TraceTag], request: &RequestHead) {
        for tag in tags {
            let value = match &tag.value {
                TraceTagValue::Literal(value) => value.clone(),
                TraceTagValue::RequestHeader { name, default } => {
                    request.headers.get(name).map_or_else(|| default.clone(), |value| readable(value.as_bytes()))
                }
            };
            if !value.is_empty() {
                self.attributes.push((Cow::Owned(tag.name.clone()), Attribute::Text(Cow::Owned(value))));
            }
        }
    }
}

/// The operation the route names, else method and route: few, whatever clients ask for.
fn server_name(info: &StreamInfo, request: &RequestHead) -> String {
    let route = info.route.as_ref();
    if let Some(operation) = route.and_then(|route| route.operation.as_ref()) {
        return operation.clone();
    }
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let method = known.into_iter().find(|known| *known == request.method.as_str()).unwrap_or("HTTP");
    match route.map(|route| route.name.as_str()) {
        Some(name) if !name.is_empty() => format!("{method} {name}"),
        Some(_) | None => method.to_owned(),
    }
}

fn readable(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value.get(..MAX_VALUE).unwrap_or(value));
    text.into_owned()
}

/// Not more than `limit` bytes; a character is not cut in two.
fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}
