//! Who has to show who they are: `PeerAuthentication`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::name::Name;
use crate::model::service::{Labels, selects};
use crate::model::workload::Workload;

/// The namespace of what holds for the whole mesh, and of the control plane itself.
pub const ROOT_NAMESPACE: &str = "ninon-system";

/// A `PeerAuthentication`: how workloads are to be reached. As Istio's: one for a workload counts before its namespace's, that before
/// the mesh's, and one for a port before all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// Its name; in the root namespace it holds for all.
    pub name: Name,
    /// Labels of the workloads that it is for; `None`: all of the namespace.
    pub selector: Option<Labels>,
    /// Of all ports; `None` leaves it to what is more general.
    pub mode: Option<Mode>,
    /// Of single ports.
    pub ports: BTreeMap<u16, Mode>,
    /// It could not be read: whatever others say, nobody without a certificate comes in where it may be for.
    pub is_broken: bool,
}

/// How a port may be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// By mutual TLS only.
    Strict,
    /// By mutual TLS, and in plain text.
    #[default]
    Permissive,
    /// In plain text only.
    Disable,
}

impl PeerAuthentication {
    fn concerns(&self, workload: &Workload) -> bool {
        *self.name.namespace == *workload.name.namespace
            && self.selector.as_ref().is_some_and(|selector| selects(selector, &workload.labels))
    }

    fn reaches(&self, workload: &Workload) -> bool {
        let is_around = *self.name.namespace == *ROOT_NAMESPACE || self.name.namespace == workload.name.namespace;
        self.concerns(workload) || (self.selector.is_none() && is_around)
    }
}

/// How a workload's port may be reached; `None` stands for ports that nothing is said of. Of several of one rank the first by name
/// counts.
pub fn mode<'a>(all: impl Iterator<Item = &'a Arc<PeerAuthentication>> + Clone, workload: &Workload, port: Option<u16>) -> Mode {
    if all.clone().any(|policy| policy.is_broken && policy.reaches(workload)) {
        return Mode::Strict;
    }
    let own = all.clone().filter(|policy| policy.concerns(workload));
    if let Some(mode) = port.and_then(|port| own.clone().find_map(|policy| policy.ports.get(&port))) {
        return *mode;
    }
    let of = |namespace: &str| {
        let namespace = namespace.to_owned();
        all.clone().filter(move |policy| policy.selector.is_none() && *policy.name.namespace == *namespace)
    };
    let ranked = own.chain(of(&workload.name.namespace)).chain(of(ROOT_NAMESPACE));
    ranked.into_iter().find_map(|policy| policy.mode).unwrap_or_default()
}

/// Ports of a workload of which something is said.
pub fn ports<'a>(all: impl Iterator<Item = &'a Arc<PeerAuthentication>>, workload: &Workload) -> BTreeSet<u16> {
    all.filter(|policy| policy.concerns(workload)).flat_map(|policy| policy.ports.keys().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::endpoints::Condition;
    use crate::model::workload::{Locality, Sidecar};

    fn policy(namespace: &str, name: &str, selector: Option<&str>, mode: Option<Mode>) -> Arc<PeerAuthentication> {
        let selector = selector.map(|app| Labels::from([("app".to_owned(), app.to_owned())]));
        Arc::new(PeerAuthentication { name: Name::new(namespace, name), selector, mode, ports: BTreeMap::new(), is_broken: false })
    }

    fn cart() -> Workload {
        Workload {
            name: Name::new("shop", "cart-1"),
            labels: Labels::from([("app".to_owned(), "cart".to_owned())]),
            addresses: Vec::new(),
            ports: Vec::new(),
            service_account: "cart".into(),
            locality: Locality::default(),
            condition: Condition::Ready,
            sidecar: Sidecar::default(),
        }
    }

    fn of(policies: &[Arc<PeerAuthentication>], port: u16) -> Mode {
        mode(policies.iter(), &cart(), Some(port))
    }

    #[test]
    fn what_is_nearer_counts() {
        let mesh = policy(ROOT_NAMESPACE, "default", None, Some(Mode::Strict));
        let namespace = policy("shop", "default", None, Some(Mode::Disable));
        let own = policy("shop", "cart", Some("cart"), Some(Mode::Permissive));
        let of_other = policy("shop", "aaa", Some("web"), Some(Mode::Strict));
        assert_eq!(of(&[], 80), Mode::Permissive);
        assert_eq!(of(std::slice::from_ref(&mesh), 80), Mode::Strict);
        assert_eq!(of(&[mesh.clone(), namespace.clone()], 80), Mode::Disable);
        assert_eq!(of(&[of_other, mesh.clone(), namespace.clone(), own], 80), Mode::Permissive);
        let unset = policy("shop", "cart", Some("cart"), None);
        assert_eq!(of(&[mesh.clone(), unset], 80), Mode::Strict, "it leaves it to the mesh");
        let elsewhere = policy("bank", "default", None, Some(Mode::Disable));
        assert_eq!(of(&[mesh, elsewhere], 80), Mode::Strict);
        assert_eq!(of(&[namespace], 80), Mode::Disable);
    }

    #[test]
    fn one_that_cannot_be_read_counts_before_all_where_it_may_be_for() {
        let broken = |namespace, name, selector| {
            let policy = policy(namespace, name, selector, Some(Mode::Strict));
            Arc::new(PeerAuthentication { is_broken: true, ..PeerAuthentication::clone(&policy) })
        };
        let own = policy("shop", "aaa", Some("cart"), Some(Mode::Permissive));
        let own = Arc::new(PeerAuthentication { ports: BTreeMap::from([(8080, Mode::Disable)]), ..PeerAuthentication::clone(&own) });
        for broken in [broken("shop", "bbb", Some("cart")), broken("shop", "bbb", None), broken(ROOT_NAMESPACE, "bbb", None)] {
            assert_eq!(of(&[own.clone(), broken.clone()], 8080), Mode::Strict, "{broken:?}");
        }
        for broken in [broken("shop", "bbb", Some("web")), broken("bank", "bbb", None)] {
            assert_eq!(of(&[own.clone(), broken.clone()], 8080), Mode::Disable, "{broken:?}");
        }
    }

    #[test]
    fn a_port_counts_before_all() {
        let own = policy("shop", "cart", Some("cart"), Some(Mode::Strict));
        let own = Arc::new(PeerAuthentication { ports: BTreeMap::from([(8080, Mode::Disable)]), ..PeerAuthentication::clone(&own) });
        assert_eq!(of(std::slice::from_ref(&own), 8080), Mode::Disable);
        assert_eq!(of(std::slice::from_ref(&own), 80), Mode::Strict);
        assert_eq!(mode([own].iter(), &cart(), None), Mode::Strict);
    }
}
