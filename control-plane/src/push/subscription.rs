//! What a stream asks for of one type, and what its client holds of it.
//!
//! The client holds what one snapshot says, with few exceptions: so a stream that is up to date refers to that snapshot, which it
//! shares with all others, and lists nothing. A pass brings the client from there to the next snapshot, in pieces if it is long;
//! what it removes is listed as leaving until it is time to say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::push::Common;
use crate::push::batch::Resources;
use crate::push::names::Names;
use crate::push::pass::Pass;
use crate::snapshot::Snapshot;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};

/// See the module.
#[derive(Debug)]
pub struct Subscription {
    kind: Kind,
    wildcard: bool,
    names: Names,
    /// What the client was sent in whole.
    base: Arc<Snapshot>,
    /// Where the client differs from `base`. Only names that are asked for.
    except: BTreeMap<Arc<str>, State>,
    /// Something was asked for since the last pass began.
    asked: bool,
    /// An answer is due even if there is nothing to be said.
    owed: bool,
    pass: Option<Pass>,
}

/// What the client has of a name.
#[derive(Clone, Debug)]
pub enum State {
    /// It waits to be told.
    Asked,
    /// Content that it was once sent.
    Holds(Version),
    /// Content that no longer exists.
    Leaving(Arc<Resource>),
}

impl State {
    fn version(&self) -> Option<Version> {
        match self {
            Self::Asked => None,
            Self::Holds(version) => Some(*version),
            Self::Leaving(resource) => Some(resource.version),
        }
    }
}

/// It may hold something, and no content has this version.
const UNKNOWN: State = State::Holds(Version::NONE);

/// What the client has of one name.
#[derive(Debug)]
pub struct Holding {
    /// The name.
    pub name: Arc<str>,
    /// What it was sent.
    pub version: Option<Version>,
    /// The same, unless it is an old one.
    pub resource: Option<Arc<Resource>>,
}

/// A piece of a pass.
#[derive(Debug, Default)]
pub struct Piece {
    /// What is new to the client.
    pub resources: Resources,
    /// What was asked for and does not exist.
    pub missing: Vec<Arc<str>>,
    /// Whether it is to be sent even if it is empty.
    pub owed: bool,
}

impl Piece {
    /// Whether nothing is to be sent.
    pub fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.missing.is_empty() && !self.owed
    }
}

impl Subscription {
    /// Nothing is asked for yet.
    pub fn new(kind: Kind) -> Self {
        let (base, except) = (Arc::default(), BTreeMap::new());
        Self { kind, wildcard: false, names: Names::default(), base, except, asked: false, owed: false, pass: None }
    }

    /// Whether a name is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether all names are asked for.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names that are asked for one by one.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// All names are asked for, whatever they are.
    pub fn ask_all(&mut self) {
        if self.wildcard {
            return;
        }
        self.wildcard = true;
        // `base` says nothing of what was not asked for. What is held of single names is sent again or named as gone: this is too
        // rare to keep account of.
        self.base = Arc::default();
        self.pass = None;
        self.except.retain(|_, state| matches!(state, State::Leaving(_)));
        for name in self.names.iter() {
            self.except.entry(Arc::clone(name)).or_insert(UNKNOWN);
        }
        self.asked = true;
        self.owed = true;
    }

    /// Of all names only those that are asked for one by one stay.
    pub fn drop_all(&mut self) {
        self.wildcard = false;
        self.except.retain(|name, _| self.names.contains(name));
    }

    /// A name is asked for, again or for the first time: the client is to be told.
    pub fn ask(&mut self, name: &str, now: &Snapshot) {
        let resource = now.get(self.kind, name);
        let name = resource.map_or_else(|| Arc::from(name), |resource| Arc::clone(&resource.name));
        // Without a pass, what `base` lacks is found by comparing. What is nowhere is of interest where a client waits to hear so.
        let is_new = self.pass.is_none() && self.base.get(self.kind, &name).is_none() && !self.except.contains_key(&name);
        if !is_new || self.kind.is_listed_whole() {
            self.unsettle(&name, is_new);
        }
        self.names.insert(name);
        self.asked = true;
    }

    /// The client is to be told of a name whatever it holds of it, which may be something.
    fn unsettle(&mut self, name: &Arc<str>, is_new: bool) {
        let state = if is_new { State::Asked } else { UNKNOWN };
        match self.except.get_mut(name) {
            None => drop(self.except.insert(Arc::clone(name), state)),
            Some(held @ State::Holds(_)) => *held = UNKNOWN,
            Some(State::Asked | State::Leaving(_)) => {}
        }
    }

    /// A name is no longer asked for.
    pub fn drop(&mut self, name: &str) {
        if !self.names.remove(name) {
            return;
        }
        if self.wildcard {
            // It is to hear whether the name is among all, or else it must forget it.
            self.unsettle(&Arc::from(name), false);
            self.asked = true;
        } else {
            self.except.remove(name);
        }
    }

    /// The client says on a new stream what it holds from an earlier one.
    pub fn resume(&mut self, now: &Arc<Snapshot>, mut held: BTreeMap<String, Version>) {
        self.base = Arc::clone(now);
        self.except.clear();
        let mut compare = |name: &Arc<str>, resource: Option<&Arc<Resource>>, whole: bool| {
            let holds = held.remove(name.as_ref());
            let state = holds.map_or(State::Asked, State::Holds);
            let differs = holds != resource.map(|resource| resource.version) || (holds.is_none() && whole);
            if differs {
                self.except.insert(Arc::clone(name), state);
            }
        };
        let whole = self.kind.is_listed_whole();
        self.names.iter().for_each(|name| compare(name, now.get(self.kind, name), whole));
        if self.wildcard {
            let all = now.of(self.kind).flat_map(|set| set.iter()).filter(|resource| !self.names.contains(&resource.name));
            all.for_each(|resource| compare(&resource.name, Some(resource), false));
            self.except.extend(held.into_iter().map(|(name, version)| (Arc::from(name), State::Holds(version))));
        }
        self.asked = true;
    }

    /// A resource is to be sent again although the client holds it.
    pub fn again(&mut self, name: &str, now: &Snapshot) {
        if let Some(resource) = now.get(self.kind, name)
            && self.wants(name)
        {
            self.unsettle(&resource.name, false);
            self.asked = true;
        }
    }

    /// Everything that is asked for is to be sent again.
    pub fn all_again(&mut self) {
        self.base = Arc::default();
        self.pass = None;
        self.except.clear();
        self.asked = true;
        self.owed = self.kind.is_listed_whole();
    }

    /// Nothing is going on: shares what can be shared with other streams.
    pub fn rest(&mut self, common: &Common) {
        self.names.settle(&common.lists);
    }

    /// Refers to the newest snapshot where it says the same, so that no older one is kept for it.
    pub fn settle(&mut self, now: &Arc<Snapshot>) {
        if self.base.shares(self.kind, now) {
            self.base = Arc::clone(now);
        }
    }

    /// Whether a pass is on its way.
    pub fn is_passing(&self) -> bool {
        self.pass.is_some()
    }

    /// Whether a pass could find something to send.
    pub fn needs_pass(&self, now: &Snapshot) -> bool {
        self.asked || self.owed || !self.base.shares(self.kind, now)
    }

    /// The next piece of a pass, which is begun if there is none: about as many bytes as there is room for, or else everything.
    /// `None` when there is nothing to send.
    pub fn piece(&mut self, now: &Arc<Snapshot>, room: Option<usize>, common: &Common) -> Option<Piece> {
        if self.pass.is_none() && !self.needs_pass(now) {
            return None;
        }
        let mut pass = self.pass.take().unwrap_or_else(|| self.begin(now, room, common));
        let mut piece = Piece::default();
        // What is gathered for this client and what is sent to many are two answers. Either may come to nothing, and the other after it.
        while piece.resources.is_empty() && !pass.is_over() {
            let (mut own, mut taken) = (Vec::new(), 0);
            while room.is_none_or(|room| taken < room) {
                let Some(resource) = self.step(&mut pass, &mut piece) else { break };
                taken += resource.any.len() + resource.name.len();
                own.push(resource);
            }
            let page = if own.is_empty() { pass.page() } else { None };
            piece.resources = page.unwrap_or_else(|| own.into());
        }
        if pass.is_over() {
            self.end(pass);
        } else {
            self.pass = Some(pass);
        }
        piece.owed = std::mem::take(&mut self.owed);
        (!piece.is_nothing()).then_some(piece)
    }

    fn begin(&mut self, now: &Arc<Snapshot>, room: Option<usize>, common: &Common) -> Pass {
        self.asked = false;
        let mut pass = Pass::new(self.kind, &self.base, now, self.except.keys().rev().cloned().collect());
        if let Some(room) = room
            && pass.asked.is_empty()
        {
            self.names.settle(&common.lists);
            let names = (!self.wildcard).then_some(&self.names);
            pass.share(self.kind, &self.base, names, room, &common.batches);
        }
        pass
    }

    /// The next resource to send.
    fn step(&mut self, pass: &mut Pass, piece: &mut Piece) -> Option<Arc<Resource>> {
        while let Some(name) = pass.asked.pop() {
            let Some(state) = self.except.get_mut(&name) else { continue };
            match pass.target.get(self.kind, &name) {
                Some(resource) if state.version() == Some(resource.version) => {}
                Some(resource) => {
                    *state = State::Holds(resource.version);
                    return Some(Arc::clone(resource));
                }
                None if state.version().is_none() => {
                    self.except.remove(&name);
                    // What is about to come is not called missing: a client would go on without it.
                    if self.kind.is_listed_whole() {
                        piece.missing.push(name);
                    }
                }
                None => {}
            }
        }
        while let Some(resource) = pass.candidate() {
            let held = || self.base.get(self.kind, &resource.name).is_some_and(|held| held.version == resource.version);
            if self.wants(&resource.name) && !self.except.contains_key(&resource.name) && !held() {
                return Some(resource);
            }
        }
        None
    }

    fn end(&mut self, pass: Pass) {
        for resource in pass.removed() {
            let stays = pass.target.get(self.kind, &resource.name).is_some() || self.except.contains_key(&resource.name);
            if !stays && self.wants(&resource.name) {
                self.except.insert(Arc::clone(&resource.name), State::Leaving(Arc::clone(resource)));
            }
        }
        self.base = pass.target;
        self.except.retain(|name, state| state.version().is_none() || state.version() != version(&self.base, self.kind, name));
    }

    /// What the client holds and does not exist.
    pub fn leaving(&self) -> impl Iterator<Item = (&Arc<str>, &State)> {
        let gone = |name: &str| self.base.get(self.kind, name).is_none();
        self.except.iter().filter(move |(name, state)| state.version().is_some() && gone(name))
    }

    /// The same, by name; the client is told, so they are no longer.
    pub fn take_leaving(&mut self) -> Vec<Arc<str>> {
        let names: Vec<_> = self.leaving().map(|(name, _)| Arc::clone(name)).collect();
        for name in &names {
            self.except.remove(name);
        }
        names
    }

    /// Everything that is asked for and exists, as of the last pass, and what is leaving.
    pub fn whole(&self) -> Vec<Arc<Resource>> {
        let mut all: Vec<Arc<Resource>> = if self.wildcard {
            self.base.of(self.kind).flat_map(|set| set.iter()).cloned().collect()
        } else {
            self.names.iter().filter_map(|name| self.base.get(self.kind, name)).cloned().collect()
        };
        all.extend(
            self.leaving().filter_map(|(_, state)| if let State::Leaving(resource) = state { Some(resource) } else { None }).cloned(),
        );
        all
    }

    /// What is asked for by name and does not exist.
    pub fn missing(&self) -> Vec<Arc<str>> {
        let gone = |name: &&Arc<str>| self.base.get(self.kind, name).is_none() && !self.except.contains_key(*name);
        self.names.iter().filter(gone).cloned().collect()
    }

    /// The version of all, as of the pass that is on its way or else the last one.
    pub fn version(&self) -> Version {
        self.pass.as_ref().map_or(&self.base, |pass| &pass.target).version(self.kind)
    }

    /// How many names the client differs in from the last pass.
    #[cfg(test)]
    pub fn exceptions(&self) -> usize {
        self.except.len()
    }

    /// The version that the client holds of a name.
    pub fn holding(&self, name: &str) -> Option<Version> {
        let known = || version(&self.base, self.kind, name);
        self.except.get(name).map_or_else(known, State::version).filter(|version| *version != Version::NONE)
    }

    /// Every name that is asked for and what the client holds of it.
    pub fn held(&self) -> Vec<Holding> {
        let one = |name: &Arc<str>| {
            let resource = self.base.get(self.kind, name);
            let known = self.except.get(name).map_or_else(|| resource.map(|resource| resource.version), State::version);
            let content = resource.filter(|resource| known == Some(resource.version)).cloned();
            Holding { name: Arc::clone(name), version: known.filter(|version| *version != Version::NONE), resource: content }
        };
        if self.wildcard {
            let all = self.base.of(self.kind).flat_map(|set| set.iter()).map(|resource| &resource.name);
            let others = self.except.keys().filter(|name| self.base.get(self.kind, name).is_none());
            all.chain(others).map(one).collect()
        } else {
            self.names.iter().map(one).collect()
        }
    }
}

fn version(snapshot: &Snapshot, kind: Kind, name: &str) -> Option<Version> {
    snapshot.get(kind, name).map(|resource| resource.version)
}
