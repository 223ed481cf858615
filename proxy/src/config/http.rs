//! HTTP connection manager: what is done to every request of a listener.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::RouteTableName;
use crate::config::access_log::{AccessLog, LogFilter, LogFormat};
use crate::config::address::Cidr;
use crate::config::filter::{FilterKind, HttpFilter};
use crate::config::headers::HeaderMutations;
use crate::config::route::RouteTable;
use crate::config::scope::ScopedRoutes;
use crate::config::trace::Tracing;

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
#[derive(Clone, Debug)]
pub struct HttpConnectionManager {
    /// Name in metrics.
    pub stat_prefix: String,
    /// Which versions are spoken.
    pub codec: CodecChoice,
    /// Where routes come from.
    pub routes: RouteSource,
    /// HTTP/1 settings.
    pub http1: Http1Settings,
    /// HTTP/2 settings.
    pub http2: Http2Settings,
    /// Header bytes of a request.
    pub max_request_headers_bytes: usize,
    /// Number of header fields of a request.
    pub max_headers_count: usize,
    /// Header names with `_`.
    pub underscores: UnderscoreAction,
    /// Limits in time.
    pub timeouts: HttpTimeouts,
    /// Requests on one connection.
    pub max_requests_per_connection: Option<u32>,
    /// `X-Forwarded-For` and the client's address.
    pub forwarded: Forwarded,
    /// `x-request-id`.
    pub request_id: RequestId,
    /// The value of `server`.
    pub server_name: HeaderValue,
    /// What happens to an upstream's `server`.
    pub server_header: ServerHeader,
    /// Scheme that replaces what the client said.
    pub scheme: SchemeSetting,
    /// What is done to paths before anything looks at them.
    pub path: PathSettings,
    /// What is done to the host before routing.
    pub host: HostSettings,
    /// Protocols that requests may upgrade to, lower case, and whether. Routes may differ.
    pub upgrades: Vec<(String, bool)>,
    /// Add `x-envoy-downstream-service-*`, `user-agent` where missing.
    pub add_user_agent: bool,
    /// Pass `Expect: 100-continue` on rather than answer it.
    pub proxy_100_continue: bool,
    /// What may stop a request, in the order written; the router comes behind.
    pub filters: Vec<Arc<HttpFilter>>,
    /// The router's settings.
    pub router: RouterSettings,
    /// Lines about its requests.
    pub access_log: Vec<AccessLog>,
    /// Tracing, if on.
    pub tracing: Option<Arc<Tracing>>,
    /// What local answers look like.
    pub local_reply: LocalReply,
    /// `x-forwarded-client-cert`.
    pub client_cert: ClientCert,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// Removed.
    Sanitize,
    /// Passed on, whoever says it.
    AlwaysForward,
    /// Passed on where the client has a certificate.
    Forward,
    /// The same, and what is known of the client is added.
    Append(ClientCertParts),
    /// Replaced by what is known of the client.
    Set(ClientCertParts),
}

/// What is told of a client, beside our own URI names and the hash of its certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCertParts {
    /// Its certificate.
    pub certificate: bool,
    /// The whole chain.
    pub chain: bool,
    /// Its subject.
    pub subject: bool,
    /// Its URI names.
    pub uris: bool,
    /// Its DNS names.
    pub hosts: bool,
    /// Who issued its certificate.
    pub issuer: bool,
}

impl HttpConnectionManager {
    /// Clients' certificates themselves are told to others, not only what they say.
    pub fn tells_certificates(&self) -> bool {
        let asks = |filter: &Arc<HttpFilter>| matches!(&filter.kind, FilterKind::External(external) if external.include_peer_certificate);
        self.client_cert.tells_certificates() || self.filters.iter().any(asks)
    }
}

impl ClientCert {
    /// Certificates themselves are told, not only what they say.
    pub fn tells_certificates(self) -> bool {
        matches!(self, Self::Append(parts) | Self::Set(parts) if parts.certificate || parts.chain)
    }
}

/// Which HTTP versions a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodecChoice {
    /// By ALPN, else by the HTTP/2 preface.
    Auto,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Where routes come from.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// Written in the listener.
    Inline(Arc<RouteTable>),
    /// Served by RDS.
    Named {
        /// The name to ask for.
        name: RouteTableName,
        /// How long the listener waits for the first answer; `None` is for ever.
        fetch_timeout: Option<Duration>,
    },
    /// One of several, by the request's headers.
    Scoped(Arc<ScopedRoutes>),
}

/// HTTP/1 settings, either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http1Settings {
    /// Take methods that are not in the register.
    pub allow_custom_methods: bool,
    /// Take HTTP/1.0.
    pub accept_http_10: bool,
    /// Host for HTTP/1.0 requests without one.
    pub default_host_for_http_10: Option<String>,
    /// Take absolute targets (`GET http://host/`).
    pub allow_absolute_url: bool,
    /// Take a message that has both lengths.
    pub allow_chunked_length: bool,
    /// Pass trailers on.
    pub enable_trailers: bool,
    /// How header names are written.
    pub header_case: HeaderCase,
    /// Keep the connection after an answer to a malformed message.
    pub override_stream_error: bool,
}

/// How header names are written on HTTP/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// As they came (Ninon's default; Envoy with `preserve_case`).
    #[default]
    AsReceived,
    /// `Proper-Case`.
    ProperCase,
}

/// HTTP/2 settings, either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub max_concurrent_streams: u32,
    /// Stream window, bytes.
    pub initial_stream_window: u32,
    /// Connection window, bytes.
    pub initial_connection_window: u32,
    /// Take extended CONNECT.
    pub allow_connect: bool,
    /// PING after this much silence.
    pub keepalive_interval: Option<Duration>,
    /// How long a PING's answer may take.
    pub keepalive_timeout: Duration,
    /// Keep the connection after a malformed message.
    pub override_stream_error: bool,
}

/// Header names with `_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnderscoreAction {
    /// Passed on.
    #[default]
    Allow,
    /// 400 (HTTP/1), reset (HTTP/2).
    RejectRequest,
    /// The field is dropped.
    DropHeader,
}

/// Limits in time; `None` is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// A connection without requests.
    pub idle: Option<Duration>,
    /// A connection's life.
    pub max_connection: Option<Duration>,
    /// From a head's first byte to its last.
    pub request_headers: Option<Duration>,
    /// From a request's first byte to its last.
    pub request: Option<Duration>,
    /// A stream on which nothing moves.
    pub stream_idle: Option<Duration>,
    /// A stream's life.
    pub max_stream: Option<Duration>,
    /// Between the first and the last GOAWAY.
    pub drain: Duration,
    /// How long a closed connection waits for the peer.
    pub delayed_close: Duration,
}

/// `X-Forwarded-For` and the client's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The peer is the client: this is an edge.
    pub use_remote_address: bool,
    /// Proxies in front of us that are trusted.
    pub xff_trusted_hops: u32,
    /// Do not add the peer.
    pub skip_xff_append: bool,
    /// Text to add to `via`.
    pub via: Option<HeaderValue>,
    /// Ranges that are internal; `None`: none is (Envoy 1.40).
    pub internal_ranges: Vec<Cidr>,
    /// Unix sockets are internal.
    pub unix_is_internal: bool,
    /// Add `x-forwarded-port`.
    pub append_port: bool,
}

/// `x-request-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// Make one where there is none.
    pub generate: bool,
    /// Keep an external client's.
    pub preserve_external: bool,
    /// Put it in the response.
    pub in_response: bool,
    /// Pack the trace decision into the UUID's 15th digit, as Envoy's default extension does.
    pub pack_trace_reason: bool,
}

/// What happens to an upstream's `server` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerHeader {
    /// Replaced.
    Overwrite,
    /// Kept, added if missing.
    AppendIfAbsent,
    /// Left alone.
    PassThrough,
}

/// The scheme that requests are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemeSetting {
    /// As the client said, or as the connection is.
    #[default]
    Keep,
    /// `http`.
    Http,
    /// `https`.
    Https,
    /// `https` where the upstream is reached by TLS.
    MatchUpstream,
}

/// What is done to paths before anything looks at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathSettings {
    /// RFC 3986 dot segments, percent-encoding of unreserved characters.
    pub normalize: bool,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
    /// `%2F`, `%5C` and the like.
    pub escaped_slashes: EscapedSlashes,
}

/// What is done about `%2F` and `%5C` in paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Kept.
    Keep,
    /// 400.
    Reject,
    /// 307 to the unescaped path.
    UnescapeAndRedirect,
    /// Unescaped.
    UnescapeAndForward,
}

/// What is done to the host before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Remove the port.
    pub strip_port: StripPort,
    /// Remove a trailing dot.
    pub strip_trailing_dot: bool,
}

/// Which ports are removed from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StripPort {
    /// None.
    Never,
    /// The listener's own.
    Matching,
    /// Any.
    Any,
}

/// `envoy.extensions.filters.http.router.v3.Router`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterSettings {
    /// Add no `x-envoy-*` headers.
    pub suppress_envoy_headers: bool,
    /// Obey `x-envoy-expected-rq-timeout-ms` as a timeout.
    pub respect_expected_timeout: bool,
}

/// What local answers look like (`LocalReplyConfig`).
#[derive(Clone, Debug, Default)]
pub struct LocalReply {
    /// The first that fits changes the answer.
    pub mappers: Vec<ReplyMapper>,
    /// How the body is made; `None`: the plain text.
    pub body_format: Option<ReplyFormat>,
}

/// Changes a local answer.
#[derive(Clone, Debug)]
pub struct ReplyMapper {
    /// Which answers.
    pub filter: LogFilter,
    /// New status.
    pub status: Option<u16>,
    /// New text.
    pub body: Option<String>,
    /// New format.
    pub body_format: Option<ReplyFormat>,
    /// Headers to set.
    pub headers: HeaderMutations,
}

/// How a local answer's body is made.
#[derive(Clone, Debug)]
pub struct ReplyFormat {
    /// Body.
    pub format: LogFormat,
    /// `content-type`.
    pub content_type: HeaderValue,
}
