use ninon_tests::control_plane::{ControlPlane, Dialect, Request};
use serde_json::json;

use super::both;
use super::world::{
    CLUSTER, ENDPOINTS, LISTENER, Load, ROUTES, Services, Sidecar, ads, cluster, endpoints, listener, routes, says, serving,
};

both!(
    requests_come_in_the_order_that_servers_expect,
    a_new_stream_begins_with_what_is_known,
    answers_may_come_in_every_order,
    a_changed_cluster_keeps_its_endpoints_and_serves_at_once,
    routes_may_appear_later,
    endpoints_that_never_come_are_waited_for_no_longer_than_said,
    clusters_that_never_come_do_not_hold_listeners_for_ever,
    endpoints_may_be_emptied_and_filled_again,
);

fn kinds(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.type_url().rsplit('.').next().unwrap()).collect()
}

async fn requests_come_in_the_order_that_servers_expect(dialect: Dialect) {
    let services = Services::start(&["one", "two"]).await;
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    let first = control_plane.request().await;
    assert_eq!((first.type_url(), first.names().len(), first.nonce(), first.version()), (CLUSTER, 0, "", ""));
    assert!(first.has_node(), "the first says who asks");
    let clusters = control_plane.send(CLUSTER, "1", &[cluster("one"), cluster("two")]);

    let asked = [control_plane.request().await, control_plane.request().await];
    assert_eq!(kinds(&asked), ["ClusterLoadAssignment", "Cluster"], "endpoints before the clusters are acknowledged");
    assert_eq!((asked[0].names(), asked[0].nonce()), (vec!["one", "two"], ""));
    assert_eq!((asked[1].nonce(), asked[1].error()), (clusters.as_str(), None));
    let half = control_plane.send(ENDPOINTS, "1", &[endpoints("one", &[services.port("one")])]);
    let half = control_plane.accepted(&half).await;
    assert!(control_plane.untaken().is_empty(), "one cluster is not warm: {:?}", control_plane.untaken());

    let rest = control_plane.send(ENDPOINTS, "2", &[endpoints("two", &[services.port("two")])]);
    let mut asked = vec![control_plane.request().await, control_plane.request().await];
    asked.sort_by_key(|request| request.type_url() == LISTENER);
    assert_eq!(kinds(&asked), ["ClusterLoadAssignment", "Listener"], "listeners once the clusters are warm");
    assert_eq!((asked[0].nonce(), asked[1].nonce(), asked[1].names().len()), (rest.as_str(), "", 0));
    let listeners = control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    asked.extend([control_plane.request().await, control_plane.request().await]);
    assert_eq!(kinds(&asked[2..]), ["RouteConfiguration", "Listener"]);
    assert_eq!((asked[2].names(), asked[2].nonce(), asked[3].nonce()), (vec!["table"], "", listeners.as_str()));
    assert!(!sidecar.is_open().await, "a listener waits for its routes");

    let routes = control_plane.send(ROUTES, "1", &[routes("table", "two")]);
    asked.extend([half, control_plane.accepted(&routes).await]);
    sidecar.answers("/", "two").await;
    assert!(asked.iter().all(|request| !request.has_node()), "who asks is said once");
    assert!(control_plane.untaken().is_empty(), "no more to say: {:?}", control_plane.untaken());
}

async fn a_new_stream_begins_with_what_is_known(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let names = [("web", CLUSTER), ("web", ENDPOINTS), ("in", LISTENER), ("table", ROUTES)];
    for round in 1..=2 {
        control_plane.end();
        for (index, (name, type_url)) in names.into_iter().enumerate() {
            let request = control_plane.request().await;
            assert_eq!((request.type_url(), request.nonce(), request.error()), (type_url, "", None), "round {round}");
            let known = if dialect == Dialect::Sotw { Some(request.version()) } else { request.known(name) };
            assert_eq!(known, Some("1"), "round {round}: {request:?}");
            assert_eq!(request.has_node(), index == 0, "round {round}: {request:?}");
        }
    }
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "changed")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "changed").await;
    load.went_well().await;
}

/// All orders of four things.
fn orders() -> Vec<Vec<usize>> {
    let digits = |number: usize| [number / 64 % 4, number / 16 % 4, number / 4 % 4, number % 4].to_vec();
    (0..256).map(digits).filter(|order| (0..4).all(|each| order.contains(&each))).collect()
}

async fn answers_may_come_in_every_order(dialect: Dialect) {
    let services = Services::start(&["web", "more"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let (mut clusters, mut listeners) = (vec![cluster("web")], vec![listener("in", sidecar.port, "table")]);
    for (index, order) in orders().into_iter().enumerate() {
        let name = format!("new-{index}");
        sidecar.port = ninon_tests::ports::free();
        clusters.push(cluster(&name));
        listeners.push(listener(&name, sidecar.port, &name));
        let (endpoints, routes) = ([endpoints(&name, &[services.port("more")])], [routes(&name, &name)]);
        let version = format!("in-order-{order:?}");
        for kind in order {
            match kind {
                0 => control_plane.send(CLUSTER, &version, &clusters),
                1 => control_plane.send(ENDPOINTS, &version, &endpoints),
                2 => control_plane.send(LISTENER, &version, &listeners),
                _ => control_plane.send(ROUTES, &version, &routes),
            };
        }
        // What came before anybody named it is asked for once somebody does.
        control_plane.request_naming(ENDPOINTS, &name).await;
        control_plane.send(ENDPOINTS, &version, &endpoints);
        control_plane.request_naming(ROUTES, &name).await;
        control_plane.send(ROUTES, &version, &routes);
        sidecar.answers("/", "more").await;
    }
    load.went_well().await;
}

async fn a_changed_cluster_keeps_its_endpoints_and_serves_at_once(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let mut changed = cluster("web");
    changed["connect_timeout"] = json!("3s");
    let nonce = control_plane.send(CLUSTER, "2", &[changed]);
    control_plane.accepted(&nonce).await;
    sidecar.counts("cluster_manager.cluster_modified", 1).await;
    sidecar.answers("/", "web").await;
    assert!(control_plane.untaken().is_empty(), "its endpoints are known: {:?}", control_plane.untaken());
    load.went_well().await;
}

async fn routes_may_appear_later(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, mut sidecar) = serving(dialect, &services, "web").await;
    let load = Load::start(sidecar.port);
    let first = listener("in", sidecar.port, "table");
    sidecar.port = ninon_tests::ports::free();
    let listeners = control_plane.send(LISTENER, "2", &[first, listener("second", sidecar.port, "later")]);
    control_plane.request_naming(ROUTES, "later").await;
    control_plane.accepted(&listeners).await;
    let nothing = control_plane.send(ROUTES, "2", &[]);
    control_plane.accepted(&nothing).await;
    assert!(!sidecar.is_open().await, "a listener waits for its routes");
    let found = control_plane.send(ROUTES, "3", &[says("later", "found")]);
    control_plane.accepted(&found).await;
    sidecar.answers("/", "found").await;
    load.went_well().await;
}

async fn endpoints_that_never_come_are_waited_for_no_longer_than_said(dialect: Dialect) {
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    control_plane.request_of(CLUSTER).await;
    let mut waits = cluster("web");
    waits["eds_cluster_config"]["eds_config"]["initial_fetch_timeout"] = json!("0.3s");
    let clusters = control_plane.send(CLUSTER, "1", &[waits]);
    control_plane.request_of(ENDPOINTS).await;
    control_plane.accepted(&clusters).await;
    control_plane.request_of(LISTENER).await;
    control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    control_plane.request_of(ROUTES).await;
    control_plane.send(ROUTES, "1", &[routes("table", "web")]);
    sidecar.is_answered_with("/", 503).await;
    // They may come still.
    let services = Services::start(&["web"]).await;
    control_plane.send(ENDPOINTS, "1", &[endpoints("web", &[services.port("web")])]);
    sidecar.answers("/", "web").await;
}

async fn clusters_that_never_come_do_not_hold_listeners_for_ever(dialect: Dialect) {
    let control_plane = ControlPlane::new(dialect);
    let mut source = ads();
    source["initial_fetch_timeout"] = json!("0.3s");
    let sidecar = Sidecar::start_with(&control_plane, &[control_plane.port()], json!({ "cds_config": source }));
    control_plane.request_of(CLUSTER).await;
    control_plane.request_of(LISTENER).await;
    control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    control_plane.request_of(ROUTES).await;
    control_plane.send(ROUTES, "1", &[says("table", "alone")]);
    sidecar.answers("/", "alone").await;
}

async fn endpoints_may_be_emptied_and_filled_again(dialect: Dialect) {
    let services = Services::start(&["web", "other"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    for (version, port) in [("2", services.port("other")), ("4", services.port("web"))] {
        let nonce = control_plane.send(ENDPOINTS, version, &[endpoints("web", &[])]);
        control_plane.accepted(&nonce).await;
        sidecar.is_answered_with("/", 503).await;
        let nonce = control_plane.send(ENDPOINTS, &format!("{version}+"), &[endpoints("web", &[port])]);
        control_plane.accepted(&nonce).await;
        sidecar.answers("/", if version == "2" { "other" } else { "web" }).await;
    }
}
