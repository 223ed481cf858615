//! One type on one stream: what is asked for, what was sent, and what became of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::proxies::status::{Refusal, TypeStatus};
use crate::push::batch::Resources;
use crate::push::subscription::Subscription;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Version;

/// See the module.
#[derive(Debug)]
pub struct Lane {
    /// What is asked for.
    pub subscription: Subscription,
    /// The names of its last request of the state of the world, in short.
    pub asked: Option<u64>,
    /// It never named a resource, and so asks for all.
    pub is_silent: bool,
    /// The newest answer.
    pub nonce: Option<u64>,
    /// Answers that the client has not replied to.
    unacknowledged: Vec<Sent>,
    /// Resources that were refused, and neither sent anew nor taken away since.
    in_doubt: BTreeSet<Arc<str>>,
    /// Since when it is silent about one.
    pub waiting_since: Option<Instant>,
    /// Since when something could be sent, were it not for others.
    pub blocked_since: Option<Instant>,
    /// Nothing is sent before.
    pub not_before: Option<Instant>,
    /// When the content came that was not yet sent, and that is on its way.
    pub changed: Option<Instant>,
    pushed: Option<Instant>,
    refused: bool,
    /// For operators.
    pub status: TypeStatus,
}

/// An answer that the client has not replied to.
#[derive(Debug)]
struct Sent {
    nonce: u64,
    told: Told,
}

/// What an answer told of. One of the state of the world tells of everything, and names nothing here.
#[derive(Debug, Default)]
pub struct Told {
    /// What is there.
    pub resources: Resources,
    /// What is not.
    pub removed: Vec<Arc<str>>,
}

impl Told {
    fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.resources.iter().map(|resource| &resource.name).chain(&self.removed)
    }
}

impl Lane {
    /// Nothing was said yet.
    pub fn new(kind: Kind) -> Self {
        Self {
            subscription: Subscription::new(kind),
            asked: None,
            is_silent: false,
            nonce: None,
            unacknowledged: Vec::new(),
            in_doubt: BTreeSet::new(),
            waiting_since: None,
            blocked_since: None,
            not_before: None,
            changed: None,
            pushed: None,
            refused: false,
            status: TypeStatus::new(kind),
        }
    }

    /// Whether the client has not replied to something.
    pub fn is_waiting(&self) -> bool {
        !self.unacknowledged.is_empty()
    }

    /// Whether what is held back has been so for long enough.
    pub fn is_out_of_patience(&mut self, now: Instant, patience: Duration) -> bool {
        now.duration_since(*self.blocked_since.get_or_insert(now)) >= patience
    }

    /// A pass begins.
    pub fn begin(&mut self) {
        self.blocked_since = None;
        self.not_before = None;
        self.pushed = self.changed.take();
        self.refused = false;
    }

    /// Whether the client has yet to reply to this.
    pub fn waits_for(&self, nonce: u64) -> bool {
        self.unacknowledged.iter().any(|sent| sent.nonce == nonce)
    }

    /// Only the newest answer is replied to.
    pub fn supersede(&mut self) {
        self.unacknowledged.clear();
    }

    /// An answer is on its way.
    pub fn sent(&mut self, nonce: u64, told: Told, version: Version, now: Instant) {
        self.nonce = Some(nonce);
        self.unacknowledged.push(Sent { nonce, told });
        self.waiting_since.get_or_insert(now);
        self.status.sent = Some((version, now));
    }

    /// There was nothing to send: the client holds what there is.
    pub fn has_it_all(&mut self, now: Instant) {
        if !self.is_waiting() && self.status.refusal.is_none() {
            let version = self.subscription.version();
            self.status.sent = Some((version, now));
            self.status.acknowledged = Some((version, now));
        }
    }

    /// The client replied to an answer; how long ago its content came, if this was the last word on it.
    pub fn replied(&mut self, nonce: u64, refusal: Option<String>, now: Instant) -> Option<Duration> {
        let at = self.unacknowledged.iter().position(|known| known.nonce == nonce)?;
        let Sent { told, .. } = self.unacknowledged.remove(at);
        let version = self.status.sent.map(|(version, _)| version).unwrap_or_default();
        match refusal {
            Some(message) => {
                self.refused = true;
                // Clients name what they refuse; where one does not, it may be anything of the answer.
                let named: Vec<_> = told.names().filter(|name| message.contains(name.as_ref())).cloned().collect();
                self.in_doubt.extend(if named.is_empty() { told.names().cloned().collect() } else { named });
                self.status.refusal = Some(Refusal { nonce, version, at: now, message });
            }
            None if self.in_doubt.is_empty() => {}
            None if told.names().next().is_none() => self.in_doubt.clear(),
            None => {
                for name in told.names() {
                    self.in_doubt.remove(name);
                }
            }
        }
        self.waiting_since = self.is_waiting().then_some(now);
        if self.is_waiting() || self.subscription.is_passing() || self.refused || !self.in_doubt.is_empty() {
            return None;
        }
        self.status.acknowledged = Some((version, now));
        self.status.refusal = None;
        self.pushed.take().map(|came| now.duration_since(came))
    }
}
