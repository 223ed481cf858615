//! Virtual hosts, routes, actions, retry and timeout policy.

/// From a host to its virtual host.
pub mod domains;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use regex::bytes::Regex;

use crate::config::ClusterName;
use crate::config::Fraction;
use crate::config::RouteTableName;
use crate::config::headers::HeaderMutations;
use crate::config::matcher::{HeaderMatch, MatchedName, StringMatch};
use crate::config::route::domains::DomainIndex;

/// `RouteConfiguration`.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Its name.
    pub name: RouteTableName,
    /// In the order written; domains are unique over all.
    pub virtual_hosts: Vec<Arc<VirtualHost>>,
    /// Which of them serves a host.
    pub domains: DomainIndex,
    /// Ports in the host are ignored when a virtual host is sought.
    pub ignore_port: bool,
    /// Mutations of requests, least specific.
    pub request_headers: HeaderMutations,
    /// Mutations of responses, least specific.
    pub response_headers: HeaderMutations,
    /// The most specific mutation wins, rather than the least specific.
    pub most_specific_mutations_win: bool,
    /// Bytes of a direct response's body, at most.
    pub max_direct_response_body: usize,
}

/// `VirtualHost`.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name, in logs and metrics.
    pub name: String,
    /// Hosts that it serves.
    pub domains: Vec<Domain>,
    /// First match wins.
    pub routes: Vec<Arc<Route>>,
    /// Plain requests are redirected to https.
    pub require_tls: RequireTls,
    /// Mutations of requests.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// Retries where the route has no policy.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Add `x-envoy-attempt-count` to requests.
    pub attempt_count_in_request: bool,
    /// Add `x-envoy-attempt-count` to responses.
    pub attempt_count_in_response: bool,
    /// Bytes of a body kept for retries or mirroring; `None`: the connection's buffer limit.
    pub replay_limit: Option<usize>,
    /// Mirrors where the route has none.
    pub mirrors: Vec<Mirror>,
}

/// A host that a virtual host serves, lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// `www.example.com`, with or without port.
    Exact(String),
    /// `*.example.com` is `.example.com`.
    Suffix(String),
    /// `www.example.*` is `www.example.`.
    Prefix(String),
    /// `*`.
    Any,
}

/// Which plain requests are redirected to https.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireTls {
    /// None.
    #[default]
    No,
    /// Those of external clients.
    ExternalOnly,
    /// All.
    All,
}

/// `Route`.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name, in logs.
    pub name: String,
    /// Which requests.
    pub matches: RouteMatch,
    /// What happens to them.
    pub action: RouteAction,
    /// Mutations of requests, most specific but for a weighted cluster's.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// Bytes of a body kept for retries or mirroring.
    pub replay_limit: Option<usize>,
    /// Overrides of sampling.
    pub tracing: Option<RouteTracing>,
    /// Name of the operation in spans.
    pub operation: Option<String>,
}

/// Overrides of a listener's sampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteTracing {
    /// Where the client forces it.
    pub client_sampling: Fraction,
    /// Where nothing is decided.
    pub random_sampling: Fraction,
    /// Upper bound.
    pub overall_sampling: Fraction,
}

/// `RouteMatch`: all of it must fit.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// The path's letter case counts.
    pub case_sensitive: bool,
    /// Fields.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// Only gRPC requests (`content-type: application/grpc*`).
    pub grpc: bool,
    /// Only this share of requests.
    pub fraction: Option<Fraction>,
    /// Only TLS connections with (or without) a client certificate.
    pub tls: Option<TlsMatch>,
    /// Cookies.
    pub cookies: Vec<CookieMatch>,
    /// Needs dynamic metadata, which no filter here sets: whether the match still fits when there is none (all matchers inverted).
    pub without_metadata: bool,
}

/// The path of a [`RouteMatch`], without the query.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Equal.
    Exact(String),
    /// Begins with.
    Prefix(String),
    /// Equal, or begins with it and `/`. Without trailing slash.
    SeparatedPrefix(String),
    /// Matches as a whole.
    Regex(Regex),
    /// A URI template (`/videos/{id}/*`).
    Template(PathTemplate),
    /// CONNECT and extended CONNECT.
    Connect,
}

/// A URI template compiled to a regular expression, one capture per variable.
#[derive(Clone, Debug)]
pub struct PathTemplate {
    /// Matches the whole path.
    pub regex: Regex,
    /// Names of the captures, in order.
    pub variables: Vec<String>,
}

/// A query parameter that must be there.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// Its name.
    pub name: String,
    /// Its value; `None`: any.
    pub value: Option<StringMatch>,
    /// It must not be there; then `value` is `None`.
    pub absent: bool,
}

/// A cookie that must fit.
#[derive(Clone, Debug)]
pub struct CookieMatch {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: StringMatch,
    /// The opposite counts.
    pub invert: bool,
}

/// Only TLS connections whose client certificate is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsMatch {
    /// Shown.
    pub presented: Option<bool>,
    /// Verified.
    pub validated: Option<bool>,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum RouteAction {
    /// It is sent to a cluster.
    Forward(Box<Forward>),
    /// 3xx.
    Redirect(Box<Redirect>),
    /// A fixed answer.
    Direct(DirectResponse),
    /// Nothing: for clients that route by themselves (gRPC); 404 here.
    NonForwarding,
}

/// `RouteAction` of Envoy.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterChoice,
    /// Answer when the cluster does not exist.
    pub cluster_not_found: StatusCode,
    /// What becomes of the path.
    pub path_rewrite: PathRewrite,
    /// What becomes of the host.
    pub host_rewrite: HostRewrite,
    /// The old host goes to `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// Limits in time.
    pub timeouts: RouteTimeouts,
    /// Retries; `None`: the virtual host's.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Limits to use.
    pub priority: Priority,
    /// Copies.
    pub mirrors: Option<Vec<Mirror>>,
    /// Upgrades that differ from the listener's: protocol in lower case, allowed, and what CONNECT does.
    pub upgrades: Vec<RouteUpgrade>,
    /// What the request is hashed by, for balancing with affinity.
    pub hash: Vec<HashPolicy>,
}

/// An upgrade on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUpgrade {
    /// `websocket`, `connect`, ...
    pub protocol: String,
    /// Allowed.
    pub enabled: bool,
    /// A CONNECT ends here and its payload goes upstream as raw TCP.
    pub connect_terminate: bool,
    /// ... also for POST.
    pub allow_post: bool,
}

/// Which cluster a request goes to.
#[derive(Clone, Debug)]
pub enum ClusterChoice {
    /// This one.
    Cluster(ClusterName),
    /// The one that a request header names.
    Header(HeaderName),
    /// Split by weight.
    Weighted(Box<WeightedClusters>),
}

/// `WeightedCluster`.
#[derive(Clone, Debug)]
pub struct WeightedClusters {
    /// The parts; shared, because an exchange keeps its own until the response.
    pub split: Split<Arc<WeightedCluster>>,
    /// A request header that gives the draw, for stable splits.
    pub draw_header: Option<HeaderName>,
}

/// One part of a split.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Where to: a cluster or a header that names it.
    pub cluster: WeightedTarget,
    /// Mutations of requests.
    pub request_headers: HeaderMutations,
    /// Mutations of responses.
    pub response_headers: HeaderMutations,
    /// New host.
    pub host_rewrite: Option<HeaderValue>,
}

/// Where a part of a split goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightedTarget {
    /// A cluster.
    Cluster(ClusterName),
    /// The cluster that a request header names.
    Header(HeaderName),
}

/// Choices with weights. It has at least one with a weight above 0, and the total never overflows.
#[derive(Clone, Debug)]
pub struct Split<T> {
    entries: Vec<(T, u32)>,
    total: NonZeroU32,
}

impl<T> Split<T> {
    /// `None` when the weights add up to 0 or to more than 2^32 - 1.
    pub fn new(entries: Vec<(T, u32)>) -> Option<Self> {
        let total = entries.iter().try_fold(0u32, |sum, (_, weight)| sum.checked_add(*weight))?;
        Some(Self { entries, total: NonZeroU32::new(total)? })
    }

    /// The entry for a draw (any u64, evenly distributed).
    pub fn pick(&self, draw: u64) -> &T {
        let mut left = draw % u64::from(self.total.get());
        for (entry, weight) in &self.entries {
            match left.checked_sub(u64::from(*weight)) {
                None => return entry,
                Some(rest) => left = rest,
            }
        }
        #[expect(clippy::expect_used, reason = "the draw is below the sum of the weights, so the loop returns")]
        let (last, _) = self.entries.last().expect("a split has an entry");
        last
    }

    /// Entries and weights in the order written.
    pub fn entries(&self) -> &[(T, u32)] {
        &self.entries
    }

    /// Sum of weights.
    pub fn total(&self) -> u32 {
        self.total.get()
    }
}

/// What becomes of the path.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Nothing.
    Keep,
    /// The matched prefix (or whole exact path) is replaced.
    Prefix(String),
    /// Each match is replaced.
    Regex(RegexRewrite),
    /// Built from the captures of a [`PathTemplate`].
    Template(Vec<TemplatePart>),
}

/// Replaces each match of a pattern.
#[derive(Clone, Debug)]
pub struct RegexRewrite {
    /// What is replaced.
    pub pattern: Regex,
    /// With what, `$1`-style (converted from RE2's `\1`).
    pub substitution: Bytes,
}

/// A part of a rewritten path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it is.
    Literal(String),
    /// The value of the variable of this index.
    Capture(usize),
}

/// What becomes of the host.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// Nothing.
    Keep,
    /// This.
    Literal(HeaderValue),
    /// The endpoint's host name.
    Auto,
    /// The value of a header.
    Header(HeaderName),
    /// From the path.
    PathRegex(RegexRewrite),
}

/// Limits in time on a route; `None` is off, but for `idle`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the request's end to the response's end (Envoy: 15 s where not set).
    pub response: Option<Duration>,
    /// A stream on which nothing moves: `None` as the listener, `Some(None)` off.
    pub idle: Option<Option<Duration>>,
    /// A stream's life: `None` as the listener, `Some(None)` off.
    pub max_stream: Option<Option<Duration>>,
    /// Use `grpc-timeout`, at most this (0 is no bound).
    pub grpc_max: Option<Duration>,
    /// Subtracted from `grpc-timeout`.
    pub grpc_offset: Duration,
    /// `grpc-timeout` bounds the stream's life, not the time to answer.
    pub grpc_bounds_stream: bool,
}

/// Which limits a request counts against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Default.
    #[default]
    Default,
    /// High.
    High,
}

/// A copy of requests.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to.
    pub cluster: WeightedTarget,
    /// Which share.
    pub fraction: Fraction,
    /// Do not append `-shadow` to the host.
    pub keep_host: bool,
}

/// What a request is hashed by.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// The source.
    pub by: HashBy,
    /// Stop here if it gave a hash.
    pub terminal: bool,
}

/// Source of a hash.
#[derive(Clone, Debug)]
pub enum HashBy {
    /// A header or pseudo-header.
    Header(MatchedName),
    /// A cookie; made with this life and path where missing.
    Cookie {
        /// Its name.
        name: String,
        /// `Some` makes one where missing; zero is a session cookie.
        ttl: Option<Duration>,
        /// Its path.
        path: String,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// `RedirectAction`.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307, 308.
    pub status: StatusCode,
    /// New scheme.
    pub scheme: Option<String>,
    /// New host.
    pub host: Option<String>,
    /// New port.
    pub port: Option<u16>,
    /// New path; may bring its own query.
    pub path: RedirectPath,
    /// Leave the query out.
    pub strip_query: bool,
}

/// A redirect's path.
#[derive(Clone, Debug)]
pub enum RedirectPath {
    /// The request's.
    Keep,
    /// This.
    Replace(String),
    /// The matched prefix is replaced.
    Prefix(String),
    /// Each match is replaced.
    Regex(RegexRewrite),
}

/// `DirectResponseAction`.
#[derive(Clone, Debug)]
pub struct DirectResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// Its type, where the body has a format.
    pub content_type: Option<HeaderValue>,
}

/// `RetryPolicy`.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// When.
    pub on: RetryOn,
    /// How often.
    pub retries: u32,
    /// Limit of one attempt; `None`: the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// An attempt without response bytes for this long.
    pub per_try_idle_timeout: Option<Duration>,
    /// Statuses for `retriable-status-codes`.
    pub status_codes: Vec<u16>,
    /// Response headers for `retriable-headers`.
    pub response_headers: Vec<HeaderMatch>,
    /// Only requests that fit one of these, if any.
    pub request_headers: Vec<HeaderMatch>,
    /// First wait, drawn from 0 to it, doubled each time (Envoy: 25 ms).
    pub base_interval: Duration,
    /// Longest wait (Envoy: ten times the first).
    pub max_interval: Duration,
    /// Response headers that say when to come back.
    pub rate_limited: Option<RateLimitedBackoff>,
    /// Avoid endpoints that were tried.
    pub avoid_previous_hosts: bool,
    /// Draws of another endpoint before one that was tried is taken.
    pub host_selection_attempts: u32,
}

/// Waits as the response says.
#[derive(Clone, Debug)]
pub struct RateLimitedBackoff {
    /// Header, and whether it is seconds from now (`true`) or a Unix time.
    pub headers: Vec<(HeaderName, bool)>,
    /// Longest wait.
    pub max_interval: Duration,
}

/// Conditions for a retry (`retry_on`, `x-envoy-retry-on`, `x-envoy-retry-grpc-on`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u32);

impl RetryOn {
    /// Any 5xx, or no answer.
    pub const SERVER_ERROR: Self = Self(1);
    /// 502, 503, 504.
    pub const GATEWAY_ERROR: Self = Self(1 << 1);
    /// No answer: disconnect, reset, read timeout.
    pub const RESET: Self = Self(1 << 2);
    /// The connection could not be made.
    pub const CONNECT_FAILURE: Self = Self(1 << 3);
    /// `x-envoy-ratelimited` is there.
    pub const ENVOY_RATELIMITED: Self = Self(1 << 4);
    /// 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 5);
    /// REFUSED_STREAM.
    pub const REFUSED_STREAM: Self = Self(1 << 6);
    /// A listed status.
    pub const RETRIABLE_STATUS_CODES: Self = Self(1 << 7);
    /// A listed response header.
    pub const RETRIABLE_HEADERS: Self = Self(1 << 8);
    /// Reset before the request was written.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 9);
    /// gRPC status 1.
    pub const GRPC_CANCELLED: Self = Self(1 << 10);
    /// gRPC status 4.
    pub const GRPC_DEADLINE_EXCEEDED: Self = Self(1 << 11);
    /// gRPC status 13.
    pub const GRPC_INTERNAL: Self = Self(1 << 12);
    /// gRPC status 8.
    pub const GRPC_RESOURCE_EXHAUSTED: Self = Self(1 << 13);
    /// gRPC status 14.
    pub const GRPC_UNAVAILABLE: Self = Self(1 << 14);
    /// HTTP/3 only; never fits here.
    pub const HTTP3_POST_CONNECT_FAILURE: Self = Self(1 << 15);

    const WORDS: [(&'static str, Self); 16] = [
        ("5xx", Self::SERVER_ERROR),
        ("gateway-error", Self::GATEWAY_ERROR),
        ("reset", Self::RESET),
        ("connect-failure", Self::CONNECT_FAILURE),
        ("envoy-ratelimited", Self::ENVOY_RATELIMITED),
        ("retriable-4xx", Self::RETRIABLE_4XX),
        ("refused-stream", Self::REFUSED_STREAM),
        ("retriable-status-codes", Self::RETRIABLE_STATUS_CODES),
        ("retriable-headers", Self::RETRIABLE_HEADERS),
        ("reset-before-request", Self::RESET_BEFORE_REQUEST),
        ("cancelled", Self::GRPC_CANCELLED),
        ("deadline-exceeded", Self::GRPC_DEADLINE_EXCEEDED),
        ("internal", Self::GRPC_INTERNAL),
        ("resource-exhausted", Self::GRPC_RESOURCE_EXHAUSTED),
        ("unavailable", Self::GRPC_UNAVAILABLE),
        ("http3-post-connect-failure", Self::HTTP3_POST_CONNECT_FAILURE),
    ];

    /// Reads a comma-separated list; words that are not known are left out and returned beside.
    pub fn parse(list: &str) -> (Self, Vec<&str>) {
        let mut on = Self::default();
        let mut unknown = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match Self::WORDS.iter().find(|(known, _)| *known == word) {
                Some((_, condition)) => on = on.with(*condition),
                None => unknown.push(word),
            }
        }
        (on, unknown)
    }

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `condition` is among these.
    pub fn has(self, condition: Self) -> bool {
        self.0 & condition.0 != 0
    }

    /// No condition.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
