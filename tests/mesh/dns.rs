//! Hosts of the mesh by the sidecar's DNS, in both dialects.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use ninon_tests::control_plane::Dialect;
use ninon_tests::eventually::eventually;
use ninon_tests::names::Names;
use ninon_tests::ports;
use ninon_tests::process::{Folder, Process};
use tokio::net::UdpSocket;

use crate::world::{World, bootstrap, get};

const LIMIT: Duration = Duration::from_secs(20);

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIPs: [10.96.0.10, 'fd96::10'], clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: bank}
spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: vault, namespace: bank, annotations: {ninon.dev/exports: bank}}
spec: {clusterIP: 10.96.0.12, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: queue, namespace: shop}
spec: {clusterIP: None, selector: {app: queue}, ports: [{port: 80}]}
---
apiVersion: ninon.dev/v1alpha1
kind: ExternalService
metadata: {name: printer, namespace: shop}
spec: {hosts: [printer.example], endpoints: [192.0.2.1, 192.0.2.2], ports: [{port: 631, appProtocol: http}]}
---
apiVersion: ninon.dev/v1alpha1
kind: ExternalService
metadata: {name: partner, namespace: shop}
spec: {hosts: [partner.example], endpoints: [localhost], ports: [{port: 80, appProtocol: http}]}
";

fn member(name: &str, address: &str) -> String {
    format!(
        "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}, namespace: shop, labels: {{app: queue}}}}\nspec: {{addresses: ['{address}'], ports: [{{port: 80}}]}}\n"
    )
}

/// What is said of a name: addresses in order, or a code.
async fn ask(port: u16, name: &str, kind: RecordType) -> Result<Vec<String>, ResponseCode> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(("127.0.0.1", port)).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut bytes = [0; 4096];
    let length = tokio::time::timeout(LIMIT, socket.recv(&mut bytes)).await.unwrap_or_else(|_| panic!("no answer for {name}")).unwrap();
    let answer = Message::from_vec(&bytes[..length]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    if answer.metadata.response_code != ResponseCode::NoError {
        return Err(answer.metadata.response_code);
    }
    let mut addresses: Vec<String> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    addresses.sort();
    Ok(addresses)
}

async fn is(port: u16, name: &str, kind: RecordType, wanted: &[&str]) {
    let look = || async { ask(port, name, kind).await.ok().filter(|seen| seen == wanted) };
    if eventually(LIMIT, look).await.is_none() {
        panic!("{name} is to be {wanted:?}, and is {:?}", ask(port, name, kind).await);
    }
}

async fn answers(dialect: Dialect) {
    let outside = ["elsewhere.example", "partner.example", "vault.bank"].map(|name| (name.to_owned(), vec!["192.0.2.9".parse().unwrap()]));
    let resolver = Names::start(BTreeMap::from(outside)).await.unwrap();
    let world = World::start().await;
    world.write("mesh.yaml", MESH);
    world.write("queue-1.yaml", &member("queue-1", "10.0.0.1"));
    world.write("queue-2.yaml", &member("queue-2", "10.0.0.2"));
    let (admin, port, folder) = (ports::free(), ports::free(), Folder::new());
    let path = folder.path().join("bootstrap.json");
    fs::write(&path, bootstrap(&[world.xds], dialect, "client", admin).to_string()).unwrap();
    let mut command = ninon_tests::proxy::command(&path);
    command.args(["--dns", "--dns-address", &format!("127.0.0.1:{port}"), "--dns-resolver", &format!("127.0.0.1:{}", resolver.port)]);
    let mut sidecar = Process::start(command, folder).unwrap();
    sidecar.wait_until_ready(admin).await.unwrap();

    for name in ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local", "WEB.Shop"] {
        is(port, name, RecordType::A, &["10.96.0.10"]).await;
        is(port, name, RecordType::AAAA, &["fd96::10"]).await;
    }
    is(port, "pay.bank", RecordType::A, &["10.96.0.11"]).await;
    is(port, "pay.bank", RecordType::AAAA, &[]).await;
    is(port, "queue", RecordType::A, &["10.0.0.1", "10.0.0.2"]).await;
    is(port, "printer.example", RecordType::A, &["192.0.2.1", "192.0.2.2"]).await;
    // What the mesh does not know is for the resolver: also what this namespace may not see, and what has no addresses there.
    for name in ["elsewhere.example", "partner.example", "vault.bank"] {
        is(port, name, RecordType::A, &["192.0.2.9"]).await;
    }
    for name in ["pay", "nobody.example"] {
        assert_eq!(ask(port, name, RecordType::A).await, Err(ResponseCode::NXDomain), "{name}");
    }

    // Endpoints and services come and go.
    world.write("queue-2.yaml", &member("queue-2", "10.0.0.3"));
    is(port, "queue", RecordType::A, &["10.0.0.1", "10.0.0.3"]).await;
    world.write("mesh.yaml", &MESH.replace("name: pay", "name: pays").replace("10.96.0.10", "10.96.0.20"));
    is(port, "pays.bank", RecordType::A, &["10.96.0.11"]).await;
    is(port, "web", RecordType::A, &["10.96.0.20"]).await;
    // What is gone is taken away last.
    let gone = || async { (ask(port, "pay.bank", RecordType::A).await == Err(ResponseCode::NXDomain)).then_some(()) };
    assert!(eventually(LIMIT, gone).await.is_some());

    let (_, stats) = get(admin, "/stats", "admin").await.unwrap();
    let stat = |name: &str| stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse::<u64>().ok());
    assert_eq!((stat("dns.names"), stat("control_plane.names_refused")), (Some(4), Some(0)), "{stats}");
    assert!(stat("dns.answered") > Some(10) && stat("dns.passed_on") >= Some(5) && stat("dns.questions_active") == Some(0), "{stats}");
    assert!(!sidecar.log().contains("WARN"), "{}", sidecar.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_of_the_mesh_have_their_addresses() {
    answers(Dialect::Delta).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_so_they_have_by_the_state_of_the_world() {
    answers(Dialect::Sotw).await;
}
