use std::net::SocketAddr;
use std::time::Duration;

use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::nearly::{Signer, all, given, good};
use super::peers::{Port, STRICT, join};
use super::*;
use crate::world::Program;

const PERMISSIVE: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// How a ClientHello is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Each byte by itself.
    Bytes,
    /// Into TLS records of so many bytes.
    Records(usize),
    /// In two, and so long between them.
    Two(Duration),
    /// Not, and nothing is said for so long before.
    Late(Duration),
}

/// Something between a client and a port that cuts what the client says first.
async fn between(port: u16, cut: Cut) -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let mut relay = JoinSet::new();
    relay.spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            server.set_nodelay(true).unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
            let mut first = vec![0; 16 * 1024];
            let length = from_client.read(&mut first).await.unwrap();
            let said = &first[..length];
            match cut {
                Cut::Bytes => {
                    for byte in said {
                        to_server.write_all(&[*byte]).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                }
                Cut::Records(size) => {
                    // RFC 8446, section 5.1.
                    let (head, hello) = said.split_at(5);
                    for piece in hello.chunks(size) {
                        let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                        to_server.write_all(&[&head[..3], &length, piece].concat()).await.unwrap();
                    }
                }
                Cut::Two(pause) => {
                    let (one, other) = said.split_at(length / 2);
                    to_server.write_all(one).await.unwrap();
                    tokio::time::sleep(pause).await;
                    to_server.write_all(other).await.unwrap();
                }
                Cut::Late(pause) => {
                    tokio::time::sleep(pause).await;
                    // It may be refused by now.
                    let _said = to_server.write_all(said).await;
                }
            }
            // Either side may be the first to go.
            let _ended = tokio::join!(copy(&mut from_client, &mut to_server), copy(&mut from_server, &mut to_client));
        }
    });
    (own, relay)
}

/// A mesh with a sidecar, beside an application called `cart`; one port of it is HTTP, one is bytes.
struct Meshed {
    _world: World,
    stranger: Stranger,
    port: u16,
    bytes: u16,
    cart: Process,
    admin: u16,
    _application: Named,
}

impl Meshed {
    async fn start(policy: &str) -> Self {
        Self::start_with(policy, &[]).await
    }

    async fn start_with(policy: &str, flags: &[String]) -> Self {
        Self::beside(Program::Ninon, policy, flags).await
    }

    async fn beside(program: Program, policy: &str, flags: &[String]) -> Self {
        let world = World::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
        world.write("shop.yaml", policy);
        let (stranger, application, port, bytes) = (Stranger::new(&world), Named::start("cart").await, ports::free(), ports::free());
        let of = [Port::new("http", port, application.port), Port::new("tcp", bytes, application.port)];
        let (cart, admin) = join((&world, &stranger), program, "cart", &of, ports::free()).await;
        stranger.joins("web", &token(&world, "shop", &[]), 600);
        let meshed = Self { _world: world, stranger, port, bytes, cart, admin, _application: application };
        let reached = || async { meshed.asks(port, "web", "").is_ok().then_some(()) };
        eventually(LIMIT, reached).await.unwrap_or_else(|| panic!("{}", meshed.cart.log()));
        meshed
    }

    /// A request by mutual TLS with somebody's files; the answer, or what openssl says.
    fn asks(&self, port: u16, name: &str, more: &str) -> Result<String, String> {
        let files = format!("-cert {name}.pem -key {name}.key -cert_chain {name}.pem -CAfile root.pem");
        let words = format!("20 openssl s_client -connect 127.0.0.1:{port} -alpn ninon -ign_eof {files}{more}");
        let mut command = Command::new("timeout");
        command.args(words.split(' ')).current_dir(self.stranger.folder.path());
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may be gone by then.
        let _said = client.stdin.take().unwrap().write_all(b"GET / HTTP/1.1\r\nhost: cart\r\nconnection: close\r\n\r\n");
        // Who is answered need not wait for the end.
        let mut answer = BufReader::new(client.stdout.take().unwrap()).split(b'\n').map_while(Result::ok);
        let mut text = String::new();
        let is_good = answer.any(|line| {
            text += &format!("{}\n", String::from_utf8_lossy(&line));
            text.contains("HTTP/1.1 200")
        });
        // Which ends openssl, too.
        let id = rustix::process::Pid::from_raw(i32::try_from(client.id()).unwrap()).unwrap();
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        text += &String::from_utf8_lossy(&client.wait_with_output().unwrap().stderr);
        if is_good { Ok(text) } else { Err(text) }
    }

    /// Tries until operators who ask for nothing are told so; how often that was. Once a second: the next one is told where this one was
    /// too soon after another.
    async fn warns(&self, text: &str, tries: impl Fn()) -> u64 {
        let mut times = 0;
        let warned = || {
            tries();
            times += 1;
            let found = self.cart.log().lines().any(|line| line.contains(" WARN ") && line.contains(text));
            std::future::ready(found.then_some(()))
        };
        let found = eventually(LIMIT, warned).await;
        found.unwrap_or_else(|| panic!("no warning {text:?}: {}", self.cart.log()));
        times
    }

    /// With a good name.
    fn signs_itself(&self) {
        self.stranger.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 1 -keyout self.key -out self.pem -subj /O=tests -addext \
             basicConstraints=critical,CA:FALSE -addext subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/web",
        );
    }

    /// What its listeners have counted.
    async fn counts(&self, name: &str) -> u64 {
        let (_, stats) = named::get(self.admin, &format!("/stats?filter=listener.*{name}$"), "host: x\r\n", LIMIT).await.unwrap();
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// A certificate for a key of its own, signed by somebody.
    fn signs(&self, name: &str, by: &str, says: &str) {
        fs::write(self.stranger.path("extensions"), says).unwrap();
        self.stranger.csr(name, "");
        let sign = format!("x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -days 1 -extfile extensions -out {name}.pem");
        self.stranger.openssl(&sign);
    }

    /// What is shown is the leaf and, below it, others.
    fn chains(&self, name: &str, others: &[&str]) {
        let all = std::iter::once(&name).chain(others).map(|name| self.stranger.text(&format!("{name}.pem"))).collect::<String>();
        fs::write(self.stranger.path(&format!("{name}.pem")), all).unwrap();
    }
}

const WEB: &str = "subjectAltName=critical,URI:spiffe://cluster.local/ns/shop/sa/web\nextendedKeyUsage=clientAuth\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fragmented_client_hello_is_mutual_tls_all_the_same() {
    for policy in [STRICT, PERMISSIVE] {
        let meshed = Meshed::start(policy).await;
        meshed.signs_itself();
        // Longer than a client may say nothing on a port that takes both.
        for cut in [Cut::Bytes, Cut::Two(Duration::from_millis(1200)), Cut::Records(1), Cut::Records(100)] {
            let (port, relay) = between(meshed.port, cut).await;
            let (answer, refused) = (meshed.asks(port, "web", ""), meshed.asks(port, "self", ""));
            drop(relay);
            answer.unwrap_or_else(|text| panic!("{cut:?}: {text}\n{}", meshed.cart.log()));
            assert!(refused.is_err(), "{cut:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_client_hello_never_reaches_the_application() {
    for (policy, told) in
        [(PERMISSIVE, "the client's protocol was not known in time"), (STRICT, "the handshake with the client took longer than ")]
    {
        let meshed = Meshed::start(policy).await;
        let mut stream = TcpStream::connect(("127.0.0.1", meshed.port)).await.unwrap();
        stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut said)).await;
        ended.expect("it is closed").ok();
        assert!(said.is_empty(), "the application has answered: {}", String::from_utf8_lossy(&said));
        meshed.warns(told, || ()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_with_a_rogue_intermediate_is_refused() {
    let meshed = Meshed::start(STRICT).await;
    // A service signs another with its own certificate.
    meshed.signs("below", "web", WEB);
    meshed.chains("below", &["web"]);
    let refused = |name: &str| assert!(meshed.asks(meshed.port, name, "").is_err(), "{name}");
    meshed.warns("the client's certificate was refused: one that is no authority's has issued it", || refused("below")).await;
    // An intermediate authority of another root, whose name is that of ours.
    let subject = meshed.stranger.openssl("x509 -in root.pem -noout -subject -nameopt compat").trim().replace("subject=", "");
    let words = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 1 -keyout rogue.key -out rogue.pem -subj";
    let mut command = Command::new("openssl");
    let output = command.args(words.split(' ')).arg(subject).current_dir(meshed.stranger.folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    meshed.signs("middle", "rogue", "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n");
    meshed.signs("leaf", "middle", WEB);
    meshed.chains("leaf", &["middle", "rogue"]);
    meshed.warns("the client's certificate was refused: a signature is wrong", || refused("leaf")).await;
    // Nor is one of that authority itself, which has the name of ours, and is not shown.
    meshed.signs("own", "rogue", WEB);
    refused("own");
    assert!(meshed.asks(meshed.port, "web", "").is_ok(), "nobody else is concerned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_2_is_refused() {
    let meshed = Meshed::start(STRICT).await;
    let asks = || {
        let told = meshed.asks(meshed.port, "web", " -tls1_2").unwrap_err();
        assert!(told.contains("alert protocol version"), "{told}");
    };
    meshed.warns("no agreement with the client", asks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_signed_certificate_is_refused_whatever_name_is_asked_for() {
    let meshed = Meshed::start(STRICT).await;
    meshed.signs_itself();
    // Who was refused, by whom and why is told to operators who ask for nothing.
    let (theirs, ours) = ("spiffe://cluster.local/ns/shop/sa/web", "spiffe://cluster.local/ns/shop/sa/cart");
    let told =
        format!("TLS handshake: the client's certificate was refused: no trusted authority issued it (theirs: {theirs}; ours: {ours})");
    for name in ["cart.shop.svc.cluster.local", "bank.bank.svc.cluster.local"] {
        let asks = || assert!(meshed.asks(meshed.port, "self", &format!(" -servername {name}")).is_err(), "{name}");
        meshed.warns(&told, asks).await;
    }
    // Who is served is decided by certificates: the name in the ClientHello is of no consequence, with one and without.
    assert!(meshed.asks(meshed.port, "web", " -servername bank.bank.svc.cluster.local").is_ok());
}

/// A policy against whoever asks for another name than the service's; and a log.
const NAMES: &str = "---
apiVersion: ninon.dev/v1alpha1
kind: AuthorizationPolicy
metadata: {name: names, namespace: shop}
spec:
  action: DENY
  rules: [{when: [{key: connection.sni, values: ['*'], notValues: [cart.shop.svc.cluster.local, '*.cart.shop.svc.cluster.local']}]}]
---
apiVersion: ninon.dev/v1alpha1
kind: MeshConfig
metadata: {name: mesh}
spec: {accessLog: true}
";

/// A good certificate, and the name of somebody else's service.
async fn another_services_name_is_refused(program: Program) {
    let meshed = Meshed::beside(program, &format!("{STRICT}{NAMES}"), &[]).await;
    let (theirs, why) = ("bank.bank.svc.cluster.local", "rbac_access_denied_matched_policy[ns[shop]-policy[names]-rule[0]]");
    for port in [meshed.port, meshed.bytes] {
        let denied = || async { meshed.asks(port, "web", &format!(" -servername {theirs}")).err() };
        let told = eventually(LIMIT, denied).await.unwrap_or_else(|| panic!("{}", meshed.cart.log()));
        assert_eq!(told.contains("HTTP/1.1 403"), port == meshed.port, "{told}");
        if program == Program::Ninon && port == meshed.port {
            assert!(told.contains("details=\"policy \\\"ns[shop]-policy[names]-rule[0]\\\" denies it\""), "{told}");
        }
        // The access log says why, what name it was, and who has shown himself.
        let (at, who) = (format!(" 127.0.0.1:{port} "), "\"spiffe://cluster.local/ns/shop/sa/cart\"");
        let says = |line: &str| [why, &at, theirs, who].iter().all(|word| line.contains(word));
        let logged = || async { meshed.cart.log().lines().any(says).then_some(()) };
        eventually(LIMIT, logged).await.unwrap_or_else(|| panic!("{port}: {}", meshed.cart.log()));
        // A name that comes late is a name.
        let (late, _relay) = between(port, Cut::Late(Duration::from_millis(1200))).await;
        assert!(meshed.asks(late, "web", &format!(" -servername {theirs}")).is_err(), "{}", meshed.cart.log());
        assert!(meshed.asks(late, "web", " -servername cart.shop.svc.cluster.local").is_ok(), "{}", meshed.cart.log());
        // Its own names, also in Istio's words, and who says none.
        for own in ["servername cart.shop.svc.cluster.local", "servername outbound_.80_._.cart.shop.svc.cluster.local", "noservername"] {
            assert!(meshed.asks(port, "web", &format!(" -{own}")).is_ok(), "{own}: {}", meshed.cart.log());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_refuses_another_services_name_where_a_policy_says_so() {
    another_services_name_is_refused(Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_refuses_another_services_name_where_a_policy_says_so() {
    another_services_name_is_refused(Program::Envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_our_own_root_at_the_wrong_time_or_with_the_wrong_name_are_refused() {
    let signer = Signer::new();
    let meshed = Meshed::start_with(STRICT, &signer.flags).await;
    signer.issue(&meshed.stranger, "good", &good("web", ClientAuth));
    meshed.asks(meshed.port, "good", "").unwrap_or_else(|text| panic!("{text}\n{}", meshed.cart.log()));
    let server = ("server", good("web", ServerAuth), "it is not for this use");
    let mut tried = [0; 2];
    for (name, params, reason) in all(|| good("web", ClientAuth)).into_iter().chain([server]) {
        signer.issue(&meshed.stranger, name, &params);
        let refused = format!("the client's certificate was refused: {reason}");
        let times = meshed.warns(&refused, || assert!(meshed.asks(meshed.port, name, "").is_err(), "{name}")).await;
        tried[usize::from(!["early", "late", "server"].contains(&name))] += times;
    }
    let counted = [meshed.counts("ssl.fail_verify_error").await, meshed.counts("ssl.fail_verify_san").await];
    assert_eq!(counted, tried, "by the rule that refused them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_trust_domains_control_plane_with_the_same_root_is_refused() {
    let files = Stranger { folder: Folder::new(), port: 0 };
    let flags = given(&files);
    let of = |domain: &'static str| {
        let flags: Vec<String> = flags.iter().cloned().chain(["--trust-domain".to_owned(), domain.to_owned()]).collect();
        async move { World::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let (mut own, other) = (of("own.test").await, of("other.test").await);
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{},127.0.0.1:{}", own.secure_xds, other.secure_xds)]);
    command.args(["--token", &token(&own, "shop", &[]), "--workload", "cart", "--log-level", "debug"]);
    command.args(["--outbound-address", &SocketAddr::from(([127, 0, 0, 1], ports::free())).to_string()]);
    command.args(["--admin-address", &format!("127.0.0.1:{admin}")]);
    let mut cart = Process::start(command, Folder::new()).unwrap();
    cart.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", cart.log()));
    assert_eq!(own.proxies().len(), 1);
    own.kill();
    let refused = || async { (other.log().contains("a TLS handshake failed")).then_some(()) };
    eventually(LIMIT, refused).await.unwrap_or_else(|| panic!("{}\n{}", cart.log(), other.log()));
    assert_eq!(other.proxies().len(), 0);
    let told = || async {
        let (_, page) = named::get(admin, "/ready?verbose", "host: x\r\n", LIMIT).await?;
        page.contains("spiffe://other.test/ns/ninon-system/sa/ninon").then_some(())
    };
    let page = named::get(admin, "/ready?verbose", "host: x\r\n", LIMIT).await;
    eventually(LIMIT, told).await.unwrap_or_else(|| panic!("{page:?}"));
}
