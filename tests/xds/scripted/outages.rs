use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::eventually::eventually;
use serde_json::json;

use super::relay::{Network, Relay};
use super::world::{CLUSTER, Load, ROUTES, Services, Sidecar, says, set_up};

/// A proxy that serves, and the network between it and its control plane.
async fn behind_a_relay(dialect: Dialect, services: &Services) -> (ControlPlane, Relay, Sidecar) {
    let control_plane = ControlPlane::new(dialect);
    let relay = Relay::start(control_plane.port(), Network::Passes).await;
    let sidecar = Sidecar::start_with(&control_plane, &[relay.port], json!({}));
    set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    assert_eq!(sidecar.complaints(), Vec::<String>::new());
    (control_plane, relay, sidecar)
}

/// The control plane is there again: what it says is followed, and the outage was told once.
async fn is_over(control_plane: &ControlPlane, sidecar: &Sidecar) {
    control_plane.request_of(ROUTES).await;
    let nonce = control_plane.send(ROUTES, "after", &[says("table", "after")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "after").await;
    sidecar.counts("control_plane.connected_state", 1).await;
    assert_eq!(sidecar.complaints().len(), 1, "one line for an outage: {:#?}", sidecar.complaints());
}

async fn attempts(relay: &Relay, count: usize) {
    let before = relay.connections();
    let tried = || async { (relay.connections() >= before + count).then_some(()) };
    assert!(eventually(LIMIT, tried).await.is_some(), "the proxy tries again");
}

#[tokio::test]
async fn a_control_plane_that_is_killed() {
    let services = Services::start(&["web"]).await;
    let (control_plane, mut relay, sidecar) = behind_a_relay(Dialect::Sotw, &services).await;
    let load = Load::start(sidecar.port);
    relay.kill().await;
    sidecar.counts("control_plane.connect_fail", 3).await;
    assert_eq!(sidecar.stat("control_plane.connected_state").await, Some(0));
    assert_eq!(sidecar.complaints().len(), 1, "{:#?}", sidecar.complaints());
    relay.revive().await;
    is_over_with(&control_plane, &sidecar, load).await;
}

async fn is_over_with(control_plane: &ControlPlane, sidecar: &Sidecar, load: Load) {
    load.went_well().await;
    is_over(control_plane, sidecar).await;
}

#[tokio::test]
async fn a_control_plane_that_answers_garbage() {
    let services = Services::start(&["web"]).await;
    let (control_plane, relay, sidecar) = behind_a_relay(Dialect::Delta, &services).await;
    let load = Load::start(sidecar.port);
    relay.becomes(Network::Babbles);
    attempts(&relay, 3).await;
    assert_eq!(sidecar.stat("control_plane.connected_state").await, Some(0), "garbage is no connection");
    assert_eq!(sidecar.complaints().len(), 1, "{:#?}", sidecar.complaints());
    relay.becomes(Network::Passes);
    is_over_with(&control_plane, &sidecar, load).await;
}

#[tokio::test]
async fn a_control_plane_that_is_slow() {
    let services = Services::start(&["web"]).await;
    let (control_plane, relay, sidecar) = behind_a_relay(Dialect::Sotw, &services).await;
    let load = Load::start(sidecar.port);
    relay.becomes(Network::Crawls);
    let mut long = says("table", "slowly");
    long["virtual_hosts"][0]["metadata"] = json!({ "filter_metadata": { "ninon": { "text": "x".repeat(20_000) } } });
    let nonce = control_plane.send(ROUTES, "2", &[long]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "slowly").await;
    load.went_well().await;
    assert_eq!(sidecar.complaints(), Vec::<String>::new(), "slow is no outage");
}

#[tokio::test]
async fn errors_one_after_the_other_are_told_once() {
    let services = Services::start(&["web"]).await;
    let (control_plane, _relay, sidecar) = behind_a_relay(Dialect::Delta, &services).await;
    let load = Load::start(sidecar.port);
    for _ in 0..4 {
        control_plane.fail("UNAVAILABLE", "not now");
        control_plane.closed().await;
        control_plane.request_of(CLUSTER).await;
    }
    is_over_with(&control_plane, &sidecar, load).await;
}

#[tokio::test]
async fn the_next_server_is_tried_when_one_is_dead() {
    let control_plane = ControlPlane::new(Dialect::Sotw);
    let sidecar = Sidecar::start_with(&control_plane, &[ninon_tests::ports::free(), control_plane.port()], json!({}));
    let services = Services::start(&["web"]).await;
    set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    assert_eq!(sidecar.complaints().len(), 1, "{:#?}", sidecar.complaints());
}

#[tokio::test]
async fn the_next_server_is_tried_when_one_is_silent() {
    let control_plane = ControlPlane::new(Dialect::Delta);
    let relay = Relay::start(control_plane.port(), Network::Swallows).await;
    let sidecar = Sidecar::start_with(&control_plane, &[relay.port, control_plane.port()], json!({}));
    let services = Services::start(&["web"]).await;
    set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    assert_eq!(sidecar.complaints().len(), 1, "{:#?}", sidecar.complaints());
}

#[tokio::test]
async fn a_control_plane_that_is_silenced() {
    let services = Services::start(&["web"]).await;
    let (control_plane, relay, sidecar) = behind_a_relay(Dialect::Sotw, &services).await;
    let load = Load::start(sidecar.port);
    relay.becomes(Network::Swallows);
    attempts(&relay, 2).await;
    assert_eq!(sidecar.stat("control_plane.connected_state").await, Some(0));
    relay.becomes(Network::Passes);
    is_over_with(&control_plane, &sidecar, load).await;
}
