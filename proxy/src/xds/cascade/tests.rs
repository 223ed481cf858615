use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

use crate::config::snapshot::Snapshot;
use crate::xds::cascade::{Cascade, FAREWELL, Scope, Step};
use crate::xds::inventory::tests::{cluster, endpoints, listener, offer, routes};
use crate::xds::inventory::{Basis, Inventory};
use crate::xds::resource::{Kind, Sink as _};
use crate::xds::subscription::Wanted;

struct Mesh {
    inventory: Inventory,
    cascade: Cascade,
}

impl Mesh {
    fn new() -> Self {
        let scope = Scope { clusters: true, listeners: true };
        Self { inventory: Inventory::new(Basis::default()), cascade: Cascade::new(scope, Snapshot::default()) }
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
