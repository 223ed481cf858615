//! Hosts of the mesh and their addresses, for the proxy's DNS.

use std::net::{IpAddr, SocketAddr};

/// Hosts that a resource tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By name, in lower case and without a dot at the end; one that begins with `*.` stands for all below it.
    pub hosts: Vec<(String, Host)>,
    /// Of the host that the resource itself is named after.
    pub own: Option<Host>,
}

/// What is known of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its addresses; it may have none.
    pub addresses: Vec<IpAddr>,
    /// Which service of the mesh it is; `None`: it is outside.
    pub service: Option<Service>,
}

/// A service of the mesh, which has shorter names besides its host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub namespace: String,
}

/// How the proxy answers questions for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameService {
    /// Where; loopback addresses. One that this machine does not have is left out where nobody asked for it by name.
    pub addresses: Vec<SocketAddr>,
    /// The addresses were asked for.
    pub are_given: bool,
    /// Whom it asks for names that it does not know; none: whom `/etc/resolv.conf` names.
    pub resolvers: Vec<SocketAddr>,
}
