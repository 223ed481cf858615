use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

use crate::config::http::UnderscoreAction;
use crate::exchange::RequestHead;
use crate::normalize::NormalizeError;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Beside `connection`, which may name more of them.
const ENDING_HERE: [HeaderName; 6] = [UPGRADE, HTTP2_SETTINGS, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, TE];

/// Fields that `connection` may not name: they decide where a request goes and whom it is from (Envoy: `sanitizeConnectionHeader`).
const NOT_NOMINATED: [&str; 6] = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-envoy-internal", "cookie"];

/// Obeyed from insiders only; removed from other callers' requests.
const INTERNAL_ONLY: [&str; 14] = [
    "x-envoy-retriable-status-codes",
    "x-envoy-retriable-header-names",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-ip-tags",
    "x-envoy-original-url",
    "x-envoy-hedge-on-per-try-timeout",
];

/// Set by proxies inside; removed at the edge.
const EDGE_ONLY: [&str; 4] =
    ["x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node", "x-envoy-original-path"];

/// Applies the listener's rule for names with `_`, which some servers read as `-`.
pub(super) fn underscores(action: UnderscoreAction, head: &mut RequestHead) -> Result<(), NormalizeError> {
    let has_underscore = |name: &HeaderName| name.as_str().contains('_');
    match action {
        UnderscoreAction::Allow => {}
        UnderscoreAction::RejectRequest => {
            if head.headers.keys().any(has_underscore) {
                return Err(NormalizeError::Malformed("a header name has an underscore"));
            }
        }
        UnderscoreAction::DropHeader => {
            let names: Vec<HeaderName> = head.headers.keys().filter(|name| has_underscore(name)).cloned().collect();
            for name in names {
                head.headers.remove(name);
            }
        }
    }
    Ok(())
}

/// Removes what is meant for this hop alone (RFC 9110, 7.6.1). An upgrade keeps `connection`, what it names, and `upgrade`: it asks
/// this hop and the next for the same.
pub(super) fn hop_by_hop(head: &mut RequestHead) -> Result<(), NormalizeError> {
    if head.headers.contains_key(CONNECTION) {
        remove_nominated(head)?;
    }
    // One look at the names costs less than a search for each of those that are seldom there.
    if head.headers.keys().any(|name| ENDING_HERE.contains(name)) {
        if head.upgrade.is_none() {
            head.headers.remove(UPGRADE);
            // Goes with an upgrade to `h2c` (RFC 7540, 3.2.1), whether or not `connection` names it.
            head.headers.remove(HTTP2_SETTINGS);
        }
        head.headers.remove(KEEP_ALIVE);
        head.headers.remove(PROXY_CONNECTION);
        head.headers.remove(TRANSFER_ENCODING);
        keep_only_te_trailers(&mut head.headers);
    }
    Ok(())
}

fn remove_nominated(head: &mut RequestHead) -> Result<(), NormalizeError> {
    let lists: Vec<HeaderValue> = head.headers.get_all(CONNECTION).iter().cloned().collect();
    for list in &lists {
        let list = list.to_str().map_err(|_| NormalizeError::Malformed("the connection header is not text"))?;
        for word in list.split(',').map(str::trim) {
            if NOT_NOMINATED.iter().any(|name| word.eq_ignore_ascii_case(name)) {
                return Err(NormalizeError::Malformed("the connection header names a field that may not be dropped"));
            }
            if word.eq_ignore_ascii_case("upgrade") || word.eq_ignore_ascii_case("te") {
                continue;
            }
            if head.upgrade.is_none()
                && let Ok(name) = HeaderName::try_from(word)
            {
                head.headers.remove(name);
            }
        }
    }
    if head.upgrade.is_none() {
        head.headers.remove(CONNECTION);
    }
    Ok(())
}

/// `te: trailers` is the only one that goes on (gRPC needs it).
fn keep_only_te_trailers(headers: &mut HeaderMap) {
    let Some(te) = headers.get(TE) else { return };
    let trailers = te.to_str().is_ok_and(|list| list.split(',').any(|word| word.trim().eq_ignore_ascii_case("trailers")));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(TE);
    }
}

/// Removes from an outsider's request what only insiders may say. Nearly every request between sidecars has one of the names: those
/// that are there are looked for, not all that there are.
pub(super) fn internal_headers(headers: &mut HeaderMap, edge: bool) {
    let is_inner = |name: &&HeaderName| {
        let name = name.as_str();
        name.starts_with("x-envoy-") && (INTERNAL_ONLY.contains(&name) || (edge && EDGE_ONLY.contains(&name)))
    };
    while let Some(name) = headers.keys().find(is_inner).cloned() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outsiders_say_nothing_that_only_insiders_may() {
        let mut sent = HeaderMap::new();
        for name in INTERNAL_ONLY.into_iter().chain(EDGE_ONLY).chain(["x-envoy-retry-on", "x-envoy-other", "x-env", "accept"]) {
            sent.append(name, HeaderValue::from_static("1"));
        }
        let left = |edge| {
            let mut headers = sent.clone();
            internal_headers(&mut headers, edge);
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(left(true), ["accept", "x-env", "x-envoy-other"]);
        let mut inside = vec!["accept", "x-env", "x-envoy-other"];
        inside.extend(EDGE_ONLY);
        inside.sort_unstable();
        assert_eq!(left(false), inside);
    }
}
