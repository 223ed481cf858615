//! Services and external services by names of hosts.

use crate::model::external::{ExternalPort, ExternalService};
use crate::model::mesh::Mesh;
use crate::model::name::Name;
use crate::model::service::{Port, Service};

/// The service's port that programs of a namespace mean by a host and a port, if they may see it.
pub fn service<'a>(mesh: &'a Mesh, namespace: &str, host: &str, port: u16) -> Option<(&'a Service, &'a Port)> {
    let long = format!(".svc.{}", mesh.settings().domain);
    let short = host.strip_suffix(&long).or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    let name = match short.split_once('.') {
        None if short.len() == host.len() => Name::new(namespace, host),
        None => return None,
        Some((name, of)) => Name::new(of, name),
    };
    let service = mesh.service(&name).filter(|service| service.exports.reach(namespace))?;
    Some((service, service.port(port)?))
}

/// The external service's port of a namespace that programs of another one mean by a host, if they may see it.
pub fn external<'a>(
    mesh: &'a Mesh,
    namespace: &str,
    (of, host): (&str, &str),
    port: u16,
) -> Option<(&'a ExternalService, &'a ExternalPort)> {
    let all = mesh.externals().filter(|external| *external.name.namespace == *of && external.exports.reach(namespace));
    let mut named = all.filter(|external| external.hosts.iter().any(|one| **one == *host));
    named.find_map(|external| Some((external.as_ref(), external.ports.iter().find(|one| one.number == port)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{manifest, yaml};

    #[test]
    fn a_service_is_meant_by_all_its_names_and_no_others() {
        let mut mesh = Mesh::default();
        let text = "{apiVersion: v1, kind: Service, metadata: {name: keys, namespace: auth}, spec: {ports: [{port: 80}]}}";
        for document in yaml::documents(text) {
            let (key, object) = manifest::read(&document.unwrap().value).unwrap();
            mesh.apply(&key, Some(object));
        }
        let is_meant = |namespace: &str, host: &str, port: u16| service(&mesh, namespace, host, port).is_some();
        for host in ["keys.auth", "keys.auth.svc", "keys.auth.svc.cluster.local"] {
            assert!(is_meant("shop", host, 80) && !is_meant("shop", host, 81), "{host}");
        }
        assert!(is_meant("auth", "keys", 80) && !is_meant("shop", "keys", 80));
        for host in ["keys.svc", "keys.auth.example", "keys.auth.svc.other", "a.keys.auth", ""] {
            assert!(!is_meant("auth", host, 80), "{host}");
        }
    }
}
