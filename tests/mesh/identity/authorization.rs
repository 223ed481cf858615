//! Who may do what at a workload, as an operator wrote it: real sidecars, callers with certificates of the mesh, and without.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::Stranger;
use super::peers::{Port, join};
use crate::world::{LIMIT, Program, World};
use ninon_tests::anybody::Anybody;
use ninon_tests::eventually::eventually;
use ninon_tests::process::Process;
use ninon_tests::{named, ports};

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
";

/// One that is of `shop`, with this name.
fn policy(name: &str, spec: &str) -> String {
    format!("---\napiVersion: ninon.dev/v1alpha1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n")
}

/// Programs behind a sidecar: one answers requests with their targets, one repeats bytes.
struct Applications {
    web: u16,
    echo: u16,
    seen: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Applications {
    async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let [web, echo] = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let [web_port, echo_port] = [&web, &echo].map(|listener| listener.local_addr().unwrap().port());
        let mut serving = JoinSet::new();
        let targets = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = web.accept().await {
                connections.spawn(tell_target(stream, Arc::clone(&targets)));
            }
        });
        let seen_too = Arc::clone(&seen);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = echo.accept().await {
                let seen = Arc::clone(&seen_too);
                connections.spawn(async move {
                    let mut buffer = [0; 1024];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        seen.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                        if stream.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { web: web_port, echo: echo_port, seen, _serving: serving }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn tell_target(mut stream: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        head.extend_from_slice(&buffer[..length]);
        while let Some(end) = head.windows(4).position(|window| window == b"\r\n\r\n") {
            let text: Vec<u8> = head.drain(..end + 4).collect();
            let target = String::from_utf8_lossy(&text).split(' ').nth(1).unwrap_or_default().to_owned();
            seen.lock().unwrap().push(target.clone());
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Who comes to the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// With the certificate of this account.
    Account(&'static str),
    /// In plain text.
    Nobody,
}

const WEB: Who = Who::Account("web");
const GUEST: Who = Who::Account("guest");

trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Bytes for T {}

/// A server with its sidecar, and who may call it.
struct Shop {
    world: World,
    stranger: Stranger,
    applications: Applications,
    web: u16,
    echo: u16,
    admin: u16,
    _sidecar: Process,
}

impl Shop {
    async fn start(server: Program) -> Self {
        let world = World::start().await;
        world.write("shop.yaml", SERVICE);
        let stranger = Stranger::new(&world);
        let applications = Applications::start().await;
        let [web, echo, outbound] = [ports::free(), ports::free(), ports::free()];
        let of_cart = [Port::new("http", web, applications.web), Port::new("db", echo, applications.echo)];
        let (sidecar, admin) = join((&world, &stranger), server, "cart", &of_cart, outbound).await;
        for name in ["web", "guest"] {
            let token = world.does(&["token", "create", "-n", "shop", "--service-account", name]);
            stranger.joins(name, token.trim(), 600);
        }
        let shop = Self { world, stranger, applications, web, echo, admin, _sidecar: sidecar };
        shop.becomes(WEB, "/", 200).await;
        shop
    }

    async fn connect(&self, who: Who, port: u16) -> std::io::Result<Box<dyn Bytes>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let Who::Account(name) = who else { return Ok(Box::new(stream)) };
        let chain = CertificateDer::pem_slice_iter(self.stranger.text(&format!("{name}.pem")).as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.stranger.text(&format!("{name}.key")).as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let config = config.dangerous().with_custom_certificate_verifier(Anybody::new());
        let mut config = config.with_client_auth_cert(chain, key).unwrap();
        config.alpn_protocols = [&b"ninon"[..], b"http/1.1"].map(<[u8]>::to_vec).to_vec();
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("cart.shop").unwrap(), stream).await?;
        Ok(Box::new(stream))
    }

    /// The whole answer to one request; empty if there is none.
    async fn asks(&self, who: Who, path: &str, more: &str) -> String {
        let asked = async {
            let mut stream = self.connect(who, self.web).await?;
            let head = format!("GET {path} HTTP/1.1\r\nhost: cart.shop\r\n{more}connection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let mut answer = Vec::new();
            // An end without a word of TLS is an end.
            let _ = stream.read_to_end(&mut answer).await;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        tokio::time::timeout(LIMIT, asked).await.unwrap().unwrap_or_default()
    }

    async fn status(&self, who: Who, path: &str) -> u16 {
        self.asks(who, path, "").await.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    async fn becomes(&self, who: Who, path: &str, wanted: u16) {
        let look = || async { (self.status(who, path).await == wanted).then_some(()) };
        if eventually(LIMIT, look).await.is_none() {
            panic!("{who:?} {path} is to get {wanted}, and gets {:?}\n{}", self.asks(who, path, "").await, self.world.log());
        }
    }

    /// A connection to the port where bytes are repeated, if it is let through.
    async fn talks(&self, who: Who) -> Option<Box<dyn Bytes>> {
        let mut stream = self.connect(who, self.echo).await.ok()?;
        repeats(&mut *stream, &format!("hello of {who:?}")).await.then_some(stream)
    }
}

/// Whether what is said comes back.
async fn repeats(stream: &mut dyn Bytes, text: &str) -> bool {
    let said = async {
        stream.write_all(text.as_bytes()).await?;
        stream.flush().await?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard).await?;
        std::io::Result::Ok(heard == text.as_bytes())
    };
    tokio::time::timeout(LIMIT, said).await.expect("it is repeated, or the connection ends").unwrap_or(false)
}

/// Ends within the limit, and says nothing until then.
async fn ends(stream: &mut dyn Bytes) {
    let mut byte = [0];
    let read = tokio::time::timeout(LIMIT, stream.read(&mut byte)).await.expect("it is closed");
    assert!(!matches!(read, Ok(1..)), "it is closed, and nothing is said before");
}

/// Spellings of `/admin` behind something harmless: each is refused, or is not what anybody takes for `/admin`.
const SPELLINGS: [&str; 13] = [
    "/admin",
    "/admin/x?a=b",
    "//admin",
    "/x/../admin",
    "/./admin",
    "/%61dmin",
    "/x/%2e%2e/admin",
    "/x%2f..%2fadmin",
    "/x/..%5cadmin",
    "/x\\..\\admin",
    "\\admin",
    "/.%2fadmin",
    "/%2fadmin",
];

/// The web front may do anything, but for what nobody may; nobody else may do anything.
fn only_web(shop: &Shop) -> String {
    let admin = format!("{{action: DENY, rules: [{{to: [{{operation: {{ports: ['{}'], paths: [/admin*]}}}}]}}]}}", shop.web);
    let web = "{selector: {matchLabels: {app: cart}}, rules: [{from: [{source: {serviceAccounts: [web]}}]}]}";
    [policy("admin", &admin), policy("web", web)].concat()
}

async fn is_guarded(server: Program) {
    let shop = Shop::start(server).await;
    for who in [WEB, GUEST, Who::Nobody] {
        assert_eq!(shop.status(who, "/").await, 200, "{who:?}: nothing is said yet");
        assert!(shop.talks(who).await.is_some(), "{who:?}: nothing is said yet");
    }
    let audit = policy("all", "{action: AUDIT, rules: [{}]}");
    shop.world.write("policies.yaml", &[only_web(&shop), audit].concat());
    shop.becomes(GUEST, "/", 403).await;
    let before = shop.applications.seen().len();
    assert_eq!(shop.status(Who::Nobody, "/").await, 403);
    for who in [GUEST, Who::Nobody] {
        assert!(shop.talks(who).await.is_none(), "{who:?} reaches the application");
    }
    // What somebody says of himself is worth nothing.
    let claim = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/web\r\n";
    assert!(shop.asks(GUEST, "/", claim).await.contains(" 403 "));
    for path in SPELLINGS {
        let answer = shop.asks(WEB, path, "").await;
        assert!(answer.contains(" 403 ") || answer.contains(" 400 "), "{path}: {answer}");
    }
    assert_eq!(shop.applications.seen().len(), before, "{:?}", shop.applications.seen());
    // What is harmless passes, and the application sees what was decided about.
    for (path, seen) in [("/", "/"), ("/x//y/../z", "/x/z"), ("/x%2fy", "/x/y"), ("/x//..//admin", "/x/admin"), ("/adm", "/adm")] {
        let answer = shop.asks(WEB, path, "").await;
        assert!(answer.contains(" 200 ") && answer.ends_with(&format!("\r\n\r\n{seen}")), "{path}: {answer}");
    }
    assert!(shop.talks(WEB).await.is_some());
    if server == Program::Ninon {
        let answer = shop.asks(WEB, "/admin", "").await;
        let said = "proxy-status: ninon; error=http_request_denied; details=\"policy \\\"ns[shop]-policy[admin]-rule[0]\\\" denies it\"";
        assert!(answer.contains(said), "{answer}");
        assert!(shop.asks(GUEST, "/", "").await.contains("details=\"no policy allows it\""));
        let (_, stats) = named::get(shop.admin, "/stats", "host: x\r\n", LIMIT).await.unwrap();
        for counted in
            [format!("http.inbound:{}.rbac.audit.shadow_allowed: ", shop.web), format!("inbound:{}.audit.rbac.shadow_allowed: ", shop.echo)]
        {
            let count = stats.lines().find_map(|line| line.strip_prefix(&counted));
            assert!(count.is_some_and(|count| count != "0"), "{counted}{count:?}: {stats}");
        }
    }
    // Only some paths are allowed: no spelling leads out of them.
    shop.world.write("policies.yaml", &policy("public", "{rules: [{to: [{operation: {paths: [/public/*]}}]}]}"));
    shop.becomes(WEB, "/", 403).await;
    shop.becomes(GUEST, "/public/a", 200).await;
    let before = shop.applications.seen().len();
    for path in SPELLINGS {
        let answer = shop.asks(WEB, &format!("/public{path}"), "").await;
        let seen = shop.applications.seen();
        assert!(seen[before..].iter().all(|path| path.starts_with("/public/") && !path.contains("..")), "{path}: {answer}: {seen:?}");
    }
    assert!(shop.talks(WEB).await.is_none(), "what allows some requests allows no connection");
    shop.world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_lets_in_who_may() {
    is_guarded(Program::Ninon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_lets_in_who_may() {
    is_guarded(Program::Envoy).await;
}

/// By way of the client's own sidecar, whose certificate says who it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_its_clients_from_sidecar_to_sidecar() {
    let shop = Shop::start(Program::Ninon).await;
    let mesh = (&shop.world, &shop.stranger);
    let [at_web, at_guest] = [ports::free(), ports::free()];
    let unused = Port::new("http", ports::free(), ports::free());
    let _web = join(mesh, Program::Ninon, "web", &[unused], at_web).await;
    let unused = Port::new("http", ports::free(), ports::free());
    let _guest = join(mesh, Program::Envoy, "guest", &[unused], at_guest).await;
    let asks = |outbound, path| async move {
        named::get(outbound, path, "host: cart.shop\r\n", LIMIT).await.map(|(status, _)| status).unwrap_or_default()
    };
    for outbound in [at_web, at_guest] {
        let reached = || async { (asks(outbound, "/").await == 200).then_some(()) };
        eventually(LIMIT, reached).await.expect("it is reached");
    }
    shop.world.write("policies.yaml", &only_web(&shop));
    let denied = || async { (asks(at_guest, "/").await == 403).then_some(()) };
    eventually(LIMIT, denied).await.expect("it is denied");
    assert_eq!(asks(at_web, "/").await, 200);
    for path in SPELLINGS {
        let status = asks(at_web, path).await;
        assert!(status == 403 || status == 400, "{path}: {status}");
    }
    shop.world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_closes_what_it_forbids_and_nothing_else() {
    let shop = Shop::start(Program::Ninon).await;
    let mut web = shop.talks(WEB).await.expect("nothing is said yet");
    let mut guest = shop.talks(GUEST).await.expect("nothing is said yet");
    let mut nobody = shop.talks(Who::Nobody).await.expect("nothing is said yet");
    shop.world.write("policies.yaml", &policy("guest", "{action: DENY, rules: [{from: [{source: {serviceAccounts: [guest]}}]}]}"));
    ends(&mut *guest).await;
    assert!(repeats(&mut *web, "still here").await && repeats(&mut *nobody, "I too").await);
    // Who shows no certificate is none of those who are meant, and so he is denied.
    let others = "{action: DENY, rules: [{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/web]}}]}]}";
    shop.world.write("policies.yaml", &policy("others", others));
    ends(&mut *nobody).await;
    assert!(repeats(&mut *web, "still here").await);
    shop.world.write("policies.yaml", &policy("web", "{rules: [{from: [{source: {serviceAccounts: [web]}}]}]}"));
    shop.becomes(GUEST, "/", 403).await;
    assert!(repeats(&mut *web, "allowed").await);
    shop.world.write("policies.yaml", &policy("none", "{}"));
    ends(&mut *web).await;
    // A request on a connection that was there before is decided about as of now.
    shop.world.write("policies.yaml", "");
    shop.becomes(WEB, "/", 200).await;
    let mut kept = shop.connect(WEB, shop.web).await.unwrap();
    let asks = "GET / HTTP/1.1\r\nhost: cart.shop\r\n\r\n";
    let mut status = async |wanted: &str| {
        kept.write_all(asks.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        kept.read_exact(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let mut rest = [0; 4096];
        let _ = tokio::time::timeout(Duration::from_secs(5), kept.read(&mut rest)).await.unwrap();
        text.ends_with(wanted)
    };
    assert!(status("200").await);
    shop.world.write("policies.yaml", &policy("none", "{}"));
    shop.becomes(GUEST, "/", 403).await;
    assert!(status("403").await);
}
