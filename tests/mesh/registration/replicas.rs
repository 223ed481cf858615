use std::process::Command;

use ninon_tests::control_plane::Dialect;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};

use super::{Plan, Registrant, TIMES, client, failures, registered, token, until_only, until_registered, until_registered_within};
use crate::load::Load;
use crate::world::{LIMIT, Program, World, until};

/// etcd, which ends with this, and where it is.
fn etcd() -> (Process, u16) {
    let (port, peer, folder) = (ports::free(), ports::free(), Folder::new());
    let (here, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let mut command = Command::new(settings::etcd_binary());
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.args(["--listen-client-urls", &here, "--advertise-client-urls", &here]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("default={peer}")]);
    (Process::start(command, folder).unwrap(), port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_control_plane_takes_over_from_one_that_dies() {
    let (_etcd, port) = etcd();
    let up = || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() };
    ninon_tests::eventually::eventually(LIMIT, up).await.expect("etcd is there");
    let store = format!("etcd://127.0.0.1:{port}");
    let (mut here, there) = (World::start_at_store(&store, &TIMES).await, World::start_at_store(&store, &TIMES).await);
    let (_web, outbound) = client(&there, Program::Envoy, Dialect::Delta).await;
    // A sidecar that knows both, and one that knows the first.
    let token = token(&here);
    let mut servers = Vec::new();
    let plan = Plan { servers: &[here.xds, there.xds], ..Plan::of(&here, &token, "cart-1", "v1", &mut servers) };
    let _first = Registrant::start(&plan).await;
    let second = Registrant::ninon(&here, &token, "cart-2", "v2").await;
    until_registered(&there, &["cart-1 serving", "cart-2 serving"]).await;
    until(outbound, "/", "cart.shop", (200, "v2")).await;
    let load = Load::start(outbound, "cart.shop", "/");
    until_only(&load, &["200 v1", "200 v2"], 0).await;

    // The first control plane dies, and one sidecar with it.
    here.kill();
    drop(second);
    load.answers(500).await;
    assert_eq!(registered(&there), ["cart-1 serving", "cart-2 serving"], "both may come back");
    there.are_synced(2).await;
    // The other one has found out that the first is dead, has waited, and has drained.
    until_registered_within(LIMIT * 3, &there, &["cart-1 serving"]).await;
    let seen = load.seen();
    assert!(failures(&seen) <= 4, "{seen:?}");
    until_only(&load, &["200 v1"], 0).await;
    assert!(!there.log().contains("workload=shop/cart-1 state=\"draining\""), "{}", there.log());

    // The first comes again, and knows what has become of everybody.
    here.serve().await;
    until_registered(&here, &["cart-1 serving"]).await;
    let rest = load.end().await;
    assert_eq!(failures(&rest), 0, "{rest:?}");
}
