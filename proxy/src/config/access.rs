//! Who may do what (`envoy.config.rbac.v3`).

use std::ops::Range;
use std::time::Duration;

use crate::config::address::Cidr;
use crate::config::matcher::{HeaderMatch, StringMatch};
use crate::config::route::PathTemplate;

/// `RBAC`: one decision.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What a policy that fits means.
    pub action: Action,
    /// In the order of their names: the first that fits is the one that is told.
    pub policies: Vec<Policy>,
}

/// What a policy that fits means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Allowed; what fits none is denied.
    Allow,
    /// Denied; what fits none is allowed.
    Deny,
    /// Nothing: it is allowed either way.
    Log,
}

/// `Policy`: what, and who.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, in logs and answers.
    pub name: String,
    /// What is done: one of these fits.
    pub permissions: Vec<Condition>,
    /// Who does it: one of these fits.
    pub principals: Vec<Condition>,
}

/// `Permission` and `Principal`.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Always.
    Any,
    /// Each of these.
    All(Vec<Self>),
    /// One of these.
    OneOf(Vec<Self>),
    /// The opposite.
    Not(Box<Self>),
    /// A header of the request.
    Header(HeaderMatch),
    /// The request's path, without the query.
    Path(StringMatch),
    /// The same by a URI template.
    PathTemplate(PathTemplate),
    /// Where the client meant to go.
    DestinationIp(Cidr),
    /// ... at one of these ports. From 0 to 65536, which is above every port.
    DestinationPort(Range<u32>),
    /// The server name that the client asked for; empty where it asked for none.
    ServerName(StringMatch),
    /// The client showed a certificate that was verified; with a name, if one is given: a URI or DNS name of it, or its subject.
    Authenticated(Option<StringMatch>),
    /// The client, as the PROXY protocol names it, else the peer.
    SourceIp(Cidr),
    /// The peer of the socket.
    DirectRemoteIp(Cidr),
    /// The client, as `x-forwarded-for` names it where that is trusted.
    RemoteIp(Cidr),
    /// What a filter before has found out.
    Metadata(MetadataMatch),
}

/// A condition on metadata (`envoy.type.matcher.v3.MetadataMatcher`).
#[derive(Clone, Debug)]
pub struct MetadataMatch {
    /// Whose.
    pub filter: String,
    /// The names that lead to the value; at least one.
    pub path: Vec<String>,
    /// What it must be.
    pub value: ValueMatch,
    /// The opposite counts.
    pub invert: bool,
}

impl MetadataMatch {
    /// Whether it fits what `value` finds.
    pub fn matches<'a>(&self, value: impl FnOnce(&str, &[String]) -> Option<&'a serde_json::Value>) -> bool {
        self.value.matches(value(&self.filter, &self.path)) != self.invert
    }
}

/// A condition on a value (`envoy.type.matcher.v3.ValueMatcher`).
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// There, and null.
    Null,
    /// This number.
    Number(f64),
    /// A number from the first (included) to the second (not included).
    Range(f64, f64),
    /// A text.
    String(StringMatch),
    /// True or false.
    Bool(bool),
    /// There, or not.
    Present(bool),
    /// A list, one of whose entries fits.
    OneOf(Box<Self>),
    /// One of these.
    Any(Vec<Self>),
}

impl ValueMatch {
    /// Whether a value fits; `None` is one that is not there.
    pub fn matches(&self, value: Option<&serde_json::Value>) -> bool {
        use serde_json::Value;
        match (self, value) {
            (Self::Present(wanted), value) => value.is_some() == *wanted,
            (Self::Any(any), value) => any.iter().any(|one| one.matches(value)),
            (Self::Null, Some(Value::Null)) => true,
            (Self::Number(wanted), Some(Value::Number(number))) => number.as_f64().is_some_and(|number| number.total_cmp(wanted).is_eq()),
            (Self::Range(start, end), Some(Value::Number(number))) => {
                number.as_f64().is_some_and(|number| *start <= number && number < *end)
            }
            (Self::String(wanted), Some(Value::String(text))) => wanted.matches(text.as_bytes()),
            (Self::Bool(wanted), Some(Value::Bool(value))) => wanted == value,
            (Self::OneOf(one), Some(Value::Array(list))) => list.iter().any(|value| one.matches(Some(value))),
            (Self::Null | Self::Number(_) | Self::Range(..) | Self::String(_) | Self::Bool(_) | Self::OneOf(_), _) => false,
        }
    }
}

/// `envoy.extensions.filters.http.rbac.v3.RBAC`. Without rules it decides nothing.
#[derive(Clone, Debug, Default)]
pub struct HttpAccess {
    /// Who may do what.
    pub rules: Option<Rules>,
    /// Counted, logged, and told to filters behind it, and nothing else.
    pub shadow: Option<Rules>,
    /// Part of the names of metrics, and what names of metadata begin with; may be empty.
    pub stat_prefix: String,
    /// The same for the shadow rules.
    pub shadow_stat_prefix: String,
}

/// `envoy.extensions.filters.network.rbac.v3.RBAC`. Its conditions do not ask for anything of a request.
#[derive(Clone, Debug)]
pub struct NetworkAccess {
    /// Who may connect.
    pub rules: Option<Rules>,
    /// Counted and logged only.
    pub shadow: Option<Rules>,
    /// Name in metrics.
    pub stat_prefix: String,
    /// Part of the names of metrics of the shadow rules; may be empty.
    pub shadow_stat_prefix: String,
    /// How long a refused connection is kept before it is closed.
    pub delay: Option<Duration>,
}
