//! The proxy's identity from SPIFFE's Workload API. The server is a small one on the protocol types of go-spiffe (SPIRE itself cannot be
//! built here), and the workload that the proxy meets uses go-spiffe.

use std::path::{Path, PathBuf};

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::workload_api::{Domain, Issued, Program, hex};
use ninon_tests::{ports, proxy, wire};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::identity::typed;
use crate::trust_domains::listener;
use crate::world::{LIMIT, address, cluster};

const CART: &str = "spiffe://a.test/ns/shop/sa/cart";
const TILL: &str = "spiffe://b.test/till";

/// A workload that uses go-spiffe: it answers with who asks.
struct Peer {
    program: Program,
    port: u16,
    _server: Program,
}

impl Peer {
    fn start(folder: &Folder, answer: &Value) -> Self {
        let socket = folder.path().join("peer.sock");
        let mut server = Program::server(&socket);
        server.says(&answer.to_string());
        let mut program = Program::start("peer", &socket);
        let port = program.line().parse().unwrap();
        Self { program, port, _server: server }
    }

    /// Asks the proxy, which has to be `CART`.
    fn asks(&mut self, port: u16) -> String {
        self.program.says(&format!("https://127.0.0.1:{port}/ {CART}"));
        self.program.line()
    }
}

/// A proxy that has one listener for workloads that it knows, and one that goes to the peer as who it is.
struct Sidecar {
    process: Process,
    admin: u16,
    inbound: u16,
    outbound: u16,
}

impl Sidecar {
    fn start(socket: &Path, peer: u16) -> Self {
        let folder = Folder::new();
        let [admin, inbound, outbound] = [ports::free(), ports::free(), ports::free()];
        let own = json!([{"name": "default"}]);
        let server = json!({"require_client_certificate": true, "common_tls_context": {
            "tls_certificate_sds_secret_configs": own, "validation_context_sds_secret_config": {"name": "ALL"},
        }});
        let till = json!([{"san_type": "URI", "matcher": {"exact": TILL}}]);
        let combined = json!({
            "default_validation_context": {"match_typed_subject_alt_names": till}, "validation_context_sds_secret_config": {"name": "ALL"},
        });
        let client = json!({"common_tls_context": {"tls_certificate_sds_secret_configs": own, "combined_validation_context": combined}});
        let mut to_peer = cluster("peer", peer);
        to_peer["transport_socket"] = typed("transport_sockets.tls.v3.UpstreamTlsContext", client);
        let listeners = [
            listener(inbound, &json!({"direct_response": {"status": 200, "body": {"inline_string": "served"}}}), Some(server)),
            listener(outbound, &json!({"route": {"cluster": "peer"}}), None),
        ];
        let whole = json!({
            "node": {"id": "cart-1", "cluster": "shop"}, "admin": {"address": address(admin)},
            "static_resources": {"listeners": listeners, "clusters": [to_peer]},
        });
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, whole.to_string()).unwrap();
        let mut command = proxy::command(&file);
        command.args(["--workload-api-address", &format!("unix://{}", socket.display()), "--log-level", "debug"]);
        command.arg("--state-dir").arg(folder.path().join("state"));
        let process = Process::start(command, folder).unwrap();
        Self { process, admin, inbound, outbound }
    }

    async fn log_holds(&self, text: &str) {
        let holds = || async { self.process.log().contains(text).then_some(()) };
        assert!(eventually(LIMIT, holds).await.is_some(), "no {text:?} in:\n{}", self.process.log());
    }

    async fn counts(&self, name: &str, count: u64) {
        let holds = || async { wire::get(self.admin, "/stats").await.ok()?.1.contains(&format!("{name}: {count}\n")).then_some(()) };
        assert!(
            eventually(LIMIT, holds).await.is_some(),
            "{name} is not {count}: {:?}\n{}",
            wire::get(self.admin, "/stats").await,
            self.process.log()
        );
    }

    /// Who the peer says that asks it.
    async fn is_seen_as(&self, id: &str) {
        let seen = || async { wire::get(self.outbound, "/").await.ok().filter(|answer| *answer == (200, id.to_owned())) };
        assert!(eventually(LIMIT, seen).await.is_some(), "{:?}\n{}", wire::get(self.outbound, "/").await, self.process.log());
    }
}

struct World {
    folder: Folder,
    a: Domain,
    b: Domain,
}

impl World {
    fn new() -> Self {
        Self { folder: Folder::new(), a: Domain::new("a.test"), b: Domain::new("b.test") }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn peer(&self) -> Peer {
        Peer::start(&self.folder, &self.b.says(&self.b.issue(TILL), &[&self.a]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_comes_from_the_workload_api_and_is_followed() {
    let world = World::new();
    let mut peer = world.peer();
    let mut server = Program::server(&world.socket());
    server.says(r#"{"deny": true}"#);
    let mut sidecar = Sidecar::start(&world.socket(), peer.port);
    sidecar.log_holds("it has no identity for this process").await;
    assert!(TcpStream::connect(("127.0.0.1", sidecar.inbound)).await.is_err(), "nothing is served before there is an identity");

    let first = world.a.issue(CART);
    server.says(&world.a.says(&first, &[&world.b]).to_string());
    sidecar.process.wait_until_ready(sidecar.admin).await.unwrap();
    assert_eq!(peer.asks(sidecar.inbound), "200 served");
    sidecar.is_seen_as(CART).await;

    // Another certificate, while it serves.
    let next = world.a.issue(CART);
    server.says(&world.a.says(&next, &[&world.b]).to_string());
    sidecar.counts("ninon.identity.issued", 2).await;
    assert_eq!(peer.asks(sidecar.inbound), "200 served");

    // What cannot be used takes nothing away.
    let mut broken = world.a.says(&first, &[&world.b]);
    broken["svids"][0]["key"] = json!(hex(&next.key.serialize_der()));
    server.says(&broken.to_string());
    sidecar.log_holds("does not belong to the first certificate").await;
    assert_eq!(peer.asks(sidecar.inbound), "200 served");
    sidecar.is_seen_as(CART).await;

    // A trust domain that is not federated any more is not known any more.
    server.says(&world.a.says(&next, &[]).to_string());
    let refused = || async { wire::get(sidecar.outbound, "/").await.ok().filter(|(status, _)| *status == 503) };
    assert!(eventually(LIMIT, refused).await.is_some(), "{}", sidecar.process.log());
    assert!(!peer.asks(sidecar.inbound).starts_with("200"), "{}", sidecar.process.log());
    sidecar.log_holds("its trust domain, b.test, is not known here").await;
    is_kept_secret(&sidecar, &[&first, &next]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_go_and_come_back() {
    let world = World::new();
    let mut peer = world.peer();
    let mut server = Program::server(&world.socket());
    let issued = world.a.issue(CART);
    let says = world.a.says(&issued, &[&world.b]).to_string();
    server.says(&says);
    let mut sidecar = Sidecar::start(&world.socket(), peer.port);
    sidecar.process.wait_until_ready(sidecar.admin).await.unwrap();

    server.says(r#"{"close": true}"#);
    sidecar.log_holds("the certificate could not be renewed; it holds on").await;
    sidecar.log_holds("left_seconds").await;
    assert_eq!(peer.asks(sidecar.inbound), "200 served");
    sidecar.counts("ninon.identity.issued", 2).await;

    drop(server);
    sidecar.log_holds("Connection refused").await;
    assert_eq!(peer.asks(sidecar.inbound), "200 served", "without an agent the certificate holds on");
    sidecar.is_seen_as(CART).await;
    let mut server = Program::server(&world.socket());
    server.says(&says);
    sidecar.counts("ninon.identity.issued", 3).await;
    assert_eq!(peer.asks(sidecar.inbound), "200 served");
    is_kept_secret(&sidecar, &[&issued]);
}

/// A key is in no log and in no file.
fn is_kept_secret(sidecar: &Sidecar, all: &[&Issued]) {
    let mut texts = vec![sidecar.process.log()];
    let mut folders = vec![sidecar.process.folder().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => texts.push(String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()).into_owned()),
            }
        }
    }
    for issued in all {
        let pem = issued.key.serialize_pem();
        let line = pem.lines().nth(1).unwrap();
        assert!(texts.iter().all(|text| !text.contains(line)), "the key is written somewhere");
    }
}
