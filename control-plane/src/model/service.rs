//! Services and their ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::name::Name;
use crate::model::workload::Workload;

/// Labels of an object, or those that are asked for.
pub type Labels = BTreeMap<String, String>;

/// A core `Service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Its addresses; none for a headless one.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Which workloads are behind it; `None`: only what `EndpointSlice`s say.
    pub selector: Option<Labels>,
    /// Who may see it.
    pub exports: Exports,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, which endpoints have as well; empty where there is one port only.
    pub name: Arc<str>,
    /// Its number.
    pub number: u16,
    /// Which port of a workload it leads to.
    pub target: Target,
    /// What is spoken.
    pub protocol: Protocol,
}

/// Which port of a workload a service's port leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This one.
    Number(u16),
    /// The one of this name.
    Name(Arc<str>),
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS, gRPC among it.
    Http2,
    /// Bytes.
    Tcp,
    /// TLS that is passed through.
    Tls,
}

impl Protocol {
    /// Whether requests are seen.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

/// Who may see an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Exports {
    /// Every namespace.
    #[default]
    All,
    /// These.
    Namespaces(BTreeSet<Arc<str>>),
}

impl Exports {
    /// Whether a namespace may see it.
    pub fn reach(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}

impl Service {
    /// One of its ports.
    pub fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// Whether a workload is behind it.
    pub fn selects(&self, workload: &Workload) -> bool {
        let fits = |selector| selects(selector, &workload.labels);
        self.name.namespace == workload.name.namespace && self.selector.as_ref().is_some_and(fits)
    }
}

/// Whether all labels that are asked for are there. Nothing asked for fits nothing, as with a `Service`'s selector.
pub fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
}
