use std::fmt;

use http::{HeaderMap, Method, header};

use crate::config::matcher::{HeaderMatch, MatchedName};
use crate::config::route::{CookieMatch, PathMatch, QueryMatch, RouteMatch, TlsMatch};
use crate::exchange::{RequestHead, TlsInfo};
use crate::route::MatchContext;

/// The condition of a route that a request does not meet.
#[derive(Clone, Copy, Debug)]
pub enum Mismatch<'a> {
    /// The path.
    Path(&'a PathMatch),
    /// Not gRPC.
    Grpc,
    /// A header.
    Header(&'a HeaderMatch),
    /// A query parameter.
    Query(&'a QueryMatch),
    /// A cookie.
    Cookie(&'a CookieMatch),
    /// The client's certificate.
    Tls(TlsMatch),
    /// Drawn out of the route's share.
    Fraction,
    /// Dynamic metadata, which nothing here sets.
    Metadata,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(PathMatch::Exact(path)) => write!(f, "path is not {path:?}"),
            Self::Path(PathMatch::Prefix(prefix)) => write!(f, "path does not begin with {prefix:?}"),
            Self::Path(PathMatch::SeparatedPrefix(prefix)) => write!(f, "path is neither {prefix:?} nor below it"),
            Self::Path(PathMatch::Regex(regex)) => write!(f, "path does not match {:?}", regex.as_str()),
            Self::Path(PathMatch::Template(template)) => write!(f, "path does not fit the template {:?}", template.regex.as_str()),
            Self::Path(PathMatch::Connect) => f.write_str("not a CONNECT"),
            Self::Grpc => f.write_str("not gRPC"),
            Self::Header(wanted) => write!(f, "header {} does not fit", header_name(&wanted.name)),
            Self::Query(wanted) => write!(f, "query parameter {:?} does not fit", wanted.name),
            Self::Cookie(wanted) => write!(f, "cookie {:?} does not fit", wanted.name),
            Self::Tls(_) => f.write_str("the client's certificate does not fit"),
            Self::Fraction => f.write_str("not in the route's share of requests"),
            Self::Metadata => f.write_str("dynamic metadata does not fit"),
        }
    }
}

fn header_name(name: &MatchedName) -> &str {
    match name {
        MatchedName::Field(name) => name.as_str(),
        MatchedName::Method => ":method",
        MatchedName::Path => ":path",
        MatchedName::Authority => ":authority",
        MatchedName::Scheme => ":scheme",
    }
}

/// The first condition that `request` does not meet; `None`: the route fits. What is cheap comes first.
pub fn first_mismatch<'a>(route: &'a RouteMatch, request: &RequestHead, context: &MatchContext<'_>) -> Option<Mismatch<'a>> {
    if !path_matches(route, request) {
        return Some(Mismatch::Path(&route.path));
    }
    if !route.without_metadata {
        return Some(Mismatch::Metadata);
    }
    if route.fraction.is_some_and(|fraction| !fraction.contains(context.draw)) {
        return Some(Mismatch::Fraction);
    }
    if route.grpc && !request.is_grpc() {
        return Some(Mismatch::Grpc);
    }
    if let Some(wanted) = route.tls.filter(|wanted| !tls_matches(*wanted, context.tls)) {
        return Some(Mismatch::Tls(wanted));
    }
    if let Some(wanted) = route.headers.iter().find(|wanted| !wanted.matches(request)) {
        return Some(Mismatch::Header(wanted));
    }
    if let Some(wanted) = route.query.iter().find(|wanted| !query_matches(wanted, request.query())) {
        return Some(Mismatch::Query(wanted));
    }
    route.cookies.iter().find(|wanted| !cookie_matches(wanted, &request.headers)).map(Mismatch::Cookie)
}

fn path_matches(route: &RouteMatch, request: &RequestHead) -> bool {
    if matches!(route.path, PathMatch::Connect) {
        return is_connect(request);
    }
    // Envoy: a CONNECT without a path fits nothing else.
    if request.path.is_none() {
        return false;
    }
    let path = request.path_only();
    let equal = |left: &str, right: &str| if route.case_sensitive { left == right } else { left.eq_ignore_ascii_case(right) };
    match &route.path {
        PathMatch::Exact(exact) => equal(path, exact),
        PathMatch::Prefix(prefix) => path.get(..prefix.len()).is_some_and(|head| equal(head, prefix)),
        PathMatch::SeparatedPrefix(prefix) => {
            let parts = path.split_at_checked(prefix.len());
            parts.is_some_and(|(head, tail)| equal(head, prefix) && (tail.is_empty() || tail.starts_with('/')))
        }
        PathMatch::Regex(regex) => regex.is_match(path.as_bytes()),
        PathMatch::Template(template) => template.regex.is_match(path.as_bytes()),
        PathMatch::Connect => false,
    }
}

/// CONNECT and CONNECT-UDP. Envoy makes an ordinary upgrade of any other extended CONNECT (WebSocket).
fn is_connect(request: &RequestHead) -> bool {
    request.method == Method::CONNECT && matches!(request.upgrade.as_deref(), None | Some("connect-udp"))
}

fn tls_matches(wanted: TlsMatch, tls: Option<&TlsInfo>) -> bool {
    let tls = tls.filter(|tls| tls.terminated);
    let presented = tls.is_some_and(|tls| tls.peer_presented);
    let validated = tls.is_some_and(|tls| tls.peer_validated);
    wanted.presented.is_none_or(|wanted| wanted == presented) && wanted.validated.is_none_or(|wanted| wanted == validated)
}

/// As in Envoy, the first parameter of the name counts, and nothing is decoded.
fn query_matches(wanted: &QueryMatch, query: Option<&str>) -> bool {
    let mut parameters = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let found = query.and_then(|_| parameters.find(|(name, _)| *name == wanted.name));
    match (found, &wanted.value) {
        (found, _) if wanted.absent => found.is_none(),
        (None, _) => false,
        (Some(_), None) => true,
        (Some((_, value)), Some(wanted)) => wanted.matches(value.as_bytes()),
    }
}

fn cookie_matches(wanted: &CookieMatch, headers: &HeaderMap) -> bool {
    cookie(headers, &wanted.name).is_some_and(|value| wanted.value.matches(value)) != wanted.invert
}

/// The first cookie of a name. As in Envoy, quotes around the value are left out, and a space behind it is part of it.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(header::COOKIE).iter();
    let mut pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at_checked(at)?;
        if found.trim_ascii_start() != name.as_bytes() {
            return None;
        }
        let value = value.get(1..)?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}
