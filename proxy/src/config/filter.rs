//! HTTP filters: what may stop a request before it is routed to a cluster. A closed set, run in the order written.

use crate::config::access::HttpAccess;

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
