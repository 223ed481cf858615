//! Side doors. A browser on the same machine can be talked into sending requests to the admin page (DNS rebinding, forms on
//! other sites), and so can an application behind this proxy (SSRF: CVE-2024-40632 shut a sidecar down that way).

use std::net::IpAddr;
use std::str::FromStr;

use http::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Version, request::Parts};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What proxies add. Nobody is to reach the admin page through one.
const ADDED_BY_PROXIES: [HeaderName; 4] = [
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-envoy-external-address"),
];

/// Why a request to the admin page is refused, if it is.
pub(super) fn refusal(request: &Parts) -> Option<&'static str> {
    let headers = &request.headers;
    if !host_is_this_machine(request) {
        return Some("the host must be an IP address or localhost");
    }
    if ADDED_BY_PROXIES.iter().any(|name| headers.contains_key(name)) {
        return Some("the admin page is not reached through a proxy");
    }
    if !origin_is_ours(headers) {
        return Some("the admin page is not reached from another site");
    }
    None
}

/// A name could be anybody's, and point here: only addresses cannot be made to lie. HTTP/1.0 may have no host, but then it is
/// no browser.
fn host_is_this_machine(request: &Parts) -> bool {
    let mut hosts = request.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version == Version::HTTP_2 => request.uri.authority().is_some_and(|host| is_address(host.as_str())),
        (None, _) => request.version < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_address) && request.uri.host().is_none_or(is_address),
        (Some(_), Some(_)) => false,
    }
}

/// `localhost`, `127.0.0.1`, `[::1]`, with or without a port.
fn is_address(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => (name, None),
            Some((name, port)) => (name, Some(port.strip_prefix(':').unwrap_or("-"))),
            None => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let port_fits = port.is_none_or(|port| u16::from_str(port).is_ok());
    port_fits && (name.eq_ignore_ascii_case("localhost") || IpAddr::from_str(name).is_ok())
}

/// Browsers say which site a request comes from.
fn origin_is_ours(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(|host| host.as_bytes());
    let ours = |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|origin| Some(origin) == host);
    let site = headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes());
    headers.get_all(ORIGIN).iter().all(|origin| ours(origin.as_bytes())) && matches!(site, None | Some(b"same-origin" | b"none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fields: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = http::Request::builder().uri("/stats");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        refusal(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn addresses_and_localhost_are_this_machine() {
        for host in ["127.0.0.1", "127.0.0.1:15000", "[::1]", "[::1]:15000", "localhost", "LOCALHOST:1", "10.1.2.3:9901"] {
            assert_eq!(refused(&[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn names_are_not() {
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "[::1]x", "127.0.0.1:x", "a@127.0.0.1"]
        {
            assert!(refused(&[("host", host)]).is_some(), "{host}");
        }
        assert!(refused(&[]).is_some());
        assert!(refused(&[("host", "localhost"), ("host", "localhost")]).is_some());
    }

    #[test]
    fn other_sites_and_proxies_are_refused() {
        let host = ("host", "localhost:15000");
        assert_eq!(refused(&[host, ("origin", "http://localhost:15000"), ("sec-fetch-site", "same-origin")]), None);
        for field in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
        ] {
            assert!(refused(&[host, field]).is_some(), "{field:?}");
        }
    }
}
