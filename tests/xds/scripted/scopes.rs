use std::path::Path;
use std::process::Command;

use ninon_tests::control_plane::{ControlPlane, Dialect};
use ninon_tests::{envoy, ports, proxy};
use serde_json::{Value, json};

use super::both;
use super::world::{CLUSTER, LISTENER, Load, ROUTES, SCOPES, Sidecar, ads, listener, listener_with, says};

both!(
    scopes_come_and_change_and_go,
    scopes_come_and_change_and_go_in_envoy,
    a_scope_with_its_own_routes_needs_no_others,
    a_scope_with_its_own_routes_needs_no_others_in_envoy,
    a_changed_scope_waits_for_its_routes,
    scopes_are_shown_and_counted,
    scopes_that_no_listener_asks_for_are_not_asked_for,
    keys_are_passed_on_from_scope_to_scope,
    a_listener_of_the_bootstrap_file_waits_for_scopes,
);

/// A listener whose requests are told apart by the first step of their path.
pub fn scoped(name: &str, port: u16) -> Value {
    let extractor = json!({ "name": ":path", "element_separator": "/", "index": 1 });
    let routes = json!({
        "name": "by-path",
        "scope_key_builder": { "fragments": [{ "header_value_extractor": extractor }] },
        "rds_config_source": ads(),
        "scoped_rds": { "scoped_rds_config_source": ads() },
    });
    listener_with(name, port, json!({ "scoped_routes": routes }))
}

pub fn scope(name: &str, key: &str, routes: &str) -> Value {
    let key = json!({ "fragments": [{ "string_key": key }] });
    json!({ "@type": SCOPES, "name": name, "key": key, "route_configuration_name": routes })
}

/// A proxy with that listener, whose server has routes and is asked for scopes.
async fn asks_for_scopes(dialect: Dialect, program: fn(&Path) -> Command, routes: &[Value]) -> (ControlPlane, Sidecar) {
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start_as(&control_plane, program);
    control_plane.serve(CLUSTER, &[]);
    control_plane.serve(ROUTES, routes);
    control_plane.request_of(LISTENER).await;
    let listeners = control_plane.send(LISTENER, "1", &[scoped("in", sidecar.port)]);
    let request = control_plane.request_of(SCOPES).await;
    assert!(request.names().iter().all(|name| *name == "*"), "all of them: {request:?}");
    control_plane.accepted(&listeners).await;
    (control_plane, sidecar)
}

/// What is to be said of resources that are gone: the state of the world leaves them out.
fn without(dialect: Dialect, names: &[&str]) -> Value {
    if dialect == Dialect::Delta { json!({ "removed_resources": names }) } else { json!({}) }
}

async fn come_and_change_and_go(dialect: Dialect, program: fn(&Path) -> Command) {
    let tables = [says("ra", "a"), says("rb", "b"), says("rc", "c")];
    let (control_plane, sidecar) = asks_for_scopes(dialect, program, &tables).await;
    let nonce = control_plane.send(SCOPES, "1", &[scope("one", "1", "ra"), scope("two", "2", "rb")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "a").await;
    sidecar.answers("/2/more", "b").await;
    for path in ["/3", "/"] {
        sidecar.is_answered_with(path, 404).await;
    }
    let nonce = control_plane.send(SCOPES, "2", &[scope("one", "1", "rc"), scope("two", "2", "rb")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "c").await;
    let nonce = control_plane.send(SCOPES, "3", &[scope("one", "1", "rc"), scope("two", "2", "rb"), scope("three", "1", "ra")]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("one") && error.contains("three"), "{error}");
    sidecar.answers("/1", "c").await;
    let rest = [scope("two", "2", "rb"), scope("three", "1", "ra")];
    let nonce = control_plane.send_with(SCOPES, "4", &rest, without(dialect, &["one"]));
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "a").await;
    sidecar.answers("/2", "b").await;
    let nonce = control_plane.send_with(SCOPES, "5", &[scope("three", "1", "ra")], without(dialect, &["two"]));
    control_plane.accepted(&nonce).await;
    sidecar.is_answered_with("/2", 404).await;
    sidecar.answers("/1", "a").await;
}

async fn scopes_come_and_change_and_go(dialect: Dialect) {
    come_and_change_and_go(dialect, proxy::command).await;
}

async fn scopes_come_and_change_and_go_in_envoy(dialect: Dialect) {
    come_and_change_and_go(dialect, envoy::command).await;
}

async fn own_routes(dialect: Dialect, program: fn(&Path) -> Command) {
    let (control_plane, sidecar) = asks_for_scopes(dialect, program, &[]).await;
    let mut own = scope("own", "1", "");
    own["route_configuration"] = says("within", "own");
    own["route_configuration"].as_object_mut().unwrap().remove("@type");
    let nonce = control_plane.send(SCOPES, "1", &[own]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "own").await;
    sidecar.is_answered_with("/2", 404).await;
}

async fn a_scope_with_its_own_routes_needs_no_others(dialect: Dialect) {
    own_routes(dialect, proxy::command).await;
}

async fn a_scope_with_its_own_routes_needs_no_others_in_envoy(dialect: Dialect) {
    own_routes(dialect, envoy::command).await;
}

async fn a_changed_scope_waits_for_its_routes(dialect: Dialect) {
    let tables = [says("table", "before")];
    let (control_plane, sidecar) = asks_for_scopes(dialect, proxy::command, &tables).await;
    control_plane.send(SCOPES, "1", &[scope("all", "", "table")]);
    sidecar.answers("/", "before").await;
    let load = Load::start(sidecar.port);
    let nonce = control_plane.send(SCOPES, "2", &[scope("all", "", "later")]);
    let request = control_plane.request_naming(ROUTES, "later").await;
    assert!(request.unsubscribed().is_empty(), "the one before still serves");
    control_plane.accepted(&nonce).await;
    assert_eq!(sidecar.get("/").await.as_deref(), Some("before"));
    control_plane.serve(ROUTES, &[says("table", "before"), says("later", "after")]);
    sidecar.answers("/", "after").await;
    // Changes of routes need no word of scopes.
    control_plane.serve(ROUTES, &[says("table", "before"), says("later", "changed")]);
    sidecar.answers("/", "changed").await;
    load.went_well().await;
}

async fn scopes_are_shown_and_counted(dialect: Dialect) {
    let (control_plane, sidecar) = asks_for_scopes(dialect, proxy::command, &[says("ra", "a")]).await;
    control_plane.send(SCOPES, "1", &[scope("one", "1", "ra"), scope("waits", "2", "never")]);
    control_plane.request_naming(ROUTES, "never").await;
    sidecar.counts("control_plane.scoped_routes_active", 1).await;
    sidecar.counts("control_plane.scoped_routes_warming", 1).await;
    let mut faulty = scope("one", "1", "ra");
    faulty["key"] = json!({});
    let nonce = control_plane.send(SCOPES, "2", &[faulty, scope("waits", "2", "never")]);
    let error = control_plane.refused(&nonce).await;
    assert_eq!(error, "one: key.fragments: at least one is required");
    let page = sidecar.page("/config_dump?resource=dynamic_scoped_route_configs").await;
    let dump: Value = serde_json::from_str(&page).unwrap();
    let one = dump["configs"].as_array().unwrap().iter().find(|shown| shown["name"] == "one").unwrap();
    assert_eq!((&one["version_info"], &one["error_state"]["version_info"]), (&"1".into(), &"2".into()), "{one:#}");
    assert_eq!(one["scoped_route_configs"][0]["route_configuration_name"], "ra");
    sidecar.counts("control_plane.scoped_routes_refused", 1).await;
}

async fn scopes_that_no_listener_asks_for_are_not_asked_for(dialect: Dialect) {
    let (control_plane, sidecar) = asks_for_scopes(dialect, proxy::command, &[says("ra", "a"), says("table", "unscoped")]).await;
    control_plane.send(SCOPES, "1", &[scope("one", "1", "ra")]);
    sidecar.answers("/1", "a").await;
    control_plane.forget();
    let nonce = control_plane.send(LISTENER, "2", &[listener("in", sidecar.port, "table")]);
    let stream = control_plane.accepted(&nonce).await.stream;
    sidecar.answers("/1", "unscoped").await;
    if dialect == Dialect::Delta {
        assert_eq!(control_plane.request_of(SCOPES).await.unsubscribed(), ["*"]);
    }
    control_plane.end();
    while control_plane.request_of(ROUTES).await.stream == stream {}
    let asked = control_plane.heard(|request| request.stream != stream && request.type_url() == SCOPES);
    assert!(asked.is_none(), "{asked:?}");
    control_plane.forget();
    let nonce = control_plane.send(LISTENER, "3", &[scoped("in", sidecar.port)]);
    let request = control_plane.request_of(SCOPES).await;
    match dialect {
        Dialect::Sotw => assert_eq!(request.version(), "1", "they are known"),
        Dialect::Delta => {
            assert_eq!((request.names(), request.known("one")), (vec![], None), "they are told anew");
            control_plane.send(SCOPES, "2", &[scope("one", "1", "ra")]);
        }
    }
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "a").await;
}

/// Envoy 1.40 takes the first of these answers, too, and has no scope for either key then.
async fn keys_are_passed_on_from_scope_to_scope(dialect: Dialect) {
    let (control_plane, sidecar) = asks_for_scopes(dialect, proxy::command, &[says("ra", "a"), says("rb", "b")]).await;
    control_plane.send(SCOPES, "1", &[scope("one", "1", "ra"), scope("two", "2", "rb")]);
    sidecar.answers("/1", "a").await;
    let nonce = control_plane.send(SCOPES, "2", &[scope("one", "2", "ra"), scope("two", "1", "rb")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/2", "a").await;
    sidecar.answers("/1", "b").await;
    let nonce = control_plane.send(SCOPES, "3", &[scope("one", "1", "ra"), scope("two", "3", "rb")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/1", "a").await;
    sidecar.answers("/3", "b").await;
    sidecar.is_answered_with("/2", 404).await;
}

async fn a_listener_of_the_bootstrap_file_waits_for_scopes(dialect: Dialect) {
    let (control_plane, port) = (ControlPlane::new(dialect), ports::free());
    let listen = |bootstrap: &mut Value| {
        let mut listener = scoped("fixed", port);
        listener.as_object_mut().unwrap().remove("@type");
        bootstrap["static_resources"]["listeners"] = json!([listener]);
    };
    let mut sidecar = Sidecar::launch(&control_plane, &[control_plane.port()], listen, proxy::command);
    sidecar.port = port;
    control_plane.serve(CLUSTER, &[]);
    control_plane.serve(LISTENER, &[]);
    control_plane.request_of(SCOPES).await;
    assert!(!sidecar.is_open().await, "it has no scopes yet");
    control_plane.send(SCOPES, "1", &[scope("one", "1", "ra")]);
    control_plane.request_naming(ROUTES, "ra").await;
    assert!(!sidecar.is_open().await, "nor their routes");
    control_plane.send(ROUTES, "1", &[says("ra", "a")]);
    sidecar.answers("/1", "a").await;
}

/// Fields of a scope, and whether it is taken; by whom alone, and why.
const PROBES: &[(&str, &str, Result<bool, &str>)] = &[
    ("name", r#""""#, Ok(false)),
    ("key", "{}", Ok(false)),
    ("key", r#"{"fragments": [{}]}"#, Ok(false)),
    ("key", r#"{"fragments": [{"string_key": "1"}]}"#, Ok(false)),
    ("key", r#"{"fragments": [{"string_key": "1"}, {"string_key": "2"}]}"#, Ok(true)),
    ("key", r#"{"fragments": [{"string_key": ""}]}"#, Ok(true)),
    ("on_demand", "true", Ok(true)),
    ("route_configuration_name", r#""""#, Ok(false)),
    ("route_configuration", r#"{"name": "within", "virtual_hosts": [{"name": "all", "domains": []}]}"#, Ok(false)),
    ("route_configuration", r#"{"name": "within"}"#, Err("nobody could say which of the two counts")),
];

/// Whether each of the probes is taken.
async fn verdicts(program: fn(&Path) -> Command) -> Vec<bool> {
    let (control_plane, _sidecar) = asks_for_scopes(Dialect::Sotw, program, &[says("ra", "a")]).await;
    let good = scope("good", "1", "ra");
    let mut verdicts = Vec::new();
    for (number, (field, text, _)) in PROBES.iter().enumerate() {
        let mut probe = scope("probe", "probe", "ra");
        probe[*field] = serde_json::from_str(text).unwrap();
        let nonce = control_plane.send(SCOPES, &format!("probe-{number}"), &[good.clone(), probe]);
        verdicts.push(control_plane.reply(&nonce).await.error().is_none());
        let nonce = control_plane.send(SCOPES, &format!("good-{number}"), std::slice::from_ref(&good));
        control_plane.accepted(&nonce).await;
    }
    verdicts
}

#[tokio::test]
async fn envoy_refuses_the_scopes_that_are_refused_here() {
    let (ours, theirs) = (verdicts(proxy::command).await, verdicts(envoy::command).await);
    for ((field, text, expected), verdicts) in PROBES.iter().zip(ours.into_iter().zip(theirs)) {
        let fits = match expected {
            Ok(taken) => verdicts == (*taken, *taken),
            Err(_) => verdicts == (false, true),
        };
        assert!(fits, "{field} {text} is to be {expected:?}; taken here, by Envoy: {verdicts:?}");
    }
}
