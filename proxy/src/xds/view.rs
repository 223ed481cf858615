//! What a server or a watched file has told, resource by resource, as operators see it: what serves, what waits, what was refused and why.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use prost_types::Any;

use crate::config::snapshot::Snapshot;
use crate::xds::inventory::{Inventory, Known, Origin, Refused, Table};
use crate::xds::resource::Kind;
use crate::xds::subscription::Wanted;

/// One resource.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// How far it has come.
    pub state: State,
    /// The last good one; `None` when there was none yet.
    pub good: Option<Good<'a>>,
    /// A later one that was refused.
    pub refused: Option<&'a Refused>,
}

/// A good resource.
#[derive(Clone, Copy, Debug)]
pub struct Good<'a> {
    /// The server's name for this state of it.
    pub version: &'a str,
    /// As it came.
    pub body: &'a Any,
    /// When it was accepted.
    pub since: SystemTime,
}

/// How far a resource has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It serves.
    Active,
    /// It waits for others; where there was one before, that one serves.
    Warming,
    /// It was asked for and has not come.
    Requested,
    /// None of its name was good yet.
    Refused,
}

/// How many resources of a type there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They serve.
    pub active: u64,
    /// They wait for others, or have not come.
    pub warming: u64,
    /// Their last change was refused.
    pub refused: u64,
}

/// Every resource that a server has sent, or a file has, or that was asked for by name, type by type, in the order of names.
pub fn all<'a>(inventory: &'a Inventory, serving: &'a Snapshot, wanted: &'a [(Kind, Wanted)]) -> Vec<Seen<'a>> {
    let listeners: HashMap<&str, _> = serving.listeners.iter().map(|listener| (listener.name.as_str(), listener)).collect();
    let scopes: HashMap<&str, _> = serving.scopes.iter().map(|scope| (scope.name.as_str(), scope)).collect();
    let mut seen = Vec::new();
    table(Kind::Cluster, &inventory.clusters, |name, value| is(serving.clusters.get(name), value), &mut seen);
    table(Kind::Endpoint, &inventory.endpoints, |_, _| true, &mut seen);
    table(Kind::Listener, &inventory.listeners, |name, value| is(listeners.get(name).copied(), value), &mut seen);
    // A state-of-the-world stream still brings those that nobody asks for any more.
    if wanted.contains(&(Kind::ScopedRoute, Wanted::All)) {
        table(Kind::ScopedRoute, &inventory.scopes, |name, value| is(scopes.get(name).copied(), value), &mut seen);
    }
    table(Kind::Route, &inventory.routes, |name, value| is(serving.route_tables.get(name), value), &mut seen);
    table(Kind::Secret, &inventory.secrets, |_, _| true, &mut seen);
    table(Kind::Names, &inventory.names, |_, _| true, &mut seen);
    let come: HashSet<(Kind, &str)> = seen.iter().map(|seen| (seen.kind, seen.name)).collect();
    for (kind, wanted) in wanted {
        let Wanted::Names(names) = wanted else { continue };
        let missing = names.iter().filter(|name| !come.contains(&(*kind, name.as_str())));
        seen.extend(missing.map(|name| Seen { kind: *kind, name, state: State::Requested, good: None, refused: None }));
    }
    seen
}

/// How many of each type.
pub fn count(seen: &[Seen<'_>]) -> Vec<(Kind, Count)> {
    let of = |kind| {
        let mut count = Count::default();
        for seen in seen.iter().filter(|seen| seen.kind == kind) {
            match seen.state {
                State::Active => count.active = count.active.saturating_add(1),
                State::Warming | State::Requested => count.warming = count.warming.saturating_add(1),
                State::Refused => {}
            }
            if seen.refused.is_some() {
                count.refused = count.refused.saturating_add(1);
            }
        }
        (kind, count)
    };
    Kind::ALL.into_iter().map(of).collect()
}

fn is<T>(serving: Option<&Arc<T>>, value: &Arc<T>) -> bool {
    serving.is_some_and(|serving| Arc::ptr_eq(serving, value))
}

fn table<'a, T>(kind: Kind, table: &'a Table<T>, serves: impl Fn(&str, &Arc<T>) -> bool, seen: &mut Vec<Seen<'a>>) {
    for (name, entry) in table.iter().filter(|(_, entry)| entry.origin != Origin::File) {
        let state = match &entry.known {
            None => State::Refused,
            Some(known) if known.value.as_ref().is_some_and(|value| serves(name, value)) => State::Active,
            Some(_) => State::Warming,
        };
        let good = entry.known.as_ref().and_then(good);
        seen.push(Seen { kind, name, state, good, refused: entry.refused.as_ref() });
    }
}

fn good<T>(known: &Known<T>) -> Option<Good<'_>> {
    Some(Good { version: &known.version, body: known.body.as_ref()?, since: known.since })
}

#[cfg(test)]
mod tests;
