use ninon_tests::control_plane::{ControlPlane, Dialect};
use ninon_tests::{ports, wire};
use serde_json::{Value, json};

use super::both;
use super::world::{CLUSTER, ENDPOINTS, LISTENER, ROUTES, Services, Sidecar, cluster, listener_with, says, serving};

both!(a_resource_that_is_not_renewed_expires, routes_with_a_time_to_live_expire_and_come_back);

/// A resource with a time to live, or with none in it: a heartbeat.
fn timed(dialect: Dialect, name: &str, ttl: &str, resource: Option<Value>) -> Value {
    let mut wrapper = json!({ "name": name, "version": "1", "ttl": ttl });
    if dialect == Dialect::Sotw {
        wrapper["@type"] = json!("type.googleapis.com/envoy.service.discovery.v3.Resource");
    }
    if let Some(resource) = resource {
        wrapper["resource"] = resource;
    }
    wrapper
}

fn respond(control_plane: &ControlPlane, type_url: &str, nonce: &str, resources: &[Value]) {
    let mut response = json!({ "type_url": type_url, "nonce": nonce, "resources": resources });
    if control_plane.dialect == Dialect::Sotw {
        response["version_info"] = json!("1");
    }
    control_plane.respond(&response);
}

async fn a_resource_that_is_not_renewed_expires(dialect: Dialect) {
    let control_plane = ControlPlane::new(dialect);
    let mut sidecar = Sidecar::start(&control_plane);
    control_plane.request_of(CLUSTER).await;
    control_plane.send(CLUSTER, "1", &[]);
    control_plane.request_of(LISTENER).await;
    let renewed = ports::free();
    let listener = |name: &str, port: u16| {
        let mut routes = says("inline", name);
        routes.as_object_mut().unwrap().remove("@type");
        listener_with(name, port, json!({ "route_config": routes }))
    };
    let kept = timed(dialect, "kept", "2s", Some(listener("kept", renewed)));
    let lost = timed(dialect, "lost", "2s", Some(listener("lost", sidecar.port)));
    respond(&control_plane, LISTENER, "first", &[kept, lost]);
    control_plane.accepted("first").await;
    sidecar.answers("/", "lost").await;
    let heartbeats = [timed(dialect, "kept", "600s", None), timed(dialect, "lost", "1s", None)];
    respond(&control_plane, LISTENER, "heartbeat", &heartbeats);
    control_plane.accepted("heartbeat").await;
    sidecar.is_closed().await;
    // Its first time to live was over at the latest with that of the other.
    assert_eq!(wire::get(renewed, "/").await, Ok((200, "kept".to_owned())));
    sidecar.port = renewed;
    sidecar.answers("/", "kept").await;
    assert!(sidecar.process.log().contains("its time to live is over"), "{}", sidecar.process.log());
}

async fn routes_with_a_time_to_live_expire_and_come_back(dialect: Dialect) {
    let services = Services::start(&["web"]).await;
    let (control_plane, sidecar) = serving(dialect, &services, "web").await;
    respond(&control_plane, ROUTES, "timed", &[timed(dialect, "table", "0.5s", Some(says("table", "for a while")))]);
    control_plane.accepted("timed").await;
    sidecar.answers("/", "for a while").await;
    sidecar.is_answered_with("/", 404).await;
    let nonce = control_plane.send(ROUTES, "2", &[says("table", "again")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "again").await;
    // A heartbeat for what is not there renews nothing and breaks nothing.
    respond(&control_plane, CLUSTER, "strange", &[timed(dialect, "strange", "1s", None), timed(dialect, "web", "600s", None)]);
    assert!(control_plane.refused("strange").await.contains("strange: "));
    let nonce = control_plane.send(ENDPOINTS, "2", &[super::world::endpoints("web", &[services.port("web")])]);
    control_plane.accepted(&nonce).await;
    let nonce = control_plane.send(CLUSTER, "2", &[cluster("web")]);
    control_plane.accepted(&nonce).await;
    let nonce = control_plane.send(ROUTES, "3", &[super::world::routes("table", "web")]);
    control_plane.accepted(&nonce).await;
    sidecar.answers("/", "web").await;
}
