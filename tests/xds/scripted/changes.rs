use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::wire::{self, Wire};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::both;
use super::world::{
    CLUSTER, ENDPOINTS, LISTENER, Load, ROUTES, Services, Sidecar, cluster, endpoints, listener, routes, says, serving, static_cluster,
};

both!(
    a_connection_outlives_new_routes_and_new_chains_beside_its_own,
    a_connection_whose_chain_changed_is_told_to_go,
    a_listener_that_moves_is_never_missed,
    a_listener_under_another_name_takes_over_its_address,
    a_second_listener_of_an_address_is_refused,
    many_changes_in_a_row_end_with_the_last,
    what_is_referred_to_stays_when_the_server_takes_it_back,
    what_nobody_names_any_more_is_not_asked_for,
    a_proxy_is_ready_once_all_serves,
    a_refused_change_is_not_known_to_the_next_stream,
);

/// One request on an open connection: body, and whether the connection is to end.
async fn asks(wire: &mut Wire) -> Option<(String, bool)> {
    wire.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let reading = async {
        let mut answer = wire.head().await?;
        wire.body(&mut answer, false).await;
        let closes = answer.header("connection") == Some("close");
        answer.complete.then(|| (String::from_utf8_lossy(&answer.body).into_owned(), closes))
    };
    tokio::time::timeout(LIMIT, reading).await.expect("an answer, or an end")
}

async fn connect(port: u16) -> Wire {
    Wire::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap())
}

/// A listener with one chain more, for clients that nobody is.
fn with_another_chain(mut listener: Value) -> Value {
    let mut chain = listener["filter_chains"][0].clone();
    chain["filter_chain_match"] = json!({ "source_prefix_ranges": [{ "address_prefix": "203.0.113.0", "prefix_len": 24 }] });
    listener["filter_chains"].as_array_mut().unwrap().push(chain);
    listener
}

async fn a_connection_outlives_new_routes_and_new_chains_beside_its_own(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let mut wire = connect(sidecar.port).await;
    assert_eq!(asks(&mut wire).await, Some(("web".to_owned(), false)));
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "new routes")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "new routes").await;
    assert_eq!(asks(&mut wire).await, Some(("new routes".to_owned(), false)), "an open connection sees them, too");
    let nonce = control_plane.send(LISTENER, "2", &[with_another_chain(listener("in", sidecar.port, "table"))]);
    control_plane.accepted(&nonce).await;
    sidecar.counts("listener_manager.listener_modified", 1).await;
    assert_eq!(asks(&mut wire).await, Some(("new routes".to_owned(), false)), "its chain has not changed");
}

async fn a_connection_whose_chain_changed_is_told_to_go(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let (mut wire, mut idle) = (connect(sidecar.port).await, connect(sidecar.port).await);
    assert_eq!(asks(&mut wire).await, Some(("web".to_owned(), false)));
    assert_eq!(asks(&mut idle).await, Some(("web".to_owned(), false)));
    let mut changed = listener("in", sidecar.port, "another");
    changed["filter_chains"][0]["filters"][0]["typed_config"]["server_name"] = json!("changed");
    let nonce = control_plane.send(LISTENER, "2", &[changed]);
    control_plane.request_naming(ROUTES, "another").await;
    control_plane.accepted(&nonce).await;
    assert_eq!(asks(&mut wire).await, Some(("web".to_owned(), false)), "until its routes are there nothing has changed");
    control_plane.send(ROUTES, "2", &[routes("table", "web"), says("another", "changed")]);
    sidecar.answers("/", "changed").await;
    // The proxy says so in an answer, or closes where there is nothing to answer.
    let told = asks(&mut wire).await;
    assert!(told.as_ref().is_none_or(|(_, closes)| *closes), "{told:?}");
    assert!(!tokio::time::timeout(LIMIT, idle.fill()).await.unwrap(), "an idle connection is closed");
    load.went_well().await;
}

async fn a_listener_that_moves_is_never_missed(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    for version in 2..6 {
        let before = sidecar.port;
        sidecar.port = ninon_tests::ports::free();
        let nonce = control_plane.send(LISTENER, &version.to_string(), &[listener("in", sidecar.port, "table")]);
        control_plane.accepted(&nonce).await;
        sidecar.answers("/", "web").await;
        let gone = || async { TcpStream::connect(("127.0.0.1", before)).await.err() };
        assert!(ninon_tests::eventually::eventually(LIMIT, gone).await.is_some(), "the old place is left");
    }
}

async fn a_listener_under_another_name_takes_over_its_address(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    for (before, after) in [("in", "renamed"), ("renamed", "again")] {
        let removal = if dialect == Dialect::Delta { json!({ "removed_resources": [before] }) } else { json!({}) };
        let nonce = control_plane.send_with(LISTENER, after, &[listener(after, sidecar.port, "table")], removal);
        control_plane.accepted(&nonce).await;
        sidecar.answers("/", "web").await;
    }
    load.went_well().await;
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "followed")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "followed").await;
}

async fn a_second_listener_of_an_address_is_refused(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let other = listener("other", sidecar.port, "nothing");
    let nonce = control_plane.send(LISTENER, "2", &[listener("in", sidecar.port, "table"), other]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("other: address"), "{error}");
    load.went_well().await;
}

async fn many_changes_in_a_row_end_with_the_last(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let mut nonces = Vec::new();
    for version in 0..400 {
        nonces.push(control_plane.send(ROUTES, &version.to_string(), &[says("table", &format!("said {version}"))]));
    }
    for nonce in nonces {
        control_plane.accepted(&nonce).await;
    }
    assert_eq!(sidecar.get("/").await.as_deref(), Some("said 399"), "what was acknowledged serves");
    load.went_well().await;
}

async fn what_is_referred_to_stays_when_the_server_takes_it_back(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    for (type_url, name) in [(ENDPOINTS, "web"), (ROUTES, "table")] {
        let removal = if dialect == Dialect::Delta { json!({ "removed_resources": [name] }) } else { json!({}) };
        let nonce = control_plane.send_with(type_url, "2", &[], removal);
        control_plane.accepted(&nonce).await;
        sidecar.answers("/", "web").await;
    }
    load.went_well().await;
}

async fn what_nobody_names_any_more_is_not_asked_for(dialect: Dialect) {
    let services = Services::start(&["web", "other"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    control_plane.send(CLUSTER, "2", &[cluster("web"), cluster("other")]);
    control_plane.request_naming(ENDPOINTS, "other").await;
    control_plane.send(ENDPOINTS, "2", &[endpoints("other", &[services.port("other")])]);
    let nonce = control_plane.send(ROUTES, "2", &[routes("table", "other")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "other").await;
    control_plane.forget();
    let removal = if dialect == Dialect::Delta { json!({ "removed_resources": ["web"] }) } else { json!({}) };
    control_plane.send_with(CLUSTER, "3", &[cluster("other")], removal);
    let request = control_plane.request_of(ENDPOINTS).await;
    match dialect {
        Dialect::Sotw => assert_eq!(request.names(), ["other"]),
        Dialect::Delta => assert_eq!((request.names().len(), request.unsubscribed()), (0, vec!["web"])),
    }
    load.went_well().await;
    control_plane.end();
    control_plane.closed().await;
    control_plane.forget();
    let again = control_plane.request_of(ENDPOINTS).await;
    assert_eq!(again.names(), ["other"]);
    assert_eq!(again.known("web"), None, "what is gone is not known");
}

async fn a_proxy_is_ready_once_all_serves(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    let ready = || async { wire::get(sidecar.admin, "/ready").await.ok().map(|(status, _)| status) };
    control_plane.request_of(CLUSTER).await;
    assert_eq!(ready().await, Some(503), "nothing is known");
    control_plane.send(CLUSTER, "1", &[static_cluster("web", services.port("web"))]);
    control_plane.request_of(LISTENER).await;
    assert_eq!(ready().await, Some(503), "no listener is known");
    control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    control_plane.request_of(ROUTES).await;
    assert_eq!(ready().await, Some(503), "the listener waits for its routes");
    control_plane.send(ROUTES, "1", &[routes("table", "web")]);
    let is_ready = || async { (ready().await == Some(200)).then_some(()) };
    assert!(ninon_tests::eventually::eventually(LIMIT, is_ready).await.is_some());
    // It says so when requests are answered, not before.
    assert_eq!(sidecar.get("/").await.as_deref(), Some("web"));
}

async fn a_refused_change_is_not_known_to_the_next_stream(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let mut bad = routes("table", "web");
    bad["virtual_hosts"][0]["domains"] = json!([]);
    let nonce = control_plane.send(ROUTES, "2", &[bad]);
    control_plane.refused(&nonce).await;
    control_plane.end();
    let again = control_plane.request_of(ROUTES).await;
    let known = if dialect == Dialect::Sotw { Some(again.version()) } else { again.known("table") };
    assert_eq!((known, again.nonce(), again.error()), (Some("1"), "", None));
    let nonce = control_plane.send(ROUTES, "3", &[says("table", "mended")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "mended").await;
}
