use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ninon_tests::eventually::eventually;
use ninon_tests::named::Named;
use ninon_tests::ports;
use ninon_tests::process::{Folder, Process};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::load::Load;
use crate::objects::{client, service, workload};
use crate::world::{LIMIT, Program, Sidecar, World, until};

/// Streams have 5 s to end, and clients of the API as long; nobody here needs either.
const END: Duration = Duration::from_secs(3);

/// A running etcd, and what `--store` says of it.
pub(crate) async fn etcd() -> (Process, String) {
    let (folder, client, peer) = (Folder::new(), ports::free(), ports::free());
    let binary = std::env::var_os("ETCD_BIN").map_or_else(|| "../target/etcd/usr/bin/etcd".into(), PathBuf::from);
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut command = Command::new(binary);
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client)]);
    command.args(["--listen-peer-urls", &url(peer), "--initial-advertise-peer-urls", &url(peer)]);
    command.args(["--initial-cluster", &format!("default={}", url(peer))]);
    let process = Process::start(command, folder).unwrap();
    let look = || async { TcpStream::connect(("127.0.0.1", client)).await.ok() };
    assert!(eventually(LIMIT, look).await.is_some(), "{}", process.log());
    (process, format!("etcd://127.0.0.1:{client}"))
}

fn cart(port: u16) -> String {
    service("cart", "http") + &workload("cart-1", "cart", "http", port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_ends_hands_its_proxies_to_another() {
    let (first, second) = (Named::start("v1").await, Named::start("v2").await);
    let outbound = [ports::free(), ports::free()];
    let (_etcd, store) = etcd().await;
    let (mut one, mut other) = (World::new(&store), World::new(&store));
    one.serve().await;
    one.apply(&(cart(first.port) + &client("envoy", outbound[0]) + &client("ninon", outbound[1])));
    // The other replica is not there yet: all are with the first.
    let servers = [one.xds, other.xds];
    let envoy = Sidecar::of_any(&servers, Program::Envoy, "envoy").await;
    let _ninon = Sidecar::of_any(&servers, Program::Ninon, "ninon").await;
    for port in outbound {
        until(port, "/", "cart", (200, "v1")).await;
    }
    one.are_synced(2).await;
    other.serve().await;
    assert_eq!(other.proxies().len(), 0);
    let loads = outbound.map(|port| Load::start(port, "cart", "/"));
    for load in &loads {
        load.answers(100).await;
    }

    let begun = Instant::now();
    let (ended, log) = one.end(END).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "after {:?}: {log}", begun.elapsed());
    other.are_synced(2).await;
    println!("ended and moved within {:?}", begun.elapsed());
    assert_eq!(envoy.counter("cluster.ads.upstream_cx_close_notify").await, 1, "it is told to go (GOAWAY)");
    assert_eq!(other.metric("ninon_xds_resources_sent_total").await, 0.0, "they have everything");
    assert_eq!(other.metric("ninon_xds_resources_removed_total").await, 0.0);

    // The one that is left is asked to change something.
    other.apply(&cart(second.port));
    for port in outbound {
        until(port, "/", "cart", (200, "v2")).await;
    }
    other.are_synced(2).await;
    assert_eq!(other.metric("ninon_xds_resources_sent_total").await, 2.0, "each is sent the endpoints");

    // And back, to one that is new and knows what the other wrote.
    one.serve().await;
    assert!(one.does(&["get", "workload", "cart-1", "-n", "shop", "-o", "yaml"]).contains(&second.port.to_string()));
    let (ended, log) = other.end(END).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{log}");
    one.are_synced(2).await;
    assert_eq!(one.metric("ninon_xds_resources_sent_total").await, 0.0);
    one.is_accepted_by_all().await;
    for load in loads {
        let seen = load.end().await;
        assert!(seen.keys().all(|seen| seen.starts_with("200 ")), "{seen:?}");
    }
}
