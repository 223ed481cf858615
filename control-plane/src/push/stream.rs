//! A stream without its bytes: requests and snapshots in, answers out.
//!
//! An answer is made when it can be written, from the newest snapshot: snapshots that came in between are never sent. Per type there
//! is one pass at a time, and the next begins when the client has replied to all of the last. Order, within what the client asked
//! for: clusters and endpoints; listeners and routes when the client has taken its clusters (Envoy says so when they are warm);
//! secrets and names at any time, since both wait for the former and nobody for the latter; what is gone last, when all else is taken. A client that does not reply holds
//! the rest up for a moment only.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::proxies::status::{Dialect, Held, HeldStatus, TypeStatus};
use crate::push::Common;
use crate::push::answer::Answer;
use crate::push::lane::{Lane, Told};
use crate::push::request::{Request, Wants};
use crate::push::subscription::{Holding, Piece};
use crate::push::wishes::{change, names_are};
use crate::snapshot::Snapshot;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Version;

/// What goes last, in this order: what refers to others before them.
const LEAVING: [Kind; 6] = [Kind::Names, Kind::Listener, Kind::Route, Kind::Cluster, Kind::Endpoint, Kind::Secret];
/// How much is in an incremental answer.
const PIECE: usize = 64 * 1024;
/// A client that asks for what it was sent waits so long for the same again.
const AGAIN: Duration = Duration::from_secs(1);

/// Bounds of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long one type waits for replies about another.
    pub patience: Duration,
    /// Names that may be asked for.
    pub names: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    dialect: Dialect,
    limits: Limits,
    common: Arc<Common>,
    now: Arc<Snapshot>,
    lanes: [Option<Box<Lane>>; Kind::ALL.len()],
    nonce: u64,
    leaving_since: Option<Instant>,
}

/// What a request said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The client has taken a change; how long after it came.
    pub taken: Option<Duration>,
    /// It refused an answer.
    pub refused: bool,
}

/// More names than may be asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyNames;

impl Stream {
    /// A client that has asked for nothing.
    pub fn new(dialect: Dialect, limits: Limits, common: Arc<Common>, now: Arc<Snapshot>) -> Self {
        Self { dialect, limits, common, now, lanes: Default::default(), nonce: 0, leaving_since: None }
    }

    /// There is something newer.
    pub fn snapshot(&mut self, snapshot: Arc<Snapshot>, now: Instant) {
        for (kind, lane) in self.lanes.iter_mut().flatten().map(|lane| (lane.status.kind, lane)) {
            if !self.now.shares(kind, &snapshot) && self.now.version(kind) != snapshot.version(kind) {
                lane.changed.get_or_insert(now);
            }
            lane.subscription.settle(&snapshot);
        }
        self.now = snapshot;
    }

    /// The client asks or replies.
    pub fn request(&mut self, request: Request, now: Instant) -> Result<Heard, TooManyNames> {
        let Request { kind, nonce, refusal, wants } = request;
        let Some(lane) = self.lanes.get_mut(kind.index()) else { return Ok(Heard::default()) };
        let first = lane.is_none();
        let lane = lane.get_or_insert_with(|| Box::new(Lane::new(kind)));
        let mut heard = Heard { taken: None, refused: refusal.is_some() };
        match wants {
            Wants::Names(names) => {
                // Stale: the client will speak again, about the newest.
                if nonce.is_some() && lane.nonce.is_some() && nonce != lane.nonce {
                    return Ok(Heard::default());
                }
                let replies = nonce.is_some_and(|nonce| lane.waits_for(nonce));
                heard.taken = nonce.and_then(|nonce| lane.replied(nonce, refusal, now));
                let changed = names_are(lane, first, &names, &self.now, &self.common.hasher);
                if !first && !changed && !replies && nonce.is_some() && nonce == lane.nonce {
                    // It asks once more for what it was sent, as Envoy does for endpoints when a cluster is new.
                    lane.not_before = lane.status.sent.map(|(_, sent)| sent + AGAIN);
                    lane.subscription.all_again();
                }
            }
            Wants::Changes { subscribe, unsubscribe, held } => {
                heard.refused &= nonce.is_some_and(|nonce| lane.waits_for(nonce));
                heard.taken = nonce.and_then(|nonce| lane.replied(nonce, refusal, now));
                let whole = first && subscribe.is_empty() && kind.is_listed_whole();
                change(lane, whole, &subscribe, &unsubscribe, &self.now);
                if first && !held.is_empty() {
                    lane.subscription.resume(&self.now, held);
                }
            }
        }
        let names: usize = self.lanes.iter().flatten().map(|lane| lane.subscription.names().len()).sum();
        if names > self.limits.names { Err(TooManyNames) } else { Ok(heard) }
    }

    /// What can be sent now. It counts as sent.
    pub fn next(&mut self, now: Instant) -> Option<Answer> {
        let update = Kind::ALL.into_iter().find_map(|kind| self.update(kind, now));
        let answer = update.or_else(|| LEAVING.into_iter().find_map(|kind| self.removal(kind, now)));
        if answer.is_none() {
            self.rest();
        }
        answer
    }

    /// There is nothing to say for now.
    fn rest(&mut self) {
        let lanes = || self.lanes.iter().flatten();
        if lanes().all(|lane| lane.subscription.leaving().next().is_none()) {
            self.leaving_since = None;
        }
        for lane in self.lanes.iter_mut().flatten() {
            lane.subscription.rest(&self.common);
        }
    }

    fn update(&mut self, kind: Kind, now: Instant) -> Option<Answer> {
        let behind_clusters = matches!(kind, Kind::Listener | Kind::Route) && self.clusters_are_on_their_way();
        let patience = self.limits.patience;
        let lane = self.lanes.get_mut(kind.index())?.as_mut()?;
        if !lane.subscription.is_passing() {
            if !lane.subscription.needs_pass(&self.now) {
                lane.blocked_since = None;
                lane.not_before = None;
                return None;
            }
            let is_early = lane.not_before.is_some_and(|until| now < until);
            let is_blocked = behind_clusters || lane.is_waiting();
            if is_early || (is_blocked && !lane.is_out_of_patience(now, patience)) {
                return None;
            }
            lane.begin();
        }
        let room = (self.dialect == Dialect::Delta).then_some(PIECE);
        let Some(piece) = lane.subscription.piece(&self.now, room, &self.common) else {
            lane.has_it_all(now);
            return None;
        };
        if kind == Kind::Cluster {
            self.endpoints_again(&piece);
        }
        self.answer(kind, piece, now)
    }

    fn clusters_are_on_their_way(&self) -> bool {
        let lane = self.lanes.get(Kind::Cluster.index()).and_then(Option::as_ref);
        lane.is_some_and(|lane| lane.is_waiting() || lane.subscription.needs_pass(&self.now))
    }

    /// Envoy does not take a changed cluster before it is sent the endpoints, even if they are as they were.
    fn endpoints_again(&mut self, clusters: &Piece) {
        if let Some(Some(lane)) = self.lanes.get_mut(Kind::Endpoint.index()) {
            let names = clusters.resources.iter().filter_map(|cluster| cluster.endpoints.as_ref());
            names.for_each(|name| lane.subscription.again(name, &self.now));
        }
    }

    fn answer(&mut self, kind: Kind, piece: Piece, now: Instant) -> Option<Answer> {
        let lane = self.lanes.get_mut(kind.index())?.as_mut()?;
        let mut answer = Answer { kind, dialect: self.dialect, version: lane.subscription.version(), nonce: 0, ..Answer::default() };
        match self.dialect {
            Dialect::Delta => (answer.resources, answer.removed) = (piece.resources, piece.missing),
            Dialect::Sotw if kind.is_listed_whole() => {
                answer.resources = lane.subscription.whole().into();
                answer.removed = lane.subscription.missing();
                if !lane.subscription.is_wildcard() || lane.subscription.leaving().next().is_some() {
                    answer.version = Version::of_all(answer.resources.iter().map(|resource| (resource.name.as_ref(), resource.version)));
                }
            }
            Dialect::Sotw => {
                // There is no way to say that one is gone, and no need: what refers to it is gone, too.
                lane.subscription.take_leaving();
                answer.resources = piece.resources;
            }
        }
        self.number(&mut answer, now);
        Some(answer)
    }

    fn number(&mut self, answer: &mut Answer, now: Instant) {
        self.nonce += 1;
        answer.nonce = self.nonce;
        if let Some(Some(lane)) = self.lanes.get_mut(answer.kind.index()) {
            let told = match self.dialect {
                Dialect::Delta => Told { resources: answer.resources.clone(), removed: answer.removed.clone() },
                Dialect::Sotw => {
                    lane.supersede();
                    Told::default()
                }
            };
            lane.sent(answer.nonce, told, answer.version, now);
        }
    }

    fn removal(&mut self, kind: Kind, now: Instant) -> Option<Answer> {
        let settled = self.lanes.iter().flatten().all(|lane| !lane.is_waiting() && !lane.subscription.needs_pass(&self.now));
        let passing = self.lanes.iter().flatten().any(|lane| lane.subscription.is_passing());
        let lane = self.lanes.get_mut(kind.index())?.as_mut()?;
        lane.subscription.leaving().next()?;
        let since = *self.leaving_since.get_or_insert(now);
        if passing || (!settled && now.duration_since(since) < self.limits.patience) {
            return None;
        }
        self.leaving_since = None;
        lane.begin();
        let missing = lane.subscription.take_leaving();
        if self.dialect == Dialect::Sotw && !kind.is_listed_whole() {
            return None;
        }
        self.answer(kind, Piece { missing, ..Piece::default() }, now)
    }

    /// When to call [`next`](Self::next) again although nothing happened.
    pub fn deadline(&self) -> Option<Instant> {
        let after = |since: Option<Instant>| since.map(|since| since + self.limits.patience);
        let lanes = self.lanes.iter().flatten().flat_map(|lane| [after(lane.blocked_since), lane.not_before]);
        lanes.chain([after(self.leaving_since)]).flatten().min()
    }

    /// Since when the client has not replied to something.
    pub fn silent_since(&self) -> Option<Instant> {
        self.lanes.iter().flatten().filter_map(|lane| lane.waiting_since).min()
    }

    /// What operators see, by type.
    pub fn types(&self) -> Vec<TypeStatus> {
        let status = |lane: &Lane| {
            let wildcard = lane.subscription.is_wildcard();
            let subscribed = if wildcard { lane.subscription.held().len() } else { lane.subscription.names().len() };
            TypeStatus { subscribed, wildcard, waiting: lane.is_waiting(), ..lane.status.clone() }
        };
        self.lanes.iter().flatten().map(|lane| status(lane)).collect()
    }

    /// Every resource that is asked for.
    pub fn held(&self) -> Vec<Held> {
        let of = |lane: &Lane| {
            let kind = lane.status.kind;
            let one = |Holding { name, version, resource }| Held { kind, name, version, status: status(lane, version), resource };
            lane.subscription.held().into_iter().map(one).collect::<Vec<_>>()
        };
        self.lanes.iter().flatten().flat_map(|lane| of(lane)).collect()
    }

    /// One of them.
    pub fn holding(&self, kind: Kind, name: &str) -> Option<(Option<Version>, HeldStatus)> {
        let lane = self.lanes.get(kind.index())?.as_ref().filter(|lane| lane.subscription.wants(name))?;
        let version = lane.subscription.holding(name);
        Some((version, status(lane, version)))
    }
}

/// What became of a version that was sent.
fn status(lane: &Lane, version: Option<Version>) -> HeldStatus {
    match version {
        None => HeldStatus::NotSent,
        Some(_) if lane.status.refusal.is_some() => HeldStatus::Refused,
        Some(_) if lane.is_waiting() => HeldStatus::Sent,
        Some(_) => HeldStatus::Acknowledged,
    }
}

#[cfg(test)]
mod tests;
