use std::fs;
use std::path::Path;
use std::process::Command;

use ninon_control_plane::snapshot::kind::Kind;
use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::named::Named;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{envoy, ports, proxy, sidecar};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{LIMIT, Server, World, get, manager};

/// A program that takes Envoy's bootstrap.
type Program = fn(&Path) -> Command;

struct Envoy {
    process: Process,
    admin: u16,
}

impl Envoy {
    async fn start(program: Program, server: u16, dialect: Dialect) -> Self {
        let (folder, admin) = (Folder::new(), ports::free());
        let bootstrap = sidecar::bootstrap(&[server], dialect, &json!({ "id": "envoy-1", "cluster": "tests" }), admin);
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, bootstrap.to_string()).unwrap();
        let mut process = Process::start(program(&path), folder).unwrap();
        process.wait_until_ready(admin).await.unwrap();
        Self { process, admin }
    }

    async fn page(&self, path: &str) -> String {
        get(self.admin, path).await.unwrap().1
    }

    /// The sum of counters with such an end.
    async fn counter(&self, end: &str) -> u64 {
        sidecar::sum(&self.page("/stats").await, end)
    }
}

async fn until(port: u16, wanted: &str) {
    let look = || async { get(port, "/").await.filter(|answer| *answer == (200, wanted.to_owned())) };
    if eventually(LIMIT, look).await.is_none() {
        panic!("{wanted} is to answer: {:?}", get(port, "/").await);
    }
}

/// Requests one after the other until it is dropped or asked for what it saw.
struct Load {
    requests: JoinSet<Vec<Option<(u16, String)>>>,
    enough: tokio::sync::watch::Sender<bool>,
}

impl Load {
    fn start(port: u16) -> Self {
        let (enough, done) = tokio::sync::watch::channel(false);
        let mut requests = JoinSet::new();
        requests.spawn(async move {
            let mut answers = Vec::new();
            while !*done.borrow() {
                answers.push(get(port, "/").await);
            }
            answers
        });
        Self { requests, enough }
    }

    /// All were answered well.
    async fn stop(mut self) {
        self.enough.send_replace(true);
        let answers = self.requests.join_next().await.unwrap().unwrap();
        let failed: Vec<_> = answers.iter().filter(|answer| !matches!(answer, Some((200, _)))).collect();
        assert!(failed.is_empty() && answers.len() > 10, "{} of {}: {failed:?}", failed.len(), answers.len());
    }
}

fn listener(name: &str, port: u16, route: &str) -> serde_json::Value {
    let filter = json!({ "name": "http", "typed_config": manager(route) });
    json!({ "name": name, "address": sidecar::address(port), "filter_chains": [{ "filters": [filter] }] })
}

async fn it_follows(program: Program, dialect: Dialect) {
    let (first, second) = (Named::start("first").await, Named::start("second").await);
    let (port, other) = (ports::free(), ports::free());
    let mut world = World::default();
    world.cluster("a", 1).endpoints("a", &[first.port]).route("r", "*", "a").route("s", "*", "a");
    world.put(Kind::Listener, listener("l", port, "r")).put(Kind::Listener, listener("m", other, "s"));
    let server = Server::start(&world).await;
    let mut envoy = Envoy::start(program, server.port, dialect).await;
    server.taken(&Kind::ALL[..4]).await;
    until(port, "first").await;
    until(other, "first").await;
    let load = Load::start(port);

    world.endpoints("a", &[second.port]);
    server.publish(&world);
    until(port, "second").await;

    // A cluster that is changed, and a route to a new one: nothing fails, and Envoy does not wait for endpoints in vain.
    let start = Instant::now();
    world.cluster("a", 2);
    server.publish(&world);
    server.taken(&[Kind::Cluster, Kind::Endpoint]).await;
    for _ in 0..5 {
        world.cluster("b", 1).endpoints("b", &[first.port]).route("r", "*", "b");
        server.publish(&world);
        until(port, "first").await;
        world.route("r", "*", "a").remove(Kind::Cluster, "b").remove(Kind::Endpoint, "b");
        server.publish(&world);
        until(port, "second").await;
    }
    server.taken(&[Kind::Cluster, Kind::Route]).await;
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    assert!(!envoy.page("/clusters").await.contains("b::"));

    world.remove(Kind::Listener, "m").remove(Kind::Route, "s");
    server.publish(&world);
    eventually(LIMIT, || async { get(other, "/").await.is_none().then_some(()) }).await.expect("a listener that is gone is closed");
    assert_eq!(server.refusals(), 0);

    // Another control plane takes over, and knows of one change.
    let address = server.port;
    server.stop().await;
    world.endpoints("a", &[first.port]);
    let server = Server::start_on(address, &world).await;
    until(port, "first").await;
    server.taken(&Kind::ALL[..4]).await;
    if dialect == Dialect::Delta {
        assert_eq!(Kind::ALL.map(|kind| server.sent(kind)), [0, 1, 0, 0, 0, 0]);
    }
    load.stop().await;
    world.remove(Kind::Listener, "l").put(Kind::Listener, listener("n", other, "r"));
    server.publish(&world);
    until(other, "first").await;
    assert_eq!((server.refusals(), envoy.counter("update_rejected").await), (0, 0));
    assert!(envoy.process.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_follows_incrementally() {
    it_follows(envoy::command, Dialect::Delta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_follows_by_state_of_the_world() {
    it_follows(envoy::command, Dialect::Sotw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_proxy_follows_incrementally() {
    it_follows(proxy::command, Dialect::Delta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_proxy_follows_by_state_of_the_world() {
    it_follows(proxy::command, Dialect::Sotw).await;
}
