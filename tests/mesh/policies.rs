use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::named::Named;
use ninon_tests::ports;
use serde_json::{Value, json};

use crate::world::{LIMIT, Program, Sidecar, World, get, until};

fn policy(spec: &str) -> String {
    format!("apiVersion: ninon.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n")
}

fn workload(inbound: u16, application: u16) -> String {
    format!(
        "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: web, namespace: shop, labels: {{app: web}}}}\nspec:\n  \
         addresses: [127.0.0.1]\n  ports: [{{name: http, port: {inbound}, applicationPort: {application}}}]\n  \
         sidecar: {{outbound: '127.0.0.1:{}'}}\n",
        ports::free()
    )
}

fn written(world: &World, text: &str) {
    std::fs::write(world.path("policy.yaml"), text).unwrap();
}

/// From now on, or soon.
async fn is_denied(port: u16, path: &str) {
    let look = || async { get(port, path, "anything").await.filter(|(status, _)| *status == 403) };
    assert!(eventually(LIMIT, look).await.is_some(), "{path} gets {:?}", get(port, path, "anything").await);
}

/// What an operator does with a policy, and what a sidecar without a certificate makes of it.
async fn is_written_seen_and_taken_away(program: Program) {
    let (application, inbound) = (Named::start("web").await, ports::free());
    let world = World::start().await;
    let workload = workload(inbound, application.port);
    world.write("web.yaml", &workload);
    let _sidecar = Sidecar::start(&world, program, Dialect::Delta, "web").await;
    until(inbound, "/admin", "anything", (200, "web")).await;

    written(&world, &policy("{action: DENY, rules: [{to: [{operation: {path: [/admin]}}]}]}"));
    let refused = world.ninon(&["validate", "-f", "policy.yaml"]);
    let told = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(!refused.status.success() && told.contains("spec.rules[0].to[0].operation.path: there is no such field"), "{told}");
    let refused = world.ninon(&["apply", "-f", "policy.yaml"]);
    assert!(!refused.status.success(), "{}", String::from_utf8_lossy(&refused.stdout));

    written(&world, &policy("{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}"));
    world.does(&["validate", "-f", "policy.yaml"]);
    let differs = String::from_utf8(world.ninon(&["diff", "-f", "policy.yaml"]).stdout).unwrap();
    assert!(differs.contains("+  action: DENY") && differs.contains(&format!("proxy shop/web: ~listeners/inbound:{inbound}")), "{differs}");
    until(inbound, "/admin", "anything", (200, "web")).await;
    world.does(&["apply", "-f", "policy.yaml"]);
    is_denied(inbound, "/admin").await;
    until(inbound, "/", "anything", (200, "web")).await;

    let table = world.does(&["get", "ap", "-n", "shop"]);
    assert!(table.contains("ACTION") && table.contains("DENY"), "{table}");
    let shown: Value = serde_json::from_str(&world.does(&["get", "authorizationpolicy", "web", "-n", "shop", "-o", "json"])).unwrap();
    let conditions = shown["status"]["conditions"].as_array().unwrap().iter();
    let conditions: Vec<_> = conditions.map(|one| (one["type"].clone(), one["status"].clone())).collect();
    assert_eq!(conditions, [(json!("Accepted"), json!("True")), (json!("Enforced"), json!("True"))], "{shown}");
    // Here nobody shows a certificate.
    world.apply(&policy("{action: DENY, rules: [{from: [{source: {serviceAccounts: [cart]}}]}]}"));
    let shown = world.does(&["get", "ap", "web", "-n", "shop", "-o", "yaml"]);
    assert!(shown.contains("reason: PlainText") && shown.contains(&format!("shop/web takes plain text at port {inbound}")), "{shown}");
    until(inbound, "/admin", "anything", (200, "web")).await;
    world.apply(&policy("{rules: [{from: [{source: {serviceAccounts: [cart]}}]}]}"));
    is_denied(inbound, "/").await;
    world.does(&["delete", "ap", "web", "-n", "shop"]);
    until(inbound, "/", "anything", (200, "web")).await;
    world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_written_seen_and_taken_away_with_ninon() {
    is_written_seen_and_taken_away(Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_written_seen_and_taken_away_with_envoy() {
    is_written_seen_and_taken_away(Program::Envoy).await;
}

/// A control plane that starts with a policy that it cannot read does not open what that was to close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cannot_be_read_at_the_start_denies() {
    let (application, inbound) = (Named::start("web").await, ports::free());
    let mut world = World::new("embedded");
    let workload = workload(inbound, application.port);
    world.write("web.yaml", &workload);
    world.write("policy.yaml", &policy("{action: DENY, rules: [{to: [{operation: {path: [/admin]}}]}]}"));
    world.serve().await;
    let _sidecar = Sidecar::start(&world, Program::Ninon, Dialect::Delta, "web").await;
    world.are_synced(1).await;
    assert_eq!(get(inbound, "/", "anything").await.unwrap().0, 403);
    assert!(world.log().contains("spec.rules[0].to[0].operation.path: there is no such field"), "{}", world.log());
    let shown = world.does(&["get", "ap", "web", "-n", "shop", "-o", "yaml"]);
    assert!(shown.contains("reason: Invalid"), "{shown}");
    world.write("policy.yaml", &policy("{action: DENY, rules: [{to: [{operation: {paths: [/admin]}}]}]}"));
    until(inbound, "/", "anything", (200, "web")).await;
    assert_eq!(get(inbound, "/admin", "anything").await.unwrap().0, 403);
}
