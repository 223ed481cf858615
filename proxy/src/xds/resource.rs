//! The seven types of resources, and what every one of them has: a name, a version, a time to live.

use std::fmt;
use std::time::Duration;

use prost::Message as _;
use prost_types::Any;
use xds_proto::any::{self, UnpackError};
use xds_proto::envoy::service::discovery::v3::Resource;
use xds_proto::istio::networking::nds::v1::NameTable;
use xds_proto::type_url;

use crate::xds::invalid::Faults;

/// A type of resource, in the order in which they are asked for: what is referred to comes before what refers to it, but for
/// routes and secrets, whose names listeners and clusters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Cluster` (CDS).
    Cluster,
    /// `ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `Listener` (LDS).
    Listener,
    /// `ScopedRouteConfiguration` (SRDS).
    ScopedRoute,
    /// `RouteConfiguration` (RDS).
    Route,
    /// `Secret` (SDS).
    Secret,
    /// `NameTable` (Istio's NDS).
    Names,
}

impl Kind {
    /// Every one, in order.
    pub const ALL: [Self; 7] = [Self::Cluster, Self::Endpoint, Self::Listener, Self::ScopedRoute, Self::Route, Self::Secret, Self::Names];

    /// As it is named on the wire.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => type_url::CLUSTER,
            Self::Endpoint => type_url::CLUSTER_LOAD_ASSIGNMENT,
            Self::Listener => type_url::LISTENER,
            Self::ScopedRoute => type_url::SCOPED_ROUTE_CONFIGURATION,
            Self::Route => type_url::ROUTE_CONFIGURATION,
            Self::Secret => type_url::SECRET,
            Self::Names => type_url::NAME_TABLE,
        }
    }

    /// The type of this name, whatever its domain, as in Envoy.
    pub fn from_type_url(url: &str) -> Option<Self> {
        let name = any::type_name(url)?;
        Self::ALL.into_iter().find(|kind| any::type_name(kind.type_url()) == Some(name))
    }

    /// Whether a state-of-the-world answer lists all there are, so that what it leaves out is gone. Of the other types it may
    /// list only some (xDS protocol, "Deleting Resources").
    pub const fn is_listed_whole(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::ScopedRoute | Self::Names)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoints",
            Self::Listener => "listener",
            Self::ScopedRoute => "scoped routes",
            Self::Route => "routes",
            Self::Secret => "secret",
            Self::Names => "names",
        })
    }
}

/// A resource as a server offers it.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// The server's name for this state of it.
    pub version: String,
    /// How long it holds unless the server says so again; `None` is for good.
    pub ttl: Option<Duration>,
    /// The resource. `None` is a heartbeat: as before, for another time to live.
    pub body: Option<Any>,
}

/// A resource that is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Its name, where it can be told.
    pub name: Option<String>,
    /// What is wrong with it.
    pub faults: Faults,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.as_deref().unwrap_or("(no name)"), self.faults)
    }
}

/// Where resources go.
pub trait Sink {
    /// Takes a resource, or says what is wrong with it; then the last good one stays.
    ///
    /// # Errors
    /// All of its faults.
    fn offer(&mut self, kind: Kind, offered: &Offered) -> Result<(), Faults>;

    /// All of an answer was offered. Of what was taken, this cannot be there together with the rest, and was taken back: why.
    fn settle(&mut self, kind: Kind) -> Vec<(String, Faults)>;

    /// The server says that there is no such resource.
    fn remove(&mut self, kind: Kind, name: &str);

    /// Names of all resources of a type that the server has sent and not taken back.
    fn names(&self, kind: Kind) -> Vec<String>;
}

/// All types but that of names have their name in field 1.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// A resource in an answer of the state of the world: as it is, or in a `Resource` that adds a version and a time to live.
///
/// # Errors
/// Of another type, malformed, or without a name.
pub fn read(kind: Kind, packed: &Any, version: &str) -> Result<Offered, Refusal> {
    if any::is::<Resource>(packed) {
        let wrapped: Resource = any::unpack(packed).map_err(|error| nameless(&error))?;
        let version = if wrapped.version.is_empty() { version.to_owned() } else { wrapped.version.clone() };
        return read_wrapped(kind, &Resource { version, ..wrapped });
    }
    let name = name_of(kind, packed).map_err(|faults| Refusal { name: None, faults })?;
    Ok(Offered { name, version: version.to_owned(), ttl: None, body: Some(packed.clone()) })
}

/// A resource in a delta answer.
///
/// # Errors
/// As [`read`]; and if the name beside it is not the name in it.
pub fn read_wrapped(kind: Kind, wrapped: &Resource) -> Result<Offered, Refusal> {
    let refuse = |faults| Refusal { name: Some(wrapped.name.clone()).filter(|name| !name.is_empty()), faults };
    let ttl = match &wrapped.ttl {
        None => None,
        Some(ttl) => Some(Duration::try_from(*ttl).map_err(|_| refuse(Faults::one("ttl: negative")))?),
    };
    let name = match &wrapped.resource {
        None if wrapped.name.is_empty() => return Err(refuse(Faults::one("neither a name nor a resource"))),
        None => wrapped.name.clone(),
        Some(packed) => {
            let inside = name_of(kind, packed).map_err(refuse)?;
            if kind == Kind::Names {
                // Their name is beside them, and Istio gives the one that it has none.
                wrapped.name.clone()
            } else if !wrapped.name.is_empty() && wrapped.name != inside {
                return Err(refuse(Faults::one(format_args!("the resource inside is named {inside:?}"))));
            } else {
                inside
            }
        }
    };
    Ok(Offered { name, version: wrapped.version.clone(), ttl, body: wrapped.resource.clone() })
}

/// The name of a resource that was read, or refused; `None` where it cannot be told.
pub fn name(read: &Result<Offered, Refusal>) -> Option<&str> {
    match read {
        Ok(offered) => Some(&offered.name),
        Err(refusal) => refusal.name.as_deref(),
    }
}

fn nameless(error: &UnpackError) -> Refusal {
    Refusal { name: None, faults: Faults::one(error) }
}

fn name_of(kind: Kind, packed: &Any) -> Result<String, Faults> {
    if Kind::from_type_url(&packed.type_url) != Some(kind) {
        return Err(Faults::one(format_args!("of type {:?} in an answer of type {:?}", packed.type_url, kind.type_url())));
    }
    if kind == Kind::Names {
        let table = NameTable::decode(packed.value.as_slice()).map_err(|error| Faults::one(format_args!("malformed: {error}")))?;
        return Ok(table.table.into_keys().next().unwrap_or_default());
    }
    let named = Named::decode(packed.value.as_slice()).map_err(|error| Faults::one(format_args!("malformed: {error}")))?;
    if named.name.is_empty() {
        return Err(Faults::one("a name is required"));
    }
    Ok(named.name)
}

#[cfg(test)]
mod tests;
