use ninon_tests::eventually::eventually;
use ninon_tests::grpc::{Client, Library};
use ninon_tests::named::Named;
use ninon_tests::ports;
use serde_json::{Value, json};

use crate::load::Load;
use crate::objects::{client, service, workload};
use crate::world::{LIMIT, Sidecar, World, until};

const CLUSTER: &str = "cart.shop:80";

fn cart(protocol: &str, port: u16) -> String {
    service("cart", protocol) + &workload("cart-1", "cart", protocol, port)
}

/// Waits for a report of the cluster that is as wanted, while something is done.
async fn reported(world: &World, what: &str, mut meanwhile: impl FnMut(), wanted: impl Fn(&Value) -> bool) -> Value {
    let found = std::cell::RefCell::new(Value::Null);
    let meanwhile = std::cell::RefCell::new(&mut meanwhile);
    let look = || async {
        meanwhile.borrow_mut()();
        let loads: Value = serde_json::from_str(&world.does(&["loads", CLUSTER, "-o", "json"])).unwrap();
        *found.borrow_mut() = loads["items"][0].clone();
        wanted(&found.borrow()).then_some(())
    };
    let seen = eventually(LIMIT, look).await;
    let found = found.into_inner();
    assert!(seen.is_some(), "{what}: {found:#}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_envoys_send_is_shown_by_cluster_and_locality() {
    let server = Named::start("v1").await;
    let outbound = [ports::free(), ports::free()];
    let world = World::start().await;
    world.write("mesh.yaml", &(cart("http", server.port) + &client("web-1", outbound[0]) + &client("web-2", outbound[1])));
    let _sidecars = [Sidecar::reporting(&world, "web-1").await, Sidecar::reporting(&world, "web-2").await];
    for port in outbound {
        until(port, "/", "cart", (200, "v1")).await;
    }
    let loads = outbound.map(|port| Load::start(port, "cart", "/"));
    let load = reported(&world, "two report", || {}, |load| load["reporters"] == 2 && load["requestsPerSecond"].as_f64() > Some(1.0)).await;
    assert!(load["issued"].as_u64() > Some(1) && load["failed"] == 0, "{load:#}");
    assert!(load["ageSeconds"].as_f64() < Some(10.0), "{load:#}");
    let of = &load["localities"][0];
    assert_eq!((&of["region"], &of["zone"], &of["reporters"], &of["issued"]), (&json!("north"), &json!("a"), &json!(2), &load["issued"]));
    assert!(world.metric("ninon_load_requests_per_second").await > 1.0);
    let table = world.does(&["loads"]);
    assert!(table.starts_with("CLUSTER") && table.contains("\ncart.shop:80   "), "{table}");
    assert!(world.does(&["loads", "-o", "wide"]).contains("   north    a      -"), "{}", world.does(&["loads", "-o", "wide"]));

    // What fails is told as failed, and what is not used any more is not told.
    drop(server);
    let load = reported(&world, "all fail", || {}, |load| load["failuresPerSecond"].as_f64() > Some(1.0)).await;
    assert!(load["failed"].as_u64() > Some(0), "{load:#}");
    for load in loads {
        load.end().await;
    }
    reported(&world, "nobody sends", || {}, Value::is_null).await;
}

async fn grpc_reports(library: Library) {
    let world = World::start().await;
    let node = json!({ "id": "grpc-1", "metadata": { "NAMESPACE": "shop" } });
    let (mut client, [first, _]) = Client::start(library, world.xds, &node);
    world.write("cart.yaml", &cart("grpc", first));
    client.until(CLUSTER, "a service", |answer| answer == "first");
    assert_eq!(world.does(&["loads", "-o", "name"]), "", "nobody is told to report");
    world.apply("apiVersion: ninon.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: {loadReports: true}\n");
    let mut call = || assert_eq!(client.call(CLUSTER, 20), vec!["first"; 20]);
    let load = reported(&world, "it reports", &mut call, |load| load["successful"].as_u64() > Some(0)).await;
    assert_eq!((&load["reporters"], &load["failed"], &load["localities"][0]["zone"]), (&json!(1), &json!(0), &json!("a")), "{load:#}");
    world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcs_core_reports_when_the_mesh_says_so() {
    grpc_reports(Library::Core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_go_reports_when_the_mesh_says_so() {
    grpc_reports(Library::Go).await;
}
