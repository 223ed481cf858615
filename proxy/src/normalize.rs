//! Stage 3: brings a request into one form before anything decides on it, so that routing and policy see the same path, host
//! and client address that the upstream will see.

/// Hop-by-hop fields, fields that only insiders may send, names with `_`.
pub mod clean;
/// `x-forwarded-client-cert`.
mod client_cert;
/// `X-Forwarded-For` and the client's address.
pub mod forwarded;
/// Ports and trailing dots of hosts.
pub mod host;
/// Fields of several lines that are one list.
pub mod lists;
/// Dot segments, repeated and escaped slashes.
pub mod path;
/// `x-request-id`.
pub mod request_id;
/// The forms of a request target (RFC 9112, section 3.2).
pub mod target;

use std::fmt;

use http::request::Parts;

use crate::config::address::Address;
use crate::config::http::HttpConnectionManager;
use crate::exchange::{ConnectionInfo, RequestHead};

/// A request in one form.
#[derive(Debug)]
pub struct Normalized {
    /// Its head.
    pub head: RequestHead,
    /// The client's address, as far as it is trusted.
    pub remote: Address,
    /// It comes from inside.
    pub internal: bool,
}

/// Why a request is answered here and now.
#[derive(Debug, PartialEq, Eq)]
pub enum NormalizeError {
    /// 400; the text names the rule.
    Refused(&'static str),
    /// 400, as for a head that breaks the syntax: an HTTP/2 stream is reset.
    Malformed(&'static str),
    /// 400, or a reset stream: there is no host.
    NoHost,
    /// 307 to this path.
    Redirect(String),
}

impl fmt::Display for NormalizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(rule) | Self::Malformed(rule) => f.write_str(rule),
            Self::NoHost => f.write_str("the request has no host"),
            Self::Redirect(path) => write!(f, "the path is served as {path}"),
        }
    }
}

/// Brings a request's head into one form.
///
/// # Errors
/// See [`NormalizeError`].
pub fn normalize(
    manager: &HttpConnectionManager,
    connection: &ConnectionInfo,
    local_ip: std::net::IpAddr,
    parts: Parts,
) -> Result<Normalized, NormalizeError> {
    let mut head = target::read(manager, connection, parts)?;
    clean::underscores(manager.underscores, &mut head)?;
    clean::hop_by_hop(&mut head)?;
    lists::join_request(&mut head.headers);
    host::normalize(manager.host, connection, &mut head);
    path::normalize(manager.path, &mut head)?;
    let origin = forwarded::apply(manager, connection, local_ip, &mut head);
    request_id::apply(manager.request_id, origin.edge, &mut head);
    Ok(Normalized { head, remote: origin.remote, internal: origin.internal })
}
