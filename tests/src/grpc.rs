//! gRPC's own libraries as clients of xDS: the C core, by way of Python, and Go's.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::Folder;
use crate::settings;

/// Far more than anything takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(20);

/// Which library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// `grpc/client.py`.
    Core,
    /// `grpc/go/main.go`.
    Go,
}

impl Library {
    fn command(self) -> Command {
        match self {
            Self::Core => {
                let mut command = Command::new(settings::clients_python());
                command.arg(settings::tests_dir().join("src/grpc/client.py"));
                command
            }
            Self::Go => Command::new(crate::go::built("src/grpc/go", "grpc-go-client")),
        }
    }
}

/// A client, which is stopped on drop.
pub struct Client {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _folder: Folder,
}

impl Client {
    /// With a node of its own; and two servers, `first` and `second`, at these ports.
    pub fn start(library: Library, server: u16, node: &Value) -> (Self, [u16; 2]) {
        let folder = Folder::new();
        let bootstrap = json!({
            "xds_servers": [{ "server_uri": format!("127.0.0.1:{server}"), "channel_creds": [{ "type": "insecure" }], "server_features": ["xds_v3", "fail_on_data_errors"] }],
            "node": node,
        });
        let path = folder.path().join("bootstrap.json");
        fs::write(&path, bootstrap.to_string()).unwrap();
        let mut command = library.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
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
    pub fn call(&mut self, target: &str, calls: usize) -> Vec<String> {
        writeln!(self.input, "{}", json!({ "target": format!("xds:///{target}"), "calls": calls })).unwrap();
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    /// Calls until all answers are as wanted.
    pub fn until(&mut self, target: &str, what: &str, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let answers = self.call(target, 4);
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
