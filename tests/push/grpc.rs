use ninon_control_plane::snapshot::kind::Kind;
use ninon_tests::grpc::{Client, Library};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{LIMIT, Server, World, manager};

/// What applications dial, and so the name that the client asks for.
const TARGET: &str = "echo.shop:80";

fn listener() -> Value {
    json!({ "name": TARGET, "api_listener": { "api_listener": manager("echo") } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_clients_follow() {
    let server = Server::start(&World::default()).await;
    let (mut client, [first, second]) = Client::start(Library::Core, server.port, &json!({ "id": "grpc-1" }));

    let start = Instant::now();
    let answer = client.call(TARGET, 1).remove(0);
    assert!(answer.starts_with("UNAVAILABLE: ") && answer.contains("there is no such resource"), "{answer}");
    assert!(start.elapsed().as_secs() < 4, "what does not exist is told of at once: {:?}", start.elapsed());

    let mut world = World::default();
    world.put(Kind::Listener, listener()).route("echo", TARGET, "a").cluster("a", 1).endpoints("a", &[first]);
    server.publish(&world);
    client.until(TARGET, "a service that is new", |answer| answer == "first");
    let answer = client.call("other.shop:80", 1).remove(0);
    assert!(answer.starts_with("UNAVAILABLE: "), "{answer}");

    world.endpoints("a", &[second]);
    server.publish(&world);
    client.until(TARGET, "another endpoint", |answer| answer == "second");

    world.endpoints("a", &[first, second]);
    server.publish(&world);
    let end = Instant::now() + LIMIT;
    while client.call(TARGET, 20).iter().filter(|answer| *answer == "first").count() != 10 {
        assert!(Instant::now() < end, "two endpoints take turns");
    }

    world.cluster("b", 1).endpoints("b", &[second]).route("echo", TARGET, "b");
    server.publish(&world);
    client.until(TARGET, "a route to a new cluster", |answer| answer == "second");
    assert_eq!(client.call(TARGET, 10), vec!["second"; 10]);
    world.remove(Kind::Cluster, "a").remove(Kind::Endpoint, "a");
    server.publish(&world);
    assert_eq!(client.call(TARGET, 10), vec!["second"; 10]);

    world.remove(Kind::Listener, TARGET);
    server.publish(&world);
    client.until(TARGET, "a service that is gone", |answer| answer.starts_with("UNAVAILABLE: "));
    world.put(Kind::Listener, listener());
    server.publish(&world);
    client.until(TARGET, "a service that is back", |answer| answer == "second");
    assert_eq!(server.refusals(), 0);

    let port = server.port;
    server.stop().await;
    assert_eq!(client.call(TARGET, 3), vec!["second"; 3]);
    world.endpoints("b", &[first]);
    let server = Server::start_on(port, &world).await;
    client.until(TARGET, "another control plane", |answer| answer == "first");
    assert_eq!(server.refusals(), 0);
}
