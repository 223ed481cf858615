//! Endpoints that somebody else counts: `EndpointSlice`.

use std::net::IpAddr;
use std::sync::Arc;

use crate::model::name::Name;
use crate::model::workload::Locality;

/// An `EndpointSlice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Its name.
    pub name: Name,
    /// Whose endpoints they are.
    pub service: Name,
    /// Ports, by the names of the service's ports.
    pub ports: Vec<(Arc<str>, u16)>,
    /// Addresses.
    pub endpoints: Vec<SliceEndpoint>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Where it is reached.
    pub address: IpAddr,
    /// What it can do.
    pub condition: Condition,
    /// Where it is.
    pub locality: Locality,
}

/// What an endpoint can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Takes new requests.
    Ready,
    /// Ends, and finishes what it has. New requests go there only if there is nobody else.
    Draining,
    /// Takes none.
    NotReady,
}
