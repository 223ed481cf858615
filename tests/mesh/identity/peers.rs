use std::process::Command;

use ninon_tests::eventually::eventually;
use ninon_tests::named::{self, Named};
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};
use serde_json::{Value, json};

use super::Stranger;
use super::secure::with_certificate;
use crate::world::{LIMIT, Program, World};

pub(super) const STRICT: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: ninon.dev/v1alpha1
kind: PeerAuthentication
metadata: {name: default, namespace: ninon-system}
spec: {mtls: {mode: STRICT}}
";

/// A port of a workload, and of its application.
pub(super) struct Port {
    name: &'static str,
    port: u16,
    application: u16,
}

impl Port {
    pub(super) const fn new(name: &'static str, port: u16, application: u16) -> Self {
        Self { name, port, application }
    }
}

/// A sidecar that has joined by a token, with the workload's name and account as one.
pub(super) async fn join(mesh: (&World, &Stranger), program: Program, name: &str, of: &[Port], outbound: u16) -> (Process, u16) {
    let (world, stranger) = mesh;
    let token = world.does(&["token", "create", "-n", "shop", "--service-account", name]);
    if program == Program::Envoy {
        stranger.joins(name, token.trim(), 600);
        let metadata = json!({
            "PORTS": of.iter().map(|of| json!({"name": of.name, "port": of.port, "applicationPort": of.application})).collect::<Vec<_>>(),
            "ADDRESSES": ["127.0.0.1"],
            "LABELS": {"app": name}, "SIDECAR": {"outbound": format!("127.0.0.1:{outbound}")},
        });
        return (with_certificate(world, stranger, name, name, &metadata).await, 0);
    }
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{}", world.secure_xds), "--token", token.trim(), "--workload", name]);
    let ports: Vec<String> = of.iter().map(|Port { name, port, application }| format!("{name}={port}:{application}")).collect();
    command.args(["--port", &ports.join(","), "--label", &format!("app={name}"), "--address", "127.0.0.1"]);
    command.args(["--outbound-address", &format!("127.0.0.1:{outbound}"), "--admin-address", &format!("127.0.0.1:{admin}")]);
    // Why somebody is refused is told there.
    command.args(["--log-level", "debug"]);
    let mut process = Process::start(command, Folder::new()).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", process.log()));
    (process, admin)
}

/// The answer comes by way of both sidecars, and nobody else gets one.
async fn is_reached(client: Program, server: Program) {
    let world = World::start().await;
    world.write("shop.yaml", STRICT);
    let stranger = Stranger::new(&world);
    let application = Named::start("cart").await;
    let [port, at_server, outbound, unused] = [ports::free(), ports::free(), ports::free(), ports::free()];
    let (cart, at_cart) = join((&world, &stranger), server, "cart", &[Port::new("http", port, application.port)], at_server).await;
    let (web, admin) = join((&world, &stranger), client, "web", &[Port::new("http", unused, unused)], outbound).await;
    let asks = || async { named::get(outbound, "/", "host: cart\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    let answer = eventually(LIMIT, asks).await;
    let last = named::get(outbound, "/", "host: cart\r\n", LIMIT).await;
    let seen = named::get(at_cart, "/stats?filter=ssl", "host: x\r\n", LIMIT).await;
    let (_, answer) = answer.unwrap_or_else(|| panic!("{last:?}: {seen:?} {}\n{}\n{}", web.log(), cart.log(), world.log()));
    assert!(answer.contains("cart"), "{answer}");
    let plain = named::get(port, "/", "host: cart\r\n", LIMIT).await;
    assert!(plain.as_ref().is_none_or(|(status, _)| *status != 200), "plain text is refused: {plain:?}");
    let identities: Vec<Value> = world.proxies().iter().map(|proxy| proxy["identity"].clone()).collect();
    for name in ["cart", "web"] {
        assert!(identities.contains(&json!(format!("spiffe://cluster.local/ns/shop/sa/{name}"))), "{identities:?}");
    }
    world.is_accepted_by_all().await;
    if client == Program::Ninon {
        let (_, stats) = named::get(admin, "/stats", "host: x\r\n", LIMIT).await.unwrap();
        assert!(stats.contains("ninon.identity.issued: 1"), "{stats}");
        let handshakes = stats.lines().find_map(|line| line.strip_prefix("cluster.cart.shop:80.ssl.handshake: "));
        assert!(handshakes.is_some_and(|count| count != "0"), "{stats}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_reaches_ninon() {
    is_reached(Program::Envoy, Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_reaches_envoy() {
    is_reached(Program::Ninon, Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_reaches_ninon() {
    is_reached(Program::Ninon, Program::Ninon).await;
}
