use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value as Json;
use tokio::time::Instant;

use crate::config::scope::Scope as RouteScope;
use crate::config::snapshot::Snapshot;
use crate::xds::cascade::named::UNKNOWN;
use crate::xds::cascade::{Cascade, FAREWELL, Scope, Step};
use crate::xds::inventory::Inventory;
use crate::xds::inventory::tests::{cluster, endpoints, listener, offer, routes, scope, scoped_listener, with_server};
use crate::xds::resource::{Kind, Sink as _};
use crate::xds::subscription::Wanted;

struct Mesh {
    inventory: Inventory,
    cascade: Cascade,
}

impl Mesh {
    fn new() -> Self {
        let scope = Scope { clusters: true, listeners: true, names: false };
        Self { inventory: Inventory::new(with_server()), cascade: Cascade::new(scope, Snapshot::default()) }
    }

    fn tell(&mut self, resource: &(Kind, Json)) -> Step {
        offer(&mut self.inventory, "1", resource).unwrap();
        self.step()
    }

    fn step(&mut self) -> Step {
        let step = self.cascade.step(&self.inventory, Instant::now());
        let serving = &self.cascade.serving().listeners;
        self.inventory.listeners.settle(|name| serving.iter().find(|listener| listener.name.as_str() == name));
        step
    }

    fn wanted(&self, kind: Kind) -> Wanted {
        self.cascade.wanted(&self.inventory).into_iter().find(|(of, _)| *of == kind).unwrap().1
    }

    fn serves(&self) -> (Vec<String>, Vec<String>, Vec<String>) {
        let Snapshot { clusters, route_tables, listeners, .. } = self.cascade.serving();
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
    assert!(Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
    mesh.tell(&endpoints("new", 80));
    assert!(!Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
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
    assert!(Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
    mesh.tell(&cluster("late"));
    assert!(Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]), "it has no endpoints yet");
    mesh.tell(&endpoints("late", 80));
    assert!(!Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
}

#[tokio::test(start_paused = true)]
async fn routes_serve_without_a_cluster_that_does_not_come() {
    let mut mesh = Mesh::new();
    mesh.tell(&routes("r", "web"));
    let before = mesh.cascade.serving().route_tables["r"].clone();
    mesh.tell(&routes("r", "never"));
    tokio::time::advance(UNKNOWN).await;
    mesh.step();
    assert!(!Arc::ptr_eq(&before, &mesh.cascade.serving().route_tables["r"]));
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
    assert!(Arc::ptr_eq(&then, &serving.clusters["web"]), "what named it then is served on while the next one warms");
    assert!(Arc::ptr_eq(&before, &serving.route_tables["r"]), "what names it now waits");
    let step = mesh.tell(&endpoints("web", 81));
    let serving = mesh.cascade.serving();
    assert!(!Arc::ptr_eq(&then, &serving.clusters["web"]));
    assert!(!Arc::ptr_eq(&before, &serving.route_tables["r"]));
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

/// Scopes that serve: name, key, table.
fn scopes(mesh: &Mesh) -> Vec<(String, String, String)> {
    let shown = |scope: &Arc<RouteScope>| (scope.name.clone(), scope.key.join("+"), scope.named_table().unwrap().as_str().to_owned());
    mesh.cascade.serving().scopes.iter().map(shown).collect()
}

fn shown(scopes: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    scopes.iter().map(|(name, key, table)| ((*name).to_owned(), (*key).to_owned(), (*table).to_owned())).collect()
}

/// A listener of scopes, two of them, and their routes.
fn scoped() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.tell(&scoped_listener("in", 8080));
    mesh.cascade.scopes_told();
    for resource in [scope("a", "1", "r"), scope("b", "2", "s"), routes("r", "web"), routes("s", "web")] {
        mesh.tell(&resource);
    }
    assert_eq!(scopes(&mesh), shown(&[("a", "1", "r"), ("b", "2", "s")]));
    mesh
}

#[tokio::test(start_paused = true)]
async fn a_listener_waits_for_scopes_and_for_their_routes() {
    let mut mesh = Mesh::new();
    assert_eq!(mesh.wanted(Kind::ScopedRoute), Wanted::Nothing, "nobody asks for them");
    mesh.tell(&scoped_listener("in", 8080));
    assert_eq!((mesh.wanted(Kind::ScopedRoute), mesh.wanted(Kind::Route)), (Wanted::All, names(&[])));
    assert!(mesh.serves().2.is_empty(), "it waits for scopes");
    mesh.cascade.scopes_told();
    mesh.tell(&scope("a", "1", "r"));
    mesh.tell(&scope("b", "2", "s"));
    assert_eq!(mesh.wanted(Kind::Route), names(&["r", "s"]));
    mesh.tell(&routes("r", "web"));
    assert!(mesh.serves().2.is_empty(), "it waits for the routes of all");
    mesh.tell(&routes("s", "web"));
    assert_eq!(mesh.serves().2, texts(&["in"]));
    mesh.inventory.remove(Kind::Listener, "in");
    mesh.step();
    assert_eq!((mesh.wanted(Kind::ScopedRoute), mesh.wanted(Kind::Route)), (Wanted::Nothing, names(&[])));
    assert_eq!(scopes(&mesh).len(), 2, "open connections have them for a while");
    tokio::time::advance(FAREWELL).await;
    mesh.step();
    assert!(scopes(&mesh).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listener_serves_without_scopes_that_do_not_come() {
    let mut mesh = Mesh::new();
    let wake = mesh.tell(&scoped_listener("in", 8080)).wake.expect("it looks again");
    tokio::time::advance(wake - Instant::now()).await;
    mesh.step();
    assert_eq!(mesh.serves().2, texts(&["in"]));
}

#[tokio::test(start_paused = true)]
async fn a_listener_without_scopes_on_the_server_serves_at_once() {
    let mut mesh = Mesh::new();
    mesh.tell(&scoped_listener("in", 8080));
    mesh.cascade.scopes_told();
    mesh.step();
    assert_eq!(mesh.serves().2, texts(&["in"]));
}

#[tokio::test(start_paused = true)]
async fn a_changed_scope_serves_once_its_routes_are_there() {
    let mut mesh = scoped();
    mesh.tell(&scope("a", "1", "later"));
    assert_eq!(scopes(&mesh), shown(&[("a", "1", "r"), ("b", "2", "s")]));
    assert_eq!(mesh.wanted(Kind::Route), names(&["later", "r", "s"]), "the one before is still followed");
    mesh.tell(&routes("later", "web"));
    assert_eq!(scopes(&mesh), shown(&[("a", "1", "later"), ("b", "2", "s")]));
    assert_eq!(mesh.wanted(Kind::Route), names(&["later", "s"]));
    mesh.tell(&scope("a", "1", "never"));
    tokio::time::advance(Duration::from_secs(15)).await;
    mesh.step();
    assert_eq!(scopes(&mesh), shown(&[("a", "1", "never"), ("b", "2", "s")]), "not for ever");
}

#[tokio::test(start_paused = true)]
async fn a_scope_goes_when_it_is_taken_away() {
    let mut mesh = scoped();
    mesh.inventory.remove(Kind::ScopedRoute, "a");
    mesh.step();
    assert_eq!(scopes(&mesh), shown(&[("b", "2", "s")]));
    assert_eq!(mesh.wanted(Kind::Route), names(&["s"]));
}

#[tokio::test(start_paused = true)]
async fn a_key_leads_to_the_scope_that_has_it_now() {
    let mut mesh = scoped();
    let error = offer(&mut mesh.inventory, "2", &scope("c", "1", "s")).unwrap_err();
    assert_eq!(error, "key: scope \"a\" has the same key as \"c\"");
    mesh.tell(&scope("a", "9", "later"));
    assert_eq!(scopes(&mesh), shown(&[("a", "1", "r"), ("b", "2", "s")]), "its routes are not there yet");
    mesh.tell(&scope("c", "1", "s"));
    assert_eq!(scopes(&mesh), shown(&[("c", "1", "s"), ("b", "2", "s")]));
    mesh.tell(&routes("later", "web"));
    assert_eq!(scopes(&mesh), shown(&[("c", "1", "s"), ("b", "2", "s"), ("a", "9", "later")]));
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
        (Kind::Listener, 2) => scoped_listener(name, 8080),
        (Kind::Listener, _) => listener(name, 8080, if form == 0 { "r" } else { "s" }),
        (Kind::ScopedRoute, _) => scope(name, [name, "x"][usize::from(form == 1)], if form == 2 { "s" } else { "r" }),
        (Kind::Route, _) => routes(name, other),
        (Kind::Secret | Kind::Names, _) => unreachable!("none here"),
    }
}

fn event() -> impl Strategy<Value = Event> {
    let resource = prop_oneof![
        (Just(Kind::Cluster), prop_oneof![Just("a"), Just("b")]),
        (Just(Kind::Endpoint), prop_oneof![Just("a"), Just("b")]),
        (Just(Kind::Listener), prop_oneof![Just("in"), Just("out")]),
        (Just(Kind::ScopedRoute), prop_oneof![Just("p"), Just("q")]),
        (Just(Kind::Route), prop_oneof![Just("r"), Just("s")]),
    ];
    let of_whole = prop_oneof![
        (Just(Kind::Cluster), prop_oneof![Just("a"), Just("b")]),
        (Just(Kind::Listener), Just("in")),
        (Just(Kind::ScopedRoute), Just("p")),
    ];
    prop_oneof![
        8 => (resource, 0..3_u8).prop_map(|((kind, name), form)| Event::Told(kind, name, form)),
        2 => of_whole.prop_map(|(kind, name)| Event::TakenAway(kind, name)),
        1 => Just(Event::TimePasses),
    ]
}

/// All that serves, in words.
fn in_words(mesh: &Mesh) -> Vec<String> {
    let Snapshot { clusters, route_tables, listeners, scopes } = mesh.cascade.serving();
    let mut words: Vec<String> = clusters.values().map(|cluster| format!("{cluster:?}")).collect();
    words.extend(route_tables.iter().map(|(name, table)| format!("{name}: {table:?}")));
    words.extend(scopes.iter().map(|scope| format!("{scope:?}")));
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
