//! A sidecar without a data plane: it asks for clusters and listeners, learns what else there is from them, and acknowledges.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use prost::Message as _;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use xds_proto::envoy::config::core::v3::Node;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use xds_proto::type_url;

use crate::board::Board;
use crate::http2::Http2;
use crate::mesh::{MARK, Mesh};
use crate::protobuf;

/// Read at once; all sidecars of a thread share it.
const READ: usize = 128 * 1024;

/// How long a connection may take, and the first bytes on it.
const FIRST: Duration = Duration::from_secs(5);
/// A pause before another connection.
const AGAIN: Duration = Duration::from_millis(200);

/// The types, by their places.
const TYPES: [&str; 4] = [type_url::CLUSTER, type_url::CLUSTER_LOAD_ASSIGNMENT, type_url::LISTENER, type_url::ROUTE_CONFIGURATION];
const CLUSTER: usize = 0;
const ENDPOINT: usize = 1;
const LISTENER: usize = 2;
const ROUTE: usize = 3;

/// `Cluster.DiscoveryType.EDS`.
const EDS: u64 = 3;
/// Not asked for, and asked for: other states of a service are the changes that were seen.
const UNKNOWN: u32 = u32::MAX;
const ASKED: u32 = u32::MAX - 1;

/// How a sidecar speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Delta,
    Sotw,
}

/// One of them.
pub struct Sidecar {
    number: u32,
    mesh: Mesh,
    dialect: Dialect,
    board: Arc<Board>,
    http2: Http2,
    has_answer: bool,
    /// It says what was held before: others say the same after it, so that must not change.
    resumes: bool,
    /// By service, what is known of its endpoints.
    services: Vec<u32>,
    endpoints: usize,
    clusters: bool,
    listeners: bool,
    /// Tables by name, and whether they came.
    routes: Vec<(Vec<u8>, bool)>,
    is_complete: bool,
    /// State of the world: every request names everything.
    asked: [DiscoveryRequest; 4],
    /// To be noted when the acknowledgement is written: the service's change before, and now.
    arrived: Vec<(u32, u32)>,
}

impl Sidecar {
    pub fn new(number: u32, mesh: Mesh, dialect: Dialect, board: &Arc<Board>) -> Self {
        let services = vec![UNKNOWN; usize::try_from(mesh.services).expect("32 bits")];
        let asked = TYPES.map(|url| DiscoveryRequest { type_url: url.to_owned(), ..DiscoveryRequest::default() });
        let mut this = Self {
            number,
            mesh,
            dialect,
            board: Arc::clone(board),
            http2: Http2::default(),
            has_answer: false,
            resumes: false,
            services,
            endpoints: 0,
            clusters: false,
            listeners: false,
            routes: Vec::new(),
            is_complete: false,
            asked,
            arrived: Vec::new(),
        };
        this.http2 = this.opened();
        this
    }

    /// Holds a connection until the task is dropped or the server ends it. With `resume`, it says what it held before.
    pub async fn run(mut self, port: u16, resume: bool) {
        // Of thousands at once some overflow the listener's queue, and come again as every sidecar does.
        while self.attend(port, resume).await.is_err() && !self.has_answer {
            sleep(AGAIN).await;
            self.http2 = self.opened();
        }
        self.board.faults.fetch_add(1, Relaxed);
    }

    fn opened(&self) -> Http2 {
        let method = if self.dialect == Dialect::Delta { "DeltaAggregatedResources" } else { "StreamAggregatedResources" };
        Http2::open(&format!("/envoy.service.discovery.v3.AggregatedDiscoveryService/{method}"), "ninon")
    }

    async fn attend(&mut self, port: u16, resume: bool) -> std::io::Result<()> {
        let stream = timeout(FIRST, TcpStream::connect(("127.0.0.1", port))).await.map_err(|_| ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        self.begin(resume);
        while !self.http2.is_over {
            self.write(&stream)?;
            let interest = if self.http2.out.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let ready = if self.has_answer {
                stream.ready(interest).await?
            } else {
                // The server may know nothing of a connection that was in its queue.
                timeout(FIRST, stream.ready(interest)).await.map_err(|_| ErrorKind::TimedOut)??
            };
            if self.board.is_stuck.load(Relaxed) {
                std::future::pending::<()>().await;
            }
            if ready.is_readable() {
                self.read(&stream)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, stream: &TcpStream) -> std::io::Result<()> {
        thread_local! {
            static BUFFER: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; READ]);
        }
        BUFFER.with_borrow_mut(|buffer| {
            let count = match stream.try_read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.board.bytes.fetch_add(count.try_into().expect("a buffer's length"), Relaxed);
            let mut http2 = std::mem::take(&mut self.http2);
            let mut replies = Vec::new();
            http2.feed(&buffer[..count], |message| self.take(message, &mut replies));
            replies.iter().for_each(|reply| http2.send(reply));
            self.http2 = http2;
            Ok(())
        })
    }

    fn write(&mut self, stream: &TcpStream) -> std::io::Result<()> {
        while !self.http2.out.is_empty() {
            match stream.try_write(&self.http2.out) {
                Ok(count) => drop(self.http2.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.http2.out.shrink_to(1024);
        if !self.arrived.is_empty() {
            let now = self.board.now();
            self.arrived.drain(..).for_each(|(earlier, change)| self.board.arrives(now, earlier, change, self.mesh.services));
        }
        Ok(())
    }

    fn namespace(&self) -> usize {
        usize::try_from(self.number % self.mesh.namespaces).expect("32 bits")
    }

    /// Whether it is the one of its namespace that says what it holds.
    fn is_first(&self) -> bool {
        self.number < self.mesh.namespaces
    }

    fn begin(&mut self, resume: bool) {
        let mut metadata = prost_types::Struct::default();
        for (name, value) in [("NAMESPACE", format!("n-{}", self.namespace())), ("WORKLOAD_NAME", format!("w-{}", self.number))] {
            let kind = Some(prost_types::value::Kind::StringValue(value));
            metadata.fields.insert(name.to_owned(), prost_types::Value { kind });
        }
        let node = Node { id: format!("w-{}", self.number), metadata: Some(metadata), ..Node::default() };
        let mut node = Some(node);
        if self.dialect == Dialect::Sotw {
            for kind in [CLUSTER, LISTENER] {
                let request = DiscoveryRequest { node: node.take(), ..self.asked[kind].clone() };
                self.http2.send(&request.encode_to_vec());
            }
            return;
        }
        self.resumes = resume;
        if resume {
            self.services.fill(0);
        }
        let kinds: &[usize] = if resume { &[CLUSTER, ENDPOINT, LISTENER, ROUTE] } else { &[CLUSTER, LISTENER] };
        for kind in kinds {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("names are text");
            let held = if resume { self.board.held(self.namespace(), *kind) } else { Default::default() };
            let is_whole = matches!(*kind, CLUSTER | LISTENER);
            let names = if is_whole { vec!["*".to_owned()] } else { held.keys().map(|name| text(name.clone())).collect() };
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: TYPES[*kind].to_owned(),
                resource_names_subscribe: names,
                initial_resource_versions: held.into_iter().map(|(name, version)| (text(name), text(version))).collect(),
                ..DeltaDiscoveryRequest::default()
            };
            self.http2.send(&request.encode_to_vec());
        }
    }

    /// An answer; what is said to it.
    fn take(&mut self, answer: &[u8], replies: &mut Vec<Vec<u8>>) {
        let text = |number| String::from_utf8_lossy(protobuf::at(answer, &[number]).unwrap_or_default()).into_owned();
        let (url, nonce) = (text(4), text(5));
        self.has_answer = true;
        let Some(kind) = TYPES.iter().position(|known| *known == url) else {
            self.board.faults.fetch_add(1, Relaxed);
            return;
        };
        let mut new: [Vec<String>; 4] = Default::default();
        for resource in protobuf::all(answer, 2) {
            // A delta `Resource` has an `Any` within it; state of the world has that itself.
            let any = if self.dialect == Dialect::Delta { protobuf::at(resource, &[2]).unwrap_or_default() } else { resource };
            let content = protobuf::at(any, &[2]).unwrap_or_default();
            if self.dialect == Dialect::Delta && self.is_first() && !self.resumes {
                let field = |number| protobuf::at(resource, &[number]).unwrap_or_default();
                self.board.hold(self.namespace(), kind, field(3), field(1));
            }
            self.learn(kind, content, &mut new);
        }
        match kind {
            CLUSTER => self.clusters = true,
            LISTENER => self.listeners = true,
            _ => {}
        }
        let reply = match self.dialect {
            Dialect::Delta => {
                let (type_url, response_nonce) = (url, nonce);
                DeltaDiscoveryRequest { type_url, response_nonce, ..DeltaDiscoveryRequest::default() }.encode_to_vec()
            }
            Dialect::Sotw => {
                let asked = &mut self.asked[kind];
                (asked.version_info, asked.response_nonce) = (text(1), nonce);
                asked.encode_to_vec()
            }
        };
        replies.push(reply);
        for (kind, names) in new.into_iter().enumerate().filter(|(_, names)| !names.is_empty()) {
            replies.push(self.ask(kind, names));
        }
        self.note_if_complete();
    }

    /// Asks for more names of a type.
    fn ask(&mut self, kind: usize, names: Vec<String>) -> Vec<u8> {
        if self.dialect == Dialect::Sotw {
            self.asked[kind].resource_names.extend(names);
            return self.asked[kind].encode_to_vec();
        }
        let (type_url, resource_names_subscribe) = (TYPES[kind].to_owned(), names);
        DeltaDiscoveryRequest { type_url, resource_names_subscribe, ..DeltaDiscoveryRequest::default() }.encode_to_vec()
    }

    /// What a resource leads to.
    fn learn(&mut self, kind: usize, content: &[u8], new: &mut [Vec<String>; 4]) {
        let name = protobuf::at(content, &[1]).unwrap_or_default();
        match kind {
            CLUSTER => {
                if protobuf::number(content, 2) == Some(EDS)
                    && let Some(known) = self.service(name).filter(|known| **known == UNKNOWN)
                {
                    *known = ASKED;
                    new[ENDPOINT].push(String::from_utf8_lossy(name).into_owned());
                }
            }
            ENDPOINT => {
                let address = protobuf::at(content, &[2, 2, 1, 1, 1, 2]).unwrap_or_default();
                let change = change(address);
                let Some(known) = self.service(name) else { return };
                let index = service_of(name).unwrap_or_default();
                let before = std::mem::replace(known, change);
                if before == ASKED || before == UNKNOWN {
                    self.endpoints += 1;
                } else if change > before {
                    self.arrived.push((if before == 0 { index } else { before }, change));
                }
            }
            LISTENER => {
                for table in protobuf::all(content, 3).flat_map(|chain| protobuf::all(chain, 3)).filter_map(table) {
                    if !self.routes.iter().any(|(known, _)| known == table) {
                        self.routes.push((table.to_vec(), false));
                        new[ROUTE].push(String::from_utf8_lossy(table).into_owned());
                    }
                }
            }
            _ => self.routes.iter_mut().filter(|(known, _)| known == name).for_each(|(_, came)| *came = true),
        }
    }

    fn service(&mut self, name: &[u8]) -> Option<&mut u32> {
        let index = usize::try_from(service_of(name)?).ok()?;
        self.services.get_mut(index)
    }

    fn note_if_complete(&mut self) {
        let wanted = usize::try_from(self.mesh.seen(self.number % self.mesh.namespaces)).expect("32 bits");
        let has_all = self.clusters && self.listeners && self.endpoints == wanted && self.routes.iter().all(|(_, came)| *came);
        if has_all && !self.is_complete {
            self.is_complete = true;
            self.board.complete.fetch_add(1, Relaxed);
        }
    }
}

/// `s-12.n-3:80` is service 12.
fn service_of(name: &[u8]) -> Option<u32> {
    decimal(name.strip_prefix(b"s-")?)
}

/// The number that some text begins with.
fn decimal(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number: Option<u32>, digit| Some(number.unwrap_or(0) * 10 + u32::from(digit - b'0')))
}

/// Which change an address stands for.
fn change(address: &[u8]) -> u32 {
    let mut octets = address.split(|byte| *byte == b'.').map(|octet| decimal(octet).unwrap_or(0));
    match [octets.next(), octets.next(), octets.next(), octets.next()] {
        [Some(first), Some(a), Some(b), Some(c)] if first == u32::from(MARK) => a << 16 | b << 8 | c,
        _ => 0,
    }
}

/// The table of routes that a filter names.
fn table(filter: &[u8]) -> Option<&[u8]> {
    let config = protobuf::at(filter, &[4])?;
    let is_http = protobuf::at(config, &[1])?.ends_with(b".HttpConnectionManager");
    if is_http { protobuf::at(config, &[2, 3, 2]) } else { None }
}
