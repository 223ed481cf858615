//! 4. Which virtual host and route: a decision without I/O, and what the route does to request and response.
//!
//! Matching looks at the request as it was normalised; the path is compared without the query. What is not here: which endpoint is taken.

/// Cluster, rewrites of path and host.
pub mod action;
/// Why a request is routed as it is.
pub mod explain;
/// Whether a route fits.
pub mod matches;
/// Header mutations.
pub mod mutate;
/// Where a redirect points.
pub mod redirect;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::HeaderValue;

use crate::config::matcher::RequestHeaders;
use crate::config::route::{RequireTls, Route, RouteTable, VirtualHost};
use crate::exchange::{RequestHead, TlsInfo};

/// What matching needs beside the request.
#[derive(Clone, Copy, Debug)]
pub struct MatchContext<'a> {
    /// TLS of the client's connection.
    pub tls: Option<&'a TlsInfo>,
    /// The request comes from inside.
    pub internal: bool,
    /// A random number, one for the whole request: shares of routes and splits are drawn with it, as in Envoy.
    pub draw: u64,
}

/// What is to happen to a request.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// The first route that fits.
    Route {
        /// Its virtual host.
        virtual_host: &'a Arc<VirtualHost>,
        /// The route.
        route: &'a Arc<Route>,
    },
    /// 301 to [`redirect::to_tls`], without the virtual host's header mutations.
    RedirectToTls {
        /// The virtual host that asks for it.
        virtual_host: &'a Arc<VirtualHost>,
    },
    /// No virtual host serves the host.
    NoVirtualHost,
    /// No route of the virtual host fits.
    NoRoute {
        /// The virtual host.
        virtual_host: &'a Arc<VirtualHost>,
    },
}

/// The first route that fits.
pub fn select<'a>(table: &'a RouteTable, request: &RequestHead, context: &MatchContext<'_>) -> Selection<'a> {
    let Some(virtual_host) = table.domains.find(request.authority(), table.ignore_port) else { return Selection::NoVirtualHost };
    if must_use_tls(virtual_host, request, context) {
        return Selection::RedirectToTls { virtual_host };
    }
    match virtual_host.routes.iter().find(|route| matches::first_mismatch(&route.matches, request, context).is_none()) {
        Some(route) => Selection::Route { virtual_host, route },
        None => Selection::NoRoute { virtual_host },
    }
}

fn must_use_tls(virtual_host: &VirtualHost, request: &RequestHead, context: &MatchContext<'_>) -> bool {
    match virtual_host.require_tls {
        RequireTls::No => false,
        RequireTls::ExternalOnly => !context.internal && !came_by_https(request),
        RequireTls::All => !came_by_https(request),
    }
}

/// By `x-forwarded-proto`, which tells what a TLS proxy in front saw.
fn came_by_https(request: &RequestHead) -> bool {
    forwarded_proto(request) == b"https"
}

fn forwarded_proto(request: &RequestHead) -> &[u8] {
    request.headers.get("x-forwarded-proto").unwrap_or(&request.scheme).as_bytes()
}

/// A header value of any bytes; those that cannot stand in one become `_`.
fn header_value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| {
        let clean: Vec<u8> = bytes.iter().map(|byte| if byte.is_ascii_control() && *byte != b'\t' { b'_' } else { *byte }).collect();
        HeaderValue::from_bytes(&clean).unwrap_or(HeaderValue::from_static(""))
    })
}
