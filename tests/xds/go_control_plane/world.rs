use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, proxy, wire};
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::certificates::Certificates;
use super::client::{Answer, Connection, protocol};
use super::mesh::{Cluster, Listener, Mesh, Resources, Table, Versioned, address};
use super::server::{LIMIT, Server};
use super::upstreams::Upstreams;

/// Requests until each endpoint of a cluster must have had its turn, though other clients take turns, too.
const TURNS: usize = 200;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sotw,
    Delta,
}

/// Upstreams, a server, and a proxy between.
pub(super) struct World {
    pub(super) certificates: Certificates,
    pub(super) server: Server,
    pub(super) proxy: Process,
    upstreams: Upstreams,
    versioned: Versioned,
    dialect: Dialect,
    /// The server's.
    port: u16,
    /// The proxy's.
    admin: u16,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

/// What requests see of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    certificate: Option<usize>,
    /// By path.
    answers: BTreeMap<String, BTreeSet<Told>>,
}

/// What an answer tells: status, upstream and its protocol, table's stamp, listener's name for itself.
type Told = (u16, Option<usize>, String, String, String);

impl World {
    /// Starts all of it; `mesh` is the first snapshot.
    pub(super) async fn start(dialect: Dialect, mesh: &Mesh) -> Self {
        let (upstreams, certificates, port) = (Upstreams::start().await, Certificates::new(), ports::free());
        let mut server = Server::start(port);
        let mut versioned = Versioned::default();
        server.set(versioned.next(mesh.resources(&upstreams.ports, &certificates))).await;
        let (proxy, admin) = start_proxy(dialect, port).await;
        let (http1, http2) = (certificates.client("http/1.1"), certificates.client("h2"));
        Self { certificates, server, proxy, upstreams, versioned, dialect, port, admin, http1, http2 }
    }

    /// The resources of a mesh.
    pub(super) fn resources(&self, mesh: &Mesh) -> Resources {
        mesh.resources(&self.upstreams.ports, &self.certificates)
    }

    /// Makes the server serve this from now on.
    pub(super) async fn set(&mut self, resources: Resources) {
        self.server.set(self.versioned.next(resources)).await;
    }

    /// Makes the server serve a mesh, and waits until all of it has been accepted and can be seen.
    pub(super) async fn follow(&mut self, mesh: &Mesh) {
        self.set(self.resources(mesh)).await;
        self.server.settled().await;
        self.shows(mesh).await;
    }

    /// Waits until the proxy does what a mesh says.
    pub(super) async fn shows(&self, mesh: &Mesh) {
        for (name, listener) in &mesh.listeners {
            let expected = expected(mesh, listener);
            let same = eventually(LIMIT, || async { (self.look(&expected, listener.port).await.as_ref() == Ok(&expected)).then_some(()) });
            if same.await.is_none() {
                let seen = self.look(&expected, listener.port).await;
                panic!("{name}: expected {expected:#?}\nseen {seen:#?}\nthe proxy wrote:\n{}", self.proxy.log());
            }
        }
    }

    /// Waits until the proxy's log holds a text.
    pub(super) async fn log_holds(&self, text: &str) {
        let holds = || async { self.proxy.log().contains(text).then_some(()) };
        assert!(eventually(LIMIT, holds).await.is_some(), "the log does not hold {text:?}:\n{}", self.proxy.log());
    }

    /// Waits until nothing is behind a port.
    pub(super) async fn refuses(&self, port: u16) {
        let refused = || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.err() };
        assert!(eventually(LIMIT, refused).await.is_some(), "port {port} is still open");
    }

    /// Puts another server in the place of one that was killed; it begins with `mesh`.
    pub(super) async fn restart_server(&mut self, mesh: &Mesh) {
        self.server = Server::start(self.port);
        self.set(self.resources(mesh)).await;
    }

    /// Ends the proxy, and starts another.
    pub(super) async fn restart_proxy(self) -> Self {
        let Self { proxy, dialect, port, .. } = self;
        drop(proxy);
        let (proxy, admin) = start_proxy(dialect, port).await;
        Self { proxy, admin, ..self }
    }

    /// What `/config_dump` tells of what came from the server, but for times.
    pub(super) async fn dump(&self) -> Value {
        let answer = wire::get(self.admin, "/config_dump").await.expect("an answer").1;
        let mut dump: Value = serde_json::from_str(&answer).expect("JSON");
        let parts = dump["configs"].as_array_mut().expect("parts");
        parts.retain(|part| part["@type"].as_str().is_some_and(|name| !name.contains("Bootstrap")));
        without(&mut dump, &["last_updated"]);
        dump
    }

    /// A new connection over which HTTP/1.1 is spoken.
    pub(super) async fn connect(&self, port: u16) -> Connection {
        Connection::open(port, &self.http1).await.expect("the listener serves")
    }

    /// Settings of clients: HTTP/1.1 and HTTP/2.
    pub(super) fn clients(&self) -> [Arc<ClientConfig>; 2] {
        [Arc::clone(&self.http1), Arc::clone(&self.http2)]
    }

    /// What a listener shows. Asks until all that is expected has been seen; what is not ends it at once.
    async fn look(&self, expected: &Seen, port: u16) -> Result<Seen, String> {
        let mut connection = Connection::open(port, &self.http1).await?;
        let certificate = self.certificates.which(&connection.certificate);
        let mut answers = BTreeMap::new();
        for (path, expected) in &expected.answers {
            let mut seen = BTreeSet::new();
            for _ in 0..TURNS {
                let Answer { status, upstream, protocol, stamp, server, .. } =
                    connection.get(path).await.map_err(|failure| format!("{failure:?}"))?;
                seen.insert((status, upstream, protocol, stamp, server));
                if !seen.is_subset(expected) || seen == *expected {
                    break;
                }
            }
            answers.insert(path.clone(), seen);
        }
        Ok(Seen { certificate, answers })
    }
}

fn expected(mesh: &Mesh, listener: &Listener) -> Seen {
    let Table { stamp, routes } = &mesh.tables[&listener.table];
    let of = |cluster: &Cluster| {
        let spoken = protocol(if cluster.http2 { http::Version::HTTP_2 } else { http::Version::HTTP_11 }).to_owned();
        let told = |number: &usize| (200, Some(*number), spoken.clone(), stamp.clone(), listener.server.clone());
        cluster.endpoints.iter().map(told).collect::<BTreeSet<Told>>()
    };
    let mut answers: BTreeMap<String, BTreeSet<Told>> =
        routes.iter().map(|(path, cluster)| (path.clone(), of(&mesh.clusters[cluster]))).collect();
    let nothing = (404, None, String::new(), String::new(), listener.server.clone());
    answers.insert("/nowhere".to_owned(), BTreeSet::from([nothing]));
    Seen { certificate: Some(mesh.secrets[&listener.secret]), answers }
}

/// An object without some fields, as deep as it goes.
fn without(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Object(object) => {
            object.retain(|name, _| !fields.contains(&name.as_str()));
            object.values_mut().for_each(|value| without(value, fields));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| without(value, fields)),
        _ => {}
    }
}

async fn start_proxy(dialect: Dialect, port: u16) -> (Process, u16) {
    let (folder, admin) = (Folder::new(), ports::free());
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    let endpoint = json!({ "endpoint": { "address": address(port) } });
    let server = json!({
        "name": "go-control-plane",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "go-control-plane", "endpoints": [{ "lb_endpoints": [endpoint] }] },
        "typed_extension_protocol_options": { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 },
    });
    let source = json!({ "ads": {}, "resource_api_version": "V3" });
    let bootstrap = json!({
        "node": { "id": "sidecar-1", "cluster": "shop" },
        "admin": { "address": address(admin) },
        "static_resources": { "clusters": [server] },
        "dynamic_resources": {
            "ads_config": {
                "api_type": match dialect { Dialect::Sotw => "GRPC", Dialect::Delta => "DELTA_GRPC" },
                "transport_api_version": "V3",
                "grpc_services": [{ "envoy_grpc": { "cluster_name": "go-control-plane" } }],
            },
            "cds_config": source,
            "lds_config": source,
        },
    });
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, bootstrap.to_string()).expect("the temporary folder is writable");
    let mut process = Process::start(proxy::command(&file), folder).expect("the proxy starts");
    process.wait_until_ready(admin).await.expect("it becomes ready");
    (process, admin)
}
