//! What operators see of connected proxies: who they are, what they were sent, what they said to it, and the load they report.
//!
//! Plain data and counters. `push` enters what happens; the API and the metrics read it.

/// Sums of what happened, for metrics.
pub mod counters;
/// What those held who are gone.
mod departures;
/// The load that clients report.
pub mod load;
/// Who a proxy says it is.
pub mod node;
/// What a proxy was sent and what it said to it.
pub mod status;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::model::identity::Identity;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::Version;

use counters::Counters;
use departures::Departures;
use load::Loads;
use node::{About, Node};
use status::{Dialect, Held, HeldStatus, TypeStatus};

/// How many that are gone stay listed.
const GONE: usize = 200;

/// A stream, asked for what it holds.
pub trait Observed: Send + Sync {
    /// By type.
    fn types(&self) -> Vec<TypeStatus>;
    /// By resource.
    fn held(&self) -> Vec<Held>;
    /// One resource, if it is asked for: the version that was sent, and what became of it.
    fn holding(&self, kind: Kind, name: &str) -> Option<Holding>;
}

/// The version of a resource that a client was sent, and what became of it.
pub type Holding = (Option<Version>, HeldStatus);

/// All of them.
pub struct Proxies {
    streams: Mutex<Streams>,
    most: usize,
    clock: (Instant, SystemTime),
    /// For metrics.
    pub counters: Counters,
    /// As reported.
    pub loads: Loads,
}

#[derive(Default)]
struct Streams {
    next: u64,
    connected: BTreeMap<u64, Entry>,
    /// How many of each identity.
    known: HashMap<Identity, usize>,
    gone: VecDeque<Proxy>,
    departures: Option<Departures>,
}

struct Entry {
    node: Arc<Node>,
    about: About,
    dialect: Dialect,
    since: SystemTime,
    stream: Arc<dyn Observed>,
}

/// A proxy's stream as operators see it.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Streams are counted.
    pub stream: u64,
    /// Who it says it is.
    pub node: Arc<Node>,
    /// What it was found to be.
    pub about: About,
    /// How it speaks.
    pub dialect: Dialect,
    /// When the stream began.
    pub since: SystemTime,
    /// When the stream ended, and why.
    pub gone: Option<(SystemTime, String)>,
    /// What it was sent, by type.
    pub types: Vec<TypeStatus>,
}

/// There are as many streams as there may be, of all or of one identity.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

/// Of the streams that there may be, one identity leaves one of so many to others.
const LEFT: usize = 4;

impl Proxies {
    /// Nobody is connected.
    pub fn new(most: usize) -> Arc<Self> {
        let clock = (Instant::now(), SystemTime::now());
        Arc::new(Self { streams: Mutex::default(), most, clock, counters: Counters::default(), loads: Loads::default() })
    }

    /// A stream begins; it is over when what is returned is dropped.
    ///
    /// # Errors
    /// If there are too many.
    pub fn connect(
        self: &Arc<Self>,
        node: Arc<Node>,
        about: About,
        dialect: Dialect,
        stream: Arc<dyn Observed>,
    ) -> Result<Connected, TooMany> {
        let mut streams = self.lock();
        let identity = node.identity.as_ref().map(|verified| verified.identity.clone());
        let own = identity.as_ref().and_then(|identity| streams.known.get(identity)).copied().unwrap_or_default();
        if streams.connected.len() >= self.most || own >= (self.most - self.most / LEFT) {
            return Err(TooMany);
        }
        streams.known.extend(identity.map(|identity| (identity, own + 1)));
        streams.next += 1;
        let id = streams.next;
        streams.connected.insert(id, Entry { node, about, dialect, since: SystemTime::now(), stream });
        drop(streams);
        self.counters.connected(dialect);
        Ok(Connected { proxies: Arc::clone(self), id, dialect, reason: "the client is gone".to_owned() })
    }

    /// Those that are connected, in the order of their coming, and then some that are gone, the last first.
    pub fn list(&self) -> Vec<Proxy> {
        let streams = self.lock();
        let connected: Vec<_> = streams.connected.iter().map(|(id, entry)| (entry.seen(*id), Arc::clone(&entry.stream))).collect();
        let gone: Vec<_> = streams.gone.iter().rev().cloned().collect();
        drop(streams);
        let connected = connected.into_iter().map(|(proxy, stream)| Proxy { types: stream.types(), ..proxy });
        connected.chain(gone).collect()
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.lock().connected.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the client of a stream holds.
    pub fn held(&self, stream: u64) -> Option<Vec<Held>> {
        let entry = self.lock().connected.get(&stream).map(|entry| Arc::clone(&entry.stream));
        entry.map(|stream| stream.held())
    }

    /// What the client of a stream holds of one name, if it asks for it.
    pub fn holding(&self, stream: u64, kind: Kind, name: &str) -> Option<Holding> {
        let entry = self.lock().connected.get(&stream).map(|entry| Arc::clone(&entry.stream));
        entry.and_then(|stream| stream.holding(kind, name))
    }

    /// From now on it is kept what those who leave have held of a resource.
    pub fn follow(&self, kind: Kind, name: &'static str) {
        self.lock().departures = Some(Departures::new(kind, name));
    }

    /// The last one that left, asked for that resource, and had acknowledged none of these versions of it.
    pub fn left_without(&self, versions: &[Version]) -> Option<(Instant, String)> {
        self.lock().departures.as_ref().and_then(|departures| departures.without(versions))
    }

    /// The time of day at a moment.
    pub fn time(&self, at: Instant) -> SystemTime {
        let (instant, time) = self.clock;
        time + at.saturating_duration_since(instant)
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn seen(&self, stream: u64) -> Proxy {
        let (node, about) = (Arc::clone(&self.node), self.about.clone());
        Proxy { stream, node, about, dialect: self.dialect, since: self.since, gone: None, types: Vec::new() }
    }
}

/// Keeps a stream listed as connected.
pub struct Connected {
    proxies: Arc<Proxies>,
    id: u64,
    dialect: Dialect,
    /// Why it ends.
    pub reason: String,
}

impl Streams {
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.connected.remove(&id)?;
        if let Some(verified) = &entry.node.identity
            && let Some(own) = self.known.get_mut(&verified.identity)
        {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.known.remove(&verified.identity);
            }
        }
        Some(entry)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let streams = self.proxies.lock();
        let followed = streams.departures.as_ref().map(|departures| (departures.kind, departures.name));
        let Some(stream) = streams.connected.get(&self.id).map(|entry| Arc::clone(&entry.stream)) else { return };
        drop(streams);
        // While it is listed: it is never neither here nor gone.
        let held = followed.and_then(|(kind, name)| stream.holding(kind, name));
        let types = stream.types();
        let mut streams = self.proxies.lock();
        let Some(entry) = streams.remove(self.id) else { return };
        let gone = Some((SystemTime::now(), std::mem::take(&mut self.reason)));
        let proxy = Proxy { gone, types, ..entry.seen(self.id) };
        if let (Some(departures), Some(held)) = (&mut streams.departures, held) {
            departures.left(held, &entry.node.id, Instant::now());
        }
        streams.gone.push_back(proxy);
        if streams.gone.len() > GONE {
            streams.gone.pop_front();
        }
        drop(streams);
        self.proxies.counters.disconnected(self.dialect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::identity::Verified;
    use crate::model::limits::Limits;

    struct Silent;

    impl Observed for Silent {
        fn types(&self) -> Vec<TypeStatus> {
            Vec::new()
        }

        fn held(&self) -> Vec<Held> {
            Vec::new()
        }

        fn holding(&self, _: Kind, _: &str) -> Option<Holding> {
            None
        }
    }

    fn connect(proxies: &Arc<Proxies>, id: &str) -> Result<Connected, TooMany> {
        let node = Node { id: id.to_owned(), ..Node::default() };
        proxies.connect(Arc::new(node), About::default(), Dialect::Delta, Arc::new(Silent))
    }

    fn listed(proxies: &Proxies) -> Vec<(String, Option<String>)> {
        proxies.list().into_iter().map(|proxy| (proxy.node.id.clone(), proxy.gone.map(|(_, reason)| reason))).collect()
    }

    #[test]
    fn one_that_goes_stays_listed_with_the_reason() {
        let proxies = Proxies::new(10);
        let mut first = connect(&proxies, "a").unwrap();
        let _second = connect(&proxies, "b").unwrap();
        first.reason = "it was told to".to_owned();
        drop(first);
        assert_eq!(listed(&proxies), [("b".to_owned(), None), ("a".to_owned(), Some("it was told to".to_owned()))]);
        assert_eq!(proxies.len(), 1);
    }

    #[test]
    fn what_one_held_that_goes_is_known() {
        struct Holding(Version);
        impl Observed for Holding {
            fn types(&self) -> Vec<TypeStatus> {
                Vec::new()
            }

            fn held(&self) -> Vec<Held> {
                Vec::new()
            }

            fn holding(&self, kind: Kind, name: &str) -> Option<super::Holding> {
                (kind == Kind::Secret && name == "ROOTCA").then_some((Some(self.0), HeldStatus::Acknowledged))
            }
        }
        let (proxies, [old, new]) = (Proxies::new(10), ["old", "new"].map(|text| Version::of(text.as_bytes())));
        let of = |id: &str, version| {
            let node = Node { id: id.to_owned(), ..Node::default() };
            proxies.connect(Arc::new(node), About::default(), Dialect::Delta, Arc::new(Holding(version))).unwrap()
        };
        drop(of("before", old));
        proxies.follow(Kind::Secret, "ROOTCA");
        assert_eq!(proxies.left_without(&[new]), None);
        let (_here, _silent) = (of("here", old), connect(&proxies, "asks for nothing").map(drop));
        drop(of("knows", new));
        assert_eq!(proxies.left_without(&[new]), None);
        drop(of("knows not", old));
        assert_eq!(proxies.left_without(&[new]).map(|(_, who)| who).as_deref(), Some("knows not"));
        assert_eq!(proxies.left_without(&[new, old]), None);
    }

    #[test]
    fn those_that_are_gone_are_forgotten_in_the_end() {
        let proxies = Proxies::new(10);
        (0..GONE + 5).for_each(|id| drop(connect(&proxies, &id.to_string())));
        let listed = listed(&proxies);
        assert_eq!((listed.len(), listed[0].0.as_str()), (GONE, (GONE + 4).to_string().as_str()));
    }

    #[test]
    fn one_identity_leaves_some_to_others() {
        let proxies = Proxies::new(8);
        let of = |account: &str| {
            let identity = Identity::new("cluster.local", "shop", account).unwrap();
            let (not_before, not_after) = (SystemTime::UNIX_EPOCH, SystemTime::now());
            let verified = Verified { identity, workload: None, limits: Limits::default(), serial: String::new(), not_before, not_after };
            let node = Node { identity: Some(Arc::new(verified)), ..Node::default() };
            proxies.connect(Arc::new(node), About::default(), Dialect::Delta, Arc::new(Silent))
        };
        let greedy: Vec<_> = std::iter::from_fn(|| of("greedy").ok()).collect();
        assert_eq!((greedy.len(), of("other").is_ok()), (6, true));
        drop(greedy);
        assert!(of("greedy").is_ok() && proxies.lock().known.is_empty());
    }

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let proxies = Proxies::new(1);
        let first = connect(&proxies, "a");
        assert_eq!(connect(&proxies, "b").err(), Some(TooMany));
        drop(first);
        assert!(connect(&proxies, "b").is_ok());
    }
}
