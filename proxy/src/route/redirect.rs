use crate::config::matcher::RequestHeaders;
use crate::config::route::{Redirect, RedirectPath, RouteMatch};
use crate::exchange::RequestHead;
use crate::route::{action, forwarded_proto};

/// The `location` of a redirect.
pub fn location(redirect: &Redirect, matched: &RouteMatch, request: &RequestHead) -> String {
    let scheme = redirect.scheme.as_deref().unwrap_or(request.scheme());
    let host = match &redirect.host {
        Some(host) => host.as_str(),
        None => host_to_keep(request, scheme, redirect.port.is_some()),
    };
    let port = redirect.port.map_or_else(String::new, |port| format!(":{port}"));
    let path = path(redirect, matched, request);
    format!("{scheme}://{host}{port}{path}")
}

/// Where a plain request for a host that asks for TLS is sent: host and port stay, as in Envoy.
pub fn to_tls(request: &RequestHead) -> String {
    format!("https://{}{}", request.authority(), request.path())
}

/// The request's host without a port that is replaced, or that was the default of the old scheme.
fn host_to_keep<'a>(request: &'a RequestHead, scheme: &str, new_port: bool) -> &'a str {
    let host = request.authority();
    let colon = if host.starts_with('[') { host.rfind("]:").and_then(|at| at.checked_add(1)) } else { host.rfind(':') };
    let Some((name, port)) = colon.and_then(|at| host.split_at_checked(at)) else { return host };
    let old = forwarded_proto(request);
    let default = old != scheme.as_bytes() && matches!((old, port), (b"https", ":443") | (b"http", ":80"));
    if new_port || default { name } else { host }
}

fn path(redirect: &Redirect, matched: &RouteMatch, request: &RequestHead) -> String {
    let path = match &redirect.path {
        RedirectPath::Keep => request.path_only().to_owned(),
        // Its own query wins over the request's, and is never left out.
        RedirectPath::Replace(path) if path.contains('?') => return path.clone(),
        RedirectPath::Replace(path) => path.clone(),
        RedirectPath::Prefix(prefix) => text(&action::with_prefix(matched, request, prefix)),
        RedirectPath::Regex(regex) => text(&action::replaced(regex, request.path_only())),
    };
    let query = request.query().filter(|_| !redirect.strip_query);
    match query {
        Some(query) => format!("{path}?{query}"),
        None if redirect.strip_query => path.split('?').next().unwrap_or_default().to_owned(),
        None => path,
    }
}

/// A path that is not UTF-8 cannot come out of one that is, but for a regular expression that cuts a character.
fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
