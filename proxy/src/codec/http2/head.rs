use bytes::{Bytes, BytesMut};
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use http::uri::{self, Authority, PathAndQuery, Scheme};
use http::{Method, Request, Uri, Version};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static OF_CONNECTIONS: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Removes what belongs to an HTTP/1 connection (RFC 9113, 8.2.2).
pub(super) fn strip_connection_fields(fields: &mut HeaderMap) {
    // One look at the names costs less than a search for each of those that are seldom there.
    if !fields.keys().any(|name| OF_CONNECTIONS.contains(name)) {
        return;
    }
    fields.remove(header::CONNECTION);
    fields.remove(header::TRANSFER_ENCODING);
    fields.remove(header::UPGRADE);
    fields.remove(&KEEP_ALIVE);
    fields.remove(&PROXY_CONNECTION);
    if let Entry::Occupied(te) = fields.entry(header::TE)
        && te.iter().any(|value| value != "trailers")
    {
        te.remove_entry_mult();
    }
}

/// Puts the crumbs of a cookie together again: HTTP/1 and services expect one field (RFC 9113, 8.2.3).
pub(super) fn join_cookies(fields: &mut HeaderMap) {
    let mut crumbs = fields.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next() else { return };
    let Some(second) = crumbs.next() else { return };
    let mut joined = BytesMut::with_capacity(first.len().saturating_add(second.len()).saturating_add(2));
    joined.extend_from_slice(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Values with "; " between them are a value: this never fails, and if it did the crumbs would stay as they are.
    if let Ok(cookie) = HeaderValue::from_maybe_shared(joined.freeze()) {
        fields.insert(header::COOKIE, cookie);
    }
}

/// The length that a message declares for its body.
pub(super) fn content_length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Gives a request the form that HTTP/2 sends: `:authority` instead of Host, a scheme, no connection-specific fields.
pub(super) fn prepare_request(head: &mut Request<()>) -> Result<(), &'static str> {
    if head.version() != Version::HTTP_2 {
        strip_connection_fields(head.headers_mut());
    }
    let host = head.headers_mut().remove(header::HOST);
    let tunnel = *head.method() == Method::CONNECT && head.extensions().get::<h2::ext::Protocol>().is_none();
    let complete = head.uri().authority().is_some() && (tunnel || head.uri().scheme().is_some());
    if complete {
        *head.version_mut() = Version::HTTP_2;
        return Ok(());
    }
    let authority = match (head.uri().authority(), host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => authority(&host)?,
        // HTTP/1.0 has requests for no host; `h2` sends them without `:authority` unless they call themselves HTTP/2.
        (None, None) => {
            *head.version_mut() = Version::HTTP_11;
            return Ok(());
        }
    };
    *head.uri_mut() = target(head.uri(), authority, tunnel)?;
    *head.version_mut() = Version::HTTP_2;
    Ok(())
}

fn authority(host: &HeaderValue) -> Result<Authority, &'static str> {
    Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes())).map_err(|_| "the host is not an authority")
}

fn target(uri: &Uri, authority: Authority, tunnel: bool) -> Result<Uri, &'static str> {
    let mut parts = uri::Parts::default();
    parts.authority = Some(authority);
    if !tunnel {
        parts.scheme = Some(uri.scheme().cloned().unwrap_or(Scheme::HTTP));
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    Uri::from_parts(parts).map_err(|_| "the target is not a URI")
}
