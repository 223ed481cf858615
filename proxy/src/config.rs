//! The model that the data path reads: plain data, without I/O, protobuf or async.
//!
//! Every value here is already valid: whoever holds one need not check again. Parsers of wire types live in `xds`.

/// Who may do what.
pub mod access;
/// Where and when access-log lines are written.
pub mod access_log;
/// Addresses, address ranges, socket settings.
pub mod address;
/// What a proxy starts from.
pub mod bootstrap;
/// Clusters: balancing policy, limits, protocol, names to resolve.
pub mod cluster;
/// Values that change while others refer to them.
pub mod current;
/// Endpoints, their localities, priorities and weights.
pub mod endpoint;
/// A service outside that decides about requests.
pub mod ext_authz;
/// HTTP filters: what may stop a request.
pub mod filter;
/// Envoy's substitution format (`%REQ(X)%`), parsed.
pub mod format;
/// Header mutations.
pub mod headers;
/// HTTP connection manager: what is done to every request of a listener.
pub mod http;
/// Certificates to show, peers to accept.
pub mod identity;
/// Tokens of requests.
pub mod jwt;
/// Listeners, filter chains, how a connection is matched to one.
pub mod listener;
/// String, header and number matchers.
pub mod matcher;
/// Hosts of the mesh and their addresses.
pub mod names;
/// Which clusters and route tables a configuration names.
pub mod references;
/// Virtual hosts, routes, actions, retry and timeout policy.
pub mod route;
/// Scoped routes: one of several route tables, by a request's headers.
pub mod scope;
/// One immutable, self-consistent set of all of it.
pub mod snapshot;
/// Where resources come from.
pub mod source;
/// TCP proxy.
pub mod tcp;
/// Tracing.
pub mod trace;

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Makes a cheap, shared name type that is not mixed up with another kind of name.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(Arc::from(name))
            }
        }

        impl From<String> for $name {
            fn from(name: String) -> Self {
                Self(Arc::from(name))
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// The name of a cluster.
    ClusterName
);
name_type!(
    /// The name of a listener.
    ListenerName
);
name_type!(
    /// The name of a route table (`RouteConfiguration`).
    RouteTableName
);

/// A share of requests, in parts per million (`FractionalPercent`, HUNDRED / TEN_THOUSAND / MILLION brought to one scale).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction(u32);

impl Fraction {
    /// The whole.
    pub const ALL: Self = Self(1_000_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// `parts` of a million; more than a million is everything.
    pub fn per_million(parts: u32) -> Self {
        Self(parts.min(1_000_000))
    }

    /// A percentage; `None` if it is not between 0 and 100.
    pub fn percent(percent: f64) -> Option<Self> {
        if !(0.0..=100.0).contains(&percent) {
            return None;
        }
        #[expect(
            clippy::as_conversions,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number from 0 to a million"
        )]
        let parts = (percent * 10_000.0).round() as u32;
        Some(Self(parts))
    }

    /// Whether a draw (any u64, evenly distributed) falls inside.
    pub fn contains(self, draw: u64) -> bool {
        draw % 1_000_000 < u64::from(self.0)
    }
}
