//! Follows a control plane: what it says becomes known, what is known becomes what serves.

/// Refusals that only say again what was said.
mod repeat;
/// What a server is told once it is known what serves.
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use xds_proto::envoy::config::core::v3::Node;

use crate::config::source::{ResourceFile, Whole};
use crate::xds::cascade::{Cascade, Step};
use crate::xds::inventory::{Inventory, Watched};
use crate::xds::resource::{self, Kind, Offered, Refusal, Sink as _};
use crate::xds::resource_file::Content;
use crate::xds::stream::{Answer, Dialect, Request};
use crate::xds::subscription::delta::Delta;
use crate::xds::subscription::sotw::Sotw;
use crate::xds::subscription::{self, Wanted};
use crate::xds::view::{self, Seen};

use repeat::Repeats;

pub use verdict::{Served, Unable, Unsent, Verdict};

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
    /// What of that is in files.
    files: BTreeMap<(Kind, ResourceFile), Wanted>,
    /// Files that are to be read.
    unread: Vec<(Kind, ResourceFile)>,
    /// What the question of what is wanted depended on then.
    questions: Option<(u64, u64, bool)>,
    sources: Sources,
    /// When clusters are given up waiting for.
    clusters_until: Option<Instant>,
    /// Likewise listeners; set when they are asked for.
    listeners_until: Option<Instant>,
    repeats: Repeats,
    /// A server has told of hosts, if only that there are none.
    pub names_told: bool,
}

/// Where all clusters and listeners are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Clusters.
    pub clusters: Option<Whole>,
    /// Listeners.
    pub listeners: Option<Whole>,
}

impl Sources {
    fn file(&self, kind: Kind) -> Option<&ResourceFile> {
        let whole = match kind {
            Kind::Cluster => &self.clusters,
            Kind::Listener => &self.listeners,
            Kind::Endpoint | Kind::ScopedRoute | Kind::Route | Kind::Secret | Kind::Names => &None,
        };
        whole.as_ref()?.file.as_ref()
    }
}

#[derive(Debug)]
enum Protocol {
    Sotw(Sotw),
    Delta(Delta),
    /// There is no server.
    None,
}

/// What an event leads to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be sent, in order.
    pub requests: Vec<Request>,
    /// To be made to serve.
    pub step: Step,
    /// Files to be read, now and whenever they change.
    pub read: Vec<(Kind, ResourceFile)>,
    /// How many resources were taken.
    pub accepted: u64,
    /// Resources of files, or of an earlier run, that were not taken.
    pub refused: Vec<(Kind, Refusal)>,
    /// What is to be said to an answer, once the step is made: see [`Follower::serves`].
    pub unsent: Option<Unsent>,
}

impl Follower {
    /// Nothing has been said yet. Without a dialect there is no server, and all there is comes from files.
    pub fn new(dialect: Option<Dialect>, node: Node, inventory: Inventory, cascade: Cascade, sources: Sources) -> Self {
        let protocol = match dialect {
            Some(Dialect::Sotw) => Protocol::Sotw(Sotw::new(node)),
            Some(Dialect::Delta) => Protocol::Delta(Delta::new(node)),
            None => Protocol::None,
        };
        let mut follower = Self {
            inventory,
            cascade,
            protocol,
            wanted: Vec::new(),
            files: BTreeMap::new(),
            unread: Vec::new(),
            questions: None,
            clusters_until: until(sources.clusters.as_ref(), Instant::now()),
            listeners_until: None,
            sources,
            repeats: Repeats::default(),
            names_told: false,
        };
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
            Protocol::None => Vec::new(),
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
            (Protocol::Sotw(_) | Protocol::None, Answer::Delta(_)) | (Protocol::Delta(_) | Protocol::None, Answer::Sotw(_)) => {
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
        let now = Instant::now();
        self.told(kind);
        let accepted = u64::try_from(accepted).unwrap_or(u64::MAX);
        // What the answer refers to is asked for first: servers know then what an acknowledged cluster still needs.
        Outcome { accepted, unsent: Some(Unsent { kind, version, refused, reply }), ..self.look(now) }
    }

    /// A file was read. What it has and nothing refers to there is left alone.
    pub fn read(&mut self, kind: Kind, file: &ResourceFile, content: Content) -> Outcome {
        let Content { mut resources, version, folders: _ } = content;
        match self.files.get(&(kind, file.clone())) {
            None | Some(Wanted::Nothing) => return self.look(Instant::now()),
            Some(Wanted::All) => {}
            Some(Wanted::Names(names)) => {
                resources.retain(|packed| resource::name(&resource::read(kind, packed, &version)).is_none_or(|name| names.contains(name)));
            }
        }
        let (accepted, refused) = subscription::take(kind, resources, &version, &mut Watched(&mut self.inventory));
        self.told(kind);
        let refused = refused.into_iter().map(|refusal| (kind, refusal)).collect();
        Outcome { accepted: u64::try_from(accepted).unwrap_or(u64::MAX), refused, ..self.look(Instant::now()) }
    }

    /// Whether a file is still referred to.
    pub fn wants_file(&self, kind: Kind, file: &ResourceFile) -> bool {
        self.files.contains_key(&(kind, file.clone()))
    }

    /// Resources of a type were taken, or refused.
    fn told(&mut self, kind: Kind) {
        self.inventory.rest();
        match kind {
            Kind::Cluster => self.cascade.clusters_told(),
            Kind::Listener => self.cascade.listeners_told(),
            Kind::ScopedRoute => self.cascade.scopes_told(),
            Kind::Names => self.names_told = true,
            Kind::Endpoint | Kind::Route | Kind::Secret => {}
        }
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
        let taken_back = self.inventory.settle(Kind::ScopedRoute).into_iter();
        refused.extend(taken_back.map(|(name, faults)| (Kind::ScopedRoute, Refusal { name: Some(name), faults })));
        self.inventory.rest();
        self.cascade.clusters_told();
        self.cascade.listeners_told();
        self.cascade.scopes_told();
        self.names_told = true;
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
            self.listeners_until = until(self.sources.listeners.as_ref(), now);
        }
        let mut requests = self.want();
        requests.extend(self.repeats.due(now));
        for next in [self.inventory.next_expiry(), self.clusters_until, self.listeners_until, self.repeats.next()] {
            step.wake = [step.wake, next].into_iter().flatten().min();
        }
        Outcome { requests, step, read: std::mem::take(&mut self.unread), ..Outcome::default() }
    }

    /// Asks for what is wanted now and was not before.
    fn want(&mut self) -> Vec<Request> {
        let questions = self.cascade.questions(&self.inventory);
        if self.questions.replace(questions) == Some(questions) {
            return Vec::new();
        }
        let wanted = self.cascade.wanted(&self.inventory);
        let named = self.inventory.files_named();
        let mut requests = Vec::new();
        let mut files = BTreeMap::new();
        for (kind, wanted) in &wanted {
            if let Wanted::Names(names) = wanted {
                self.inventory.retain(*kind, names);
            }
            if let (Kind::ScopedRoute, Wanted::Nothing, Protocol::Delta(_)) = (kind, wanted, &self.protocol) {
                // The server tells them anew when they are asked for again.
                self.inventory.retain(*kind, &BTreeSet::new());
                self.cascade.scopes_forgotten();
            }
            let of_server = split(*kind, wanted, self.sources.file(*kind), &named, &mut files);
            requests.extend(match &mut self.protocol {
                Protocol::Sotw(sotw) => sotw.want(*kind, of_server).map(Request::Sotw),
                Protocol::Delta(delta) => delta.want(*kind, of_server).map(Request::Delta),
                Protocol::None => None,
            });
        }
        // A file of which more is wanted is read again for that.
        let news = files.iter().filter(|(file, wanted)| self.files.get(file) != Some(wanted));
        self.unread.extend(news.map(|(file, _)| file.clone()));
        (self.wanted, self.files) = (wanted, files);
        requests
    }
}

fn until(whole: Option<&Whole>, now: Instant) -> Option<Instant> {
    now.checked_add(whole?.limit?)
}

/// What of a type is to be asked of the server; the rest is in files.
fn split(
    kind: Kind,
    wanted: &Wanted,
    whole: Option<&ResourceFile>,
    named: &BTreeMap<(Kind, String), ResourceFile>,
    files: &mut BTreeMap<(Kind, ResourceFile), Wanted>,
) -> Wanted {
    let names = match (wanted, whole) {
        (Wanted::Nothing, _) | (Wanted::All, None) => return wanted.clone(),
        (Wanted::All, Some(file)) => {
            files.insert((kind, file.clone()), Wanted::All);
            return Wanted::Nothing;
        }
        (Wanted::Names(names), _) => names,
    };
    let mut of_server = BTreeSet::new();
    for name in names {
        match named.get(&(kind, name.clone())) {
            None => drop(of_server.insert(name.clone())),
            Some(file) => {
                let of_file = files.entry((kind, file.clone())).or_insert_with(|| Wanted::Names(BTreeSet::new()));
                if let Wanted::Names(of_file) = of_file {
                    of_file.insert(name.clone());
                }
            }
        }
    }
    Wanted::Names(of_server)
}

#[cfg(test)]
mod tests;
