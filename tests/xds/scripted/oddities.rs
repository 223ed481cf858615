use ninon_tests::control_plane::{Dialect, wrapped};
use serde_json::{Value, json};

use super::both;
use super::world::{
    CLUSTER, ENDPOINTS, LISTENER, Load, ROUTES, Services, cluster, endpoints, listener, listener_with, routes, routes_with, says, serving,
    static_cluster,
};

both!(
    a_nonce_is_echoed_whatever_it_is,
    an_old_version_is_as_good_as_any,
    a_response_need_not_name_all_endpoints_and_routes,
    clusters_and_listeners_that_are_taken_away_go,
    a_cluster_that_comes_back_never_failed_a_request,
    a_resource_that_is_there_twice_is_refused,
    a_response_of_an_unknown_type_is_ignored,
    a_bad_resource_does_not_hold_back_the_good_ones,
    resources_of_the_wrong_type_are_refused,
    a_response_may_be_large,
    resources_may_be_wrapped,
);

async fn a_nonce_is_echoed_whatever_it_is(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    for (index, nonce) in ["same", "same", "nonce-0", "ünïcode \u{1f980}", ""].into_iter().enumerate() {
        let body = format!("said-{index}");
        control_plane.send_with(ROUTES, &body, &[says("table", &body)], json!({ "nonce": nonce }));
        let reply = control_plane.request_of(ROUTES).await;
        assert_eq!((reply.nonce(), reply.error()), (nonce, None));
        sidecar.answers("/", &body).await;
    }
}

async fn an_old_version_is_as_good_as_any(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    for (version, body) in [("2", "two"), ("1", "one, once more"), ("1", "the same version, another text"), ("", "no version")] {
        let nonce = control_plane.send(ROUTES, version, &[says("table", body)]);
        let reply = control_plane.accepted(&nonce).await;
        if dialect == Dialect::Sotw {
            assert_eq!(reply.version(), version);
        }
        sidecar.answers("/", body).await;
    }
}

async fn a_response_need_not_name_all_endpoints_and_routes(dialect: Dialect) {
    let services = Services::start(&["web", "two"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let first = sidecar.port;
    let load = Load::start(first);
    sidecar.port = ninon_tests::ports::free();
    control_plane.send(CLUSTER, "2", &[cluster("web"), cluster("two")]);
    control_plane.request_naming(ENDPOINTS, "two").await;
    control_plane.send(ENDPOINTS, "2", &[endpoints("two", &[services.port("two")])]);
    control_plane.send(LISTENER, "2", &[listener("in", first, "table"), listener("second", sidecar.port, "other")]);
    control_plane.request_naming(ROUTES, "other").await;
    let nonce = control_plane.send(ROUTES, "2", &[routes("other", "two")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "two").await;
    // And nothing at all, which says nothing.
    for type_url in [ENDPOINTS, ROUTES] {
        let nonce = control_plane.send(type_url, "3", &[]);
        control_plane.accepted(&nonce).await;
    }
    sidecar.answers("/", "two").await;
    load.went_well().await;
}

/// Takes resources away: by leaving them out, or by name.
fn removal(dialect: Dialect, names: &[&str]) -> Value {
    if dialect == Dialect::Sotw { json!({}) } else { json!({ "removed_resources": names }) }
}

async fn clusters_and_listeners_that_are_taken_away_go(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let stays = listener_with("stays", ninon_tests::ports::free(), json!({ "route_config": inline(says("inline", "stays")) }));
    let nonce = control_plane.send_with(LISTENER, "2", &[stays], removal(dialect, &["in"]));
    control_plane.accepted(&nonce).await;
    sidecar.is_closed().await;
    let active = sidecar.stat("cluster_manager.active_clusters").await.unwrap();
    let nonce = control_plane.send_with(CLUSTER, "2", &[], removal(dialect, &["web"]));
    control_plane.accepted(&nonce).await;
    sidecar.counts("cluster_manager.cluster_removed", 1).await;
    assert_eq!(sidecar.stat("cluster_manager.active_clusters").await, Some(active - 1));
    // All of it comes back.
    sidecar.port = ninon_tests::ports::free();
    control_plane.send(CLUSTER, "3", &[cluster("web")]);
    control_plane.request_naming(ENDPOINTS, "web").await;
    control_plane.send(ENDPOINTS, "3", &[endpoints("web", &[services.port("web")])]);
    control_plane.send(LISTENER, "3", &[listener("in", sidecar.port, "table")]);
    control_plane.request_naming(ROUTES, "table").await;
    control_plane.send(ROUTES, "3", &[routes("table", "web")]);
    sidecar.answers("/", "web").await;
}

/// A resource as a field of another.
fn inline(mut resource: Value) -> Value {
    resource.as_object_mut().unwrap().remove("@type");
    resource
}

async fn a_cluster_that_comes_back_never_failed_a_request(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    for round in 0..20 {
        let gone = control_plane.send_with(CLUSTER, &format!("{round}-gone"), &[], removal(dialect, &["web"]));
        let back = control_plane.send(CLUSTER, &format!("{round}-back"), &[cluster("web")]);
        control_plane.accepted(&gone).await;
        control_plane.accepted(&back).await;
    }
    sidecar.answers("/", "web").await;
    load.went_well().await;
}

async fn a_resource_that_is_there_twice_is_refused(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let (one, other) = (static_cluster("web", 1), static_cluster("web", 2));
    let nonce = control_plane.send(CLUSTER, "2", &[one, static_cluster("good", services.port("web")), other]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("web: named twice in one answer") && !error.contains("good"), "{error}");
    // What stood beside it is there.
    let nonce = control_plane.send(ROUTES, "2", &[routes("table", "good")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "web").await;
    load.went_well().await;
}

async fn a_response_of_an_unknown_type_is_ignored(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    for type_url in ["type.googleapis.com/envoy.nothing.v3.Nothing", "", "cluster", super::world::SECRET] {
        let body = json!({ "@type": "type.googleapis.com/envoy.nothing.v3.Nothing", "@bytes": "000102" });
        let resource = if dialect == Dialect::Sotw { body } else { json!({ "name": "x", "version": "1", "resource": body }) };
        control_plane.respond(&json!({ "type_url": type_url, "nonce": "x", "resources": [resource] }));
    }
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "goes on")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "goes on").await;
    assert!(control_plane.untaken().is_empty(), "there is nothing to say to that: {:?}", control_plane.untaken());
}

async fn a_bad_resource_does_not_hold_back_the_good_ones(dialect: Dialect) {
    let services = Services::start(&["web", "good"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let good = static_cluster("good", services.port("good"));
    let (mut bad, mut worse) = (cluster("web"), static_cluster("worse", 1));
    bad["connect_timeout"] = json!("-1s");
    bad["lb_policy"] = json!(77);
    worse["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = json!({});
    let nonce = control_plane.send(CLUSTER, "2", &[bad, good, worse]);
    let reply = control_plane.reply(&nonce).await;
    let error = reply.error().expect("a refusal");
    for part in ["web: ", "connect_timeout: ", "lb_policy: ", "worse: ", "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address"] {
        assert!(error.contains(part), "{part:?} is expected in {error:?}");
    }
    assert!(!error.contains("good"), "{error}");
    if dialect == Dialect::Sotw {
        assert_eq!(reply.version(), "1", "the last that was taken as a whole");
    }
    let routes_of_both = json!([
        { "match": { "prefix": "/good" }, "route": { "cluster": "good" } },
        { "match": { "prefix": "/" }, "route": { "cluster": "web" } },
    ]);
    let (mut wrong, first) = (listener("wrong", 1, "table"), sidecar.port);
    wrong["filter_chains"][0]["filters"][0]["name"] = json!("");
    wrong["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"] = json!([]);
    sidecar.port = ninon_tests::ports::free();
    let nonce = control_plane.send(LISTENER, "2", &[wrong, listener("in", first, "table"), listener("second", sidecar.port, "table")]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("wrong: ") && error.contains("http_filters") && !error.contains("second"), "{error}");
    let mut nowhere = says("nowhere", "");
    nowhere["virtual_hosts"][0]["routes"][0]["match"] = json!({});
    let nonce = control_plane.send(ROUTES, "2", &[nowhere, routes_with("table", routes_of_both)]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("nowhere: virtual_hosts[0].routes[0].match"), "{error}");
    sidecar.answers("/good", "good").await;
    sidecar.answers("/", "web").await;
    let nonce = control_plane.send(ENDPOINTS, "2", &[endpoints("web", &[0])]);
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("web: endpoints[0].lb_endpoints[0].endpoint.address"), "{error}");
    sidecar.answers("/", "web").await;
    sidecar.counts("control_plane.update_rejected", 5).await;
    load.went_well().await;
}

async fn resources_of_the_wrong_type_are_refused(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let unknown = json!({ "@type": "type.googleapis.com/envoy.nothing.v3.Nothing", "@bytes": "000102" });
    let broken = json!({ "@type": ROUTES, "@bytes": "ffffffff" });
    let nameless = json!({ "@type": ROUTES, "@bytes": "" });
    for (resource, problem) in
        [(unknown, "envoy.nothing.v3.Nothing"), (cluster("web"), "Cluster"), (broken, "malformed"), (nameless, "a name is required")]
    {
        let nonce = control_plane.send(ROUTES, "2", &[resource]);
        let error = control_plane.refused(&nonce).await;
        assert!(error.contains(problem), "{problem:?} is expected in {error:?}");
    }
    // As there is no telling what was meant, no cluster is taken for removed.
    let nonce = control_plane.send(CLUSTER, "2", &[json!({ "@type": CLUSTER, "@bytes": "ffffffff" })]);
    control_plane.refused(&nonce).await;
    assert_eq!(sidecar.stat("cluster_manager.cluster_removed").await, Some(0));
    sidecar.answers("/", "web").await;
    load.went_well().await;
}

async fn a_response_may_be_large(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let mut large = static_cluster("large-{n}", 1);
    large["metadata"] = json!({ "filter_metadata": { "ninon": { "text": "x".repeat(20_000) } } });
    let large = if dialect == Dialect::Sotw { large } else { wrapped(&large, "2") };
    let bulk = json!({ "bulk": { "count": 530, "resource": large } });
    let nonce = control_plane.send_with(CLUSTER, "2", &[cluster("web")], bulk);
    control_plane.accepted(&nonce).await;
    sidecar.counts("cluster_manager.active_clusters", 531).await;
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "after it")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "after it").await;
    load.went_well().await;
}

async fn resources_may_be_wrapped(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let wrap = |name: &str, version: &str, body: &str| {
        let wrapper = json!({ "name": name, "version": version, "resource": says("table", body) });
        let mut in_sotw = wrapper.clone();
        in_sotw["@type"] = json!("type.googleapis.com/envoy.service.discovery.v3.Resource");
        if dialect == Dialect::Sotw { in_sotw } else { wrapper }
    };
    let send = |version: &str, resource: Value| {
        let nonce = format!("wrapped-{version}");
        let mut response = json!({ "type_url": ROUTES, "nonce": nonce, "resources": [resource] });
        if dialect == Dialect::Sotw {
            response["version_info"] = json!(version);
        }
        control_plane.respond(&response);
        nonce
    };
    for (version, name) in [("2", "table"), ("3", "")] {
        let nonce = send(version, wrap(name, version, version));
        control_plane.accepted(&nonce).await;
        sidecar.answers("/", version).await;
    }
    let nonce = send("4", wrap("another", "4", "4"));
    let error = control_plane.refused(&nonce).await;
    assert!(error.contains("another: the resource inside is named \"table\""), "{error}");
    sidecar.answers("/", "3").await;
}
