use std::net::TcpListener;

use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::envoy;
use ninon_tests::eventually::eventually;
use ninon_tests::ports;
use serde_json::Value;

use super::both;
use super::world::{LISTENER, Load, ROUTES, Services, Sidecar, listener, routes, says, serving, set_up};

both!(
    a_listener_whose_port_is_taken_is_refused_and_the_one_before_serves,
    a_listener_whose_port_is_taken_when_its_routes_come_says_so,
    envoy_refuses_a_listener_whose_port_is_taken,
);

/// What `/config_dump` has of a listener.
async fn dumped(sidecar: &Sidecar, name: &str) -> Value {
    let dump: Value = serde_json::from_str(&sidecar.page("/config_dump?resource=dynamic_listeners").await).unwrap();
    let mut listeners = dump["configs"].as_array().unwrap().iter();
    listeners.find(|listener| listener["name"] == name).cloned().unwrap_or_default()
}

async fn a_listener_whose_port_is_taken_is_refused_and_the_one_before_serves(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let resources = [listener("beside", ports::free(), "table"), listener("in", port, "table")];
    let nonce = control_plane.send(LISTENER, "2", &resources);
    let reply = control_plane.reply(&nonce).await;
    let error = reply.error().expect("it is refused");
    let place = format!("127.0.0.1:{port}");
    assert!(error.starts_with("in: address: ") && error.contains(&place) && error.contains("Address already in use"), "{error}");
    assert!(!error.contains("beside"), "{error}");
    if dialect == Dialect::Sotw {
        assert_eq!(reply.version(), "1");
    }
    let shown = dumped(&sidecar, "in").await;
    assert_eq!((&shown["active_state"]["version_info"], &shown["error_state"]["version_info"]), (&"1".into(), &"2".into()), "{shown:#}");
    assert!(shown["error_state"]["details"].as_str().is_some_and(|details| details.contains("in use")), "{shown:#}");
    assert_eq!(dumped(&sidecar, "beside").await["active_state"]["version_info"], "2");
    sidecar.counts("control_plane.listeners_refused", 1).await;
    sidecar.counts("listener_manager.listener_create_failure", 1).await;
    // The next stream brings it again.
    control_plane.forget();
    control_plane.end();
    let again = control_plane.request_of(LISTENER).await;
    match dialect {
        Dialect::Sotw => assert_eq!(again.version(), "1"),
        Dialect::Delta => assert_eq!((again.known("in"), again.known("beside")), (Some("1"), Some("2"))),
    }
    let nonce = control_plane.send(LISTENER, "3", &resources);
    control_plane.refused(&nonce).await;
    // The routes of the one that serves change, and are followed.
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "changed")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "changed").await;
    load.went_well().await;
    drop(taken);
    let nonce = control_plane.send(LISTENER, "4", &resources);
    control_plane.accepted(&nonce).await;
    sidecar.port = port;
    assert_eq!(sidecar.get("/").await.as_deref(), Some("changed"), "what was acknowledged serves");
    let shown = dumped(&sidecar, "in").await;
    assert_eq!((&shown["active_state"]["version_info"], &shown["error_state"]), (&"4".into(), &Value::Null), "{shown:#}");
}

async fn a_listener_whose_port_is_taken_when_its_routes_come_says_so(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let nonce = control_plane.send(LISTENER, "2", &[listener("in", port, "later")]);
    control_plane.request_naming(ROUTES, "later").await;
    control_plane.accepted(&nonce).await;
    let nonce = control_plane.send(ROUTES, "2", &[routes("later", "web"), routes("table", "web")]);
    control_plane.accepted(&nonce).await;
    let refused = || async { Some(dumped(&sidecar, "in").await).filter(|shown| shown["error_state"].is_object()) };
    let shown = eventually(LIMIT, refused).await.expect("an error");
    assert_eq!((&shown["active_state"]["version_info"], &shown["error_state"]["version_info"]), (&"1".into(), &"2".into()), "{shown:#}");
    sidecar.counts("control_plane.listeners_refused", 1).await;
    let lines = sidecar.process.log();
    assert_eq!(lines.lines().filter(|line| line.contains("Address already in use")).count(), 1, "{lines}");
    load.went_well().await;
}

async fn envoy_refuses_a_listener_whose_port_is_taken(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start_as(&control_plane, envoy::command);
    set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let nonce = control_plane.send(LISTENER, "2", &[listener("in", sidecar.port, "table"), listener("new", port, "table")]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("new") && error.contains("Address already in use"), "{error}");
    sidecar.answers("/", "web").await;
}
