//! Scoped routes: several route tables for one listener, of which each request's headers choose one.

use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;

use crate::config::RouteTableName;
use crate::config::matcher::{MatchedName, RequestHeaders};
use crate::config::route::RouteTable;
use crate::config::snapshot::Snapshot;

/// `envoy.extensions.filters.network.http_connection_manager.v3.ScopedRoutes`.
#[derive(Clone, Debug)]
pub struct ScopedRoutes {
    /// Where the parts of a request's key are; at least one.
    pub key: Vec<KeyFragment>,
    /// Where the scopes are.
    pub source: ScopeSource,
}

/// Where a part of a request's key is. Only the first value of the header counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFragment {
    /// The header.
    pub header: MatchedName,
    /// What is between the elements of its value; empty: the value is the one element.
    pub element_separator: String,
    /// Which element.
    pub extract: Extract,
}

/// Which element of a header's value is a part of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extract {
    /// The one at this place, from 0.
    Index(usize),
    /// Of the first whose name is `key`, what comes after the `separator`; nothing, where there is none.
    Element {
        /// What is between name and value; not empty.
        separator: String,
        /// The name.
        key: String,
    },
}

/// Where scopes are.
#[derive(Clone, Debug)]
pub enum ScopeSource {
    /// Written in the listener.
    Inline(Scopes),
    /// Served by SRDS: all that the server has.
    Served {
        /// How long the listener waits for the first answer; `None` is for ever.
        fetch_timeout: Option<Duration>,
        /// Likewise for the route tables that they name.
        tables_timeout: Option<Duration>,
    },
}

/// `envoy.config.route.v3.ScopedRouteConfiguration`: a key, and the routes of requests that have it.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// The parts of its key; at least one.
    pub key: Vec<String>,
    /// Its routes.
    pub table: ScopeTable,
}

/// The routes of a scope.
#[derive(Clone, Debug)]
pub enum ScopeTable {
    /// Written in it.
    Inline(Arc<RouteTable>),
    /// Served by RDS.
    Named(RouteTableName),
}

/// Scopes in the order of their keys.
#[derive(Clone, Debug, Default)]
pub struct Scopes(Arc<[Arc<Scope>]>);

impl ScopedRoutes {
    /// The routes of a request; `None` where it has no scope, or that has no routes.
    pub fn table<'a>(&'a self, request: &impl RequestHeaders, snapshot: &'a Snapshot) -> Option<&'a Arc<RouteTable>> {
        let scopes = match &self.source {
            ScopeSource::Inline(scopes) => scopes,
            ScopeSource::Served { .. } => &snapshot.scopes,
        };
        match &scopes.find(&self.key, request)?.table {
            ScopeTable::Inline(table) => Some(table),
            ScopeTable::Named(name) => snapshot.route_tables.get(name),
        }
    }
}

impl FromIterator<Arc<Scope>> for Scopes {
    /// Whoever makes them has seen to it that no two have the same key.
    fn from_iter<I: IntoIterator<Item = Arc<Scope>>>(scopes: I) -> Self {
        let mut scopes: Vec<_> = scopes.into_iter().collect();
        scopes.sort_by(|one, other| one.key.cmp(&other.key));
        Self(scopes.into())
    }
}

impl Scopes {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Scope>> {
        self.0.iter()
    }

    /// The scope whose key is that of a request; `None` where a part of it is missing, too.
    pub fn find(&self, key: &[KeyFragment], request: &impl RequestHeaders) -> Option<&Arc<Scope>> {
        // The order of keys is that of their first parts, then of their second: each part leaves a range, and nothing is allocated.
        let mut left = &*self.0;
        for (place, fragment) in key.iter().enumerate() {
            let value = fragment.of(request)?;
            let begin = left.partition_point(|scope| scope.part(place) < Some(value));
            left = left.get(begin..)?;
            let end = left.partition_point(|scope| scope.part(place) == Some(value));
            left = left.get(..end)?;
        }
        // Shorter keys are first in their range, and there is one of each.
        left.first().filter(|scope| scope.key.len() == key.len())
    }
}

impl Scope {
    fn part(&self, place: usize) -> Option<&[u8]> {
        self.key.get(place).map(String::as_bytes)
    }
}

impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.iter().zip(other.iter()).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

impl KeyFragment {
    /// The part of a request's key, if it is there.
    pub fn of<'a>(&self, request: &'a impl RequestHeaders) -> Option<&'a [u8]> {
        let value = match &self.header {
            MatchedName::Field(name) => request.fields().get(name)?.as_bytes(),
            MatchedName::Method => request.method().as_bytes(),
            // A CONNECT has none.
            MatchedName::Path => Some(request.path().as_bytes()).filter(|path| !path.is_empty())?,
            MatchedName::Authority => request.authority().as_bytes(),
            MatchedName::Scheme => request.scheme().as_bytes(),
        };
        match &self.extract {
            Extract::Index(index) => elements(value, self.element_separator.as_bytes()).nth(*index),
            Extract::Element { separator, key } => elements(value, self.element_separator.as_bytes()).find_map(|element| {
                let (name, value) = cut(element, separator.as_bytes()).unwrap_or((element, b""));
                (name == key.as_bytes()).then_some(value)
            }),
        }
    }
}

fn elements<'a, 'b>(value: &'a [u8], separator: &'b [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest.take()?;
        let (element, after) = cut(value, separator).map_or((value, None), |(element, after)| (element, Some(after)));
        rest = after;
        Some(element)
    })
}

/// What is before and after the first separator.
fn cut<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = memmem::find(text, separator)?;
    Some((text.get(..at)?, text.get(at.checked_add(separator.len())?..)?))
}

#[cfg(test)]
mod tests;
