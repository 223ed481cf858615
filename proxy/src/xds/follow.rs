//! Follows a control plane: what it says becomes known, what is known becomes what serves.

/// Refusals that only say again what was said.
mod repeat;

use std::time::Duration;

use tokio::time::Instant;
use xds_proto::envoy::config::core::v3::Node;

use crate::xds::cascade::{Cascade, Step};
use crate::xds::inventory::Inventory;
use crate::xds::resource::{Kind, Offered, Refusal, Sink as _};
use crate::xds::stream::{Answer, Dialect, Request};
use crate::xds::subscription::Wanted;
use crate::xds::subscription::delta::Delta;
use crate::xds::subscription::sotw::Sotw;
use crate::xds::view::{self, Seen};

use repeat::Repeats;

/// All that is known and asked, without I/O.
#[derive(Debug)]
pub struct Follower {
    /// What is known.
    pub inventory: Inventory,
    /// What serves.
    pub cascade: Cascade,
    protocol: Protocol,
    /// What was wanted when it was last looked at.
    wanted: Vec<(Kind, Wanted)>,
    /// What the question of what is wanted depended on then.
    questions: Option<(u64, u64, bool)>,
    limits: Limits,
    /// When clusters are given up waiting for.
    clusters_until: Option<Instant>,
    /// Likewise listeners; set when they are asked for.
    listeners_until: Option<Instant>,
    repeats: Repeats,
}

/// How long to wait for the first word of a type; `None` is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Clusters.
    pub clusters: Option<Duration>,
    /// Listeners.
    pub listeners: Option<Duration>,
}

#[derive(Debug)]
enum Protocol {
    Sotw(Sotw),
    Delta(Delta),
}

/// What an event leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be sent, in order.
    pub requests: Vec<Request>,
    /// To be made to serve.
    pub step: Step,
    /// How many resources were taken.
    pub accepted: u64,
    /// Resources that were not taken, and had not been refused for the same reason in the answer before.
    pub refused: Vec<(Kind, Refusal)>,
}

impl Follower {
    /// Nothing has been said yet.
    pub fn new(dialect: Dialect, node: Node, inventory: Inventory, cascade: Cascade, limits: Limits) -> Self {
        let protocol = match dialect {
            Dialect::Sotw => Protocol::Sotw(Sotw::new(node)),
            Dialect::Delta => Protocol::Delta(Delta::new(node)),
        };
        let clusters_until = limits.clusters.and_then(|limit| Instant::now().checked_add(limit));
        let (wanted, repeats) = (Vec::new(), Repeats::default());
        let listeners_until = None;
        let mut follower = Self { inventory, cascade, protocol, wanted, questions: None, limits, clusters_until, listeners_until, repeats };
        // Said when a stream is opened.
        let _unsaid = follower.want();
        follower
    }

    /// A stream is opened: what to begin it with.
    pub fn opened(&mut self) -> Vec<Request> {
        self.repeats.forget();
        match &mut self.protocol {
            Protocol::Sotw(sotw) => sotw.opened().into_iter().map(Request::Sotw).collect(),
            Protocol::Delta(delta) => delta.opened().into_iter().map(Request::Delta).collect(),
        }
    }

    /// An answer arrived.
    pub fn received(&mut self, answer: Answer) -> Outcome {
        let version = match &answer {
            Answer::Sotw(answer) => answer.version_info.clone(),
            Answer::Delta(answer) => answer.nonce.clone(),
        };
        let answered = match (&mut self.protocol, answer) {
            (Protocol::Sotw(sotw), Answer::Sotw(answer)) => {
                let kind = Kind::from_type_url(&answer.type_url);
                let answered = sotw.received(answer, &mut self.inventory);
                answered.map(|answered| (kind, Request::Sotw(answered.reply), answered.accepted, answered.refused))
            }
            (Protocol::Delta(delta), Answer::Delta(answer)) => {
                let kind = Kind::from_type_url(&answer.type_url);
                let answered = delta.received(answer, &mut self.inventory);
                answered.map(|answered| (kind, Request::Delta(answered.reply), answered.accepted, answered.refused))
            }
            (Protocol::Sotw(_), Answer::Delta(_)) | (Protocol::Delta(_), Answer::Sotw(_)) => {
                return self.look(Instant::now());
            }
        };
        let (kind, reply, accepted, refused) = match answered {
            Ok((Some(kind), reply, accepted, refused)) => (kind, reply, accepted, refused),
            Ok((None, ..)) => return self.look(Instant::now()),
            Err(unknown) => {
                tracing::warn!(%unknown, "ignored");
                return self.look(Instant::now());
            }
        };
        self.inventory.rest();
        match kind {
            Kind::Cluster => self.cascade.clusters_told(),
            Kind::Listener => self.cascade.listeners_told(),
            Kind::Endpoint | Kind::Route | Kind::Secret => {}
        }
        let now = Instant::now();
        let (reply, refused) = self.repeats.answered(kind, &version, refused, reply, now);
        let mut outcome = self.look(now);
        // What the answer refers to is asked for first: servers know then what an acknowledged cluster still needs.
        outcome.requests.extend(reply);
        outcome.accepted = u64::try_from(accepted).unwrap_or(u64::MAX);
        outcome.refused = refused.into_iter().map(|refusal| (kind, refusal)).collect();
        outcome
    }

    /// Takes what a server had sent in an earlier run, as if it were sent now: no server can be reached.
    pub fn restore(&mut self, resources: &[(Kind, Offered)]) -> Outcome {
        let mut refused = Vec::new();
        for (kind, offered) in resources {
            match self.inventory.offer(*kind, offered) {
                Ok(()) => {
                    if let Protocol::Delta(delta) = &mut self.protocol {
                        delta.know(*kind, &offered.name, &offered.version);
                    }
                }
                Err(faults) => refused.push((*kind, Refusal { name: Some(offered.name.clone()), faults })),
            }
        }
        self.inventory.rest();
        self.cascade.clusters_told();
        self.cascade.listeners_told();
        Outcome { refused, ..self.look(Instant::now()) }
    }

    /// What a server has sent, and what became of it.
    pub fn seen(&self) -> Vec<Seen<'_>> {
        view::all(&self.inventory, self.cascade.serving(), &self.wanted)
    }

    /// Time has passed, or names have been resolved.
    pub fn look(&mut self, now: Instant) -> Outcome {
        for (kind, name) in self.inventory.expire(now) {
            tracing::info!(%kind, name, "its time to live is over");
            if let Protocol::Delta(delta) = &mut self.protocol {
                delta.forget(kind, &name);
            }
        }
        if self.clusters_until.is_some_and(|until| until <= now) {
            self.clusters_until = None;
            self.cascade.clusters_told();
        }
        if self.listeners_until.is_some_and(|until| until <= now) {
            self.listeners_until = None;
            self.cascade.listeners_told();
        }
        let wanted_before = self.cascade.wants_listeners();
        let mut step = self.cascade.step(&self.inventory, now);
        if self.cascade.wants_listeners() && !wanted_before {
            self.listeners_until = self.limits.listeners.and_then(|limit| now.checked_add(limit));
        }
        let mut requests = self.want();
        requests.extend(self.repeats.due(now));
        for next in [self.inventory.next_expiry(), self.clusters_until, self.listeners_until, self.repeats.next()] {
            step.wake = [step.wake, next].into_iter().flatten().min();
        }
        Outcome { requests, step, ..Outcome::default() }
    }

    /// Asks for what is wanted now and was not before.
    fn want(&mut self) -> Vec<Request> {
        let questions = self.cascade.questions(&self.inventory);
        if self.questions.replace(questions) == Some(questions) {
            return Vec::new();
        }
        let wanted = self.cascade.wanted(&self.inventory);
        if wanted == self.wanted {
            return Vec::new();
        }
        let mut requests = Vec::new();
        for (kind, wanted) in &wanted {
            if let Wanted::Names(names) = wanted {
                self.inventory.retain(*kind, names);
            }
            requests.extend(match &mut self.protocol {
                Protocol::Sotw(sotw) => sotw.want(*kind, wanted.clone()).map(Request::Sotw),
                Protocol::Delta(delta) => delta.want(*kind, wanted.clone()).map(Request::Delta),
            });
        }
        self.wanted = wanted;
        requests
    }
}

#[cfg(test)]
mod tests;
