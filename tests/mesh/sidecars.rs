use ninon_tests::control_plane::Dialect;
use ninon_tests::named::Named;
use ninon_tests::ports;

use crate::load::{Load, Tally};
use crate::objects;
use crate::world::{Program, Sidecar, World, until};

/// Services of the shop, and workloads: `cart-v1` and `cart-v2` at these ports.
fn services() -> String {
    ["cart", "cart-v1", "cart-v2"].map(|name| objects::service(name, "http")).concat()
}

fn workload(name: &str, app: &str, port: u16) -> String {
    objects::workload(name, app, "http", port)
}

/// A workload whose sidecar has a port of its own for what goes out, and leads `inbound` to the application.
fn client(name: &str, outbound: u16, inbound: u16, application: u16) -> String {
    format!(
        "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec:\n  addresses: [127.0.0.1]\n  ports: [{{name: http, port: {inbound}, applicationPort: {application}}}]\n  sidecar: {{outbound: '127.0.0.1:{outbound}'}}\n"
    )
}

fn split(first: u32, second: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: cart, namespace: shop}}
spec:
  parentRefs: [{{group: '', kind: Service, name: cart, port: 80}}]
  rules:
  - matches: [{{path: {{value: /special}}}}]
    backendRefs: [{{name: cart-v2, port: 80}}]
  - backendRefs: [{{name: cart-v1, port: 80, weight: {first}}}, {{name: cart-v2, port: 80, weight: {second}}}]
"
    )
}

fn only(tally: &Tally, answers: &[&str]) {
    assert!(tally.keys().all(|seen| answers.contains(&seen.as_str())), "{tally:?}");
}

async fn follows(program: Program, dialect: Dialect) {
    let (first, second, third, own) =
        (Named::start("v1").await, Named::start("v2").await, Named::start("v3").await, Named::start("web").await);
    let (outbound, inbound) = (ports::free(), ports::free());
    let mut world = World::start().await;
    world.write("services.yaml", &services());
    world.write("v1.yaml", &workload("cart-1", "cart-v1", first.port));
    world.write("v2.yaml", &workload("cart-2", "cart-v2", second.port));
    world.write("web.yaml", &client("web", outbound, inbound, own.port));
    let sidecar = Sidecar::start(&world, program, dialect, "web").await;

    // What comes in reaches the application.
    until(inbound, "/", "anything", (200, "web")).await;
    // A route by the API: by path, and a split.
    world.apply(&split(90, 10));
    until(outbound, "/special", "cart.shop", (200, "v2")).await;
    world.are_synced(1).await;
    let load = Load::start(outbound, "cart.shop.svc.cluster.local:80", "/");
    load.answers(1000).await;
    let seen = load.seen();
    only(&seen, &["200 v1", "200 v2"]);
    let share = seen["200 v2"] * 100 / seen.values().sum::<usize>();
    assert!((5..=16).contains(&share), "10 % are to go to v2: {seen:?}");

    // Another endpoint in place of v1's, by a file.
    world.write("v1.yaml", &workload("cart-1", "cart-v1", third.port));
    until_only(&load, &["200 v3", "200 v2"]).await;
    world.is_accepted_by_all().await;

    // The control plane dies, and comes again with the same and more.
    world.kill();
    load.answers(300).await;
    only(&load.seen(), &["200 v3", "200 v2"]);
    world.serve().await;
    world.apply(&split(0, 1));
    until_only(&load, &["200 v2"]).await;
    world.does(&["rollback", "1"]);
    until_only(&load, &["200 v2", "200 v3"]).await;
    world.does(&["delete", "httproute", "cart", "-n", "shop"]);
    let rest = load.end().await;
    // Without a route the service has no endpoints of its own: only then may a request fail.
    assert!(rest.keys().all(|seen| seen.starts_with("200 ") || seen.starts_with("503 ")), "{rest:?}");
    world.are_synced(1).await;
    until_status(outbound, 503).await;
    world.is_accepted_by_all().await;
    drop(sidecar);
}

async fn until_status(port: u16, wanted: u16) {
    let look = || async { crate::world::get(port, "/", "cart").await.filter(|(status, _)| *status == wanted) };
    ninon_tests::eventually::eventually(crate::world::LIMIT, look).await.unwrap_or_else(|| panic!("{wanted} does not come"));
}

/// Waits until these answers come and no others. Until then none fails.
async fn until_only(load: &Load, answers: &[&str]) {
    let look = || async {
        load.seen();
        load.answers(100).await;
        let seen = load.seen();
        assert!(seen.keys().all(|seen| seen.starts_with("200 ")), "{seen:?}");
        let all = answers.iter().all(|answer| seen.contains_key(*answer)) && seen.keys().all(|seen| answers.contains(&seen.as_str()));
        all.then_some(())
    };
    ninon_tests::eventually::eventually(crate::world::LIMIT, look).await.unwrap_or_else(|| panic!("{answers:?} do not come"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_follows_state_of_the_world() {
    follows(Program::Envoy, Dialect::Sotw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_follows_delta() {
    follows(Program::Envoy, Dialect::Delta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_follows_state_of_the_world() {
    follows(Program::Ninon, Dialect::Sotw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_follows_delta() {
    follows(Program::Ninon, Dialect::Delta).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_what_proxies_have_and_would_be_told() {
    let (server, outbound) = (Named::start("v1").await, ports::free());
    let world = World::start().await;
    world.write("services.yaml", &services());
    world.write("v1.yaml", &workload("cart-1", "cart-v1", server.port));
    world.write("web.yaml", &client("web", outbound, ports::free(), server.port));
    let _sidecar = Sidecar::start(&world, Program::Ninon, Dialect::Delta, "web").await;
    world.are_synced(1).await;
    std::fs::write(world.path("split.yaml"), split(1, 1)).unwrap();
    let diff = world.ninon(&["diff", "-f", "split.yaml"]);
    let text = String::from_utf8(diff.stdout).unwrap();
    assert_eq!(diff.status.code(), Some(1), "{text}");
    assert!(text.ends_with("\nproxy shop/web: ~routes/cart.shop:80 ~routes/outbound\n"), "{text}");
    // Nothing was changed by that.
    let shown = world.does(&["proxies", "web", "--config"]);
    assert!(shown.lines().all(|line| line.starts_with("TYPE") || line.ends_with("acknowledged")), "{shown}");
    assert!(shown.contains("cart-v1.shop:80"), "{shown}");
    let json: serde_json::Value = serde_json::from_str(&world.does(&["proxies", "web", "--config", "-o", "json"])).unwrap();
    let listener =
        json["resources"].as_array().unwrap().iter().find(|one| one["type"] == "listeners" && one["name"] == "outbound").unwrap();
    assert_eq!(listener["content"]["address"]["socket_address"]["port_value"], outbound, "{listener}");
    world.apply(&split(1, 1));
    assert_eq!(world.ninon(&["diff", "-f", "split.yaml"]).status.code(), Some(0));
    // What would be taken back is told in the same form, and nothing is.
    world.apply(&split(2, 1));
    let back = world.does(&["rollback", "1", "--dry-run"]);
    assert!(back.starts_with("--- HTTPRoute shop/cart (live)\n+++ HTTPRoute shop/cart (revision 1)\n@@ "), "{back}");
    assert!(back.contains("-      weight: 2\n+      weight: 1\n"), "{back}");
    assert!(back.ends_with("\nproxy shop/web: ~routes/cart.shop:80 ~routes/outbound\n"), "{back}");
    let all = world.does(&["rollback", "0", "--dry-run"]);
    assert!(all.contains("-kind: HTTPRoute\n") && all.ends_with("proxy shop/web: ~routes/cart.shop:80 ~routes/outbound\n"), "{all}");
    assert_eq!(world.does(&["history", "-o", "name"]), "2\n1\n");
}
