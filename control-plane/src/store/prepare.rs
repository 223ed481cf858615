//! What a write makes of the objects there are: a pure function, the same for every home.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::Value;

use crate::model::name::Key;
use crate::store::error::StoreError;
use crate::store::object::{Object, content};
use crate::store::revision::{Change, Expected, Intent, Outcome, Revision};

/// What happens to each object when a write becomes revision `version`.
pub(super) fn prepare(
    current: impl Fn(&Key) -> Option<Object>,
    intents: Vec<Intent>,
    version: u64,
    now: SystemTime,
) -> Result<Vec<Outcome>, StoreError> {
    let mut seen = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(intents.len());
    for Intent { key, wanted, expected } in intents {
        if !seen.insert(key.clone()) {
            return Err(StoreError::Twice(key));
        }
        let before = current(&key);
        check(&key, expected, before.as_ref().map(Object::version))?;
        let after = match (wanted, &before) {
            (None, None) => return Err(StoreError::NotFound(key)),
            (None, Some(_)) => None,
            (Some(wanted), Some(before)) if content(wanted.clone()) == content(before.value()) => Some(before.clone()),
            (Some(wanted), before) => {
                let stamped = Object::stamped(before.as_ref(), wanted, version, now);
                Some(stamped.ok_or_else(|| StoreError::Shapeless(key.clone()))?)
            }
        };
        outcomes.push(Outcome { key, before, after });
    }
    Ok(outcomes)
}

fn check(key: &Key, expected: Expected, actual: Option<u64>) -> Result<(), StoreError> {
    let holds = match expected {
        Expected::Any => true,
        Expected::Absent => actual.is_none(),
        Expected::Present => actual.is_some(),
        Expected::Version(version) => actual == Some(version),
    };
    if holds { Ok(()) } else { Err(StoreError::Conflict { key: key.clone(), expected, actual }) }
}

/// What changed of what happened.
pub(super) fn changes(outcomes: &[Outcome]) -> Vec<Change> {
    let changed = outcomes.iter().filter(|outcome| outcome.before != outcome.after);
    changed.map(|Outcome { key, before, after }| Change { key: key.clone(), before: before.clone(), after: after.clone() }).collect()
}

/// What undoes revisions, which are given oldest first.
pub(super) fn undo(revisions: &[Revision]) -> Vec<Intent> {
    let mut first: BTreeMap<&Key, Option<Value>> = BTreeMap::new();
    let mut last: BTreeMap<&Key, bool> = BTreeMap::new();
    for change in revisions.iter().flat_map(|revision| &revision.changes) {
        first.entry(&change.key).or_insert_with(|| change.before.as_ref().map(Object::value));
        last.insert(&change.key, change.after.is_some());
    }
    // What was not there then and is not there now needs no deletion.
    let differing = first.into_iter().filter(|(key, wanted)| wanted.is_some() || last.get(key) == Some(&true));
    differing.map(|(key, wanted)| Intent { key: key.clone(), wanted, expected: Expected::Any }).collect()
}
