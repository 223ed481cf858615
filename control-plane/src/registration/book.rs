use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::model::limits::Limits;
use crate::model::name::Name;
use crate::registration::claim::{Claim, permit};
use crate::registration::record::{Record, State, account, key};
use crate::store::records::{Put, Shelf};

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A sidecar whose stream is gone may come back.
    pub grace: Duration,
    /// An endpoint that is to go finishes what it has.
    pub drain: Duration,
    /// A sidecar may come back whose control plane is gone, or was started anew.
    pub orphan: Duration,
}

/// Registrations, as far as they are kept, with their versions.
pub type Kept = BTreeMap<Name, (Arc<Record>, u64)>;

/// The streams that are here, and what is being waited for.
#[derive(Debug)]
pub struct Book {
    me: String,
    times: Times,
    next: u64,
    held: BTreeMap<Name, Held>,
    /// Workloads that said goodbye, until they are gone.
    leaving: BTreeSet<Name>,
    waits: BTreeMap<Name, Wait>,
}

/// A workload whose sidecar is connected here.
#[derive(Debug)]
struct Held {
    object: Value,
    /// Which labels it may have.
    limits: Vec<Limits>,
    token: Option<String>,
    streams: BTreeSet<u64>,
    /// Its sidecar has taken its listeners.
    serves: bool,
    /// The record has said that it is here. When it no longer does, the sidecar has gone to another control plane.
    claimed: bool,
}

/// Since when nothing has been heard of one.
#[derive(Debug, PartialEq, Eq)]
struct Wait {
    since: Instant,
    state: State,
    ours: bool,
}

impl Book {
    /// Nobody is here yet.
    pub fn new(me: String, times: Times) -> Self {
        Self { me, times, next: 0, held: BTreeMap::new(), leaving: BTreeSet::new(), waits: BTreeMap::new() }
    }

    /// A stream begins; its number. What it says counts over what a stream before it has said. `None` if a stream for another account is
    /// here, or one for labels that this one may not have.
    pub fn enter(&mut self, claim: &Claim, token: Option<&str>) -> Option<u64> {
        let Claim { name, object, limits, .. } = claim.clone();
        if self.held.get(&name).is_some_and(|held| account(&held.object) != account(&object) || permit(&limits, &held.object).is_err()) {
            return None;
        }
        self.next = self.next.saturating_add(1);
        self.leaving.remove(&name);
        let streams = match self.held.remove(&name) {
            // One that is not known yet to be gone, or another sidecar of the same workload.
            Some(before) if before.object == object => before.streams,
            _ => BTreeSet::new(),
        };
        let mut held = Held { object, limits, token: token.map(ToOwned::to_owned), streams, serves: false, claimed: false };
        held.streams.insert(self.next);
        self.held.insert(name, held);
        Some(self.next)
    }

    /// The stream's sidecar has taken its listeners.
    pub fn serves(&mut self, name: &Name, stream: u64) {
        if let Some(held) = self.held.get_mut(name).filter(|held| held.streams.contains(&stream)) {
            held.serves = true;
        }
    }

    /// The stream is gone.
    pub fn leave(&mut self, name: &Name, stream: u64) {
        if let Some(held) = self.held.get_mut(name)
            && held.streams.remove(&stream)
            && held.streams.is_empty()
        {
            self.held.remove(name);
        }
    }

    /// The stream's sidecar says that it goes.
    pub fn goodbye(&mut self, name: &Name, stream: u64) {
        let is_here = self.held.get(name).is_some_and(|held| held.streams.contains(&stream));
        self.leave(name, stream);
        if is_here && !self.held.contains_key(name) {
            self.leaving.insert(name.clone());
        }
    }

    /// What is to be written now, and when to look again.
    pub fn due(&mut self, kept: &Kept, is_live: &dyn Fn(&str) -> bool, now: Instant) -> (Vec<Put>, Option<Instant>) {
        let mut puts = Vec::new();
        for (name, held) in &mut self.held {
            self.waits.remove(name);
            puts.extend(held.due(name, kept.get(name), &self.me, is_live));
        }
        let mut next = None;
        for (name, (record, version)) in kept.iter().filter(|(name, _)| !self.held.contains_key(*name)) {
            let ours = record.replica == self.me;
            if !ours && is_live(&record.replica) {
                // A goodbye that was said here is over: it has come back, at another one.
                self.leaving.remove(name);
                self.waits.remove(name);
                continue;
            }
            let wait = Wait { since: now, state: record.state, ours };
            let known = self.waits.entry(name.clone()).or_insert_with(|| Wait { ..wait });
            if (known.state, known.ours) != (wait.state, wait.ours) {
                *known = wait;
            }
            let patience = match record.state {
                State::Draining => self.times.drain,
                State::Joining | State::Serving if self.leaving.contains(name) => Duration::ZERO,
                State::Joining | State::Serving if ours => self.times.grace,
                State::Joining | State::Serving => self.times.orphan,
            };
            let until = known.since + patience;
            if now < until {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
                continue;
            }
            let drained = Record { state: State::Draining, replica: self.me.clone(), ..Record::clone(record) };
            puts.push(put(name, (record.state == State::Serving).then_some(&drained), *version));
        }
        self.waits.retain(|name, _| kept.contains_key(name));
        self.leaving.retain(|name| kept.contains_key(name));
        (puts, next)
    }
}

impl Held {
    /// What is to be written so that it is known to be here.
    fn due(&mut self, name: &Name, kept: Option<&(Arc<Record>, u64)>, me: &str, is_live: &dyn Fn(&str) -> bool) -> Option<Put> {
        let here = kept.is_some_and(|(record, _)| record.replica == me);
        // Only a new stream takes it back from another control plane that lives: two would go on taking it from each other.
        if !here && self.claimed && kept.is_some_and(|(record, _)| is_live(&record.replica)) {
            return None;
        }
        // It was registered for another account meanwhile, elsewhere, or as something that this one may not be.
        let is_anothers = |record: &Record| record.account() != account(&self.object) || permit(&self.limits, &record.object).is_err();
        if kept.is_some_and(|(record, _)| is_anothers(record)) {
            return None;
        }
        self.claimed = here;
        let same = kept.filter(|(record, _)| record.object == self.object);
        let state = if self.serves { State::Serving } else { same.map_or(State::Joining, |(record, _)| record.state) };
        let wanted = Record { object: self.object.clone(), token: self.token.clone(), replica: me.to_owned(), state };
        let version = kept.map_or(0, |(_, version)| *version);
        kept.is_none_or(|(record, _)| **record != wanted).then(|| put(name, Some(&wanted), version))
    }
}

fn put(name: &Name, record: Option<&Record>, version: u64) -> Put {
    Put { shelf: Shelf::Registrations, key: key(name), text: record.map(Record::text), expected: Some(version) }
}

#[cfg(test)]
mod tests;
