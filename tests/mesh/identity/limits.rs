use std::process::Command;

use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;

use super::peers::{Port, join};
use super::secure::ads;
use super::*;
use crate::world::Program;

/// Two services of a namespace whose sidecars have one account.
const SHOP: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: bank, namespace: shop}
spec:
  selector: {app: bank}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// The extension of certificates, as openssl writes it.
const EXTENSION: &str = "2.25.5650168632383924589";

/// What the control plane says to a stream that would register this; the code is empty where it is served.
fn registers(stranger: &Stranger, by: &str, workload: &str, labels: &Value) -> (String, String) {
    let mut metadata = json!({"WORKLOAD_NAME": workload, "ADDRESSES": ["127.0.0.1"], "PORTS": [{"name": "http", "port": 8080}]});
    if !labels.is_null() {
        metadata["LABELS"] = labels.clone();
    }
    let said = ads(stranger, &metadata, &stranger.with(by));
    (said["code"].as_str().unwrap_or_default().to_owned(), said["details"].as_str().unwrap_or_default().to_owned())
}

/// Labels of the workloads that are registered, by their names.
fn registered(world: &World) -> Vec<(String, Value)> {
    let shown: Value = serde_json::from_str(&world.does(&["get", "workloads", "-A", "-o", "json"])).unwrap();
    let items = shown["items"].as_array().unwrap().iter().filter(|item| item["status"]["source"] == "registration");
    items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item["metadata"]["labels"].clone())).collect()
}

fn limited(world: &World) -> String {
    token(world, "shop", &["--label", "app=cart,version=*"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_limited_token_is_an_endpoint_of_no_other_service() {
    let mut world = World::start().await;
    world.write("shop.yaml", SHOP);
    let thief = Stranger::new(&world);
    thief.joins("thief", &limited(&world), 600);
    let shown = thief.openssl("x509 -in thief.pem -noout -text");
    assert!(shown.contains(EXTENSION) && shown.contains(r#"{"app":"cart","version":"*"}"#), "{shown}");
    assert_eq!(thief.openssl("verify -x509_strict -CAfile root.pem thief.pem"), "thief.pem: OK\n");

    // What metadata says is not what it is.
    let may_not = |by: &str, labels: Value, rule: &str| {
        let (code, why) = registers(&thief, by, "thief", &labels);
        assert_eq!((code.as_str(), why.contains(rule)), ("PERMISSION_DENIED", true), "{by} {labels}: {why:?}");
        assert!(why.contains(" does not allow what LABELS says: "), "{why}");
    };
    let all_of_it = |by: &str| {
        may_not(by, json!({"app": "bank"}), "the label \"app\" has to be \"cart\", and is \"bank\"");
        may_not(by, json!({"app": "cart", "tier": "db"}), "the label \"tier\" is not among those that are allowed: app=cart,version=*");
    };
    all_of_it("thief");
    logged(&world, "a stream was refused").await;
    logged(&world, "has to be \\\"cart\\\", and is \\\"bank\\\"").await;
    assert_eq!(registered(&world), []);

    // A certificate that follows, without the token and for a request that asks for other labels.
    let asks = format!(" -addext {EXTENSION}=ASN1:UTF8String:{{\"app\":\"*\"}}");
    let (code, chain) = thief.certify(&thief.csr("next", &asks), &thief.with("thief"));
    assert_eq!(code, "", "{chain}");
    fs::write(thief.path("next.pem"), chain).unwrap();
    all_of_it("next");
    // Beside a token that allows everything.
    let mut more = thief.with("next");
    more["token"] = json!(token(&world, "shop", &[]));
    let (code, chain) = thief.certify(&thief.csr("last", ""), &more);
    assert_eq!(code, "", "{chain}");
    fs::write(thief.path("last.pem"), chain).unwrap();
    all_of_it("last");
    // After a restart of the control plane, and of the thief.
    world.kill();
    world.serve().await;
    for by in ["thief", "next", "last"] {
        all_of_it(by);
    }
    // What it may be, it is, whether it says so or not.
    let (code, why) = registers(&thief, "last", "cart-1", &Value::Null);
    assert_eq!(code, "", "{why}");
    let (code, why) = registers(&thief, "last", "cart-2", &json!({"version": "2"}));
    assert_eq!(code, "", "{why}");
    let wanted = [("cart-1".to_owned(), json!({"app": "cart"})), ("cart-2".to_owned(), json!({"app": "cart", "version": "2"}))];
    assert_eq!(registered(&world), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_token_takes_nobodys_place() {
    let world = World::start().await;
    world.write("shop.yaml", SHOP);
    let (stranger, application) = (Stranger::new(&world), Named::start("bank").await);
    let outbound = ports::free();
    let (_web, _) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", ports::free(), ports::free())], outbound).await;
    // Of the same account as the thief; its token allows everything.
    let any = token(&world, "shop", &[]);
    let port = ports::free();
    let (bank, _) = sidecar(&world, &any, "bank-1", &["--port", &format!("http={port}:{}", application.port), "--label", "app=bank"]).await;
    let reached =
        || async { named::get(outbound, "/", "host: bank\r\n", LIMIT).await.filter(|answer| *answer == (200, "bank".to_owned())) };
    eventually(LIMIT, reached).await.unwrap_or_else(|| panic!("{}\n{}", bank.log(), world.log()));

    stranger.joins("thief", &limited(&world), 600);
    let (code, why) = registers(&stranger, "thief", "bank-1", &Value::Null);
    let rule = "the workload shop/bank-1 is registered, as somebody that this one may not be: the label \"app\" has to be \"cart\"";
    assert_eq!((code.as_str(), why.contains(rule)), ("PERMISSION_DENIED", true), "{why}");
    // A sidecar is told, and tells.
    let (thief, admin) = launch(&world, &limited(&world), "thief", &["--port", &format!("http={}", ports::free()), "--label", "app=bank"]);
    let told = "does not allow what LABELS says: the label \"app\" has to be \"cart\", and is \"bank\"";
    let found = eventually(LIMIT, || async { thief.log().contains(told).then_some(()) }).await;
    found.unwrap_or_else(|| panic!("{}", thief.log()));
    let (status, page) = named::get(admin, "/ready?verbose", "host: x\r\n", LIMIT).await.unwrap();
    assert!(status == 503 && page.contains("has to be \"cart\", and is \"bank\""), "{page}");
    assert_eq!(registered(&world).iter().filter(|(_, labels)| labels["app"] == "bank").count(), 1);
    reached().await.expect("nobody else is concerned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_sidecar_is_an_endpoint_of_its_own_service_without_saying_so() {
    let world = World::start().await;
    world.write("shop.yaml", SHOP);
    let (stranger, application) = (Stranger::new(&world), Named::start("cart").await);
    let outbound = ports::free();
    let (_web, _) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", ports::free(), ports::free())], outbound).await;
    // Its certificates are renewed while it serves.
    let words = ["--port", &format!("http={}:{}", ports::free(), application.port), "--certificate-ttl", "10s"];
    let (cart, admin) = sidecar(&world, &limited(&world), "cart-1", &words).await;
    let answers =
        || async { named::get(outbound, "/", "host: cart\r\n", LIMIT).await.filter(|answer| *answer == (200, "cart".to_owned())) };
    eventually(LIMIT, answers).await.unwrap_or_else(|| panic!("{}\n{}", cart.log(), world.log()));
    let renewed = || async {
        let (_, stats) = named::get(admin, "/stats", "host: x\r\n", LIMIT).await?;
        stats.contains("ninon.identity.issued: 3").then_some(())
    };
    eventually(LIMIT, renewed).await.unwrap_or_else(|| panic!("{}", cart.log()));
    assert_eq!(registered(&world).iter().find(|(name, _)| name == "cart-1").unwrap().1, json!({"app": "cart"}));
    answers().await.expect("it serves on");
}

/// A sidecar that joins by a token; it is not waited for.
fn launch(world: &World, token: &str, workload: &str, more: &[&str]) -> (Process, u16) {
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{}", world.secure_xds), "--token", token, "--workload", workload]);
    command.args(["--address", "127.0.0.1", "--outbound-address", &format!("127.0.0.1:{}", ports::free())]);
    command.args(["--admin-address", &format!("127.0.0.1:{admin}")]).args(more);
    (Process::start(command, Folder::new()).unwrap(), admin)
}

async fn sidecar(world: &World, token: &str, workload: &str, more: &[&str]) -> (Process, u16) {
    let (mut process, admin) = launch(world, token, workload, more);
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", process.log()));
    (process, admin)
}
