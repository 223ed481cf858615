use ninon_tests::grpc::{Client, Library};
use serde_json::json;
use tokio::time::Instant;

use crate::objects;
use crate::world::{LIMIT, World};

const TARGET: &str = "echo.shop:80";

fn service(name: &str) -> String {
    objects::service(name, "grpc")
}

fn workload(name: &str, app: &str, port: u16) -> String {
    objects::workload(name, app, "grpc", port)
}

fn route(method: &str, backend: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {{name: echo, namespace: shop}}
spec:
  parentRefs: [{{group: '', kind: Service, name: echo, port: 80}}]
  rules:
  - matches: [{{method: {{service: tests.Echo{method}}}}}]
    backendRefs: [{{name: {backend}, port: 80}}]
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcs_core_follows() {
    follows(Library::Core).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_go_follows() {
    follows(Library::Go).await;
}

async fn follows(library: Library) {
    let mut world = World::start().await;
    let node = json!({ "id": "grpc-1", "metadata": { "NAMESPACE": "shop" } });
    let (mut client, [first, second]) = Client::start(library, world.xds, &node);
    let services = service("echo") + &service("other");
    world.write("services.yaml", &services);
    world.write("workloads.yaml", &(workload("echo-1", "echo", first) + &workload("other-1", "other", second)));
    client.until(TARGET, "a service that is new", |answer| answer == "first");
    for target in ["echo:80", "echo.shop", "echo.shop.svc.cluster.local:80"] {
        client.until(target, "another of its names", |answer| answer == "first");
    }

    world.write(
        "workloads.yaml",
        &(workload("echo-1", "echo", first) + &workload("echo-2", "echo", second) + &workload("other-1", "other", second)),
    );
    let end = Instant::now() + LIMIT;
    while client.call(TARGET, 20).iter().filter(|answer| *answer == "first").count() != 10 {
        assert!(Instant::now() < end, "two endpoints take turns");
    }
    world.write("workloads.yaml", &(workload("echo-1", "echo", first) + &workload("other-1", "other", second)));
    client.until(TARGET, "one endpoint less", |answer| answer == "first");

    world.apply(&route("", "other"));
    client.until(TARGET, "a route to another service", |answer| answer == "second");
    world.apply(&route(", method: Name", "echo"));
    client.until(TARGET, "a route for the method", |answer| answer == "first");
    world.apply(&route(", method: Else", "other"));
    client.until(TARGET, "no route for the method", |answer| answer.starts_with("UNAVAILABLE: "));
    world.does(&["delete", "grpcroute", "echo", "-n", "shop"]);
    client.until(TARGET, "no route any more", |answer| answer == "first");

    world.kill();
    assert_eq!(client.call(TARGET, 5), vec!["first"; 5]);
    world.serve().await;
    world.write("workloads.yaml", &workload("echo-1", "echo", second));
    client.until(TARGET, "another endpoint, of another control plane", |answer| answer == "second");
    world.write("services.yaml", &service("other"));
    client.until(TARGET, "a service that is gone", |answer| answer.starts_with("UNAVAILABLE: "));
    world.is_accepted_by_all().await;
}
