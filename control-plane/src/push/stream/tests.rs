//! A client model against the stream, over orders of events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use xds_proto::envoy::config::cluster::v3 as cluster;

use super::*;
use crate::snapshot::Layer;
use crate::snapshot::resource::Resource;
use crate::snapshot::set::Set;

const LIMITS: Limits = Limits { patience: Duration::from_secs(2), names: 1000 };

/// As many as are sent to all streams alike, in the second layer.
const MANY: [&str; 9] = ["n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"];

/// Type, name, content.
type Content = BTreeMap<(usize, String), u8>;

fn resource(kind: Kind, name: &str, content: u8) -> Arc<Resource> {
    if kind != Kind::Cluster {
        return Arc::new(Resource::new(name, &format!("{kind} {name} {content}")));
    }
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
    Arc::new(Resource::new(
        name,
        &cluster::Cluster {
            name: name.to_owned(),
            alt_stat_name: content.to_string(),
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
            eds_cluster_config: Some(EdsClusterConfig::default()),
            ..cluster::Cluster::default()
        },
    ))
}

/// In two layers: names before and after `m`, so that names stay in theirs.
fn snapshot(content: &Content) -> Arc<Snapshot> {
    let layer = |second: bool| {
        Arc::new(Layer::new(|kind| {
            let of_layer = content.iter().filter(|((index, name), _)| *index == kind.index() && (name.as_str() > "m") == second);
            Arc::new(Set::new(of_layer.map(|((_, name), content)| resource(kind, name, *content))))
        }))
    };
    Arc::new(Snapshot { layers: vec![layer(false), layer(true)] })
}

fn of(pairs: &[(Kind, &str, u8)]) -> Content {
    pairs.iter().map(|(kind, name, content)| ((kind.index(), (*name).to_owned()), *content)).collect()
}

/// What a client knows, and what it asks for.
struct Client {
    dialect: Dialect,
    stream: Stream,
    now: Instant,
    wants: BTreeMap<usize, BTreeSet<String>>,
    has: BTreeMap<(usize, String), Version>,
    /// Answers that were not replied to.
    pending: Vec<Answer>,
    newest: BTreeMap<usize, u64>,
    /// Everything that came, for tests of order.
    log: Vec<String>,
}

impl Client {
    fn new(dialect: Dialect, content: &Content) -> Self {
        let stream = Stream::new(dialect, LIMITS, Arc::default(), snapshot(content));
        let (wants, has, newest) = Default::default();
        Self { dialect, stream, now: Instant::now(), wants, has, pending: Vec::new(), newest, log: Vec::new() }
    }

    /// On another stream, with what it has.
    fn reconnect(&mut self, content: &Content) {
        self.stream = Stream::new(self.dialect, LIMITS, Arc::default(), snapshot(content));
        self.pending.clear();
        self.newest.clear();
        let wants = std::mem::take(&mut self.wants);
        for (index, names) in wants.into_iter().filter(|(_, names)| !names.is_empty()) {
            let kind = Kind::ALL[index];
            let names: Vec<_> = names.into_iter().collect();
            let held = self.has.iter().filter(|((of, _), _)| *of == index);
            let held: BTreeMap<_, _> = held.map(|((_, name), version)| (name.clone(), *version)).collect();
            self.wants.insert(index, names.iter().cloned().collect());
            match self.dialect {
                Dialect::Sotw => self.say(kind, None, None, Wants::Names(names)),
                Dialect::Delta => self.say(kind, None, None, Wants::Changes { subscribe: names, unsubscribe: Vec::new(), held }),
            }
        }
    }

    fn say(&mut self, kind: Kind, nonce: Option<u64>, refusal: Option<&str>, wants: Wants) {
        let refusal = refusal.map(str::to_owned);
        self.stream.request(Request { kind, nonce, refusal, wants }, self.now).unwrap();
    }

    /// Asks for these names and no others; `*` for all.
    fn want(&mut self, kind: Kind, names: &[&str]) {
        if names.is_empty() && !self.wants.contains_key(&kind.index()) {
            // On a stream's first request that would mean all.
            return;
        }
        let names: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let before = self.wants.insert(kind.index(), names.clone()).unwrap_or_default();
        if !names.contains("*") {
            self.has.retain(|(index, name), _| *index != kind.index() || names.contains(name));
        }
        let wants = match self.dialect {
            Dialect::Sotw => Wants::Names(names.into_iter().collect()),
            Dialect::Delta => Wants::Changes {
                subscribe: names.difference(&before).cloned().collect(),
                unsubscribe: before.difference(&names).cloned().collect(),
                held: BTreeMap::new(),
            },
        };
        let nonce = if self.dialect == Dialect::Sotw { self.newest.get(&kind.index()).copied() } else { None };
        // A request with the newest nonce is a reply, too.
        self.pending.retain(|answer| Some(answer.nonce) != nonce);
        self.say(kind, nonce, None, wants);
    }

    fn snapshot(&mut self, content: &Content) {
        self.stream.snapshot(snapshot(content), self.now);
    }

    /// Reads one answer.
    fn read(&mut self) -> bool {
        let Some(answer) = self.stream.next(self.now) else { return false };
        let index = answer.kind.index();
        if self.dialect == Dialect::Sotw {
            self.pending.retain(|pending| pending.kind != answer.kind);
            if answer.kind.is_listed_whole() {
                self.has.retain(|(of, _), _| *of != index);
            }
        }
        self.newest.insert(index, answer.nonce);
        let wants = self.wants.get(&index).cloned().unwrap_or_default();
        let wanted = |name: &str| wants.contains("*") || wants.contains(name);
        let mut words = Vec::new();
        for resource in answer.resources.iter() {
            words.push(format!("+{}", resource.name));
            if wanted(&resource.name) {
                self.has.insert((index, resource.name.to_string()), resource.version);
            }
        }
        for name in &answer.removed {
            words.push(format!("-{name}"));
            assert!(!answer.resources.iter().any(|resource| resource.name == *name));
            self.has.remove(&(index, name.to_string()));
        }
        self.log.push(format!("{} {}", answer.kind, words.join(" ")).trim_end().to_owned());
        self.pending.push(answer);
        true
    }

    fn reply(&mut self, refusal: Option<&str>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let answer = self.pending.remove(0);
        let names = self.wants.get(&answer.kind.index()).cloned().unwrap_or_default();
        let wants = match self.dialect {
            Dialect::Sotw => Wants::Names(names.into_iter().collect()),
            Dialect::Delta => Wants::Changes { subscribe: Vec::new(), unsubscribe: Vec::new(), held: BTreeMap::new() },
        };
        self.say(answer.kind, Some(answer.nonce), refusal, wants);
        true
    }

    /// Reads and acknowledges until nothing more comes.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..1000 {
            if !self.read() && !self.reply(None) {
                let Some(deadline) = self.stream.deadline() else { return self };
                if deadline <= self.now {
                    panic!("a deadline that is over leads to nothing: {:#?}", self.stream);
                }
                self.now = deadline;
            }
        }
        panic!("it does not come to an end: {:?}", self.log);
    }

    fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// What it is to have of some content.
    fn expected(&self, content: &Content) -> BTreeMap<(usize, String), Version> {
        let wanted = |index: &usize, name: &str| self.wants.get(index).is_some_and(|names| names.contains("*") || names.contains(name));
        let all = content.iter().filter(|((index, name), _)| wanted(index, name));
        all.map(|((index, name), content)| ((*index, name.clone()), resource(Kind::ALL[*index], name, *content).version)).collect()
    }

    /// In state-of-the-world, that something of these types is gone cannot be said.
    fn comparable(&self, mut has: BTreeMap<(usize, String), Version>, content: &Content) -> BTreeMap<(usize, String), Version> {
        if self.dialect == Dialect::Sotw {
            has.retain(|(index, name), _| Kind::ALL[*index].is_listed_whole() || content.contains_key(&(*index, name.clone())));
        }
        has
    }
}

const BOTH: [Dialect; 2] = [Dialect::Sotw, Dialect::Delta];

fn world() -> Content {
    of(&[
        (Kind::Cluster, "a", 1),
        (Kind::Cluster, "z", 1),
        (Kind::Endpoint, "a", 1),
        (Kind::Endpoint, "z", 1),
        (Kind::Listener, "l", 1),
        (Kind::Route, "r", 1),
    ])
}

fn all(dialect: Dialect, content: &Content) -> Client {
    let mut client = Client::new(dialect, content);
    client.want(Kind::Cluster, &["*"]);
    client.want(Kind::Endpoint, &["a", "z"]);
    client.want(Kind::Listener, &["*"]);
    client.want(Kind::Route, &["r"]);
    client.settle();
    client
}

#[test]
fn all_that_is_asked_for_is_sent_in_order_and_once() {
    for dialect in BOTH {
        let mut client = all(dialect, &world());
        assert_eq!(client.take_log(), ["clusters +a +z", "endpoints +a +z", "listeners +l", "routes +r"]);
        assert_eq!(client.has, client.expected(&world()));
        client.snapshot(&world());
        assert_eq!(client.settle().take_log(), [""; 0], "content that is equal is not sent again");
    }
}

#[test]
fn a_changed_endpoint_is_sent_alone() {
    for dialect in BOTH {
        let mut client = all(dialect, &world());
        client.take_log();
        let mut content = world();
        content.extend(of(&[(Kind::Endpoint, "z", 2)]));
        client.snapshot(&content);
        assert_eq!(client.settle().take_log(), ["endpoints +z"]);
    }
}

#[test]
fn what_is_gone_comes_last_and_what_takes_its_place_first() {
    let mut content = world();
    content.remove(&(Kind::Cluster.index(), "a".to_owned()));
    content.remove(&(Kind::Endpoint.index(), "a".to_owned()));
    content.extend(of(&[(Kind::Cluster, "b", 1), (Kind::Route, "r", 2)]));
    let mut delta = all(Dialect::Delta, &world());
    delta.take_log();
    delta.snapshot(&content);
    assert_eq!(delta.settle().take_log(), ["clusters +b", "routes +r", "clusters -a", "endpoints -a"]);
    let mut sotw = all(Dialect::Sotw, &world());
    sotw.take_log();
    sotw.snapshot(&content);
    assert_eq!(sotw.settle().take_log(), ["clusters +b +z +a", "routes +r", "clusters +b +z"]);
}

#[test]
fn routes_wait_until_the_clusters_are_taken_but_not_for_ever() {
    for dialect in BOTH {
        let mut client = all(dialect, &world());
        client.take_log();
        let mut content = world();
        content.extend(of(&[(Kind::Cluster, "z", 2), (Kind::Route, "r", 2)]));
        client.snapshot(&content);
        while client.read() {}
        let clusters = if dialect == Dialect::Sotw { "clusters +a +z" } else { "clusters +z" };
        assert_eq!(client.take_log(), [clusters, "endpoints +z"], "the endpoints of a changed cluster are sent with it");
        client.now += LIMITS.patience;
        while client.read() {}
        assert_eq!(client.take_log(), ["routes +r"]);
    }
}

#[test]
fn while_one_answer_is_open_snapshots_replace_each_other() {
    for dialect in BOTH {
        let mut client = all(dialect, &world());
        client.take_log();
        for content in 2..50 {
            let mut next = world();
            next.extend(of(&[(Kind::Endpoint, "a", content)]));
            client.snapshot(&next);
            client.read();
        }
        assert_eq!(client.take_log(), ["endpoints +a"]);
        client.settle();
        assert_eq!(client.take_log(), ["endpoints +a"], "the last of them");
    }
}

#[test]
fn what_was_refused_is_not_sent_again_until_it_changes() {
    for dialect in BOTH {
        let mut client = all(dialect, &world());
        client.take_log();
        let mut content = world();
        content.extend(of(&[(Kind::Listener, "l", 2)]));
        client.snapshot(&content);
        assert!(client.read() && client.reply(Some("no such port")));
        client.settle();
        assert_eq!(client.take_log(), ["listeners +l"]);
        let status = client.stream.types().into_iter().find(|status| status.kind == Kind::Listener).unwrap();
        assert_eq!(status.refusal.unwrap().message, "no such port");
        assert_ne!(status.sent.unwrap().0, status.acknowledged.unwrap().0);
        content.extend(of(&[(Kind::Listener, "l", 3)]));
        client.snapshot(&content);
        assert_eq!(client.settle().take_log(), ["listeners +l"]);
        let status = client.stream.types().into_iter().find(|status| status.kind == Kind::Listener).unwrap();
        assert_eq!((status.refusal, status.sent.unwrap().0), (None, status.acknowledged.unwrap().0));
    }
}

#[test]
fn a_cluster_or_a_listener_that_does_not_exist_is_told_of_and_others_are_waited_for() {
    // Nothing refers to names.
    let kinds = || Kind::ALL.into_iter().filter(|kind| *kind != Kind::Names);
    let mut delta = Client::new(Dialect::Delta, &Content::new());
    kinds().for_each(|kind| delta.want(kind, &["x"]));
    assert_eq!(delta.settle().take_log(), ["clusters -x", "listeners -x"]);
    let mut sotw = Client::new(Dialect::Sotw, &Content::new());
    kinds().for_each(|kind| sotw.want(kind, &["x"]));
    assert_eq!(sotw.settle().take_log(), ["clusters -x", "listeners -x"]);
    let content: Content = kinds().map(|kind| ((kind.index(), "x".to_owned()), 1)).collect();
    for client in [&mut delta, &mut sotw] {
        client.snapshot(&content);
        assert_eq!(client.settle().take_log(), ["clusters +x", "endpoints +x", "secrets +x", "listeners +x", "routes +x"]);
    }
}

#[test]
fn all_of_nothing_is_answered() {
    for dialect in BOTH {
        let mut client = Client::new(dialect, &Content::new());
        client.want(Kind::Cluster, &["*"]);
        client.want(Kind::Listener, &["*"]);
        assert_eq!(client.settle().take_log(), ["clusters", "listeners"]);
    }
}

#[test]
fn without_names_all_are_meant_where_that_is_usual() {
    let mut sotw = Client::new(Dialect::Sotw, &world());
    let none = || Wants::Names(Vec::new());
    sotw.say(Kind::Cluster, None, None, none());
    sotw.say(Kind::Endpoint, None, None, none());
    assert_eq!(sotw.settle().take_log(), ["clusters +a +z"]);
    let mut delta = Client::new(Dialect::Delta, &world());
    let none = || Wants::Changes { subscribe: Vec::new(), unsubscribe: Vec::new(), held: BTreeMap::new() };
    delta.say(Kind::Cluster, None, None, none());
    delta.say(Kind::Endpoint, None, None, none());
    assert_eq!(delta.settle().take_log(), ["clusters +a +z"]);
}

#[test]
fn after_names_none_means_none() {
    let mut client = Client::new(Dialect::Sotw, &world());
    client.want(Kind::Cluster, &["a"]);
    assert_eq!(client.settle().take_log(), ["clusters +a"]);
    client.want(Kind::Cluster, &[]);
    assert_eq!(client.settle().take_log(), [""; 0]);
    let mut content = world();
    content.extend(of(&[(Kind::Cluster, "a", 2)]));
    client.snapshot(&content);
    assert_eq!(client.settle().take_log(), [""; 0]);
}

#[test]
fn a_second_request_without_a_nonce_is_heard_and_a_stale_one_is_not() {
    let mut client = Client::new(Dialect::Sotw, &world());
    let names = |names: &[&str]| Wants::Names(names.iter().map(|name| (*name).to_owned()).collect());
    client.say(Kind::Cluster, None, None, names(&["a"]));
    assert!(client.read());
    client.say(Kind::Cluster, None, None, names(&["a", "z"]));
    let first = client.pending.remove(0).nonce;
    // Held up until the client is out of time to reply to the first.
    client.now += LIMITS.patience;
    client.read();
    client.now += LIMITS.patience;
    client.read();
    assert_eq!(client.take_log(), ["clusters +a", "clusters +a +z"]);
    client.say(Kind::Cluster, Some(first), None, names(&["a"]));
    assert!(client.stream.types()[0].waiting, "a stale acknowledgement is none");
    assert_eq!(client.stream.types()[0].subscribed, 2, "and says nothing about names");
}

#[test]
fn the_same_request_once_more_is_answered_once_a_second() {
    let mut client = all(Dialect::Sotw, &world());
    client.take_log();
    let nonce = client.newest.get(&Kind::Endpoint.index()).copied();
    let again = || Wants::Names(vec!["a".to_owned(), "z".to_owned()]);
    client.say(Kind::Endpoint, nonce, None, again());
    assert!(!client.read());
    let start = client.now;
    assert_eq!(client.settle().take_log(), ["endpoints +a +z"]);
    assert_eq!(client.now - start, AGAIN);
}

#[test]
fn a_new_stream_sends_what_differs_and_names_what_is_gone() {
    let mut client = all(Dialect::Delta, &world());
    client.take_log();
    let mut content = world();
    content.remove(&(Kind::Cluster.index(), "a".to_owned()));
    content.remove(&(Kind::Endpoint.index(), "a".to_owned()));
    content.extend(of(&[(Kind::Endpoint, "z", 2), (Kind::Listener, "m", 1)]));
    client.reconnect(&content);
    let log = client.settle().take_log();
    assert_eq!(log, ["clusters", "endpoints +z", "listeners +m", "clusters -a", "endpoints -a"]);
    assert_eq!(client.has, client.expected(&content));
}

#[test]
fn a_new_state_of_the_world_stream_is_answered_whatever_the_client_has() {
    let mut client = all(Dialect::Sotw, &world());
    client.take_log();
    client.reconnect(&world());
    assert_eq!(client.settle().take_log(), ["clusters +a +z", "endpoints +a +z", "listeners +l", "routes +r"]);
}

#[test]
fn a_name_asked_for_again_is_sent_again() {
    let mut client = all(Dialect::Delta, &world());
    client.take_log();
    let wants = Wants::Changes { subscribe: vec!["a".to_owned()], unsubscribe: Vec::new(), held: BTreeMap::new() };
    client.say(Kind::Endpoint, None, None, wants);
    assert_eq!(client.settle().take_log(), ["endpoints +a"]);
}

#[test]
fn what_comes_after_changes_that_nobody_asked_for_is_sent() {
    let world = |content: u8| {
        let many = (0..9).map(|at| (Kind::Endpoint.index(), format!("a{at}")));
        many.chain([(Kind::Endpoint.index(), "o".to_owned())]).map(|key| (key, content)).collect::<Content>()
    };
    let mut client = Client::new(Dialect::Delta, &world(1));
    client.want(Kind::Endpoint, &["o"]);
    assert_eq!(client.settle().take_log(), ["endpoints +o"]);
    client.snapshot(&world(2));
    assert!(client.read(), "there is something to send, at once");
    assert_eq!(client.take_log(), ["endpoints +o"]);
}

#[test]
fn long_answers_are_cut() {
    let content: Content = (0..200).map(|at| ((Kind::Secret.index(), format!("{at:0>1000}")), 1)).collect();
    let mut client = Client::new(Dialect::Delta, &content);
    client.want(Kind::Secret, &["*"]);
    let mut sizes = Vec::new();
    while client.read() {
        sizes.push(client.pending.last().unwrap().resources.len());
    }
    assert!(sizes.len() > 5 && sizes.iter().all(|size| *size < 40), "{sizes:?}");
    client.settle();
    assert_eq!(client.has, client.expected(&content));
}

#[test]
fn there_is_an_end_to_names() {
    let names: Vec<String> = (0..=LIMITS.names).map(|at| at.to_string()).collect();
    let mut stream = Stream::new(Dialect::Sotw, LIMITS, Arc::default(), Arc::default());
    let request = Request { kind: Kind::Route, nonce: None, refusal: None, wants: Wants::Names(names) };
    assert_eq!(stream.request(request, Instant::now()), Err(TooManyNames));
}

#[test]
fn the_time_to_an_acknowledgement_is_that_from_the_first_snapshot_with_the_change() {
    let mut client = all(Dialect::Delta, &world());
    let mut content = world();
    content.extend(of(&[(Kind::Route, "r", 2)]));
    client.snapshot(&content);
    client.now += Duration::from_millis(30);
    assert!(client.read());
    client.now += Duration::from_millis(40);
    let nonce = client.pending.remove(0).nonce;
    let wants = Wants::Changes { subscribe: Vec::new(), unsubscribe: Vec::new(), held: BTreeMap::new() };
    let heard = client.stream.request(Request { kind: Kind::Route, nonce: Some(nonce), refusal: None, wants }, client.now);
    assert_eq!(heard.unwrap().taken, Some(Duration::from_millis(70)));
}

#[derive(Clone, Debug)]
enum Event {
    Want(usize, Vec<&'static str>),
    Content(usize, &'static str, Option<u8>),
    Many(usize, Option<u8>),
    Publish,
    Read,
    Reply,
    Refuse,
    Reconnect,
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let name = || prop::sample::select(vec!["a", "b", "n", "o"]);
    let names = prop_oneof![
        3 => prop::collection::vec(name(), 0..4),
        1 => Just(vec!["*"]),
        1 => name().prop_map(|name| vec!["*", name]),
        1 => Just(MANY.to_vec()),
        1 => name().prop_map(|name| [&MANY[..7], &[name]].concat()),
    ];
    let event = prop_oneof![
        2 => (0..5usize, prop::option::weighted(0.8, 0..3u8)).prop_map(|(kind, content)| Event::Many(kind, content)),
        3 => (0..5usize, names).prop_map(|(kind, names)| Event::Want(kind, names)),
        6 => (0..5usize, name(), prop::option::weighted(0.7, 0..3u8)).prop_map(|(kind, name, content)| Event::Content(kind, name, content)),
        4 => Just(Event::Publish),
        6 => Just(Event::Read),
        6 => Just(Event::Reply),
        1 => Just(Event::Refuse),
        1 => Just(Event::Reconnect),
        1 => (0..3u64).prop_map(Event::Wait),
    ];
    prop::collection::vec(event, 0..80)
}

fn after(dialect: Dialect, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut content = Content::new();
    let mut client = Client::new(dialect, &content);
    for event in events {
        match event {
            Event::Want(kind, names) => client.want(Kind::ALL[kind], &names),
            Event::Content(kind, name, Some(to)) => drop(content.insert((kind, name.to_owned()), to)),
            Event::Content(kind, name, None) => drop(content.remove(&(kind, name.to_owned()))),
            Event::Many(kind, Some(to)) => content.extend(MANY.map(|name| ((kind, name.to_owned()), to))),
            Event::Many(kind, None) => content.retain(|(of, name), _| *of != kind || !MANY.contains(&name.as_str())),
            Event::Publish => client.snapshot(&content),
            Event::Read => drop(client.read()),
            Event::Reply => drop(client.reply(None)),
            Event::Refuse => drop(client.reply(Some("no"))),
            Event::Reconnect => client.reconnect(&content),
            Event::Wait(seconds) => client.now += Duration::from_secs(seconds),
        }
    }
    client.snapshot(&content);
    client.settle();
    let has = client.comparable(client.has.clone(), &content);
    prop_assert_eq!(&has, &client.expected(&content), "log: {:?}", client.log);
    let held: BTreeMap<_, _> =
        client.stream.held().into_iter().filter_map(|held| Some(((held.kind.index(), held.name.to_string()), held.version?))).collect();
    prop_assert_eq!(held, client.expected(&content), "what operators see");
    let leftover: usize = client.stream.lanes.iter().flatten().map(|lane| lane.subscription.exceptions()).sum();
    prop_assert_eq!(leftover, 0, "a stream that is up to date lists nothing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_a_client_has_what_it_asks_for_of_the_last_snapshot(events in events(), sotw in any::<bool>()) {
        after(if sotw { Dialect::Sotw } else { Dialect::Delta }, events)?;
    }
}
