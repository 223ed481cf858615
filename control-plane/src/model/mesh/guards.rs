use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::authentication::{self, Mode, ROOT_NAMESPACE};
use crate::model::authorization::AuthorizationPolicy;
use crate::model::kind::Kind;
use crate::model::mesh::{Mesh, Object, in_namespace};
use crate::model::name::{Key, Name};
use crate::model::token::{self, Believed, RequestAuthentication};
use crate::model::workload::Workload;

impl Mesh {
    /// Puts one in the place of the one of its key, or takes that away.
    pub(super) fn set_guard(&mut self, key: &Key, object: Option<Object>) {
        let name = key.name.clone();
        match (key.kind, object) {
            (_, Some(Object::RequestAuthentication(tokens))) => drop(self.tokens.insert(name, Arc::new(tokens))),
            (_, Some(Object::AuthorizationPolicy(policy))) => drop(self.authorizations.insert(name, Arc::new(policy))),
            (Kind::RequestAuthentication, _) => drop(self.tokens.remove(&name)),
            _ => drop(self.authorizations.remove(&name)),
        }
        self.changes.wiring = self.changes.count;
    }

    pub(super) fn set_authentication(&mut self, name: &Name, object: Option<Object>) {
        match object {
            Some(Object::PeerAuthentication(policy)) => drop(self.authentications.insert(name.clone(), Arc::new(policy))),
            _ => drop(self.authentications.remove(name)),
        }
        let everywhere = *name.namespace == *ROOT_NAMESPACE;
        let concerned = self.services.keys().filter(|service| everywhere || service.namespace == name.namespace);
        for service in concerned.cloned().collect::<Vec<_>>() {
            self.touch(&service);
        }
        self.changes.wiring = self.changes.count;
    }

    /// How a workload's port may be reached; `None` stands for ports that it does not name.
    pub fn mode(&self, workload: &Workload, port: Option<u16>) -> Mode {
        authentication::mode(self.authentications.values(), workload, port)
    }

    /// Ports of a workload of which a `PeerAuthentication` speaks.
    pub fn ports_with_mode(&self, workload: &Workload) -> BTreeSet<u16> {
        authentication::ports(self.authentications.values(), workload)
    }

    /// All policies of who may do what.
    pub fn authorizations(&self) -> impl Iterator<Item = &Arc<AuthorizationPolicy>> {
        self.authorizations.values()
    }

    /// One of them.
    pub fn authorization(&self, name: &Name) -> Option<&Arc<AuthorizationPolicy>> {
        self.authorizations.get(name)
    }

    /// Those for a workload.
    pub fn authorizations_of(&self, workload: &Workload) -> impl Iterator<Item = &Arc<AuthorizationPolicy>> {
        let namespaces = BTreeSet::from([ROOT_NAMESPACE, &*workload.name.namespace]);
        let near = namespaces.into_iter().flat_map(|namespace| in_namespace(&self.authorizations, namespace));
        near.map(|(_, policy)| policy).filter(|policy| policy.concerns(workload))
    }

    /// Who a workload shows that it is at a port, where it is reached there by mutual TLS.
    pub(super) fn identity(&self, workload: &Workload, port: u16) -> Option<Arc<str>> {
        let is_mutual = workload.sidecar.mutual_tls && self.mode(workload, Some(port)) != Mode::Disable;
        is_mutual.then(|| format!("ns/{}/sa/{}", workload.name.namespace, workload.service_account).into())
    }

    /// One that says whose tokens are believed.
    pub fn request_authentication(&self, name: &Name) -> Option<&Arc<RequestAuthentication>> {
        self.tokens.get(name)
    }

    /// Whether there is a policy of this key, or one that says whose tokens are believed.
    pub fn has_guard(&self, key: &Key) -> bool {
        (key.kind == Kind::AuthorizationPolicy && self.authorizations.contains_key(&key.name))
            || (key.kind == Kind::RequestAuthentication && self.tokens.contains_key(&key.name))
    }

    /// Whose tokens a workload believes. What is said for the mesh comes first: no namespace has other keys in its place.
    pub fn believed(&self, workload: &Workload) -> Believed<'_> {
        let own = Some(&*workload.name.namespace).filter(|namespace| *namespace != ROOT_NAMESPACE);
        let near = std::iter::once(ROOT_NAMESPACE).chain(own).flat_map(|namespace| in_namespace(&self.tokens, namespace));
        token::believed(near.map(|(_, one)| one).filter(|one| one.concerns(workload)))
    }
}
