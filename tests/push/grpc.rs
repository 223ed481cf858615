use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ninon_control_plane::snapshot::kind::Kind;
use ninon_tests::process::Folder;
use ninon_tests::settings;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{LIMIT, Server, World, manager};

/// What applications dial, and so the name that the client asks for.
const TARGET: &str = "echo.shop:80";

/// `grpc_client.py`, which is stopped on drop.
struct Client {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: Folder,
}

impl Client {
    fn start(server: u16) -> (Self, [u16; 2]) {
        let folder = Folder::new();
        let bootstrap = json!({
            "xds_servers": [{ "server_uri": format!("127.0.0.1:{server}"), "channel_creds": [{ "type": "insecure" }], "server_features": ["xds_v3", "fail_on_data_errors"] }],
            "node": { "id": "grpc-1" },
        });
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, bootstrap.to_string()).unwrap();
        let mut command = Command::new(settings::clients_python());
        command.arg(settings::tests_dir().join("push/grpc_client.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.env("GRPC_XDS_BOOTSTRAP", &path).env("GRPC_VERBOSITY", "NONE");
        // gRFC A88. Without it the library waits 15 seconds before it believes that a name does not exist.
        command.env("GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING", "true");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports: Value = serde_json::from_str(&output.next().expect("grpcio is needed, `make test` installs it").unwrap()).unwrap();
        let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
        (Self { child, input, output, _folder: folder }, [port("first"), port("second")])
    }

    /// Answers to calls, one after the other.
    fn call(&mut self, target: &str, calls: usize) -> Vec<String> {
        writeln!(self.input, "{}", json!({ "target": format!("xds:///{target}"), "calls": calls })).unwrap();
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    /// Calls until an answer is as wanted.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let answers = self.call(TARGET, 4);
            if answers.iter().all(|answer| wanted(answer)) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {answers:?}");
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listener() -> Value {
    json!({ "name": TARGET, "api_listener": { "api_listener": manager("echo") } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_clients_follow() {
    let server = Server::start(&World::default()).await;
    let (mut client, [first, second]) = Client::start(server.port);

    let start = Instant::now();
    let answer = client.call(TARGET, 1).remove(0);
    assert!(answer.starts_with("UNAVAILABLE: ") && answer.contains("there is no such resource"), "{answer}");
    assert!(start.elapsed().as_secs() < 4, "what does not exist is told of at once: {:?}", start.elapsed());

    let mut world = World::default();
    world.put(Kind::Listener, listener()).route("echo", TARGET, "a").cluster("a", 1).endpoints("a", &[first]);
    server.publish(&world);
    client.until("a service that is new", |answer| answer == "first");
    let answer = client.call("other.shop:80", 1).remove(0);
    assert!(answer.starts_with("UNAVAILABLE: "), "{answer}");

    world.endpoints("a", &[second]);
    server.publish(&world);
    client.until("another endpoint", |answer| answer == "second");

    world.endpoints("a", &[first, second]);
    server.publish(&world);
    let end = Instant::now() + LIMIT;
    while client.call(TARGET, 20).iter().filter(|answer| *answer == "first").count() != 10 {
        assert!(Instant::now() < end, "two endpoints take turns");
    }

    world.cluster("b", 1).endpoints("b", &[second]).route("echo", TARGET, "b");
    server.publish(&world);
    client.until("a route to a new cluster", |answer| answer == "second");
    assert_eq!(client.call(TARGET, 10), vec!["second"; 10]);
    world.remove(Kind::Cluster, "a").remove(Kind::Endpoint, "a");
    server.publish(&world);
    assert_eq!(client.call(TARGET, 10), vec!["second"; 10]);

    world.remove(Kind::Listener, TARGET);
    server.publish(&world);
    client.until("a service that is gone", |answer| answer.starts_with("UNAVAILABLE: "));
    world.put(Kind::Listener, listener());
    server.publish(&world);
    client.until("a service that is back", |answer| answer == "second");
    assert_eq!(server.refusals(), 0);

    let port = server.port;
    server.stop().await;
    assert_eq!(client.call(TARGET, 3), vec!["second"; 3]);
    world.endpoints("b", &[first]);
    let server = Server::start_on(port, &world).await;
    client.until("another control plane", |answer| answer == "first");
    assert_eq!(server.refusals(), 0);
}
