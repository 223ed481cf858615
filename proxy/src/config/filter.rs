//! HTTP filters: what may stop a request before it is routed to a cluster. A closed set, run in the order written.

use crate::config::ClusterName;
use crate::config::access::HttpAccess;
use crate::config::ext_authz::{CheckOverride, ExternalAuthorization};
use crate::config::jwt::{JwtAuthentication, JwtOverride};

/// A filter of a connection manager.
#[derive(Clone, Debug)]
pub struct HttpFilter {
    /// Its name, by which routes set it.
    pub name: String,
    /// Runs only where a route says so.
    pub disabled: bool,
    /// What it does.
    pub kind: FilterKind,
}

/// What a filter does.
#[derive(Clone, Debug)]
pub enum FilterKind {
    /// Decides who may do what.
    Access(HttpAccess),
    /// Verifies tokens.
    Jwt(Box<JwtAuthentication>),
    /// Asks a service.
    External(Box<ExternalAuthorization>),
}

impl FilterKind {
    /// The clusters that it asks.
    pub fn clusters(&self) -> Vec<&ClusterName> {
        match self {
            Self::Access(_) => Vec::new(),
            Self::Jwt(tokens) => tokens.remotes().map(|remote| &remote.cluster).collect(),
            Self::External(external) => vec![external.service.cluster()],
        }
    }
}

/// What a route, virtual host or table says about filters, by their names.
#[derive(Clone, Debug, Default)]
pub struct FilterOverrides(Vec<(String, FilterOverride)>);

/// What is said about one filter.
#[derive(Clone, Debug)]
pub enum FilterOverride {
    /// It does not run.
    Disabled,
    /// It runs, as the connection manager has it.
    Enabled,
    /// It runs as this.
    Kind(FilterKind),
    /// It verifies tokens, with another requirement.
    Jwt(JwtOverride),
    /// It asks a service, and tells it more.
    External(CheckOverride),
}

impl FilterOverrides {
    /// Each name once.
    pub fn new(overrides: Vec<(String, FilterOverride)>) -> Self {
        Self(overrides)
    }

    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is said about a filter.
    pub fn of(&self, name: &str) -> Option<&FilterOverride> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, said)| said)
    }
}
