//! The servers behind the proxy: they answer as the case says and write down what they got.

mod check;
mod http1;
mod http2;
mod tcp;

pub use self::check::CheckResponse;
use crate::case::{Case, Protocol, Respond, Upstream};
use crate::observe::{Connection, Event};
use crate::ports;
use crate::socket::{self, Socket};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::task::JoinSet;

/// All upstreams of a case; they end when this is dropped.
pub struct Upstreams {
    running: Vec<Running>,
    _tasks: JoinSet<()>,
    _blackholes: Vec<Blackhole>,
}

struct Running {
    name: String,
    /// 0 where it listens at a Unix socket.
    port: u16,
    /// The port or the Unix socket, as a configuration names it.
    place: String,
    record: Record,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// A connection and the peer's port; 0 where it has none.
    async fn accept(&self) -> std::io::Result<(Socket, u16)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, peer)| (stream.into(), peer.port())),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| (stream.into(), 0)),
        }
    }
}

/// Never accepted from; open for as long as this lives.
struct Blackhole {
    _listener: std::net::TcpListener,
    _filled: Vec<TcpStream>,
}

/// What one upstream saw, shared with its tasks.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<(u16, Connection)>>>);

impl Record {
    fn open(&self, peer: u16) -> usize {
        let mut connections = self.0.lock().expect("no panic while locked");
        let connection = Connection { end: "left open".to_owned(), ..Connection::default() };
        connections.push((peer, connection));
        connections.len() - 1
    }

    fn event(&self, connection: usize, event: Event) {
        self.0.lock().expect("no panic while locked")[connection].1.events.push(event);
    }

    /// Joins bytes that follow one another: how they were cut into reads means nothing.
    fn bytes(&self, connection: usize, bytes: &[u8]) {
        let mut connections = self.0.lock().expect("no panic while locked");
        let events = &mut connections[connection].1.events;
        if let Some(Event::Bytes(known)) = events.last_mut() {
            known.extend_from_slice(bytes);
        } else {
            events.push(Event::Bytes(bytes.to_vec()));
        }
    }

    fn end(&self, connection: usize, how: &str) {
        how.clone_into(&mut self.0.lock().expect("no panic while locked")[connection].1.end);
    }
}

/// The answers of one upstream, in order over all its connections.
struct Script {
    name: String,
    spec: Upstream,
    next: AtomicUsize,
}

impl Script {
    fn next(&self) -> Respond {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let answers = &self.spec.respond;
        answers.get(index).or(answers.last()).cloned().unwrap_or_default()
    }

    fn body(&self, answer: &Respond) -> Vec<u8> {
        if let Some(check) = &answer.check {
            return check.frame();
        }
        if let Some(size) = answer.size {
            return vec![b'x'; size];
        }
        crate::wire::to_bytes(answer.body.as_deref().unwrap_or(&self.name))
    }
}

impl Upstreams {
    /// Starts all of them; their Unix sockets are in `folder`.
    pub async fn start(case: &Case, folder: &Path) -> Result<Self, String> {
        let mut all = Self { running: Vec::new(), _tasks: JoinSet::new(), _blackholes: Vec::new() };
        for (name, spec) in &case.upstreams {
            all.start_one(name, spec, folder).await.map_err(|e| format!("upstream {name}: {e}"))?;
        }
        Ok(all)
    }

    async fn start_one(&mut self, name: &str, spec: &Upstream, folder: &Path) -> std::io::Result<()> {
        let record = Record::default();
        let (port, place) = match &spec.unix {
            Some(place) => {
                let place = place.replace("{{folder}}", &folder.display().to_string());
                self.serve(Listener::Unix(socket::listen_unix(&place)?), name, spec, &record);
                (0, place)
            }
            None => {
                let port = self.start_tcp(name, spec, &record).await?;
                (port, port.to_string())
            }
        };
        self.running.push(Running { name: name.to_owned(), port, place, record });
        Ok(())
    }

    async fn start_tcp(&mut self, name: &str, spec: &Upstream, record: &Record) -> std::io::Result<u16> {
        let address = spec.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let other = spec.port_of.as_ref().and_then(|other| self.running.iter().find(|running| running.name == *other));
        let (mut port, mut bound) = (other.map_or_else(ports::free, |other| other.port), None);
        // Another program may take the port between the choice and here.
        while spec.protocol != Protocol::Refuse && bound.is_none() {
            match bind(address, port) {
                Err(error) if other.is_some() => return Err(error),
                Err(_) => port = ports::free(),
                Ok(socket) => bound = Some(socket),
            }
        }
        match (spec.protocol, bound) {
            (Protocol::Refuse, _) | (_, None) => {}
            (Protocol::Blackhole, Some(socket)) => self._blackholes.push(blackhole(socket).await?),
            (Protocol::Http1 | Protocol::Http2 | Protocol::Tcp, Some(socket)) => {
                let listener = Listener::Tcp(socket.listen(1024)?);
                self.serve(listener, name, spec, record);
            }
        }
        Ok(port)
    }

    fn serve(&mut self, listener: Listener, name: &str, spec: &Upstream, record: &Record) {
        let script = Script { name: name.to_owned(), spec: spec.clone(), next: AtomicUsize::new(0) };
        self._tasks.spawn(serve(listener, Arc::new(script), record.clone()));
    }

    /// Name and port of each that has a port.
    pub fn ports(&self) -> impl Iterator<Item = (&str, u16)> {
        self.running.iter().filter(|one| one.port != 0).map(|one| (one.name.as_str(), one.port))
    }

    /// Name of each and where it listens: a port, or a Unix socket.
    pub fn places(&self) -> impl Iterator<Item = (&str, String)> {
        self.running.iter().map(|one| (one.name.as_str(), one.place.clone()))
    }

    /// What each saw until now.
    pub fn seen(&self) -> Vec<(String, Vec<(u16, Connection)>)> {
        let copy = |record: &Record| record.0.lock().expect("no panic while locked").clone();
        self.running.iter().map(|one| (one.name.clone(), copy(&one.record))).collect()
    }
}

async fn serve(listener: Listener, script: Arc<Script>, record: Record) {
    let mut connections = JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let index = record.open(peer);
        let (script, record) = (Arc::clone(&script), record.clone());
        connections.spawn(async move {
            match script.spec.protocol {
                Protocol::Http2 => http2::serve(stream, &script, &record, index).await,
                Protocol::Tcp => tcp::serve(stream, &script, &record, index).await,
                Protocol::Http1 | Protocol::Refuse | Protocol::Blackhole => {
                    http1::serve(stream, &script, &record, index).await;
                }
            }
        });
    }
}

fn bind(address: IpAddr, port: u16) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::from((address, port)))?;
    Ok(socket)
}

/// A port whose queue is full: the kernel drops further SYNs, so that connecting takes for ever.
async fn blackhole(socket: TcpSocket) -> std::io::Result<Blackhole> {
    let address = socket.local_addr()?;
    let listener = socket.listen(1)?.into_std()?;
    let mut filled = Vec::new();
    for _ in 0..4 {
        let limit = std::time::Duration::from_millis(50);
        if let Ok(Ok(stream)) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
            filled.push(stream);
        }
    }
    Ok(Blackhole { _listener: listener, _filled: filled })
}
