//! An xDS server of the official messages, which says what a test tells it to: `xds/scripted/server.py`.
//!
//! One process serves all tests of a run; each has a node of its own.

use crate::eventually::eventually;
use crate::settings;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Longer than any answer takes on a crowded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Which of the two protocols a proxy is told to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

impl Dialect {
    /// As `api_type` says it.
    pub fn api_type(self) -> &'static str {
        match self {
            Self::Sotw => "GRPC",
            Self::Delta => "DELTA_GRPC",
        }
    }
}

/// What the server heard.
enum Event {
    /// With the stream's metadata.
    Opened(Value),
    Request(Request),
    Closed,
}

/// The process, shared by all that this one runs.
struct Server {
    port: u16,
    input: Mutex<ChildStdin>,
    heard: Mutex<HashMap<String, VecDeque<Event>>>,
}

impl Server {
    fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        static READER: OnceLock<()> = OnceLock::new();
        let mut output = None;
        let server = SERVER.get_or_init(|| {
            let mut command = Command::new(settings::clients_python());
            command.arg(settings::tests_dir().join("xds/scripted/server.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
            // gRPC's library would write a line for each handshake that fails, which is what some tests are about.
            command.env("GRPC_VERBOSITY", "NONE");
            // It ends when this process does: its input is over then.
            let mut child = command.spawn().unwrap_or_else(|error| panic!("no xDS server, {command:?}: {error}"));
            let mut lines = BufReader::new(child.stdout.take().expect("asked for")).lines();
            let first = lines.next().and_then(Result::ok).expect("xds-protos and grpcio are needed, `make test` installs them");
            let port = parse(&first)["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("its port");
            let input = Mutex::new(child.stdin.take().expect("asked for"));
            output = Some((lines, child));
            Self { port, input, heard: Mutex::default() }
        });
        if let Some((lines, mut child)) = output {
            let read = move || {
                lines.map_while(Result::ok).for_each(|line| server.hear(&line));
                // Ended on its own, and said why.
                let _ = child.wait();
            };
            READER.get_or_init(|| drop(std::thread::spawn(read)));
        }
        server
    }

    fn hear(&self, line: &str) {
        let mut event = parse(line);
        let node = event["node"].as_str().unwrap_or_default().to_owned();
        let stream = event["stream"].as_u64().unwrap_or_default();
        let event = if event.get("opened").is_some() {
            Event::Opened(event["metadata"].take())
        } else {
            event.get_mut("request").map_or(Event::Closed, |fields| Event::Request(Request { stream, fields: fields.take() }))
        };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default().push_back(event);
    }

    fn tell(&self, command: &Value) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(input, "{command}").and_then(|()| input.flush()).expect("the xDS server runs; its errors are above");
    }
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("the xDS server wrote {line:?}: {error}"))
}

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Streams are counted.
    pub stream: u64,
    fields: Value,
}

impl Request {
    fn text(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_default()
    }

    fn texts(&self, field: &str) -> Vec<&str> {
        self.fields[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The type of what is asked for.
    pub fn type_url(&self) -> &str {
        self.text("type_url")
    }

    /// The names: all of them, or those that are new where the stream is incremental.
    pub fn names(&self) -> Vec<&str> {
        [self.texts("resource_names"), self.texts("resource_names_subscribe")].concat()
    }

    /// Names that are not wanted any more (incremental).
    pub fn unsubscribed(&self) -> Vec<&str> {
        self.texts("resource_names_unsubscribe")
    }

    /// The last version that was accepted (state of the world).
    pub fn version(&self) -> &str {
        self.text("version_info")
    }

    /// Which answer this is about.
    pub fn nonce(&self) -> &str {
        self.text("response_nonce")
    }

    /// Why the answer was refused.
    pub fn error(&self) -> Option<&str> {
        self.fields["error_detail"]["message"].as_str()
    }

    /// The version of a resource that a new stream says is known (incremental).
    pub fn known(&self, name: &str) -> Option<&str> {
        self.fields["initial_resource_versions"][name].as_str()
    }

    /// Whether it says who the proxy is.
    pub fn has_node(&self) -> bool {
        self.fields.get("node").is_some()
    }
}

/// The server as one proxy sees it.
pub struct ControlPlane {
    server: &'static Server,
    /// The proxy's `node.id`.
    pub node: String,
    /// What the proxy speaks.
    pub dialect: Dialect,
    nonces: AtomicU32,
}

impl ControlPlane {
    /// For a proxy that is to be started.
    pub fn new(dialect: Dialect) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let node = format!("proxy-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { server: Server::shared(), node, dialect, nonces: AtomicU32::new(0) }
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Answers requests for a type from now on, without further words.
    pub fn serve(&self, type_url: &str, resources: &[Value]) {
        self.server.tell(&json!({ "node": self.node, "serve": { type_url: resources } }));
    }

    /// Sends a response as it is.
    pub fn respond(&self, response: &Value) {
        self.server.tell(&json!({ "node": self.node, "respond": response }));
    }

    /// Sends resources in one version; the nonce.
    pub fn send(&self, type_url: &str, version: &str, resources: &[Value]) -> String {
        self.send_with(type_url, version, resources, json!({}))
    }

    /// Sends resources, with other fields of the response.
    pub fn send_with(&self, type_url: &str, version: &str, resources: &[Value], more: Value) -> String {
        let nonce = format!("nonce-{}", self.nonces.fetch_add(1, Ordering::Relaxed));
        let mut response = json!({ "type_url": type_url, "nonce": nonce });
        match self.dialect {
            Dialect::Sotw => {
                response["version_info"] = json!(version);
                response["resources"] = json!(resources);
            }
            Dialect::Delta => response["resources"] = resources.iter().map(|resource| wrapped(resource, version)).collect(),
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            response[name] = value.clone();
        }
        self.respond(&response);
        nonce
    }

    /// Ends the stream with an error.
    pub fn fail(&self, code: &str, text: &str) {
        self.server.tell(&json!({ "node": self.node, "fail": [code, text] }));
    }

    /// Ends the stream as if all were said.
    pub fn end(&self) {
        self.server.tell(&json!({ "node": self.node, "end": true }));
    }

    /// The next request of any type.
    pub async fn request(&self) -> Request {
        self.take_request("a request", |_| true).await
    }

    /// The next request for a type; others stay to be taken.
    pub async fn request_of(&self, type_url: &str) -> Request {
        self.take_request(&format!("a request for {type_url}"), |request| request.type_url() == type_url).await
    }

    /// The next request for a type that names a resource.
    pub async fn request_naming(&self, type_url: &str, name: &str) -> Request {
        let wanted = |request: &Request| request.type_url() == type_url && request.names().contains(&name);
        self.take_request(&format!("a request for {type_url} {name:?}"), wanted).await
    }

    /// The request that is about a response of this nonce.
    pub async fn reply(&self, nonce: &str) -> Request {
        self.take_request(&format!("a reply to {nonce}"), |request| request.nonce() == nonce).await
    }

    /// Waits until a response was accepted.
    pub async fn accepted(&self, nonce: &str) -> Request {
        let reply = self.reply(nonce).await;
        assert_eq!(reply.error(), None, "a response was refused");
        reply
    }

    /// Waits until a response was refused; why.
    pub async fn refused(&self, nonce: &str) -> String {
        let reply = self.reply(nonce).await;
        reply.error().unwrap_or_else(|| panic!("a response is to be refused: {reply:?}")).to_owned()
    }

    /// Waits until a stream begins; its metadata.
    pub async fn opened(&self) -> Value {
        match self.take("a stream", |event| matches!(event, Event::Opened(_))).await {
            Event::Opened(metadata) => metadata,
            Event::Request(_) | Event::Closed => Value::Null,
        }
    }

    /// Waits until a stream is over.
    pub async fn closed(&self) {
        self.take("the end of a stream", |event| matches!(event, Event::Closed)).await;
    }

    /// Has the server listen elsewhere, too: on `unix:/path`, or with TLS (`certificate`, `key`, and of `clients` the authority).
    pub fn listen(&self, address: &str, tls: Option<Value>) {
        self.server.tell(&json!({ "listen": address, "tls": tls }));
    }

    /// A request that nobody has taken, which stays.
    pub fn heard(&self, wanted: impl Fn(&Request) -> bool) -> Option<Request> {
        self.untaken().into_iter().find(wanted)
    }

    /// Drops what nobody has taken.
    pub fn forget(&self) {
        self.server.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.node);
    }

    /// Requests that nobody has taken.
    pub fn untaken(&self) -> Vec<Request> {
        let heard = self.server.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let events = heard.get(&self.node).into_iter().flatten();
        events.filter_map(|event| if let Event::Request(request) = event { Some(request.clone()) } else { None }).collect()
    }

    async fn take_request(&self, what: &str, wanted: impl Fn(&Request) -> bool) -> Request {
        match self.take(what, |event| matches!(event, Event::Request(request) if wanted(request))).await {
            Event::Request(request) => request,
            Event::Opened(_) | Event::Closed => panic!("{what} is expected"),
        }
    }

    async fn take(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let look = || {
            let mut heard = self.server.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let events = heard.get_mut(&self.node);
            let found = events.and_then(|events| events.iter().position(&wanted).and_then(|at| events.remove(at)));
            std::future::ready(found)
        };
        let found = eventually(LIMIT, look).await;
        found.unwrap_or_else(|| panic!("{what} is expected; what else came: {:#?}", self.untaken()))
    }
}

/// A resource as incremental responses have it.
pub fn wrapped(resource: &Value, version: &str) -> Value {
    json!({ "name": name(resource), "version": version, "resource": resource })
}

/// The name that is in a resource.
pub fn name(resource: &Value) -> &str {
    resource["name"].as_str().or(resource["cluster_name"].as_str()).unwrap_or_default()
}
