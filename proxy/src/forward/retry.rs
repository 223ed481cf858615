//! Source: envoyproxy.io, "Router", `x-envoy-retry-on`; `envoy.config.route.v3.RetryPolicy`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::HeaderMap;

use crate::config::matcher::RequestHeaders;
use crate::config::route::{RateLimitedBackoff, RetryOn, RetryPolicy};
use crate::exchange::RequestHead;
use crate::forward::headers;

/// Retries where `x-envoy-retry-on` asks for them without a number.
const DEFAULT_RETRIES: u32 = 1;
/// Longest first wait where no policy says it (Envoy: 25 ms).
const DEFAULT_BASE: Duration = Duration::from_millis(25);

/// Retries of one request: the route's policy and the caller's wishes together.
#[derive(Debug, Default)]
pub struct Retries {
    policy: Option<Arc<RetryPolicy>>,
    on: RetryOn,
    left: u32,
    extra_status_codes: Vec<u16>,
    extra_response_headers: Vec<String>,
    waits: u32,
}

/// How an attempt failed without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The upstream refused the stream; it has not seen the request.
    Refused,
    /// The connection or stream ended; `sent` when some of the request had been written.
    Reset {
        /// Some of the request was written.
        sent: bool,
    },
    /// It took longer than one attempt may.
    PerTryTimeout,
    /// A limit of the cluster was reached: never tried again.
    Overflow,
}

/// What to do after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Wait so long, then try again.
    Retry(Duration),
    /// Pass it on.
    Accept,
    /// It would be tried again, but for the number of retries.
    LimitReached,
}

impl Retries {
    /// From the route's policy, and what a trusted caller asks for (outsiders' `x-envoy-*` fields are gone by now).
    pub fn new(policy: Option<Arc<RetryPolicy>>, request: &mut RequestHead) -> Self {
        let fits = |policy: &Arc<RetryPolicy>| {
            policy.request_headers.is_empty() || policy.request_headers.iter().any(|header| header.matches(request))
        };
        let policy = policy.filter(fits);
        let mut retries = Self { on: policy.as_ref().map(|policy| policy.on).unwrap_or_default(), ..Self::default() };
        retries.left = policy.as_ref().map_or(0, |policy| policy.retries);
        retries.policy = policy;
        retries.obey_caller(&mut request.headers);
        retries
    }

    fn obey_caller(&mut self, headers: &mut HeaderMap) {
        if !headers::has_envoy_fields(headers) {
            return;
        }
        let mut asked = false;
        for name in ["x-envoy-retry-on", "x-envoy-retry-grpc-on"] {
            if let Some(list) = headers.remove(name) {
                self.on = self.on.with(RetryOn::parse(list.to_str().unwrap_or("")).0);
                asked = true;
            }
        }
        if let Some(list) = headers.remove("x-envoy-retriable-status-codes") {
            let list = list.to_str().unwrap_or("").to_owned();
            self.extra_status_codes = list.split(',').filter_map(|code| code.trim().parse().ok()).collect();
        }
        if let Some(list) = headers.remove("x-envoy-retriable-header-names") {
            let list = list.to_str().unwrap_or("").to_ascii_lowercase();
            self.extra_response_headers = list.split(',').map(|name| name.trim().to_owned()).collect();
        }
        if asked && self.policy.is_none() {
            self.left = DEFAULT_RETRIES;
        }
        if let Some(count) = headers.remove("x-envoy-max-retries")
            && let Some(count) = count.to_str().ok().and_then(|count| count.parse().ok())
        {
            self.left = count;
        }
    }

    /// Whether any condition is set at all; else the body need not be kept.
    pub fn is_possible(&self) -> bool {
        !self.on.is_empty() && self.left > 0
    }

    /// The policy that applies.
    pub fn policy(&self) -> Option<&Arc<RetryPolicy>> {
        self.policy.as_ref()
    }

    /// After an answer's head.
    pub fn after_response(&mut self, status: StatusCode, headers: &HeaderMap) -> Decision {
        if self.on.is_empty() || !self.wants(status, headers) {
            return Decision::Accept;
        }
        let rate_limited = self.policy.as_ref().and_then(|policy| policy.rate_limited.as_ref());
        let wait = rate_limited.and_then(|backoff| asked_wait(backoff, headers));
        self.spend(wait)
    }

    /// After an attempt without an answer.
    pub fn after_failure(&mut self, failure: Failure) -> Decision {
        let on = self.on;
        let any_reset = on.has(RetryOn::SERVER_ERROR) || on.has(RetryOn::GATEWAY_ERROR) || on.has(RetryOn::RESET);
        let wanted = match failure {
            Failure::Overflow => false,
            Failure::Connect => any_reset || on.has(RetryOn::CONNECT_FAILURE) || on.has(RetryOn::RESET_BEFORE_REQUEST),
            Failure::Refused => any_reset || on.has(RetryOn::REFUSED_STREAM) || on.has(RetryOn::RESET_BEFORE_REQUEST),
            Failure::Reset { sent } => any_reset || (!sent && on.has(RetryOn::RESET_BEFORE_REQUEST)),
            Failure::PerTryTimeout => any_reset,
        };
        if wanted { self.spend(None) } else { Decision::Accept }
    }

    fn wants(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let on = self.on;
        if headers.contains_key("x-envoy-ratelimited") {
            return on.has(RetryOn::ENVOY_RATELIMITED);
        }
        let code = status.as_u16();
        (on.has(RetryOn::SERVER_ERROR) && status.is_server_error())
            || (on.has(RetryOn::GATEWAY_ERROR) && (502..=504).contains(&code))
            || (on.has(RetryOn::RETRIABLE_4XX) && code == 409)
            || (on.has(RetryOn::RETRIABLE_STATUS_CODES) && self.lists_status(code))
            || (on.has(RetryOn::RETRIABLE_HEADERS) && self.lists_header(headers))
            || self.wants_grpc(headers)
    }

    fn lists_status(&self, code: u16) -> bool {
        self.extra_status_codes.contains(&code) || self.policy.as_ref().is_some_and(|policy| policy.status_codes.contains(&code))
    }

    fn lists_header(&self, headers: &HeaderMap) -> bool {
        let listed = |policy: &Arc<RetryPolicy>| {
            let answer = AnswerHeaders(headers);
            policy.response_headers.iter().any(|header| header.matches(&answer))
        };
        self.extra_response_headers.iter().any(|name| headers.contains_key(name)) || self.policy.as_ref().is_some_and(listed)
    }

    /// Only an answer without body has its gRPC status in the head ("Trailers-Only").
    fn wants_grpc(&self, headers: &HeaderMap) -> bool {
        let condition = match headers.get("grpc-status").and_then(|status| status.to_str().ok()) {
            Some("1") => RetryOn::GRPC_CANCELLED,
            Some("4") => RetryOn::GRPC_DEADLINE_EXCEEDED,
            Some("8") => RetryOn::GRPC_RESOURCE_EXHAUSTED,
            Some("13") => RetryOn::GRPC_INTERNAL,
            Some("14") => RetryOn::GRPC_UNAVAILABLE,
            _ => return false,
        };
        self.on.has(condition)
    }

    fn spend(&mut self, wait: Option<Duration>) -> Decision {
        let Some(left) = self.left.checked_sub(1) else { return Decision::LimitReached };
        self.left = left;
        let (base, longest) = match &self.policy {
            Some(policy) => (policy.base_interval, policy.max_interval),
            None => (DEFAULT_BASE, DEFAULT_BASE.saturating_mul(10)),
        };
        let bound = base.saturating_mul(2_u32.saturating_pow(self.waits)).min(longest);
        self.waits = self.waits.saturating_add(1);
        Decision::Retry(wait.unwrap_or_else(|| bound.mul_f64(fastrand::f64())))
    }
}

/// The wait that a response asks for, within the policy's bound.
fn asked_wait(backoff: &RateLimitedBackoff, headers: &HeaderMap) -> Option<Duration> {
    backoff.headers.iter().find_map(|(name, seconds_from_now)| {
        let number: u64 = headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        let wait = if *seconds_from_now {
            Duration::from_secs(number)
        } else {
            UNIX_EPOCH.checked_add(Duration::from_secs(number))?.duration_since(SystemTime::now()).ok()?
        };
        (wait <= backoff.max_interval).then_some(wait)
    })
}

/// A response's fields, for matchers made for requests.
struct AnswerHeaders<'a>(&'a HeaderMap);

impl RequestHeaders for AnswerHeaders<'_> {
    fn method(&self) -> &str {
        ""
    }
    fn path(&self) -> &str {
        ""
    }
    fn authority(&self) -> &str {
        ""
    }
    fn scheme(&self) -> &str {
        ""
    }
    fn fields(&self) -> &HeaderMap {
        self.0
    }
}
