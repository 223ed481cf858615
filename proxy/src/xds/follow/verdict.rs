//! What a server is told once it is known what serves: a listener that is good may still have no address to listen on.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::listener::Listener;
use crate::xds::follow::{Follower, Protocol};
use crate::xds::invalid::Faults;
use crate::xds::resource::{Kind, Refusal};
use crate::xds::stream::Request;
use crate::xds::subscription::delta::Delta;

/// A reply that waits until it is known what serves.
#[derive(Debug)]
pub struct Unsent {
    pub(super) kind: Kind,
    pub(super) version: String,
    pub(super) refused: Vec<Refusal>,
    pub(super) reply: Request,
}

/// What a step came to.
#[derive(Debug)]
pub struct Served {
    /// Listeners that serve.
    pub listeners: Vec<Arc<Listener>>,
    /// Listeners that could not; those of their names that served before do so still.
    pub unable: Vec<Unable>,
}

/// A listener that cannot serve.
#[derive(Debug)]
pub struct Unable {
    /// The listener.
    pub listener: Arc<Listener>,
    /// Why.
    pub faults: Faults,
}

/// What to say in the end.
#[derive(Debug)]
pub struct Verdict {
    /// To be sent, in order, after those of the outcome.
    pub requests: Vec<Request>,
    /// Resources that were not taken, and had not been refused for the same reason in the answer before.
    pub refused: Vec<(Kind, Refusal)>,
    /// How many of the resources that were taken could not serve.
    pub taken_back: u64,
    /// Look again then, even if nothing happens.
    pub wake: Option<Instant>,
}

impl Follower {
    /// A step was made, if there was any. Listeners that cannot serve are refused after all: they are tried again when they are
    /// sent anew.
    pub fn serves(&mut self, served: Option<Served>, unsent: Option<Unsent>, now: Instant) -> Verdict {
        let changes = self.inventory.listeners.changes();
        let late = served.map_or_else(Vec::new, |served| self.take_back(served));
        let again = (self.inventory.listeners.changes() != changes).then_some(now);
        let mut requests = self.want();
        let Some(Unsent { kind, version, mut refused, mut reply }) = unsent else {
            let refused = late.into_iter().map(|refusal| (Kind::Listener, refusal)).collect();
            return Verdict { requests, refused, taken_back: 0, wake: again.or(self.repeats.next()) };
        };
        // Those that had to wait for others were accepted in their time.
        let (of_answer, of_others) = if kind == Kind::Listener { (late, Vec::new()) } else { (Vec::new(), late) };
        let taken_back = u64::try_from(of_answer.len()).unwrap_or(u64::MAX);
        if taken_back > 0 {
            refused.extend(of_answer);
            reply = self.refuse(kind, reply, &refused);
        }
        let (reply, news) = self.repeats.answered(kind, &version, refused, reply, now);
        requests.extend(reply);
        let news = news.into_iter().map(|refusal| (kind, refusal));
        let refused: Vec<_> = news.chain(of_others.into_iter().map(|refusal| (Kind::Listener, refusal))).collect();
        Verdict { requests, refused, taken_back, wake: again.or(self.repeats.next()) }
    }

    fn refuse(&mut self, kind: Kind, reply: Request, refused: &[Refusal]) -> Request {
        match (&mut self.protocol, reply) {
            (Protocol::Sotw(sotw), Request::Sotw(_)) => Request::Sotw(sotw.refuse(kind, refused)),
            (Protocol::Sotw(_) | Protocol::Delta(_) | Protocol::None, Request::Delta(reply)) => {
                Request::Delta(Delta::refuse(reply, refused))
            }
            (Protocol::Delta(_) | Protocol::None, reply @ Request::Sotw(_)) => reply,
        }
    }

    fn take_back(&mut self, Served { listeners, unable }: Served) -> Vec<Refusal> {
        let serving = |name: &str| listeners.iter().find(|listener| listener.name.as_str() == name);
        self.inventory.listeners.settle(serving);
        if unable.is_empty() {
            return Vec::new();
        }
        let mut refused = Vec::new();
        for Unable { listener, faults } in unable {
            let name = listener.name.as_str();
            if !self.inventory.listeners.take_back(name, &listener, serving(name), &faults) {
                continue;
            }
            if let Protocol::Delta(delta) = &mut self.protocol {
                // The next stream brings it again.
                match self.inventory.listeners.get(name).and_then(|entry| entry.known.as_ref()) {
                    Some(known) => delta.know(Kind::Listener, name, &known.version),
                    None => delta.forget(Kind::Listener, name),
                }
            }
            refused.push(Refusal { name: Some(name.to_owned()), faults });
        }
        self.cascade.listeners_serve(listeners);
        refused
    }
}
