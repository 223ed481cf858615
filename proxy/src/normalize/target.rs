use http::header::{HOST, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Version};

use crate::codec::{Fragment, UnencodedPath};
use crate::config::http::{HttpConnectionManager, SchemeSetting};
use crate::exchange::{ConnectionInfo, RequestHead, RequestPath};
use crate::normalize::NormalizeError;

const HTTP: HeaderValue = HeaderValue::from_static("http");
const HTTPS: HeaderValue = HeaderValue::from_static("https");

/// Takes target, host and scheme apart, whatever the version and the form of the target.
pub(super) fn read(manager: &HttpConnectionManager, connection: &ConnectionInfo, parts: Parts) -> Result<RequestHead, NormalizeError> {
    let Parts { method, uri, version, mut headers, extensions, .. } = parts;
    let host = headers.remove(HOST);
    if extensions.get::<Fragment>().is_some() {
        return Err(NormalizeError::Refused("the target has a fragment"));
    }
    let whole = uri.authority().is_some() && !(version == Version::HTTP_2 || method == Method::CONNECT || manager.http1.allow_absolute_url);
    // An absolute target that is not taken for one is a path that no route takes.
    let opaque = whole.then(|| PathAndQuery::try_from(uri.to_string()).unwrap_or(PathAndQuery::from_static("*")));
    let uri = uri.into_parts();
    let authority = match uri.authority {
        Some(authority) if opaque.is_none() => {
            Some(HeaderValue::from_str(authority.as_str()).map_err(|_| NormalizeError::Refused("the authority is not text"))?)
        }
        _ => host,
    };
    let authority = authority.ok_or(NormalizeError::NoHost)?;
    if authority.to_str().is_err() {
        // Routing and policy would see no host, and the upstream one.
        return Err(NormalizeError::Malformed("the host is not text"));
    }
    let secure = connection.tls.as_ref().is_some_and(|tls| tls.terminated);
    let said = uri.scheme.and_then(|scheme| HeaderValue::from_str(scheme.as_str()).ok());
    let scheme = match manager.scheme {
        SchemeSetting::Http => HTTP,
        SchemeSetting::Https => HTTPS,
        SchemeSetting::Keep | SchemeSetting::MatchUpstream => {
            said.filter(|_| version == Version::HTTP_2).unwrap_or(if secure { HTTPS } else { HTTP })
        }
    };
    let tunnel = extensions.get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().to_ascii_lowercase());
    let plain_connect = method == Method::CONNECT && tunnel.is_none();
    // One request asks for one tunnel: what accepts CONNECT would accept an upgrade that nobody has looked at.
    let upgrade = if plain_connect { None } else { tunnel.or_else(|| http1_upgrade(version, &headers)) };
    let unencoded = extensions.get::<UnencodedPath>().and_then(|path| RequestPath::from_bytes(&path.0).ok());
    let path = unencoded.or_else(|| opaque.or(uri.path_and_query).map(RequestPath::from));
    let path = if plain_connect { None } else { Some(path.unwrap_or_else(RequestPath::root)) };
    Ok(RequestHead { method, scheme, authority, path, version, upgrade, headers })
}

/// The protocol that an HTTP/1.1 request asks to upgrade to: `upgrade` is there and `connection` names it (RFC 9110, 7.8).
fn http1_upgrade(version: Version, headers: &http::HeaderMap) -> Option<String> {
    if version != Version::HTTP_11 {
        return None;
    }
    let protocol = headers.get(UPGRADE)?;
    let mut nominated = headers.get_all(http::header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks = nominated.any(|list| list.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")));
    let protocol = protocol.to_str().ok()?;
    asks.then(|| protocol.trim().to_ascii_lowercase())
}
