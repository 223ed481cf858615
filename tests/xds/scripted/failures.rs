use ninon_tests::control_plane::{ControlPlane, Dialect};
use serde_json::json;

use super::both;
use super::relay::{Network, Relay};
use super::world::{
    CLUSTER, ENDPOINTS, LISTENER, Load, ROUTES, Services, Sidecar, cluster, endpoints, listener, routes, says, serving, static_cluster,
};

both!(
    an_error_in_any_state_of_the_start_is_begun_again,
    an_error_while_a_change_is_warming_loses_nothing,
    a_stream_that_breaks_within_a_response_leaves_what_was,
);

/// Codes of gRPC that real servers end streams with.
const CODES: [&str; 4] = ["UNAVAILABLE", "INTERNAL", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED"];

async fn an_error_in_any_state_of_the_start_is_begun_again(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    let steps = [
        (CLUSTER, cluster("web")),
        (ENDPOINTS, endpoints("web", &[services.port("web")])),
        (LISTENER, listener("in", sidecar.port, "table")),
        (ROUTES, routes("table", "web")),
    ];
    for (index, (type_url, resource)) in steps.iter().enumerate() {
        // The stream breaks where this type has been asked for and not been answered.
        control_plane.request_of(type_url).await;
        control_plane.forget();
        control_plane.fail(CODES[index], "not now");
        control_plane.closed().await;
        let first = control_plane.request().await;
        assert_eq!((first.type_url(), first.nonce(), first.has_node()), (CLUSTER, "", true), "after {type_url}");
        if index > 0 {
            let again = control_plane.request_of(type_url).await;
            assert_eq!((again.stream, again.nonce(), again.version()), (first.stream, "", ""), "{type_url}");
        }
        let nonce = control_plane.send(type_url, "1", std::slice::from_ref(resource));
        control_plane.accepted(&nonce).await;
    }
    sidecar.answers("/", "web").await;
}

async fn an_error_while_a_change_is_warming_loses_nothing(dialect: Dialect) {
    let services = Services::start(&["web", "next"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let nonce = control_plane.send(CLUSTER, "2", &[cluster("web"), cluster("next")]);
    control_plane.request_naming(ENDPOINTS, "next").await;
    control_plane.accepted(&nonce).await;
    let nonce = control_plane.send(ROUTES, "2", &[routes("table", "next")]);
    control_plane.accepted(&nonce).await;
    control_plane.fail("UNAVAILABLE", "in warming");
    control_plane.closed().await;
    let first = control_plane.request_of(CLUSTER).await;
    let known = if dialect == Dialect::Sotw { first.version() } else { first.known("next").unwrap_or_default() };
    assert_eq!((known, first.nonce()), ("2", ""));
    control_plane.request_naming(ENDPOINTS, "next").await;
    sidecar.answers("/", "web").await;
    let nonce = control_plane.send(ENDPOINTS, "2", &[endpoints("next", &[services.port("next")])]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "next").await;
    load.went_well().await;
}

async fn a_stream_that_breaks_within_a_response_leaves_what_was(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let control_plane = ControlPlane::new(dialect);
    let relay = Relay::start(control_plane.port(), Network::Passes).await;
    let sidecar = Sidecar::start_with(&control_plane, &[relay.port], json!({}));
    super::world::set_up(&control_plane, &sidecar, services.port("web")).await;
    sidecar.answers("/", "web").await;
    let load = Load::start(sidecar.port);
    let mut long = static_cluster("web", 1);
    long["metadata"] = json!({ "filter_metadata": { "ninon": { "text": "x".repeat(1_000_000) } } });
    // Counted from the beginning of the connection.
    relay.becomes(Network::Cuts(300_000));
    control_plane.send(CLUSTER, "2", &[long]);
    control_plane.closed().await;
    relay.becomes(Network::Passes);
    let first = control_plane.request_of(CLUSTER).await;
    let known = if dialect == Dialect::Sotw { first.version() } else { first.known("web").unwrap_or_default() };
    assert_eq!((known, first.nonce(), first.error()), ("1", "", None), "the half counts for nothing");
    control_plane.request_of(ROUTES).await;
    sidecar.answers("/", "web").await;
    load.went_well().await;
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "goes on")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "goes on").await;
}
