//! Headers of requests and responses that the router owns.
//!
//! Source: envoyproxy.io, "Router" filter, "HTTP headers set on upstream requests / downstream responses".

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, DATE, HeaderMap, HeaderName, HeaderValue, SERVER, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Uri, Version};

use crate::codec::{Body, UnencodedPath};
use crate::config::http::{HttpConnectionManager, ServerHeader};
use crate::exchange::{RequestHead, RequestPath};

const X_ENVOY_EXPECTED_RQ_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");
const X_ENVOY_UPSTREAM_SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");
/// Attempts so far.
pub const X_ENVOY_ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Beside `connection`, which is common.
const ENDING_HERE: [HeaderName; 4] = [UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING];

/// Whether a caller says anything in Envoy's own fields: most do not, which is cheaper to see than each missing field.
pub fn has_envoy_fields(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("x-envoy-"))
}

/// Tells the upstream how long it has; nothing where there is no limit.
pub fn expected_timeout(headers: &mut HeaderMap, limit: Option<Duration>) {
    match limit.and_then(|limit| u64::try_from(limit.as_millis()).ok()) {
        Some(millis) if millis > 0 => {
            headers.insert(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS, decimal::value(millis));
        }
        _ => {
            headers.remove(X_ENVOY_EXPECTED_RQ_TIMEOUT_MS);
        }
    }
}

/// The request as one HTTP version wants it: HTTP/1 has the path as target and `host` as a field, HTTP/2 pseudo-header fields.
///
/// # Errors
/// The rule that the head breaks in that version.
pub fn build(head: &RequestHead, body: Body, version: Version) -> Result<Request<Body>, &'static str> {
    let mut request = Request::new(body);
    *request.version_mut() = version;
    *request.method_mut() = head.method.clone();
    *request.headers_mut() = head.headers.clone();
    *request.uri_mut() = if version == Version::HTTP_2 { http2_uri(head)? } else { http1_uri(head)? };
    if let Some(path) = head.path.as_ref().and_then(RequestPath::unencoded) {
        request.extensions_mut().insert(UnencodedPath(Bytes::copy_from_slice(path.as_bytes())));
    }
    if version == Version::HTTP_2 {
        translate_upgrade_to_http2(head, &mut request);
    } else {
        translate_upgrade_to_http1(head, &mut request);
        request.headers_mut().insert(http::header::HOST, head.authority.clone());
    }
    Ok(request)
}

fn http1_uri(head: &RequestHead) -> Result<Uri, &'static str> {
    let mut parts = http::uri::Parts::default();
    match &head.path {
        Some(path) => parts.path_and_query = Some(path.to_uri_path()),
        None => parts.authority = Some(authority(head)?),
    }
    Uri::from_parts(parts).map_err(|_| "the request target cannot be written")
}

fn http2_uri(head: &RequestHead) -> Result<Uri, &'static str> {
    let mut parts = http::uri::Parts::default();
    if !head.authority.is_empty() {
        parts.authority = Some(authority(head)?);
    }
    if let Some(path) = &head.path {
        parts.path_and_query = Some(path.to_uri_path());
        let scheme = http::uri::Scheme::try_from(head.scheme.as_bytes()).map_err(|_| "the scheme cannot be written")?;
        parts.scheme = Some(scheme);
        if parts.authority.is_none() {
            return Err("an HTTP/2 request needs a host");
        }
    }
    Uri::from_parts(parts).map_err(|_| "the request target cannot be written")
}

fn authority(head: &RequestHead) -> Result<http::uri::Authority, &'static str> {
    http::uri::Authority::try_from(head.authority.as_bytes()).map_err(|_| "the host cannot be written")
}

/// RFC 8441: an HTTP/1.1 upgrade becomes an extended CONNECT.
fn translate_upgrade_to_http2(head: &RequestHead, request: &mut Request<Body>) {
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(UPGRADE);
    if let Some(protocol) = &head.upgrade {
        headers.remove("sec-websocket-key");
        headers.remove(http::header::CONTENT_LENGTH);
        *request.method_mut() = http::Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from(protocol.as_str()));
    }
}

/// ... and an extended CONNECT an HTTP/1.1 upgrade.
fn translate_upgrade_to_http1(head: &RequestHead, request: &mut Request<Body>) {
    let Some(protocol) = &head.upgrade else { return };
    if head.version != Version::HTTP_2 {
        return;
    }
    *request.method_mut() = http::Method::GET;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Ok(protocol) = HeaderValue::try_from(protocol.as_str()) {
        headers.insert(UPGRADE, protocol);
    }
}

/// Fields of a response that end with this hop, and those that every response gets.
pub fn finish_response(manager: &HttpConnectionManager, headers: &mut HeaderMap, upgraded: bool) {
    if !upgraded {
        headers.remove(CONNECTION);
    }
    // One look at the names costs less than a search for each of those that are seldom there.
    if headers.keys().any(|name| ENDING_HERE.contains(name)) {
        if !upgraded {
            headers.remove(UPGRADE);
        }
        headers.remove(KEEP_ALIVE);
        headers.remove(PROXY_CONNECTION);
        headers.remove(TRANSFER_ENCODING);
    }
    match manager.server_header {
        ServerHeader::Overwrite => {
            headers.insert(SERVER, manager.server_name.clone());
        }
        ServerHeader::AppendIfAbsent => {
            headers.entry(SERVER).or_insert_with(|| manager.server_name.clone());
        }
        ServerHeader::PassThrough => {}
    }
    if !headers.contains_key(DATE) {
        headers.insert(DATE, date::now());
    }
    if let Some(via) = &manager.forwarded.via {
        append_via(headers, via);
    }
}

fn append_via(headers: &mut HeaderMap, via: &HeaderValue) {
    let joined = match headers.get(http::header::VIA) {
        Some(old) => HeaderValue::try_from([old.as_bytes(), b", ", via.as_bytes()].concat()).ok(),
        None => Some(via.clone()),
    };
    if let Some(joined) = joined {
        headers.insert(http::header::VIA, joined);
    }
}

/// How long the upstream took, in milliseconds.
pub fn service_time(headers: &mut HeaderMap, took: Duration) {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    headers.insert(X_ENVOY_UPSTREAM_SERVICE_TIME, decimal::value(millis));
}

/// Numbers as values, each made once while it is in use: the same few durations come again and again.
mod decimal {
    use std::cell::RefCell;

    use http::header::HeaderValue;

    /// Most answers take fewer milliseconds than this.
    const PLACES: u64 = 32;

    thread_local! {
        static MADE: RefCell<Vec<(u64, HeaderValue)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn value(number: u64) -> HeaderValue {
        MADE.with_borrow_mut(|made| {
            if made.is_empty() {
                made.extend((0..PLACES).map(|number| (number, HeaderValue::from(number))));
            }
            let place = usize::try_from(number % PLACES).unwrap_or(0);
            let Some((known, value)) = made.get_mut(place) else { return HeaderValue::from(number) };
            if *known != number {
                *known = number;
                *value = HeaderValue::from(number);
            }
            value.clone()
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn numbers_that_share_a_place_are_told_apart() {
            for number in [0, 31, 32, 64, 0, u64::MAX, 31, 15_000, 15_000] {
                assert_eq!(value(number), number.to_string());
            }
        }
    }
}

/// `date`, made once a second for each thread.
mod date {
    use std::cell::RefCell;
    use std::time::{SystemTime, UNIX_EPOCH};

    use http::header::HeaderValue;

    thread_local! {
        static CACHED: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
    }

    pub(super) fn now() -> HeaderValue {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        CACHED.with_borrow_mut(|(made, value)| {
            if *made != seconds
                && let Ok(new) = HeaderValue::try_from(httpdate::fmt_http_date(now))
            {
                *made = seconds;
                *value = new;
            }
            value.clone()
        })
    }
}
