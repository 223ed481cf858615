use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::config::address::Address;
use crate::config::http::{Forwarded, HttpConnectionManager, SchemeSetting};
use crate::exchange::{ConnectionInfo, RequestHead};
use crate::normalize::{clean, client_cert};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Whom a request is from.
pub(super) struct Origin {
    /// The client's address.
    pub(super) remote: Address,
    /// It is one of ours.
    pub(super) internal: bool,
    /// It is not, and this proxy is the first one it met.
    pub(super) edge: bool,
}

/// Finds the client's address, and writes `x-forwarded-*`, `x-envoy-internal`, `via`.
///
/// Source: envoyproxy.io, "HTTP header manipulation", `x-forwarded-for`.
pub(super) fn apply(manager: &HttpConnectionManager, connection: &ConnectionInfo, local_ip: IpAddr, head: &mut RequestHead) -> Origin {
    let settings = &manager.forwarded;
    let (remote, alone) = if settings.use_remote_address {
        at_edge(settings, connection, local_ip, &mut head.headers)
    } else {
        inside(settings, &head.headers)
    };
    protocol_and_port(settings, connection, head);
    if manager.scheme == SchemeSetting::Keep || manager.scheme == SchemeSetting::MatchUpstream {
        scheme_from_protocol(head);
    }
    let internal = alone && remote.as_ref().is_some_and(|address| is_internal(settings, address));
    let edge = !internal && settings.use_remote_address;
    let remote = remote.unwrap_or_else(|| connection.client.clone());
    head.headers.remove(X_ENVOY_INTERNAL);
    if internal {
        head.headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
    } else {
        clean::internal_headers(&mut head.headers, edge);
    }
    if edge && let Some(ip) = ip_of(&remote).and_then(|ip| HeaderValue::try_from(ip.to_string()).ok()) {
        head.headers.insert(X_ENVOY_EXTERNAL_ADDRESS, ip);
    }
    if let Some(via) = &settings.via {
        append(&mut head.headers, http::header::VIA, via, ", ");
    }
    client_cert::apply(manager.client_cert, connection, &mut head.headers);
    Origin { remote, internal, edge }
}

/// The connection's peer is the client, or `xff_num_trusted_hops` proxies stand before us.
fn at_edge(settings: &Forwarded, connection: &ConnectionInfo, local_ip: IpAddr, headers: &mut HeaderMap) -> (Option<Address>, bool) {
    let alone = !headers.contains_key(X_FORWARDED_FOR);
    let remote = match settings.xff_trusted_hops.checked_sub(1) {
        None => Some(connection.client.clone()),
        Some(skip) => nth_from_last(headers, skip).or_else(|| Some(connection.client.clone())),
    };
    if !settings.skip_xff_append
        && let Some(client) = ip_of(&connection.client)
    {
        let shown = if client.is_loopback() { local_ip } else { client };
        if let Ok(value) = HeaderValue::try_from(shown.to_string()) {
            append(headers, X_FORWARDED_FOR, &value, ",");
        }
    }
    (remote, alone)
}

/// A proxy of ours stands before us: the client is whom the header names last, before the trusted hops.
fn inside(settings: &Forwarded, headers: &HeaderMap) -> (Option<Address>, bool) {
    let remote = nth_from_last(headers, settings.xff_trusted_hops);
    let mut lists = headers.get_all(X_FORWARDED_FOR).iter();
    let alone = match (lists.next(), lists.next()) {
        (Some(list), None) => !list.as_bytes().contains(&b','),
        _ => false,
    };
    (remote, alone)
}

/// The address that stands `skip` places before the end of `x-forwarded-for`; a port is not known.
fn nth_from_last(headers: &HeaderMap, skip: u32) -> Option<Address> {
    let skip = usize::try_from(skip).ok()?;
    let lists: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let entry = lists.iter().rev().flat_map(|list| list.rsplit(',')).nth(skip)?.trim();
    let ip: IpAddr = entry.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some(Address::Ip(SocketAddr::new(ip, 0)))
}

fn is_internal(settings: &Forwarded, address: &Address) -> bool {
    match address {
        Address::Ip(address) => settings.internal_ranges.iter().any(|range| range.contains(address.ip())),
        Address::Unix(_) => settings.unix_is_internal,
    }
}

fn protocol_and_port(settings: &Forwarded, connection: &ConnectionInfo, head: &mut RequestHead) {
    let secure = connection.tls.as_ref().is_some_and(|tls| tls.terminated);
    let trusted = !settings.use_remote_address || settings.xff_trusted_hops > 0;
    if !trusted || !head.headers.contains_key(X_FORWARDED_PROTO) {
        let scheme = if secure { "https" } else { "http" };
        head.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if let (true, Address::Ip(local)) = (settings.append_port, &connection.local)
        && (!trusted || !head.headers.contains_key(X_FORWARDED_PORT))
    {
        head.headers.insert(X_FORWARDED_PORT, HeaderValue::from(local.port()));
    }
}

/// An HTTP/1 request does not say its scheme: `x-forwarded-proto` does, where it names one.
fn scheme_from_protocol(head: &mut RequestHead) {
    if head.version == http::Version::HTTP_2 {
        return;
    }
    if let Some(protocol) = head.headers.get(X_FORWARDED_PROTO)
        && matches!(protocol.as_bytes(), b"http" | b"https")
    {
        head.scheme = protocol.clone();
    }
}

fn ip_of(address: &Address) -> Option<IpAddr> {
    match address {
        Address::Ip(address) => Some(address.ip().to_canonical()),
        Address::Unix(_) => None,
    }
}

/// Adds to a list in one field; several fields become one.
pub fn append(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue, separator: &str) {
    let mut joined = Vec::new();
    for old in headers.get_all(&name) {
        joined.extend_from_slice(old.as_bytes());
        joined.extend_from_slice(separator.as_bytes());
    }
    joined.extend_from_slice(value.as_bytes());
    if let Ok(joined) = HeaderValue::try_from(joined) {
        headers.insert(name, joined);
    }
}
