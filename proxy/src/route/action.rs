/// Where a redirect points.
mod redirect;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::ClusterName;
use crate::config::cluster::{Cluster, Discovery};
use crate::config::route::{
    ClusterChoice, Forward, HostRewrite, PathMatch, PathRewrite, RegexRewrite, RouteMatch, TemplatePart, WeightedCluster, WeightedTarget,
};
use crate::exchange::path::percent_encoded;
use crate::exchange::{ConnectionInfo, RequestHead, RequestPath};

pub use redirect::{https_location, redirect};

const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-envoy-original-host");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The cluster that a request goes to.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its name.
    pub name: ClusterName,
    /// The part of a split it comes from.
    pub weighted: Option<Arc<WeightedCluster>>,
}

/// The header that names the cluster is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingClusterHeader(pub HeaderName);

impl fmt::Display for MissingClusterHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "header {}, which names the cluster, is missing", self.0)
    }
}

impl std::error::Error for MissingClusterHeader {}

/// Chooses the cluster. `draw` is that of matching.
pub fn cluster(forward: &Forward, request: &RequestHead, draw: u64) -> Result<Chosen, MissingClusterHeader> {
    match &forward.cluster {
        ClusterChoice::Cluster(name) => Ok(Chosen { name: name.clone(), weighted: None }),
        ClusterChoice::Header(header) => Ok(Chosen { name: named(header, request)?, weighted: None }),
        ClusterChoice::Weighted(weighted) => {
            let fixed = weighted.draw_header.as_ref().and_then(|header| number(request.headers.get(header)?));
            let part = weighted.split.pick(fixed.unwrap_or(draw));
            let name = match &part.cluster {
                WeightedTarget::Cluster(name) => name.clone(),
                WeightedTarget::Header(header) => named(header, request)?,
            };
            Ok(Chosen { name, weighted: Some(Arc::clone(part)) })
        }
    }
}

fn named(header: &HeaderName, request: &RequestHead) -> Result<ClusterName, MissingClusterHeader> {
    let value = request.headers.get(header).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
    value.map(ClusterName::from).ok_or_else(|| MissingClusterHeader(header.clone()))
}

fn number(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok()?.trim().parse().ok()
}

/// Where a request to an original-destination cluster goes: as its header says, where the cluster allows that, else as its
/// connection was going.
pub fn original_destination(cluster: &Cluster, request: &RequestHead, connection: &ConnectionInfo) -> Option<SocketAddr> {
    let Discovery::OriginalDst(settings) = &cluster.discovery else { return None };
    let said = settings.http_header.as_ref().and_then(|name| request.headers.get(name)?.to_str().ok()?.parse().ok());
    said.or_else(|| connection.original_destination())
}

/// Rewrites host and path, after the header mutations and in this order, as Envoy does: the host may come from a header
/// that was added, or from the path as it was. Unless `suppress_envoy_headers`, upstream is told the old ones.
pub fn rewrite(forward: &Forward, matched: &RouteMatch, suppress_envoy_headers: bool, request: &mut RequestHead) {
    let announce = !suppress_envoy_headers;
    let host = match &forward.host_rewrite {
        HostRewrite::Keep | HostRewrite::Auto => None,
        HostRewrite::Literal(host) => Some(host.clone()),
        HostRewrite::Header(name) => request.headers.get(name).cloned(),
        HostRewrite::PathRegex(regex) => HeaderValue::from_bytes(&replaced(regex, request.path_only())).ok(),
    };
    if let Some(host) = host {
        set_host(request, host, forward.append_x_forwarded_host, announce);
    }
    if let Some(path) = rewritten_path(&forward.path_rewrite, matched, request) {
        set_path(request, path, announce);
    }
}

/// Makes an endpoint's host name the request's host, where the route asks for that ([`HostRewrite::Auto`]).
pub fn rewrite_host(forward: &Forward, hostname: &str, suppress_envoy_headers: bool, request: &mut RequestHead) {
    if let (HostRewrite::Auto, Ok(host)) = (&forward.host_rewrite, HeaderValue::from_str(hostname)) {
        set_host(request, host, forward.append_x_forwarded_host, !suppress_envoy_headers);
    }
}

/// An empty host changes nothing.
fn set_host(request: &mut RequestHead, host: HeaderValue, append_x_forwarded_host: bool, announce: bool) {
    if host.is_empty() {
        return;
    }
    if append_x_forwarded_host && !request.authority.is_empty() {
        append_forwarded_host(&mut request.headers, &request.authority);
    }
    let old = std::mem::replace(&mut request.authority, host);
    if announce {
        request.headers.insert(ORIGINAL_HOST, old);
    }
}

/// Appends to the list unless it ends with this host already.
fn append_forwarded_host(headers: &mut HeaderMap, host: &HeaderValue) {
    let mut list: Vec<u8> = Vec::new();
    for value in headers.get_all(FORWARDED_HOST) {
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(value.as_bytes());
    }
    let last = list.split(|byte| *byte == b',').rfind(|host| !host.is_empty());
    if last == Some(host.as_bytes()) {
        return;
    }
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(host.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(FORWARDED_HOST, list);
    }
}

fn set_path(request: &mut RequestHead, path: RequestPath, announce: bool) {
    let old = request.path.replace(path);
    if let Some(old) = old.filter(|_| announce)
        && let Ok(old) = HeaderValue::from_bytes(old.as_str().as_bytes())
    {
        request.headers.insert(ORIGINAL_PATH, old);
    }
}

/// The new path, with the query of the old one; `None`: it stays.
fn rewritten_path(rewrite: &PathRewrite, matched: &RouteMatch, request: &RequestHead) -> Option<RequestPath> {
    let new = match rewrite {
        PathRewrite::Keep => return None,
        PathRewrite::Prefix(prefix) => with_prefix(matched, request, prefix),
        PathRewrite::Regex(regex) => replaced(regex, request.path_only()).into_owned(),
        PathRewrite::Template(parts) => from_template(parts, matched, request)?,
    };
    request.path.as_ref().and_then(|_| path_and_query(new, request.query()))
}

/// The matched part of the path replaced: a prefix, else all of it.
pub(super) fn with_prefix(matched: &RouteMatch, request: &RequestHead, prefix: &str) -> Vec<u8> {
    let path = request.path_only();
    let rest = match &matched.path {
        PathMatch::Prefix(matched) | PathMatch::SeparatedPrefix(matched) => path.get(matched.len()..).unwrap_or_default(),
        PathMatch::Exact(_) | PathMatch::Regex(_) | PathMatch::Template(_) | PathMatch::Connect => "",
    };
    [prefix, rest].concat().into_bytes()
}

/// Each match of the pattern replaced.
pub(super) fn replaced<'a>(rewrite: &RegexRewrite, path: &'a str) -> Cow<'a, [u8]> {
    rewrite.pattern.replace_all(path.as_bytes(), rewrite.substitution.as_ref())
}

/// Captures count from 0, which is the template's first variable.
fn from_template(parts: &[TemplatePart], matched: &RouteMatch, request: &RequestHead) -> Option<Vec<u8>> {
    let PathMatch::Template(template) = &matched.path else { return None };
    let captures = template.regex.captures(request.path_only().as_bytes())?;
    let mut path = Vec::new();
    for part in parts {
        match part {
            TemplatePart::Literal(text) => path.extend_from_slice(text.as_bytes()),
            TemplatePart::Capture(index) => path.extend_from_slice(captures.get(index.checked_add(1)?)?.as_bytes()),
        }
    }
    Some(path)
}

/// A path that can be sent. What a pattern makes of a path must not begin a fragment or another line: where it is not a path, it is
/// percent-encoded. A `?` of a replacement does begin the query, as in Envoy.
fn path_and_query(mut path: Vec<u8>, query: Option<&str>) -> Option<RequestPath> {
    if !path.starts_with(b"/") {
        path.insert(0, b'/');
    }
    if let Some(query) = query {
        path.push(b'?');
        path.extend_from_slice(query.as_bytes());
    }
    let as_it_is = RequestPath::from_bytes(&path);
    as_it_is.or_else(|_| RequestPath::from_bytes(percent_encoded(&path).as_bytes())).ok()
}
