//! What goes on for long without being a tunnel: gRPC, and events.

use std::pin::pin;
use std::process::{ChildStdin, ChildStdout};
use std::sync::Arc;

use ninon_tests::ports;
use ninon_tests::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::peers::{Port, STRICT, join};
use super::tunnels::deny;
use super::upgrade::{Pair, read_head, serve};
use super::*;
use crate::world::Program;

/// `streams.py` behind one sidecar and before another.
struct Streams {
    world: World,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _sidecars: (Process, Process),
}

impl Streams {
    async fn start() -> Self {
        let world = World::start().await;
        world.write("shop.yaml", &STRICT.replace("http", "grpc"));
        let stranger = Stranger::new(&world);
        let mut command = Command::new(settings::clients_python());
        command.arg(settings::tests_dir().join("mesh/identity/streams.py")).env("GRPC_VERBOSITY", "NONE");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let application = line.trim().parse().unwrap();
        let (outbound, port, unused) = (ports::free(), ports::free(), ports::free());
        let (cart, _) = join((&world, &stranger), Program::Ninon, "cart", &[Port::new("grpc", port, application)], ports::free()).await;
        let (web, _) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", unused, unused)], outbound).await;
        writeln!(input, "{outbound}").unwrap();
        Self { world, child, input, output, _sidecars: (cart, web) }
    }

    fn does(&mut self, what: &str, method: &str) -> Value {
        writeln!(self.input, "{}", json!({what: method})).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{what} {method}: {error}: {line:?}"))
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_ends_the_calls_that_it_forbids_and_no_others() {
    let mut streams = Streams::start().await;
    for method in ["Chat", "Upload"] {
        assert_eq!(streams.does("open", method), json!(true), "{method}");
    }
    // Of this one no answer has begun.
    streams.world.write("policies.yaml", &deny("/tests.Streams/Upload"));
    assert_eq!(streams.does("end", "Upload"), json!({"code": "PERMISSION_DENIED", "server": true}));
    assert_eq!(streams.does("say", "Chat"), json!(true), "the other goes on");
    streams.world.write("policies.yaml", &deny("/tests.Streams/Chat"));
    let ended = streams.does("end", "Chat");
    assert!(ended["server"] == true && ended["code"].is_string() && ended["code"] != "OK", "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_when_its_servers_certificate_is_revoked() {
    let mut streams = Streams::start().await;
    assert_eq!(streams.does("open", "Chat"), json!(true));
    streams.world.does(&["ca", "revoke", "-n", "shop", "--service-account", "cart"]);
    let ended = streams.does("end", "Chat");
    assert!(ended["server"] == true && ended["code"].is_string() && ended["code"] != "OK", "{ended}");
}

/// An application that says what happens: once, and each time when it is told to.
async fn events(mut stream: TcpStream, again: Arc<Notify>) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.starts_with("GET /events") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        let mut next = pin!(again.notified());
        next.as_mut().enable();
        while stream.write_all(b"9\r\ndata: 1\n\n\r\n").await.is_ok() {
            next.as_mut().await;
            next.set(again.notified());
            next.as_mut().enable();
        }
    }
}

/// One event.
async fn hears(stream: &mut TcpStream) {
    let mut heard = String::new();
    while !heard.contains("data: 1\n\n") {
        let mut piece = [0; 1024];
        let length = timeout(LIMIT, stream.read(&mut piece)).await.expect("the event comes").unwrap();
        assert_ne!(length, 0, "{heard}");
        heard += &String::from_utf8_lossy(&piece[..length]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_ends_the_events_that_it_forbids_and_no_others() {
    let again = Arc::new(Notify::new());
    let application = serve({
        let again = Arc::clone(&again);
        move |stream| events(stream, Arc::clone(&again))
    });
    let pair = Pair::before(application.await, STRICT, Program::Ninon, Program::Ninon).await;
    let mut listening = Vec::new();
    for path in ["/events/forbidden", "/events/other"] {
        let mut stream = TcpStream::connect(("127.0.0.1", pair.outbound)).await.unwrap();
        let asking = format!("GET {path} HTTP/1.1\r\nhost: cart\r\naccept: text/event-stream\r\n\r\n");
        stream.write_all(asking.as_bytes()).await.unwrap();
        hears(&mut stream).await;
        listening.push(stream);
    }
    let [mut forbidden, mut other] = <[TcpStream; 2]>::try_from(listening).ok().unwrap();
    pair.world.write("policies.yaml", &deny("/events/forbidden"));
    let read = timeout(LIMIT, forbidden.read(&mut [0])).await.expect("it is closed");
    assert!(!matches!(read, Ok(1..)), "and not as if it had ended");
    again.notify_waiters();
    hears(&mut other).await;
    pair.world.write("policies.yaml", &deny("/events/other"));
    let read = timeout(LIMIT, other.read(&mut [0])).await.expect("it is closed");
    assert!(!matches!(read, Ok(1..)));
}
