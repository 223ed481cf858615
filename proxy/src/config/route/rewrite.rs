use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use regex::bytes::Regex;

/// What becomes of the path.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// Nothing.
    Keep,
    /// The matched prefix (or whole exact path) is replaced.
    Prefix(String),
    /// Each match is replaced.
    Regex(RegexRewrite),
    /// Built from the captures of a [`PathTemplate`](crate::config::route::PathTemplate).
    Template(Vec<TemplatePart>),
}

/// Replaces each match of a pattern.
#[derive(Clone, Debug)]
pub struct RegexRewrite {
    /// What is replaced.
    pub pattern: Regex,
    /// With what, `$1`-style (converted from RE2's `\1`).
    pub substitution: Bytes,
}

/// A part of a rewritten path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it is.
    Literal(String),
    /// The value of the variable of this index.
    Capture(usize),
}

/// What becomes of the host.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// Nothing.
    Keep,
    /// This.
    Literal(HeaderValue),
    /// The endpoint's host name.
    Auto,
    /// The value of a header.
    Header(HeaderName),
    /// From the path.
    PathRegex(RegexRewrite),
}

/// `RedirectAction`.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307, 308.
    pub status: StatusCode,
    /// New scheme.
    pub scheme: Option<String>,
    /// New host.
    pub host: Option<String>,
    /// New port.
    pub port: Option<u16>,
    /// New path; may bring its own query.
    pub path: RedirectPath,
    /// Leave the query out.
    pub strip_query: bool,
}

/// A redirect's path.
#[derive(Clone, Debug)]
pub enum RedirectPath {
    /// The request's.
    Keep,
    /// This.
    Replace(String),
    /// The matched prefix is replaced.
    Prefix(String),
    /// Each match is replaced.
    Regex(RegexRewrite),
}
