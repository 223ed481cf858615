//! Hosts outside of the mesh: `ExternalService`.

use std::sync::Arc;

use crate::model::name::Name;
use crate::model::service::{Exports, Protocol};

/// An `ExternalService`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalService {
    /// Its name.
    pub name: Name,
    /// Host names that workloads use for it.
    pub hosts: Vec<Arc<str>>,
    /// Its ports.
    pub ports: Vec<ExternalPort>,
    /// Where it is; empty: what the first host name resolves to.
    pub endpoints: Vec<Arc<str>>,
    /// Who may see it.
    pub exports: Exports,
}

/// A port of an external service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalPort {
    /// The port that workloads use.
    pub number: u16,
    /// The port there.
    pub target: u16,
    /// What workloads speak.
    pub protocol: Protocol,
    /// The sidecar adds TLS, and checks the certificate for this name.
    pub tls: Option<Arc<str>>,
}
