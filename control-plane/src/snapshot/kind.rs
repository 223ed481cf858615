use std::fmt;

use xds_proto::any;
use xds_proto::type_url;

/// A type of resource, in the order in which changes are sent: what is referred to before what refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `Cluster` (CDS).
    Cluster,
    /// `ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `Listener` (LDS).
    Listener,
    /// `RouteConfiguration` (RDS).
    Route,
    /// `Secret` (SDS).
    Secret,
    /// `NameTable` (Istio's NDS).
    Names,
}

impl Kind {
    /// Every one, in order.
    pub const ALL: [Self; 6] = [Self::Cluster, Self::Endpoint, Self::Listener, Self::Route, Self::Secret, Self::Names];

    /// As it is named on the wire.
    pub const fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => type_url::CLUSTER,
            Self::Endpoint => type_url::CLUSTER_LOAD_ASSIGNMENT,
            Self::Listener => type_url::LISTENER,
            Self::Route => type_url::ROUTE_CONFIGURATION,
            Self::Secret => type_url::SECRET,
            Self::Names => type_url::NAME_TABLE,
        }
    }

    /// Its place in [`ALL`](Self::ALL).
    pub const fn index(self) -> usize {
        match self {
            Self::Cluster => 0,
            Self::Endpoint => 1,
            Self::Listener => 2,
            Self::Route => 3,
            Self::Secret => 4,
            Self::Names => 5,
        }
    }

    /// Whether a state-of-the-world answer lists everything that was asked for, so that what is not in it does not exist.
    pub const fn is_listed_whole(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener | Self::Names)
    }

    /// The type of this name, whatever its domain.
    pub fn from_type_url(url: &str) -> Option<Self> {
        let name = any::type_name(url)?;
        Self::ALL.into_iter().find(|kind| any::type_name(kind.type_url()) == Some(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "clusters",
            Self::Endpoint => "endpoints",
            Self::Listener => "listeners",
            Self::Route => "routes",
            Self::Secret => "secrets",
            Self::Names => "names",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_place_and_its_url() {
        for (index, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
        }
    }
}
