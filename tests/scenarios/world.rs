//! A proxy with one listener, the service behind it, and a client in front.

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ninon_tests::observe::Message;
use ninon_tests::process::{Folder, Process};
use ninon_tests::wire::Wire;
use ninon_tests::{ports, proxy};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longer than anything here takes on a crowded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The service behind the proxy: answers `ok`; `/held` when it is released, `/fail-once` with 503 the first time.
pub struct Service {
    pub port: u16,
    seen: Arc<Mutex<Vec<HeaderMap>>>,
    release: watch::Sender<bool>,
    _task: JoinSet<()>,
}

impl Service {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let (release, released) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&seen), released));
        Self { port, seen, release, _task: task }
    }

    /// The fields of each request, in order of arrival.
    pub fn seen(&self) -> Vec<HeaderMap> {
        self.seen.lock().unwrap().clone()
    }

    /// Answers `/held`.
    pub fn release(&self) {
        self.release.send_replace(true);
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<HeaderMap>>>, released: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, released) = (Arc::clone(&seen), released.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let (seen, mut released) = (Arc::clone(&seen), released.clone());
                async move {
                    let path = request.uri().path().to_owned();
                    let first = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(request.headers().clone());
                        seen.len() == 1
                    };
                    if path == "/held" {
                        released.wait_for(|released| *released).await.unwrap();
                    }
                    let status = if path == "/fail-once" && first { 503 } else { 200 };
                    let answer = http::Response::builder().status(status).body(Full::new(Bytes::from_static(b"ok")));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            // A proxy that is killed leaves the connection in the middle of something.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A proxy process and its ports.
pub struct Sidecar {
    pub process: Process,
    pub admin: u16,
    pub port: u16,
}

/// What a sidecar is started with.
pub struct Plan {
    /// Laid over the connection manager's configuration.
    pub manager: Value,
    /// Laid over the bootstrap.
    pub bootstrap: Value,
    /// More clusters.
    pub clusters: Vec<Value>,
    /// More words on the command line.
    pub arguments: Vec<String>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { manager: json!({}), bootstrap: json!({}), clusters: Vec::new(), arguments: Vec::new() }
    }
}

impl Sidecar {
    /// Starts one in front of `service`, and waits until it is ready.
    pub async fn start(service: &Service, plan: Plan) -> Self {
        let folder = Folder::new();
        let (admin, port) = (ports::free(), ports::free());
        let bootstrap = bootstrap(&plan, folder.path(), admin, port, service.port);
        let mut command = command(&folder, &bootstrap);
        command.args(&plan.arguments);
        let mut process = Process::start(command, folder).unwrap();
        process.wait_until_ready(admin).await.unwrap();
        Self { process, admin, port }
    }

    /// One request to the admin page: status and body.
    pub async fn ask(&self, method: &str, target: &str) -> (u16, String) {
        let answer = request(self.admin, method, target, &[]).await.expect("the admin page answers");
        (answer.status().unwrap(), String::from_utf8(answer.body).unwrap())
    }

    /// The body of an admin page.
    pub async fn page(&self, target: &str) -> String {
        let (status, body) = self.ask("GET", target).await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    /// Waits until a page holds a text.
    pub async fn page_holds(&self, target: &str, text: &str) {
        let holds = || async { self.page(target).await.contains(text).then_some(()) };
        if ninon_tests::eventually::eventually(LIMIT, holds).await.is_none() {
            panic!("{target} does not hold {text:?}:\n{}", self.page(target).await);
        }
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.process.id())).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until the log holds a text.
    pub async fn log_holds(&self, text: &str) {
        let holds = || async { self.process.log().contains(text).then_some(()) };
        if ninon_tests::eventually::eventually(LIMIT, holds).await.is_none() {
            panic!("the log does not hold {text:?}:\n{}", self.process.log());
        }
    }
}

/// `ninon-proxy run` of a bootstrap that is written into `folder`.
pub fn command(folder: &Folder, bootstrap: &Value) -> Command {
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    proxy::command(&file)
}

/// One request on a connection of its own; `None` where the connection is refused or ends before the answer.
pub async fn request(port: u16, method: &str, target: &str, fields: &[&str]) -> Option<Message> {
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", port)).await.ok()?);
    exchange(&mut wire, method, target, fields).await
}

/// One request on an open connection.
pub async fn exchange(wire: &mut Wire, method: &str, target: &str, fields: &[&str]) -> Option<Message> {
    wire.send(&head(method, target, fields)).await;
    answer(wire).await
}

/// The bytes of a request without a body.
pub fn head(method: &str, target: &str, fields: &[&str]) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n").into_bytes()
}

/// The next answer.
pub async fn answer(wire: &mut Wire) -> Option<Message> {
    let reading = async {
        let mut message = wire.head().await?;
        wire.body(&mut message, true).await;
        message.complete.then_some(message)
    };
    tokio::time::timeout(LIMIT, reading).await.expect("an answer in time")
}

pub fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

pub fn cluster(name: &str, port: u16) -> Value {
    let endpoint = json!({ "endpoint": { "address": address(port) } });
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] },
    })
}

/// A bootstrap with the listener `ingress` on `port`, an access log, and everything routed to the cluster `service`.
pub fn bootstrap(plan: &Plan, folder: &Path, admin: u16, port: u16, service: u16) -> Value {
    let types = "type.googleapis.com/envoy.extensions";
    let retries = json!({ "retry_on": "5xx", "num_retries": 1, "retry_back_off": { "base_interval": "0.001s" } });
    let mut manager = json!({
        "@type": format!("{types}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "ingress",
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": format!("{types}.filters.http.router.v3.Router") },
        }],
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": format!("{types}.access_loggers.file.v3.FileAccessLog"),
                "path": folder.join("access.log"),
                "log_format": { "text_format_source": { "inline_string": "%REQ(:PATH)% %RESPONSE_CODE% %TRACE_ID%\n" } },
            },
        }],
        "route_config": {
            "name": "table",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "service", "retry_policy": retries } }],
            }],
        },
    });
    lay(&mut manager, &plan.manager);
    let listener = json!({
        "name": "ingress",
        "address": address(port),
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    });
    let clusters: Vec<Value> = std::iter::once(cluster("service", service)).chain(plan.clusters.clone()).collect();
    let mut whole = json!({
        "node": { "id": "sidecar-1", "cluster": "shop" },
        "admin": { "address": address(admin) },
        "static_resources": { "listeners": [listener], "clusters": clusters },
    });
    lay(&mut whole, &plan.bootstrap);
    whole
}

/// Lays the fields of one object over another's.
fn lay(base: &mut Value, over: &Value) {
    for (name, value) in over.as_object().unwrap() {
        base.as_object_mut().unwrap().insert(name.clone(), value.clone());
    }
}
