use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::config::snapshot::Snapshot;
use crate::xds::cascade::named::UNKNOWN;
use crate::xds::cascade::{Cascade, FAREWELL, Scope, Step};
use crate::xds::inventory::Inventory;
use crate::xds::inventory::tests::{cluster, endpoints, listener, offer, routes, with_server};
use crate::xds::resource::{Kind, Sink as _};
use crate::xds::subscription::Wanted;

struct Mesh {
    inventory: Inventory,
    cascade: Cascade,
}

impl Mesh {
    fn new() -> Self {
        let scope = Scope { clusters: true, listeners: true };
        Self { inventory: Inventory::new(with_server()), cascade: Cascade::new(scope, Snapshot::default()) }
    }

    fn tell(&mut self, resource: &(Kind, Json)) -> Step {
        offer(&mut self.inventory, "1", resource).unwrap();
        self.step()
    }

    fn step(&mut self) -> Step {
        self.cascade.step(&self.inventory, Instant::now())
    }

    fn wanted(&self, kind: Kind) -> Wanted {
        self.cascade.wanted(&self.inventory).into_iter().find(|(of, _)| *of == kind).unwrap().1
    }

    fn serves(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let Snapshot { clusters, route_tables, listeners } = self.cascade.serving();
        let mut clusters: Vec<_> = clusters.keys().map(|name| name.as_str().to_owned()).collect();
        clusters.sort();
        let tables = route_tables.keys().map(|name| name.as_str().to_owned()).collect();
        (clusters, tables, listeners.iter().map(|listener| listener.name.as_str().to_owned()).collect())
    }
}

fn names(names: &[&str]) -> Wanted {
    Wanted::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_answer_tells_what_to_ask_for_next() {
    let mut mesh = Mesh::new();
    assert_eq!((mesh.wanted(Kind::Cluster), mesh.wanted(Kind::Listener)), (Wanted::All, Wanted::Nothing));
    mesh.cascade.clusters_told();
    mesh.tell(&cluster("web"));
    assert_eq!((mesh.wanted(Kind::Endpoint), mesh.wanted(Kind::Listener)), (names(&["web"]), Wanted::Nothing));
    mesh.tell(&endpoints("web", 80));
    assert_eq!(mesh.wanted(Kind::Listener), Wanted::All, "all clusters are warm");
    mesh.tell(&listener("in", 8080, "r"));
    assert_eq!(mesh.wanted(Kind::Route), names(&["r"]));
    assert_eq!(mesh.serves(), (texts(&["web"]), vec![], vec![]), "the listener waits for its routes");
    mesh.tell(&routes("r", "web"));
    assert_eq!(mesh.serves(), (texts(&["web"]), texts(&["r"]), texts(&["in"])));
}

#[tokio::test(start_paused = true)]
async fn routes_wait_for_a_cluster_that_is_waited_for() {
    let mut mesh = Mesh::new();
    mesh.tell(&routes("r", "web"));
    assert_eq!(mesh.serves().1, texts(&["r"]), "a cluster that nobody has heard of is not waited for");
    mesh.tell(&cluster("new"));
    let before = mesh.cascade.serving().route_tables["r"].clone();
    mesh.tell(&routes("r", "new"));
    assert!(std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
    mesh.tell(&endpoints("new", 80));
    assert!(!std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
}

#[tokio::test(start_paused = true)]
async fn changed_routes_wait_for_a_cluster_that_comes_after_them() {
    let mut mesh = Mesh::new();
    mesh.tell(&cluster("web"));
    mesh.tell(&endpoints("web", 80));
    mesh.tell(&routes("r", "web"));
    let before = mesh.cascade.serving().route_tables["r"].clone();
    let wake = mesh.tell(&routes("r", "late")).wake;
    assert_eq!(wake, Some(Instant::now() + UNKNOWN));
    assert!(std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
    mesh.tell(&cluster("late"));
    assert!(std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]), "it has no endpoints yet");
    mesh.tell(&endpoints("late", 80));
    assert!(!std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
}

#[tokio::test(start_paused = true)]
async fn routes_serve_without_a_cluster_that_does_not_come() {
    let mut mesh = Mesh::new();
    mesh.tell(&routes("r", "web"));
    let before = mesh.cascade.serving().route_tables["r"].clone();
    mesh.tell(&routes("r", "never"));
    tokio::time::advance(UNKNOWN).await;
    mesh.step();
    assert!(!std::sync::Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
}

#[tokio::test(start_paused = true)]
async fn a_changed_cluster_keeps_the_endpoints_that_did_not_change() {
    let mut mesh = Mesh::new();
    mesh.tell(&cluster("web"));
    mesh.tell(&endpoints("web", 80));
    let (kind, mut changed) = cluster("web");
    changed["connect_timeout"] = "3s".into();
    let step = mesh.tell(&(kind, changed));
    assert!(step.snapshot.is_some_and(|snapshot| snapshot.clusters["web"].connect_timeout == Duration::from_secs(3)));
    assert_eq!(step.endpoints.len(), 1, "its new state is given them");
}

#[tokio::test(start_paused = true)]
async fn new_endpoints_need_no_new_snapshot() {
    let mut mesh = Mesh::new();
    mesh.tell(&cluster("web"));
    mesh.tell(&endpoints("web", 80));
    let step = mesh.tell(&endpoints("web", 81));
    assert!(step.snapshot.is_none());
    assert_eq!(step.endpoints.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_serves_without_endpoints_once_they_were_waited_for() {
    let mut mesh = Mesh::new();
    let step = mesh.tell(&cluster("web"));
    let wake = step.wake.expect("it looks again");
    assert!(mesh.serves().0.is_empty());
    tokio::time::advance(wake - Instant::now()).await;
    mesh.step();
    assert_eq!(mesh.serves().0, texts(&["web"]));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_taken_away_serves_routes_that_name_it_for_a_while() {
    let mut mesh = Mesh::new();
    mesh.tell(&cluster("old"));
    mesh.tell(&endpoints("old", 80));
    mesh.tell(&routes("r", "old"));
    mesh.inventory.remove(Kind::Cluster, "old");
    mesh.step();
    assert_eq!(mesh.serves().0, texts(&["old"]));
    tokio::time::advance(FAREWELL).await;
    mesh.step();
    assert!(mesh.serves().0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_comes_again_does_not_begin_with_the_endpoints_of_then() {
    let mut mesh = Mesh::new();
    for resource in [cluster("web"), endpoints("web", 80), routes("old", "web"), routes("r", "other")] {
        mesh.tell(&resource);
    }
    mesh.inventory.remove(Kind::Cluster, "web");
    mesh.step();
    assert_eq!((mesh.wanted(Kind::Endpoint), mesh.serves().0), (names(&[]), texts(&["web"])), "it serves with what it has");
    mesh.inventory.retain(Kind::Endpoint, &[].into());
    let (then, before) = (mesh.cascade.serving().clusters["web"].clone(), mesh.cascade.serving().route_tables["r"].clone());
    mesh.tell(&cluster("web"));
    mesh.tell(&routes("r", "web"));
    tokio::time::advance(FAREWELL).await;
    mesh.step();
    let serving = mesh.cascade.serving();
    assert!(std::sync::Arc::ptr_eq(&then, &serving.clusters["web"]), "what named it then is served on while the next one warms");
    assert!(std::sync::Arc::ptr_eq(&before, &serving.route_tables["r"]), "what names it now waits");
    let step = mesh.tell(&endpoints("web", 81));
    let serving = mesh.cascade.serving();
    assert!(!std::sync::Arc::ptr_eq(&then, &serving.clusters["web"]));
    assert!(!std::sync::Arc::ptr_eq(&before, &serving.route_tables["r"]));
    assert_eq!(step.endpoints.len(), 1, "with the endpoints of now");
}

#[tokio::test(start_paused = true)]
async fn routes_that_no_listener_names_any_more_serve_open_connections_for_a_while() {
    let mut mesh = Mesh::new();
    mesh.tell(&routes("old", "web"));
    mesh.inventory.retain(Kind::Route, &[].into());
    let wake = mesh.step().wake;
    assert_eq!((mesh.serves().1, wake), (texts(&["old"]), Some(Instant::now() + FAREWELL)));
    tokio::time::advance(FAREWELL).await;
    mesh.step();
    assert!(mesh.serves().1.is_empty());
}

#[tokio::test(start_paused = true)]
async fn any_order_of_answers_ends_in_the_same() {
    let all = [cluster("web"), endpoints("web", 80), listener("in", 8080, "r"), routes("r", "web")];
    for first in 0..4 {
        for second in 0..4 {
            let mut order: Vec<usize> = (0..4).collect();
            order.swap(0, first);
            order.swap(1, second);
            let mut mesh = Mesh::new();
            for index in order {
                mesh.tell(&all[index]);
            }
            assert_eq!(mesh.serves(), (texts(&["web"]), texts(&["r"]), texts(&["in"])));
        }
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Told(Kind, &'static str, u8),
    TakenAway(Kind, &'static str),
    TimePasses,
}

/// A resource in one of its forms; the last form of a cluster is not good.
fn form(kind: Kind, name: &str, form: u8) -> (Kind, Json) {
    let other = if form == 0 { "a" } else { "b" };
    match (kind, form) {
        (Kind::Cluster, 0) => cluster(name),
        (Kind::Cluster, 1) => (kind, serde_json::json!({"name": name, "type": "STATIC"})),
        (Kind::Cluster, _) => (kind, serde_json::json!({"name": name, "type": "EDS"})),
        (Kind::Endpoint, _) => endpoints(name, 80 + u16::from(form)),
        (Kind::Listener, _) => listener(name, 8080, if form == 0 { "r" } else { "s" }),
        (Kind::Route, _) => routes(name, other),
        (Kind::Secret, _) => unreachable!("none here"),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let resource = prop_oneof![
        (Just(Kind::Cluster), prop_oneof![Just("a"), Just("b")]),
        (Just(Kind::Endpoint), prop_oneof![Just("a"), Just("b")]),
        (Just(Kind::Listener), prop_oneof![Just("in"), Just("out")]),
        (Just(Kind::Route), prop_oneof![Just("r"), Just("s")]),
    ];
    let of_whole = prop_oneof![(Just(Kind::Cluster), prop_oneof![Just("a"), Just("b")]), (Just(Kind::Listener), Just("in"))];
    prop_oneof![
        8 => (resource, 0..3_u8).prop_map(|((kind, name), form)| Event::Told(kind, name, form)),
        2 => of_whole.prop_map(|(kind, name)| Event::TakenAway(kind, name)),
        1 => Just(Event::TimePasses),
    ]
}

/// All that serves, in words.
fn in_words(mesh: &Mesh) -> Vec<String> {
    let Snapshot { clusters, route_tables, listeners } = mesh.cascade.serving();
    let mut words: Vec<String> = clusters.values().map(|cluster| format!("{cluster:?}")).collect();
    words.extend(route_tables.iter().map(|(name, table)| format!("{name}: {table:?}")));
    words.extend(listeners.iter().map(|listener| format!("{listener:?}")));
    words.extend(mesh.cascade.given.iter().map(|(name, given)| format!("{name} has {given:?}")));
    words.sort();
    words
}

/// Until nothing waits any more.
async fn settle(mesh: &mut Mesh) {
    for _ in 0..4 {
        tokio::time::advance(Duration::from_secs(60)).await;
        mesh.step();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_story_ends_as_a_fresh_start_with_what_was_good_last(events in prop::collection::vec(event(), 0..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut mesh = Mesh::new();
            let mut last = BTreeMap::new();
            for event in &events {
                match event {
                    Event::Told(kind, name, number) => {
                        let resource = form(*kind, name, *number);
                        if offer(&mut mesh.inventory, "1", &resource).is_ok() {
                            last.insert((*kind, *name), resource);
                        }
                    }
                    Event::TakenAway(kind, name) => {
                        mesh.inventory.remove(*kind, name);
                        last.remove(&(*kind, *name));
                    }
                    Event::TimePasses => tokio::time::advance(Duration::from_secs(4)).await,
                }
                let before = mesh.cascade.serving().clone();
                mesh.step();
                // What serves keeps every cluster that it names, as long as the server has not taken it away.
                for table in mesh.cascade.serving().route_tables.values() {
                    for name in table.clusters().into_iter().filter(|name| before.clusters.contains_key(*name)) {
                        let known = mesh.inventory.clusters.get(name.as_str()).is_some_and(|entry| entry.known.is_some());
                        assert!(!known || mesh.cascade.serving().clusters.contains_key(name), "{name} went under {events:?}");
                    }
                }
            }
            settle(&mut mesh).await;
            let mut fresh = Mesh::new();
            for resource in last.values() {
                fresh.tell(resource);
            }
            settle(&mut fresh).await;
            let (ours, fresh) = (in_words(&mesh), in_words(&fresh));
            let odd: Vec<_> = ours.iter().filter(|word| !fresh.contains(word)).chain(fresh.iter().filter(|word| !ours.contains(word))).collect();
            assert!(odd.is_empty(), "{odd:#?}");
        });
    }
}
