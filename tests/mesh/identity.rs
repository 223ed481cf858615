use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use ninon_tests::eventually::eventually;
use ninon_tests::process::Folder;
use ninon_tests::settings;
use serde_json::{Value, json};

use crate::world::{LIMIT, World};

/// What somebody tries at a sidecar's port.
mod attacks;
/// Who may do what.
mod authorization;
/// Who is refused a certificate, and who is given one.
mod certificates;
/// What is counted by who has sent it.
mod counted;
/// Who takes all the places that there are.
mod flood;
/// Tokens that somebody else has written.
mod forged;
/// HAProxy and Ninon, by mutual TLS.
mod haproxy;
/// Who stands in a server's place.
mod impostors;
/// Tokens that limit labels.
mod limits;
/// While nobody signs.
mod lost;
/// Certificates that are good but for one thing.
mod nearly;
/// Envoy and Ninon, by mutual TLS.
mod peers;
/// From one root to the next.
mod rotation;
/// What a proxy may see.
mod secure;
/// Certificates of short life, a new root, and a control plane that comes and goes, under load.
mod soak;
/// Certificates that somebody else has.
mod stolen;
/// Calls and events that outlive the decision that let them in.
mod streams;
/// What outlives the decision that let it in.
mod tunnels;
/// HTTP/1 that is HTTP/2 between sidecars.
mod upgrade;
/// Identities that somebody else gives.
mod workload_api;

const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const SECRET: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";

/// Somebody who has nothing of ours: openssl, and gRPC's own library.
struct Stranger {
    folder: Folder,
    port: u16,
}

impl Stranger {
    fn new(world: &World) -> Self {
        let stranger = Self { folder: Folder::new(), port: world.secure_xds };
        stranger.trusts(world);
        stranger
    }

    /// Takes over the roots of the moment.
    fn trusts(&self, world: &World) {
        fs::write(self.path("root.pem"), world.does(&["ca", "roots"])).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// openssl in the folder; what it prints, and whether all went well.
    fn tries(&self, words: &str) -> (bool, String) {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    }

    fn openssl(&self, words: &str) -> String {
        let (worked, text) = self.tries(words);
        assert!(worked, "openssl {words}: {text}");
        text
    }

    /// A request for a certificate, and its key beside it.
    fn csr(&self, name: &str, more: &str) -> String {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        self.openssl(&format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /O=tests{more}"));
        self.text(&format!("{name}.csr"))
    }

    fn client(&self) -> Child {
        let script = settings::tests_dir().join("mesh/identity/client.py");
        let mut command = Command::new(settings::clients_python());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).env("GRPC_VERBOSITY", "NONE");
        command.spawn().unwrap()
    }

    /// One call of the secure port.
    fn call(&self, call: &str, more: &Value) -> Value {
        let mut asked = json!({"call": call, "port": self.port, "root": self.path("root.pem")});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut client = self.client();
        let mut input = client.stdin.take().unwrap();
        writeln!(input, "{asked}").unwrap();
        let mut line = String::new();
        BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
        drop(input);
        client.wait().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{asked}: {error}: {line:?}"))
    }

    /// A request for a certificate: the code of the refusal, or none, and what is said.
    fn certify(&self, csr: &str, more: &Value) -> (String, String) {
        let mut asked = json!({"csr": csr});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let said = self.call("certify", &asked);
        match said["chain"].as_array() {
            Some(chain) => (String::new(), chain.iter().filter_map(Value::as_str).collect()),
            None => (said["code"].as_str().unwrap().to_owned(), said["details"].as_str().unwrap().to_owned()),
        }
    }

    /// Gets a certificate by a token; both files are there then, by this name.
    fn joins(&self, name: &str, token: &str, seconds: u64) {
        let (code, chain) = self.certify(&self.csr(name, ""), &json!({"token": token, "seconds": seconds}));
        assert_eq!(code, "", "{chain}");
        fs::write(self.path(&format!("{name}.pem")), chain).unwrap();
    }

    /// What a call with this certificate has to say.
    fn with(&self, name: &str) -> Value {
        json!({"certificate": self.path(&format!("{name}.pem")), "key": self.path(&format!("{name}.key"))})
    }
}

fn token(world: &World, namespace: &str, more: &[&str]) -> String {
    let words = [&["token", "create", "-n", namespace, "--service-account", "cart"], more].concat();
    world.does(&words).trim().to_owned()
}

fn ca(world: &World) -> Value {
    serde_json::from_str(&world.does(&["ca", "status", "-o", "json"])).unwrap()
}

async fn logged(world: &World, text: &str) {
    let found = eventually(LIMIT, || async { world.log().contains(text).then_some(()) }).await;
    found.unwrap_or_else(|| panic!("the log does not hold {text:?}: {}", world.log()));
}
