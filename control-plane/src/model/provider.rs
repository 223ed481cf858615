//! Services that decide about requests in a policy's place: `extensionProviders` of the `MeshConfig`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::attach::Target;
use crate::model::authorization::Pattern;
use crate::model::hosts;
use crate::model::mesh::Mesh;
use crate::model::service::Protocol;

/// One of them (Istio's `ExtensionProvider`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// What policies call it.
    pub name: Arc<str>,
    /// Who is asked.
    pub server: Server,
    /// How it is asked.
    pub way: Way,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Requests go on when there is no answer.
    pub fail_open: bool,
    /// What clients get when there is no answer, 400 to 599.
    pub status_on_error: u16,
    /// What is told of the request's body, if anything.
    pub body: Option<Body>,
}

/// Who is asked: a port of a service of the mesh, or of an `ExternalService`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where the object is; where nothing is said, the host is the name of a `Service`.
    pub namespace: Option<Arc<str>>,
    /// The host that it is called by.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
}

/// How somebody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// `envoy.service.auth.v3.Authorization`.
    Grpc,
    /// A copy of the request's head.
    Http(Box<Copied>),
}

/// What a copy of a request has, and what becomes of the answer's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// What stands before the request's path.
    pub path_prefix: Arc<str>,
    /// Names of headers that are told, beside those that always are.
    pub headers: Vec<Pattern>,
    /// Headers that are told besides.
    pub added: Vec<(Arc<str>, Arc<str>)>,
    /// Names of headers that the application gets, if it is allowed.
    pub to_application: Vec<Pattern>,
    /// Names of headers that the client gets, if it is denied; empty: all.
    pub to_denied: Vec<Pattern>,
    /// Names of headers that the client gets, if it is allowed.
    pub to_allowed: Vec<Pattern>,
}

/// How much of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body {
    /// So many bytes at most.
    pub most: u32,
    /// Of a longer one, the beginning is told; else the request is refused.
    pub partial: bool,
    /// Told as bytes, not as text.
    pub bytes: bool,
}

/// The method and path of a question by gRPC.
const CHECK: (&str, &str) = ("POST", "/envoy.service.auth.v3.Authorization/Check");

impl Provider {
    /// Whether it is told of a header, if a request has it.
    pub fn is_told(&self, header: &str) -> bool {
        match &self.way {
            Way::Grpc => true,
            Way::Http(copied) => copied.headers.iter().any(|pattern| pattern.fits(header)),
        }
    }

    /// Method and path of a question, where all have the same.
    pub const fn question(&self) -> Option<(&'static str, &'static str)> {
        match self.way {
            Way::Grpc => Some(CHECK),
            Way::Http(_) => None,
        }
    }
}

/// What the sidecars of a namespace ask when a policy names a provider.
///
/// # Errors
/// Why nobody can be asked, as the rest of a sentence about the policy.
pub fn asked<'a>(mesh: &'a Mesh, namespace: &str, name: &str) -> Result<(&'a Provider, Target), String> {
    let provider = mesh.settings().providers.iter().find(|provider| *provider.name == *name);
    let Some(provider) = provider else { return Err(format!("there is no {name:?} among the extensionProviders of the MeshConfig")) };
    let Server { namespace: of, host, port } = &provider.server;
    // A name without a dot would be one of the workload's own namespace.
    let long = of.as_ref().filter(|_| !host.contains('.')).map_or_else(|| host.to_string(), |of| format!("{host}.{of}"));
    let found = hosts::service(mesh, namespace, &long, *port)
        .filter(|(service, _)| of.as_deref().is_none_or(|of| *service.name.namespace == *of))
        .map(|(service, port)| (Target::Service(service.name.clone(), port.number), port.protocol));
    let external = || of.as_deref().and_then(|of| hosts::external(mesh, namespace, (of, host), *port));
    let external = || external().map(|(external, port)| (Target::External(external.name.clone(), port.number), port.protocol));
    let Some((target, protocol)) = found.or_else(external) else {
        let hint = if of.is_none() { " (an ExternalService is named NAMESPACE/HOST)" } else { "" };
        return Err(format!("{namespace} sees no service {host} with the port {port}{hint}, which is the extension provider {name:?}"));
    };
    match (&provider.way, protocol) {
        (Way::Grpc, Protocol::Http2) | (Way::Http(_), Protocol::Http | Protocol::Http2) => Ok((provider, target)),
        (Way::Grpc, _) => {
            Err(format!("port {port} of {host} is not said to speak gRPC (appProtocol: grpc), as the extension provider {name:?} has to"))
        }
        (Way::Http(_), _) => {
            Err(format!("port {port} of {host} is not said to speak HTTP (appProtocol: http), as the extension provider {name:?} has to"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{manifest, yaml};

    const OBJECTS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: authz, namespace: auth}, spec: {ports: [{name: a, port: 9000, appProtocol: grpc}, {name: http, port: 80}, {name: c, port: 5, appProtocol: tcp}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: hidden, namespace: auth, annotations: {ninon.dev/exports: auth}}, spec: {ports: [{port: 80}]}}
---
{apiVersion: ninon.dev/v1alpha1, kind: ExternalService, metadata: {name: far, namespace: auth}, spec: {hosts: [authz.example], ports: [{port: 443, appProtocol: http}]}}
---
{apiVersion: ninon.dev/v1alpha1, kind: ExternalService, metadata: {name: shut, namespace: auth, annotations: {ninon.dev/exports: auth}}, spec: {hosts: [shut.example], ports: [{port: 443, appProtocol: http}]}}
";

    fn asked_at(way: &str, service: &str, port: u16) -> Result<Target, String> {
        let config = format!(
            "---\n{{apiVersion: ninon.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh}}, spec: {{extensionProviders: [{{name: a, {way}: {{service: {service}, port: {port}}}}}]}}}}\n"
        );
        let mut mesh = Mesh::default();
        for document in yaml::documents(&[OBJECTS, &config].concat()) {
            let (key, object) = manifest::read(&document.unwrap().value).unwrap();
            mesh.apply(&key, Some(object));
        }
        asked(&mesh, "shop", "a").map(|(_, target)| target)
    }

    #[test]
    fn a_provider_is_a_service_or_an_external_service_of_the_namespace_that_is_named() {
        let service = |port| Ok(Target::Service(crate::model::name::Name::new("auth", "authz"), port));
        for name in ["authz.auth", "authz.auth.svc.cluster.local", "auth/authz.auth.svc.cluster.local", "auth/authz"] {
            assert_eq!(asked_at("envoyExtAuthzGrpc", name, 9000), service(9000), "{name}");
            assert_eq!(asked_at("envoyExtAuthzHttp", name, 80), service(80), "{name}");
        }
        let external = Ok(Target::External(crate::model::name::Name::new("auth", "far"), 443));
        assert_eq!(asked_at("envoyExtAuthzHttp", "auth/authz.example", 443), external);
    }

    #[test]
    fn nobody_is_asked_who_is_not_there_not_seen_or_speaks_something_else() {
        for (way, service, port) in [
            ("envoyExtAuthzGrpc", "authz.auth", 9001),
            ("envoyExtAuthzGrpc", "authz.shop", 9000),
            ("envoyExtAuthzGrpc", "shop/authz.auth", 9000),
            ("envoyExtAuthzGrpc", "shop/authz", 9000),
            ("envoyExtAuthzGrpc", "authz.auth", 80),
            ("envoyExtAuthzGrpc", "authz.auth", 5),
            ("envoyExtAuthzHttp", "authz.auth", 5),
            ("envoyExtAuthzHttp", "hidden.auth", 80),
            ("envoyExtAuthzHttp", "authz.example", 443),
            ("envoyExtAuthzHttp", "auth/shut.example", 443),
            ("envoyExtAuthzHttp", "shop/authz.example", 443),
            ("envoyExtAuthzHttp", "auth/authz.example", 80),
        ] {
            assert!(asked_at(way, service, port).is_err(), "{way} {service} {port}");
        }
        assert!(asked(&Mesh::default(), "shop", "a").is_err());
    }
}
