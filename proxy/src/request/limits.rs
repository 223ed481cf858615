use std::task::Poll;
use std::time::Duration;

use http::header::HeaderMap;

use crate::config::route::{Forward, RouteTimeouts};
use crate::forward::headers;
use crate::forward::retry::Retries;
use crate::forward::timeout::Expired;
use crate::request::live::Live;

/// What the route and the caller allow in time.
#[derive(Clone, Copy)]
pub(super) struct Allowed {
    /// From the request's end to the response's end.
    pub(super) route: Option<Duration>,
    /// For one attempt.
    pub(super) per_try: Option<Duration>,
    /// For one attempt without anything moving.
    pub(super) per_try_idle: Option<Duration>,
}

/// Reads the route's limits, and those that a trusted caller asks for (outsiders' `x-envoy-*` fields are gone by now).
pub(super) fn apply(forward: &Forward, retries: &Retries, live: &mut Live) -> Allowed {
    let timeouts = &forward.timeouts;
    let policy = retries.policy();
    let mut allowed = Allowed {
        route: timeouts.response,
        per_try: policy.and_then(|policy| policy.per_try_timeout),
        per_try_idle: policy.and_then(|policy| policy.per_try_idle_timeout),
    };
    let grpc_limit = grpc_limit(timeouts, live);
    if let Some(limit) = grpc_limit.filter(|_| !timeouts.grpc_bounds_stream) {
        allowed.route = Some(limit).filter(|limit| !limit.is_zero());
    }
    if headers::has_envoy_fields(&live.head.headers) {
        if let Some(asked) = take_millis(&mut live.head.headers, "x-envoy-upstream-rq-timeout-ms") {
            allowed.route = asked;
        }
        if let Some(asked) = take_millis(&mut live.head.headers, "x-envoy-upstream-rq-per-try-timeout-ms") {
            allowed.per_try = asked;
        }
    }
    // A per-try limit that is not shorter than the whole does nothing.
    if let (Some(per_try), Some(route)) = (allowed.per_try, allowed.route)
        && per_try >= route
    {
        allowed.per_try = None;
    }
    if let Some(idle) = timeouts.idle {
        live.deadlines.idle = idle;
    }
    if let Some(max_stream) = timeouts.max_stream {
        live.deadlines.max_stream = max_stream.and_then(|limit| live.info.started.checked_add(limit));
    }
    if let Some(limit) = grpc_limit.filter(|_| timeouts.grpc_bounds_stream) {
        live.deadlines.max_stream = live.info.started.checked_add(limit);
    }
    allowed
}

/// What `grpc-timeout` asks for, as far as the route allows it.
fn grpc_limit(timeouts: &RouteTimeouts, live: &Live) -> Option<Duration> {
    let max = timeouts.grpc_max?;
    let asked = live.head.is_grpc().then(|| grpc_timeout(&live.head.headers)).flatten()?;
    let bounded = if max.is_zero() { asked } else { asked.min(max) };
    Some(bounded.saturating_sub(timeouts.grpc_offset))
}

/// `Some(None)` is "no limit"; what is not a number is removed and does not count.
fn take_millis(headers: &mut HeaderMap, name: &str) -> Option<Option<Duration>> {
    let value = headers.remove(name)?;
    let millis: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some((millis > 0).then(|| Duration::from_millis(millis)))
}

/// Source: gRPC over HTTP/2, "Timeout": at most 8 digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Waits for `future` or a deadline. The route's and the attempt's time begin when the request has been read.
pub(super) async fn race<T>(live: &mut Live, allowed: &Allowed, future: impl Future<Output = T>) -> Result<T, Expired> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if let Some(ended) = live.request_ended() {
            let deadlines = &mut live.deadlines;
            deadlines.route = deadlines.route.or_else(|| allowed.route.and_then(|limit| ended.checked_add(limit)));
            let began = live.info.upstream.request_began.map_or(ended, |began| began.max(ended));
            deadlines.per_try = deadlines.per_try.or_else(|| allowed.per_try.and_then(|limit| began.checked_add(limit)));
        }
        live.deadlines.poll_expired(cx).map(Err)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read() {
        let read = |text: &str| grpc_timeout(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "m", "1", "1x", "123456789m", "-1m", "1.5S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
