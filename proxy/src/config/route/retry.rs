use std::time::Duration;

use http::header::HeaderName;

use crate::config::matcher::HeaderMatch;

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
