//! Processes and pods.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::model::endpoints::Condition;
use crate::model::name::Name;
use crate::model::service::{Labels, Port, Protocol, Target};

/// A `Workload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name.
    pub name: Name,
    /// Labels that services select it by.
    pub labels: Labels,
    /// Where others reach it.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<WorkloadPort>,
    /// Who it is.
    pub service_account: Arc<str>,
    /// Where it is.
    pub locality: Locality,
    /// What it can do.
    pub condition: Condition,
    /// How its sidecar listens.
    pub sidecar: Sidecar,
}

/// A port of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadPort {
    /// Its name; may be empty.
    pub name: Arc<str>,
    /// Where others reach it.
    pub number: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// Where the application listens on the loopback address, if the sidecar has the port itself; `None`: connections are redirected to
    /// the sidecar, and the application has the same port.
    pub application: Option<u16>,
}

/// How a workload's sidecar listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sidecar {
    /// Where the application sends what is to go out.
    pub outbound: Option<SocketAddr>,
    /// Where redirected connections come in.
    pub inbound: Option<SocketAddr>,
    /// It has an identity: others reach the workload by mutual TLS.
    pub mutual_tls: bool,
    /// Ports of the loopback address that lead to one service each, for protocols without a host name.
    pub binds: Vec<Bind>,
}

/// A port that leads to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where.
    pub address: SocketAddr,
    /// The service.
    pub service: Name,
    /// Its port.
    pub port: u16,
}

/// Where a workload is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone in it.
    pub zone: Arc<str>,
    /// Part of the zone.
    pub sub_zone: Arc<str>,
}

impl Workload {
    /// Where it is reached by a service's port.
    pub fn reached_at(&self, port: &Port) -> Option<u16> {
        match &port.target {
            Target::Number(number) => Some(*number),
            Target::Name(name) => self.ports.iter().find(|port| port.name == *name).map(|port| port.number),
        }
    }
}
