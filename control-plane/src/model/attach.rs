//! What routes are attached to, and where they lead: which rules hold for a service's port as a namespace sees it.
//!
//! Source: Gateway API v1.6, GAMMA (GEP-1294, GEP-1324), and the rules of precedence in the definitions of the routes.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::sync::Arc;

use crate::model::kind::Kind;
use crate::model::mesh::Mesh;
use crate::model::name::Name;
use crate::model::route::{Filters, Match, Parent, PathMatch, Reference, Route, Rule};
use crate::model::service::{Port, Service};

/// A rule with one of its matches.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The route that it is of.
    pub route: &'a Route,
    /// The rule.
    pub rule: &'a Rule,
    /// Its place in the route.
    pub at: usize,
    /// The match.
    pub one: &'a Match,
}

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A service's port.
    Service(Name, u16),
    /// An external service's port.
    External(Name, u16),
}

/// Why a reference leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Another namespace does not permit it.
    NotPermitted,
    /// There is no such object, or it has no such port.
    NotFound,
    /// Requests cannot go to such a kind.
    InvalidKind,
}

impl Unresolved {
    /// The reason as Gateway API words it (`RouteConditionReason`).
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotPermitted => "RefNotPermitted",
            Self::NotFound => "BackendNotFound",
            Self::InvalidKind => "InvalidKind",
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPermitted => "no ReferenceGrant of that namespace permits it",
            Self::NotFound => "there is no such service, or it has no such port",
            Self::InvalidKind => "requests cannot go to this kind; there are Service and ExternalService",
        })
    }
}

/// Routes of one kind that hold for a service's port, as `namespace` sees it. Of several kinds the most specific counts: gRPC, HTTP,
/// TLS, TCP. Routes of the asking namespace take the place of the service's own (GEP-1294, "consumer routes").
pub fn routes<'a>(mesh: &'a Mesh, namespace: &str, service: &Service, port: &Port) -> Vec<&'a Route> {
    let attached = mesh.routes().map(Arc::as_ref).filter(|route| route.parents.iter().any(|parent| is_of(parent, service, port)));
    let attached: Vec<&Route> = attached.filter(|route| can_be(route.kind, port)).collect();
    let (own, others): (Vec<&Route>, Vec<&Route>) = attached.into_iter().partition(|route| route.name.namespace == service.name.namespace);
    let mut consumer: Vec<&Route> = others.into_iter().filter(|route| *route.name.namespace == *namespace).collect();
    if consumer.is_empty() {
        consumer = own;
    }
    let first = [Kind::GrpcRoute, Kind::HttpRoute, Kind::TlsRoute, Kind::TcpRoute];
    let kind = first.into_iter().find(|kind| consumer.iter().any(|route| route.kind == *kind));
    let mut routes: Vec<&Route> = consumer.into_iter().filter(|route| Some(route.kind) == kind).collect();
    routes.sort_by(|one, other| by_age(one, other));
    routes
}

/// Whether a route's parent is this service's port.
pub fn is_of(parent: &Parent, service: &Service, port: &Port) -> bool {
    parent.group.is_empty()
        && parent.kind == Kind::Service.as_str()
        && parent.name == service.name
        && parent.port.is_none_or(|number| number == port.number)
        && parent.section.as_deref().is_none_or(|section| section == &*port.name)
}

/// Whether a kind of route can say anything of what is spoken on a port.
pub const fn can_be(kind: Kind, port: &Port) -> bool {
    match kind {
        Kind::HttpRoute | Kind::GrpcRoute => port.protocol.is_http(),
        Kind::TlsRoute | Kind::TcpRoute => !port.protocol.is_http(),
        Kind::Service
        | Kind::EndpointSlice
        | Kind::ReferenceGrant
        | Kind::Workload
        | Kind::TrafficPolicy
        | Kind::PeerAuthentication
        | Kind::RequestAuthentication
        | Kind::AuthorizationPolicy
        | Kind::ExternalService
        | Kind::MeshConfig => false,
    }
}

/// All matches of routes, the first that fits a request counts.
pub fn entries<'a>(routes: &[&'a Route]) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for route in routes {
        for (at, rule) in route.rules.iter().enumerate() {
            entries.extend(rule.matches.iter().map(|one| Entry { route, rule, at, one }));
        }
    }
    entries.sort_by(by_precedence);
    entries
}

fn by_age(one: &Route, other: &Route) -> Ordering {
    let age = |route: &Route| (route.created.is_empty(), route.created.clone());
    age(one).cmp(&age(other)).then_with(|| one.name.cmp(&other.name))
}

/// Exact paths, then expressions (of which the definitions say nothing), then the longest prefix; then a method, more headers, more
/// query parameters, the older route, the first by name, the first rule.
fn by_precedence(one: &Entry<'_>, other: &Entry<'_>) -> Ordering {
    let rank = |entry: &Entry<'_>| {
        let path = match &entry.one.path {
            PathMatch::Exact(path) => (0, Reverse(path.len())),
            PathMatch::Regex(path) => (1, Reverse(path.len())),
            PathMatch::Prefix(path) => (2, Reverse(path.len())),
        };
        (path, entry.one.method.is_none(), Reverse(entry.one.headers.len()), Reverse(entry.one.query.len()))
    };
    rank(one).cmp(&rank(other)).then_with(|| by_age(one.route, other.route)).then(one.at.cmp(&other.at))
}

/// What a backend leads to, for proxies of `namespace`.
///
/// # Errors
/// Why it leads nowhere.
pub fn resolve(mesh: &Mesh, route: &Route, reference: &Reference, namespace: &str) -> Result<Target, Unresolved> {
    let (kind, is_core) = match (reference.group.as_str(), reference.kind.as_str()) {
        ("", "Service") => (Kind::Service, true),
        ("ninon.dev", "ExternalService") => (Kind::ExternalService, false),
        _ => return Err(Unresolved::InvalidKind),
    };
    if !mesh.permits(route.kind, &route.name.namespace, kind, &reference.name) {
        return Err(Unresolved::NotPermitted);
    }
    let name = reference.name.clone();
    let target = if is_core {
        let service = mesh.service(&name).filter(|service| service.exports.reach(namespace)).ok_or(Unresolved::NotFound)?;
        let port = reference.port.and_then(|number| service.port(number)).ok_or(Unresolved::NotFound)?;
        Target::Service(name, port.number)
    } else {
        let external = mesh.external(&name).filter(|external| external.exports.reach(namespace)).ok_or(Unresolved::NotFound)?;
        let port = reference.port.and_then(|number| external.ports.iter().find(|port| port.number == number));
        Target::External(name, port.ok_or(Unresolved::NotFound)?.number)
    };
    Ok(target)
}

/// Whether filters do no more than change headers: for a single backend proxies can do no other.
pub fn only_headers(filters: &Filters) -> bool {
    filters.mirrors.is_empty() && filters.redirect.is_none() && filters.rewrite.is_none()
}
