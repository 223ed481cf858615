//! Where requests and connections go: `HTTPRoute`, `GRPCRoute`, `TCPRoute` and `TLSRoute`, as Gateway API means them.

use std::sync::Arc;
use std::time::Duration;

use crate::model::kind::Kind;
use crate::model::name::Name;

/// A route of one of the four kinds.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which kind.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// When it was made, RFC 3339; of two that fit alike the older one counts. Empty where nobody has said so: then it is the youngest.
    pub created: String,
    /// Counts changes of its specification; 0 where nobody counts.
    pub generation: u64,
    /// What it is attached to.
    pub parents: Vec<Parent>,
    /// TLS server names; of no meaning for the other kinds.
    pub hostnames: Vec<Arc<str>>,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// What a route is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The group of its kind.
    pub group: String,
    /// Its kind; only `Service` (and `ExternalService`) are of the mesh.
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// One port of it; `None`: all.
    pub port: Option<u16>,
    /// A part of it.
    pub section: Option<String>,
}

/// A rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rule {
    /// Its name; may be empty.
    pub name: String,
    /// Which requests; any of these. A rule always has one.
    pub matches: Vec<Match>,
    /// What is done to them.
    pub filters: Filters,
    /// Where they go; may be empty with a redirect.
    pub backends: Vec<Backend>,
    /// How long a request may take, repeats included; zero is for ever.
    pub request_timeout: Option<Duration>,
    /// How long one attempt may take.
    pub backend_timeout: Option<Duration>,
    /// When it is tried again.
    pub retry: Option<Retry>,
}

/// Which requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// By path.
    pub path: PathMatch,
    /// By method.
    pub method: Option<Arc<str>>,
    /// By headers, all of them.
    pub headers: Vec<FieldMatch>,
    /// By query parameters, all of them.
    pub query: Vec<FieldMatch>,
}

/// Which paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This one.
    Exact(Arc<str>),
    /// Those that begin with these segments; `/` is every path.
    Prefix(Arc<str>),
    /// Those that the whole expression fits.
    Regex(Arc<str>),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".into())
    }
}

/// A header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMatch {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: Text,
}

/// A text, or an expression that the whole text has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// This one.
    Exact(Arc<str>),
    /// An expression.
    Regex(Arc<str>),
}

/// What is done to requests and responses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    /// Request headers.
    pub request_headers: HeaderChanges,
    /// Response headers.
    pub response_headers: HeaderChanges,
    /// Copies.
    pub mirrors: Vec<Mirror>,
    /// An answer that sends the client elsewhere.
    pub redirect: Option<Redirect>,
    /// Another path or host.
    pub rewrite: Option<Rewrite>,
    /// Types of filters that Ninon does not have. None of the rule's requests may pass then.
    pub unsupported: Vec<String>,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Replaced.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Added.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Removed.
    pub remove: Vec<Arc<str>>,
}

impl HeaderChanges {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A copy of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where it goes.
    pub backend: Reference,
    /// Of how many requests: numerator and denominator.
    pub share: (u32, u32),
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// Another scheme.
    pub scheme: Option<Arc<str>>,
    /// Another host.
    pub hostname: Option<Arc<str>>,
    /// Another port.
    pub port: Option<u16>,
    /// Another path.
    pub path: Option<PathChange>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// A rewrite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Another host.
    pub hostname: Option<Arc<str>>,
    /// Another path.
    pub path: Option<PathChange>,
}

/// Another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// In place of all of it.
    Full(Arc<str>),
    /// In place of the prefix that matched.
    Prefix(Arc<str>),
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// The service.
    pub target: Reference,
    /// Its part of all weights.
    pub weight: u32,
    /// What is done to requests that go there.
    pub filters: Filters,
}

/// A backend as it was named; whether it is there is for the mesh to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The group of its kind.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: Name,
    /// Its port.
    pub port: Option<u16>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After these statuses.
    pub codes: Vec<u16>,
    /// At most so often.
    pub attempts: Option<u32>,
    /// Not before.
    pub backoff: Option<Duration>,
}
