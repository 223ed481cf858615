//! How far an object holds, in the words of the specification: conditions of routes (Gateway API v1.6, `RouteParentStatus`), and of
//! policies of who may do what and whose tokens are believed.

mod authorization;
mod token;

pub use authorization::of_authorization;
pub use token::of_tokens;

use crate::model::attach::{self, Unresolved};
use crate::model::kind::Kind;
use crate::model::mesh::Mesh;
use crate::model::route::{Filters, Parent, Reference, Route};
use crate::model::service::Service;

/// A condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which: `Accepted`, `ResolvedRefs` or `Enforced`.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, as a sentence; empty if all is well.
    pub message: String,
}

impl Condition {
    fn good(kind: &'static str, reason: &'static str) -> Self {
        Self { kind, holds: true, reason, message: String::new() }
    }

    fn bad(kind: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind, holds: false, reason, message }
    }
}

/// Conditions of a route towards each of its parents that are of the mesh. Gateways are not ours to speak for.
pub fn of_route<'a>(mesh: &Mesh, route: &'a Route) -> Vec<(&'a Parent, Vec<Condition>)> {
    let ours = route.parents.iter().filter(|parent| parent.group.is_empty() && parent.kind == Kind::Service.as_str());
    let refs = resolved(mesh, route);
    ours.map(|parent| (parent, vec![accepted(mesh, route, parent), refs.clone()])).collect()
}

fn accepted(mesh: &Mesh, route: &Route, parent: &Parent) -> Condition {
    let Some(service) = mesh.service(&parent.name) else {
        return Condition::bad("Accepted", "NoMatchingParent", format!("there is no Service {}", parent.name));
    };
    if let Err(message) = matching_port(service, route, parent) {
        return Condition::bad("Accepted", "NoMatchingParent", message);
    }
    let mut unsupported = filters(route).flat_map(|(filters, of_backend)| {
        let named = filters.unsupported.iter().cloned();
        let of_backends =
            (of_backend && !attach::only_headers(filters)).then(|| "a filter of a backend that does more than change headers".to_owned());
        named.chain(of_backends)
    });
    match unsupported.next() {
        Some(what) => Condition::bad("Accepted", "UnsupportedValue", format!("not supported: {what}; its requests are answered with 500")),
        None => Condition::good("Accepted", "Accepted"),
    }
}

fn matching_port(service: &Service, route: &Route, parent: &Parent) -> Result<(), String> {
    let mut named = service.ports.iter().filter(|port| attach::is_of(parent, service, port)).peekable();
    if named.peek().is_none() {
        return Err(format!("Service {} has no such port", parent.name));
    }
    match named.any(|port| attach::can_be(route.kind, port)) {
        true => Ok(()),
        false => Err(format!("a {} says nothing of what is spoken on that port of Service {}; see appProtocol", route.kind, parent.name)),
    }
}

fn filters(route: &Route) -> impl Iterator<Item = (&Filters, bool)> {
    route
        .rules
        .iter()
        .flat_map(|rule| std::iter::once((&rule.filters, false)).chain(rule.backends.iter().map(|backend| (&backend.filters, true))))
}

/// As proxies of the route's own namespace see it.
fn resolved(mesh: &Mesh, route: &Route) -> Condition {
    let backends = route.rules.iter().flat_map(|rule| rule.backends.iter().map(|backend| &backend.target));
    let mirrors = filters(route).flat_map(|(filters, _)| filters.mirrors.iter().map(|mirror| &mirror.backend));
    let wrong = |reference: &Reference| -> Option<(Unresolved, String)> {
        let problem = attach::resolve(mesh, route, reference, &route.name.namespace).err()?;
        let port = reference.port.map(|port| format!(":{port}")).unwrap_or_default();
        Some((problem, format!("{} {}{port}: {problem}", reference.kind, reference.name)))
    };
    match backends.chain(mirrors).find_map(wrong) {
        Some((problem, message)) => Condition::bad("ResolvedRefs", problem.reason(), message),
        None => Condition::good("ResolvedRefs", "ResolvedRefs"),
    }
}

#[cfg(test)]
mod tests;
