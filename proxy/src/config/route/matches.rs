use regex::bytes::Regex;

use crate::config::Fraction;
use crate::config::matcher::{HeaderMatch, StringMatch};

/// `RouteMatch`: all of it must fit.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// The path.
    pub path: PathMatch,
    /// The path's letter case counts.
    pub case_sensitive: bool,
    /// Fields.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
    /// Only gRPC requests (`content-type: application/grpc*`).
    pub grpc: bool,
    /// Only this share of requests.
    pub fraction: Option<Fraction>,
    /// Only TLS connections with (or without) a client certificate.
    pub tls: Option<TlsMatch>,
    /// Cookies.
    pub cookies: Vec<CookieMatch>,
    /// Needs dynamic metadata, which no filter here sets: whether the match still fits when there is none (all matchers inverted).
    pub without_metadata: bool,
}

/// The path of a [`RouteMatch`], without the query.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Equal.
    Exact(String),
    /// Begins with.
    Prefix(String),
    /// Equal, or begins with it and `/`. Without trailing slash.
    SeparatedPrefix(String),
    /// Matches as a whole.
    Regex(Regex),
    /// A URI template (`/videos/{id}/*`).
    Template(PathTemplate),
    /// CONNECT and extended CONNECT.
    Connect,
}

/// A URI template compiled to a regular expression, one capture per variable.
#[derive(Clone, Debug)]
pub struct PathTemplate {
    /// Matches the whole path.
    pub regex: Regex,
    /// Names of the captures, in order.
    pub variables: Vec<String>,
}

/// A query parameter that must be there.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// Its name.
    pub name: String,
    /// Its value; `None`: any.
    pub value: Option<StringMatch>,
    /// It must not be there; then `value` is `None`.
    pub absent: bool,
}

/// A cookie that must fit.
#[derive(Clone, Debug)]
pub struct CookieMatch {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: StringMatch,
    /// The opposite counts.
    pub invert: bool,
}

/// Only TLS connections whose client certificate is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsMatch {
    /// Shown.
    pub presented: Option<bool>,
    /// Verified.
    pub validated: Option<bool>,
}
