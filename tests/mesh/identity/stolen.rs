use std::io::Read as _;
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;

use super::peers::{Port, STRICT, join};
use super::rotation::trusting;
use super::*;
use crate::world::Program;

/// A connection of openssl's to a sidecar, with somebody's certificate.
pub(super) struct Connected {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Connected {
    pub(super) fn open(stranger: &Stranger, port: u16, name: &str) -> Self {
        let words = format!("s_client -connect 127.0.0.1:{port} -quiet -CAfile root.pem -cert {name}.pem -key {name}.key");
        let mut command = Command::new("openssl");
        command.args(words.split(' ')).current_dir(stranger.folder.path());
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        Self { client, input, output }
    }

    /// The first line of the answer to a request; none, if there is no whole answer.
    pub(super) fn asks(&mut self) -> Option<String> {
        self.input.write_all(b"GET / HTTP/1.1\r\nhost: cart\r\n\r\n").ok()?;
        let (mut first, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).ok().filter(|count| *count > 0)?;
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
            first.get_or_insert(line);
        }
        self.output.read_exact(&mut vec![0; length]).ok()?;
        first
    }

    /// Whether it is closed within the limit.
    async fn is_closed(&mut self) -> bool {
        let client = std::cell::RefCell::new(&mut self.client);
        eventually(LIMIT, || async { client.borrow_mut().try_wait().unwrap() }).await.is_some()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let _ended = self.client.kill();
        let _status = self.client.wait();
    }
}

/// A stream that goes on until the control plane ends it.
struct Followed {
    client: Child,
    lines: BufReader<ChildStdout>,
    _input: ChildStdin,
}

impl Followed {
    fn open(stranger: &Stranger, name: &str) -> Self {
        let mut client = stranger.client();
        let (mut input, mut lines) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        let mut asked = json!({"call": "ads", "port": stranger.port, "root": stranger.path("root.pem"), "follow": true, "type": LISTENER});
        let more = json!({"node": {"id": "thief", "metadata": {}}});
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked.as_object_mut().unwrap().extend(stranger.with(name).as_object().unwrap().clone());
        writeln!(input, "{asked}").unwrap();
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains("resources"), "{line}");
        Self { client, lines, _input: input }
    }

    /// How it was ended.
    fn ended(mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        let _ended = self.client.kill();
        self.client.wait().unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// What somebody else has who has copied a certificate and its key.
fn copied(world: &World, from: &Stranger, name: &str) -> Stranger {
    let thief = Stranger::new(world);
    for end in ["pem", "key"] {
        fs::copy(from.path(&format!("{name}.{end}")), thief.path(&format!("{name}.{end}"))).unwrap();
    }
    thief
}

fn number(stranger: &Stranger, name: &str) -> String {
    let shown = stranger.openssl(&format!("x509 -in {name}.pem -noout -serial"));
    shown.trim().strip_prefix("serial=").unwrap().to_owned()
}

async fn says(process: &Process, text: &str) {
    let found = eventually(LIMIT, || async { process.log().contains(text).then_some(()) }).await;
    found.unwrap_or_else(|| panic!("the log does not hold {text:?}: {}", process.log()));
}

pub(super) fn is_ok(answer: Option<String>) -> bool {
    answer.is_some_and(|line| line.starts_with("HTTP/1.1 200"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_certificate_is_of_no_use_once_it_is_revoked() {
    let world = World::start().await;
    world.write("shop.yaml", STRICT);
    let (owner, application, port) = (Stranger::new(&world), Named::start("cart").await, ports::free());
    owner.joins("web", &token(&world, "shop", &[]), 600);
    owner.joins("other", &token(&world, "shop", &[]), 600);
    let thief = copied(&world, &owner, "web");
    let (cart, admin) = join((&world, &owner), Program::Ninon, "cart", &[Port::new("http", port, application.port)], ports::free()).await;
    let reached = || async { is_ok(Connected::open(&thief, port, "web").asks()).then_some(()) };
    eventually(LIMIT, reached).await.unwrap_or_else(|| panic!("{}", cart.log()));
    let (mut live, mut innocent) = (Connected::open(&thief, port, "web"), Connected::open(&owner, port, "other"));
    assert!(is_ok(live.asks()) && is_ok(innocent.asks()));
    let stream = Followed::open(&thief, "web");

    let said = world.does(&["ca", "revoke", &number(&owner, "web"), "--reason", "key-compromise"]);
    assert!(said.contains("of spiffe://cluster.local/ns/shop/sa/cart revoked"), "{said}");
    let ended = stream.ended();
    assert_eq!(ended["code"], "PERMISSION_DENIED", "{ended}");
    assert!(ended["details"].as_str().unwrap().contains("was revoked at"), "{ended}");
    assert!(live.is_closed().await, "its live connection goes on: {}", cart.log());
    assert_eq!(Connected::open(&thief, port, "web").asks(), None, "it is let in again");
    says(&cart, "it is revoked").await;
    let (_, stats) = named::get(admin, "/stats", "host: x\r\n", LIMIT).await.unwrap();
    assert!(stats.contains("certificate_revoked: 1"), "{stats}");
    // Nor does the control plane know it any more.
    let (code, why) = thief.certify(&thief.csr("next", ""), &thief.with("web"));
    assert_eq!((code.as_str(), why.contains("was revoked at")), ("PERMISSION_DENIED", true), "{why}");
    let again = thief.call("ads", &{
        let mut asked = json!({"node": {"id": "thief", "metadata": {}}, "type": LISTENER});
        asked.as_object_mut().unwrap().extend(thief.with("web").as_object().unwrap().clone());
        asked
    });
    assert_eq!(again["code"], "PERMISSION_DENIED", "{again}");
    for text in ["certificates were revoked", "a certificate was refused", "a stream is ended"] {
        logged(&world, text).await;
    }
    // Nobody else is concerned, and the list is one that openssl takes.
    assert!(is_ok(innocent.asks()) && is_ok(Connected::open(&owner, port, "other").asks()));
    assert_eq!(world.metric("ninon_certificates_revoked").await, 1.0);
    let listed: Value = serde_json::from_str(&world.does(&["ca", "revoked", "-o", "json"])).unwrap();
    assert_eq!((&listed["items"][0]["reason"], listed["items"].as_array().unwrap().len()), (&json!("key-compromise"), 1));
    world.is_accepted_by_all().await;
    // A mistake can be taken back.
    world.does(&["ca", "restore", listed["items"][0]["id"].as_str().unwrap()]);
    let back = || async { is_ok(Connected::open(&thief, port, "web").asks()).then_some(()) };
    eventually(LIMIT, back).await.unwrap_or_else(|| panic!("{}", cart.log()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_whose_certificates_are_revoked_goes_on_with_a_new_token() {
    let mut world = World::start().await;
    world.write("shop.yaml", STRICT);
    let (owner, application, port) = (Stranger::new(&world), Named::start("cart").await, ports::free());
    let outbound = ports::free();
    let [one, mine] = ["one", "mine"].map(|_| token(&world, "shop", &["--uses", "1"]));
    // Somebody has a certificate of the same account.
    owner.joins("cart", &one, 600);
    let thief = copied(&world, &owner, "cart");
    fs::write(owner.path("token"), &mine).unwrap();
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{}", world.secure_xds), "--token-file"]).arg(owner.path("token"));
    command.args(["--workload", "cart", "--port", &format!("http={port}:{}", application.port), "--label", "app=cart"]);
    command.args(["--address", "127.0.0.1", "--outbound-address", &format!("127.0.0.1:{outbound}")]);
    command.args(["--admin-address", &format!("127.0.0.1:{admin}")]);
    let mut cart = Process::start(command, Folder::new()).unwrap();
    cart.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", cart.log()));
    let (_web, _) = join((&world, &owner), Program::Ninon, "web", &[Port::new("http", ports::free(), ports::free())], ports::free()).await;
    let reached = || async { is_ok(Connected::open(&thief, port, "cart").asks()).then_some(()) };
    eventually(LIMIT, reached).await.unwrap_or_else(|| panic!("{}", cart.log()));

    let said = world.does(&["ca", "revoke", "-n", "shop", "--service-account", "cart"]);
    assert_eq!(said, "certificates of spiffe://cluster.local/ns/shop/sa/cart revoked\n");
    // Its own one is among them: the token that it has was for one key.
    says(&cart, "the certificate was revoked; another one is asked for by token").await;
    says(&cart, "the token is used up").await;
    fs::write(owner.path("token"), token(&world, "shop", &["--uses", "1"])).unwrap();
    let renewed = || async {
        let (_, stats) = named::get(admin, "/stats", "host: x\r\n", LIMIT).await?;
        stats.contains("ninon.identity.issued: 2").then_some(())
    };
    eventually(LIMIT, renewed).await.unwrap_or_else(|| panic!("{}", cart.log()));
    // It follows the control plane again, and takes nobody with an older one.
    let refused = || async { Connected::open(&thief, port, "cart").asks().is_none().then_some(()) };
    eventually(LIMIT, refused).await.unwrap_or_else(|| panic!("{}\n{}", cart.log(), world.log()));
    let (code, why) = thief.certify(&thief.csr("next", ""), &thief.with("cart"));
    assert_eq!((code.as_str(), why.contains("were revoked at")), ("PERMISSION_DENIED", true), "{why}");
    owner.joins("fresh", &token(&world, "shop", &[]), 600);
    assert!(is_ok(Connected::open(&owner, port, "fresh").asks()), "{}", cart.log());
    // All that is known after a restart, too.
    world.kill();
    world.serve().await;
    let (code, _) = thief.certify(&thief.csr("next", ""), &thief.with("cart"));
    assert_eq!(code, "PERMISSION_DENIED");
    let (code, why) = owner.certify(&owner.csr("next", ""), &owner.with("fresh"));
    assert_eq!(code, "", "{why}");
}

/// Whether Envoy's listener takes a certificate: who is refused hears so after the handshake.
async fn is_taken_by_envoy(stranger: &Stranger, port: u16, name: &str, wanted: bool) {
    let words = format!("s_client -connect 127.0.0.1:{port} -CAfile root.pem -cert {name}.pem -key {name}.key -ign_eof");
    let look = || async {
        let mut command = Command::new("timeout");
        command.args(["2", "openssl"]).args(words.split(' ')).current_dir(stranger.folder.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        let is_refused =
            text.contains("alert certificate revoked") || text.contains("alert unknown ca") || text.contains("SSL alert number");
        (text.contains("CONNECTED") && is_refused != wanted).then_some(())
    };
    eventually(LIMIT, look).await.unwrap_or_else(|| panic!("{name} should be taken: {wanted}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_takes_the_lists_before_and_while_roots_change() {
    let (_etcd, store) = crate::replicas::etcd().await;
    let grace = ["--registration-orphan-grace", "3s"];
    let (world, other) = (World::start_at_store(&store, &grace).await, World::start_at_store(&store, &grace).await);
    let stranger = Stranger::new(&world);
    stranger.joins("cart", &token(&world, "shop", &[]), 600);
    stranger.joins("stolen", &token(&world, "shop", &[]), 600);
    stranger.joins("later", &token(&world, "shop", &[]), 600);
    let port = ports::free();
    let _envoy = trusting((world.xds, port), &stranger).await;
    is_taken_by_envoy(&stranger, port, "stolen", true).await;
    // At the other control plane, which has none of its proxies.
    other.does(&["ca", "revoke", &number(&stranger, "stolen")]);
    is_taken_by_envoy(&stranger, port, "stolen", false).await;
    is_taken_by_envoy(&stranger, port, "cart", true).await;
    let elsewhere = copied(&other, &stranger, "stolen");
    for at in [&stranger, &elsewhere] {
        let (code, why) = at.certify(&at.csr("next", ""), &at.with("stolen"));
        assert_eq!(code, "PERMISSION_DENIED", "{why}");
    }
    world.does(&["ca", "rotate"]);
    super::rotation::until_step(&world, "issuing").await;
    world.does(&["ca", "revoke", &number(&stranger, "later")]);
    is_taken_by_envoy(&stranger, port, "later", false).await;
    stranger.joins("newer", &token(&world, "shop", &[]), 600);
    for (name, wanted) in [("stolen", false), ("cart", true), ("newer", true)] {
        is_taken_by_envoy(&stranger, port, name, wanted).await;
    }
    tokio::time::timeout(Duration::from_secs(5), world.is_accepted_by_all()).await.unwrap();
}
