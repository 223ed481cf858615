use ninon_tests::control_plane::{Dialect, LIMIT};
use ninon_tests::wire::Wire;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::both;
use super::world::{LISTENER, Services, Sidecar, listener, serving};

both!(
    a_policy_change_holds_for_requests_on_open_connections,
    a_policy_change_closes_connections_that_it_forbids_and_no_others,
    a_policy_with_a_field_that_is_not_known_is_refused_and_the_last_good_one_stays,
    a_policy_that_comes_with_another_change_is_not_waited_for,
);

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters";

/// Rules with one policy.
fn rules(action: &str, permission: Value) -> Value {
    json!({"action": action, "policies": {"p": {"permissions": [permission], "principals": [{"any": true}]}}})
}

/// The listener `in` whose requests obey these rules.
fn http_with(port: u16, rules: Value) -> Value {
    let mut listener = listener("in", port, "table");
    let rbac = json!({"name": "rbac", "typed_config": {"@type": format!("{FILTERS}.http.rbac.v3.RBAC"), "rules": rules}});
    listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].as_array_mut().unwrap().insert(0, rbac);
    listener
}

/// The listener `in`, whose connections obey these rules and go to the cluster `web` as they are.
fn tcp_with(port: u16, rules: Value, stat_prefix: &str) -> Value {
    let mut listener = listener("in", port, "table");
    let rbac = json!({"@type": format!("{FILTERS}.network.rbac.v3.RBAC"), "stat_prefix": "guard", "rules": rules});
    let proxy = json!({"@type": format!("{FILTERS}.network.tcp_proxy.v3.TcpProxy"), "stat_prefix": stat_prefix, "cluster": "web"});
    listener["filter_chains"][0]["filters"] = json!([{"name": "rbac", "typed_config": rbac}, {"name": "tcp", "typed_config": proxy}]);
    listener
}

/// Only connections from this address.
fn only_from(address: &str) -> Value {
    json!({"policies": {"p": {"permissions": [{"any": true}], "principals": [{"direct_remote_ip": {"address_prefix": address, "prefix_len": 32}}]}}})
}

async fn asks(wire: &mut Wire, path: &str) -> Option<u16> {
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
    let reading = async {
        let mut answer = wire.head().await?;
        wire.body(&mut answer, false).await;
        answer.status()
    };
    tokio::time::timeout(LIMIT, reading).await.expect("an answer, or an end")
}

async fn connect_from(address: &str, port: u16) -> Wire {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    Wire::new(socket.connect(format!("127.0.0.1:{port}").parse().unwrap()).await.unwrap())
}

async fn is_closed(wire: &mut Wire) {
    assert!(!tokio::time::timeout(LIMIT, wire.fill()).await.expect("it is closed"), "it is closed without a byte");
}

async fn a_policy_change_holds_for_requests_on_open_connections(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    assert_eq!(asks(&mut wire, "/a").await, Some(200));
    let deny_a = rules("DENY", json!({"url_path": {"path": {"exact": "/a"}}}));
    let nonce = control_plane.send(LISTENER, "2", &[http_with(sidecar.port, deny_a)]);
    control_plane.accepted(&nonce).await;
    sidecar.is_answered_with("/a", 403).await;
    // The connection goes on, and obeys.
    assert_eq!(asks(&mut wire, "/a").await, Some(403));
    assert_eq!(asks(&mut wire, "/b").await, Some(200));
    let nonce = control_plane.send(LISTENER, "3", &[listener("in", sidecar.port, "table")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/a", "web").await;
    assert_eq!(asks(&mut wire, "/a").await, Some(200));
}

async fn a_policy_change_closes_connections_that_it_forbids_and_no_others(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let nonce = control_plane.send(LISTENER, "2", &[tcp_with(sidecar.port, rules("ALLOW", json!({"any": true})), "tcp")]);
    control_plane.accepted(&nonce).await;
    sidecar.counts("listener_manager.listener_modified", 1).await;
    let (mut stays, mut goes) = (connect_from("127.0.0.1", sidecar.port).await, connect_from("127.0.0.2", sidecar.port).await);
    for wire in [&mut stays, &mut goes] {
        assert_eq!(asks(wire, "/").await, Some(200));
    }
    let nonce = control_plane.send(LISTENER, "3", &[tcp_with(sidecar.port, only_from("127.0.0.1"), "tcp")]);
    control_plane.accepted(&nonce).await;
    is_closed(&mut goes).await;
    assert_eq!(asks(&mut stays, "/").await, Some(200), "it may still be");
    is_closed(&mut connect_from("127.0.0.2", sidecar.port).await).await;
    assert_eq!(sidecar.stat("guard.rbac.denied").await, Some(2));
    let nonce = control_plane.send(LISTENER, "4", &[tcp_with(sidecar.port, json!({}), "tcp")]);
    control_plane.accepted(&nonce).await;
    is_closed(&mut stays).await;
}

async fn a_policy_that_comes_with_another_change_is_not_waited_for(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let nonce = control_plane.send(LISTENER, "2", &[tcp_with(sidecar.port, rules("ALLOW", json!({"any": true})), "tcp")]);
    control_plane.accepted(&nonce).await;
    sidecar.counts("listener_manager.listener_modified", 1).await;
    let (mut stays, mut goes) = (connect_from("127.0.0.1", sidecar.port).await, connect_from("127.0.0.2", sidecar.port).await);
    for wire in [&mut stays, &mut goes] {
        assert_eq!(asks(wire, "/").await, Some(200));
    }
    // Connections of the chain have ten minutes to end, but not those that its successor would not take.
    let nonce = control_plane.send(LISTENER, "3", &[tcp_with(sidecar.port, only_from("127.0.0.1"), "renamed")]);
    control_plane.accepted(&nonce).await;
    is_closed(&mut goes).await;
    assert_eq!(asks(&mut stays, "/").await, Some(200));
}

async fn a_policy_with_a_field_that_is_not_known_is_refused_and_the_last_good_one_stays(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let deny_a = rules("DENY", json!({"url_path": {"path": {"exact": "/a"}}}));
    let nonce = control_plane.send(LISTENER, "2", &[http_with(sidecar.port, deny_a)]);
    control_plane.accepted(&nonce).await;
    sidecar.is_answered_with("/a", 403).await;
    // Expressions and match trees: known to Envoy, not to Ninon.
    let mut with_condition = rules("DENY", json!({"any": true}));
    with_condition["policies"]["p"]["condition"] = json!({"const_expr": {"bool_value": false}});
    let nonce = control_plane.send(LISTENER, "3", &[http_with(sidecar.port, with_condition)]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains(r#"http_filters[0].typed_config.rules.policies["p"]"#), "{error}");
    assert!(error.contains("field 3 of envoy.config.rbac.v3.Policy is not known"), "{error}");
    assert_stays(&sidecar).await;
    for (version, field) in [("4", "matcher"), ("5", "shadow_matcher")] {
        let mut listener = http_with(sidecar.port, json!({}));
        listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"][field] = json!({});
        let nonce = control_plane.send(LISTENER, version, &[listener]);
        let error = control_plane.refused(&nonce).await;
        assert!(error.contains("of envoy.extensions.filters.http.rbac.v3.RBAC is not known"), "{error}");
        assert_stays(&sidecar).await;
    }
    let mut listener = tcp_with(sidecar.port, json!({}), "tcp");
    listener["filter_chains"][0]["filters"][0]["typed_config"]["matcher"] = json!({});
    let nonce = control_plane.send(LISTENER, "6", &[listener]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("field 6 of envoy.extensions.filters.network.rbac.v3.RBAC is not known"), "{error}");
    assert_stays(&sidecar).await;
    // What is known, and not supported, likewise.
    let unsupported = rules("DENY", json!({"matcher": {"name": "x", "typed_config": {"@type": LISTENER}}}));
    let nonce = control_plane.send(LISTENER, "9", &[http_with(sidecar.port, unsupported)]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("permissions[0].matcher: not supported"), "{error}");
    assert_stays(&sidecar).await;
}

async fn assert_stays(sidecar: &Sidecar) {
    sidecar.is_answered_with("/a", 403).await;
    assert_eq!(sidecar.get("/b").await.as_deref(), Some("web"));
}
