//! Source: envoyproxy.io, "Tracing", and "HTTP header manipulation", `x-request-id`: a request's identifier decides, so that all
//! proxies on its way decide alike.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::route::RouteTracing;
use crate::config::trace::Tracing;
use crate::telemetry::metrics::HttpStats;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CLIENT_TRACE_ID: HeaderName = HeaderName::from_static("x-client-trace-id");
const FORCE_TRACE: HeaderName = HeaderName::from_static("x-envoy-force-trace");

/// The digit of the UUID that holds the reason.
const REASON_AT: usize = 14;
/// Shares are drawn in hundredths of a percent.
const SCALE: u64 = 10_000;

/// Why a request is traced, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not.
    NotTraceable,
    /// By chance.
    Sampling,
    /// A service of ours asked for it.
    ServiceForced,
    /// The client asked for it.
    ClientForced,
}

impl Reason {
    /// Whether a trace that begins here is recorded.
    pub fn is_traced(self) -> bool {
        self != Self::NotTraceable
    }

    pub(super) fn count(self, stats: &HttpStats) {
        match self {
            Self::NotTraceable => stats.tracing_not_traceable.inc(),
            Self::Sampling => stats.tracing_random_sampling.inc(),
            Self::ServiceForced => stats.tracing_service_forced.inc(),
            Self::ClientForced => stats.tracing_client_enabled.inc(),
        }
    }

    fn digit(self) -> u8 {
        match self {
            Self::NotTraceable => b'4',
            Self::Sampling => b'9',
            Self::ServiceForced => b'a',
            Self::ClientForced => b'b',
        }
    }

    fn from_digit(digit: u8) -> Self {
        match digit {
            b'9' => Self::Sampling,
            b'a' => Self::ServiceForced,
            b'b' => Self::ClientForced,
            _ => Self::NotTraceable,
        }
    }
}

/// The shares that count for a request: its route's, where the route has its own.
pub fn shares(tracing: &Tracing, route: Option<RouteTracing>) -> RouteTracing {
    route.unwrap_or(RouteTracing {
        client_sampling: tracing.client_sampling,
        random_sampling: tracing.random_sampling,
        overall_sampling: tracing.overall_sampling,
    })
}

/// Decides, and writes the reason into the request's identifier where `pack` says so. Without a UUID nothing is traced, as
/// in Envoy. (An outsider's `x-envoy-force-trace` is gone by now.)
pub fn decide(shares: RouteTracing, pack: bool, headers: &mut HeaderMap) -> Reason {
    let Some(id) = headers.get(&REQUEST_ID) else { return Reason::NotTraceable };
    let Some((number, said)) = read_uuid(id.as_bytes()) else { return Reason::NotTraceable };
    let draw = (number % SCALE).saturating_mul(1_000_000 / SCALE);
    let mut reason = said;
    if reason == Reason::NotTraceable {
        reason = if headers.contains_key(CLIENT_TRACE_ID) && shares.client_sampling.contains(fastrand::u64(..)) {
            Reason::ClientForced
        } else if headers.contains_key(FORCE_TRACE) {
            Reason::ServiceForced
        } else if shares.random_sampling.contains(draw) {
            Reason::Sampling
        } else {
            Reason::NotTraceable
        };
    }
    if !shares.overall_sampling.contains(draw) {
        reason = Reason::NotTraceable;
    }
    if pack && reason != said {
        pack_reason(reason, headers);
    }
    reason
}

/// The identifier's first eight digits, and the reason in it.
fn read_uuid(id: &[u8]) -> Option<(u64, Reason)> {
    let dashes = [8, 13, 18, 23].iter().all(|place| id.get(*place) == Some(&b'-'));
    if id.len() != 36 || !dashes {
        return None;
    }
    let number = id.get(..8)?.iter().try_fold(0u64, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some((number << 4) | u64::from(digit))
    })?;
    Some((number, Reason::from_digit(*id.get(REASON_AT)?)))
}

fn pack_reason(reason: Reason, headers: &mut HeaderMap) {
    let Some(id) = headers.get_mut(&REQUEST_ID) else { return };
    let mut text = id.as_bytes().to_vec();
    if let Some(digit) = text.get_mut(REASON_AT) {
        *digit = reason.digit();
    }
    if let Ok(packed) = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)) {
        *id = packed;
    }
}
