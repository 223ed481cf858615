use ninon_tests::named;
use ninon_tests::ports;
use ninon_tests::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::peers::{Port, STRICT, join};
use super::*;
use crate::world::Program;

/// Of the mesh, and of a service; either may be empty.
fn policy(of_mesh: &str, of_service: &str) -> String {
    let mut text = STRICT.to_owned();
    if !of_mesh.is_empty() {
        text += &format!(
            "---\napiVersion: ninon.dev/v1alpha1\nkind: MeshConfig\nmetadata: {{name: mesh}}\nspec: {{h2UpgradePolicy: {of_mesh}}}\n"
        );
    }
    if !of_service.is_empty() {
        text += &format!(
            "---\napiVersion: ninon.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: cart, namespace: shop}}\nspec: {{targetRef: {{name: cart}}, \
             h2UpgradePolicy: {of_service}}}\n"
        );
    }
    text
}

/// An application that answers with the head of what it got, in pieces and with a trailer where that is asked for, and turns into an echo
/// where it is asked to.
async fn application() -> Application {
    serve(answer).await
}

/// Where an application listens, and its tasks.
pub(super) type Application = (u16, JoinSet<()>);

/// An application that does so with each connection.
pub(super) async fn serve<F: Future<Output = ()> + Send + 'static>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream));
        }
    });
    (port, serving)
}

async fn answer(mut stream: TcpStream) {
    while let Some(head) = read_head(&mut stream).await {
        let lower = head.to_ascii_lowercase();
        if lower.contains("upgrade: websocket") {
            let accepted =
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Accept: mine\r\n\r\n";
            stream.write_all(accepted.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            let _ended = tokio::io::copy(&mut read, &mut write).await;
            return;
        }
        let reply = if head.starts_with("GET /pieces ") {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\n\r\n".to_owned()
        } else {
            format!("HTTP/1.1 200 OK\r\nX-Mine: yes\r\ncontent-length: {}\r\n\r\n{head}", head.len())
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A head, byte by byte: what follows it is somebody else's.
pub(super) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Two sidecars, with an application at the second one.
pub(super) struct Pair {
    pub(super) world: World,
    web: u16,
    cart: u16,
    /// Of the second one.
    port: u16,
    stranger: Stranger,
    pub(super) outbound: u16,
    _running: (Process, Process, JoinSet<()>),
}

impl Pair {
    pub(super) async fn start(policy: &str, client: Program, server: Program) -> Self {
        Self::before(application().await, policy, client, server).await
    }

    pub(super) async fn before((application, serving): Application, policy: &str, client: Program, server: Program) -> Self {
        let world = World::start().await;
        world.write("shop.yaml", policy);
        let stranger = Stranger::new(&world);
        let (outbound, port, unused) = (ports::free(), ports::free(), ports::free());
        let (one, cart) = join((&world, &stranger), server, "cart", &[Port::new("http", port, application)], ports::free()).await;
        let (other, web) = join((&world, &stranger), client, "web", &[Port::new("http", unused, unused)], outbound).await;
        let pair = Self { world, web, cart, port, stranger, outbound, _running: (one, other, serving) };
        pair.answers("/").await;
        pair
    }

    /// What the application saw, when it is reached.
    async fn answers(&self, path: &str) -> String {
        let asks = || async {
            let (status, body) = named::get(self.outbound, path, "host: cart\r\nX-Case: Kept\r\n", LIMIT).await?;
            (status == 200).then_some(body)
        };
        eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}", self._running.0.log(), self._running.1.log()))
    }

    async fn counts(&self, admin: u16, name: &str) -> u64 {
        let (_, stats) = named::get(admin, &format!("/stats?filter={name}$"), "host: x\r\n", LIMIT).await.unwrap();
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// Connections between the sidecars, by the version of HTTP, as the client counts them.
    async fn versions(&self) -> (u64, u64) {
        let of = |version: &'static str| self.counts(self.web, version);
        (of("cluster.cart.shop:80.upstream_cx_http1_total").await, of("cluster.cart.shop:80.upstream_cx_http2_total").await)
    }
}

/// A WebSocket's opening and some bytes each way; what the answer's head says.
async fn echoes(outbound: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", outbound)).await.unwrap();
    let opening = "GET /socket HTTP/1.1\r\nhost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: mine\r\n\r\n";
    stream.write_all(opening.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    for said in ["first", "second"] {
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut heard = vec![0; said.len()];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said.as_bytes());
    }
    head.to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_upgrade_sidecars_speak_http_2_and_the_application_http_1() {
    let pair = Pair::start(&policy("UPGRADE", ""), Program::Ninon, Program::Ninon).await;
    let seen = pair.answers("/").await;
    assert!(seen.starts_with("GET / HTTP/1.1\r\n") && seen.contains("x-case: Kept\r\n"), "names are in lower case then: {seen}");
    let (one, two) = pair.versions().await;
    assert!(one == 0 && two >= 1, "HTTP/1 {one}, HTTP/2 {two}");
    assert!(pair.counts(pair.cart, "http.inbound.*.downstream_cx_http2_total").await >= 1);
    assert_eq!(pair.counts(pair.cart, "http.inbound.*.downstream_cx_http1_total").await, 0);
    // A body in pieces comes whole.
    let pieces = pair.answers("/pieces").await;
    assert!(pieces.contains("one") && pieces.contains("two") && !pieces.contains("x-sum"), "trailers are dropped: {pieces}");
    // What asks for another protocol goes over HTTP/1.1, and works.
    let head = echoes(pair.outbound).await;
    assert!(head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-accept: mine"), "{head}");
    let (one, two) = pair.versions().await;
    assert!(one == 1 && two >= 1, "HTTP/1 {one}, HTTP/2 {two}");
    pair.answers("/").await;
    assert_eq!(pair.versions().await.0, 1, "and nothing else does");

    // Taken back while it serves.
    pair.world.write("shop.yaml", &policy("UPGRADE", "DO_NOT_UPGRADE"));
    let back = || async {
        pair.answers("/").await;
        (pair.versions().await.0 > 1).then_some(())
    };
    eventually(LIMIT, back).await.expect("it is HTTP/1 again");
    pair.world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_word_http_1_stays_as_it_is() {
    let pair = Pair::start(STRICT, Program::Ninon, Program::Ninon).await;
    let seen = pair.answers("/").await;
    assert!(seen.contains("X-Case: Kept\r\n"), "{seen}");
    // The application is told who its client is.
    assert!(matches!(told(&seen).as_slice(), [web] if web.ends_with(";URI=spiffe://cluster.local/ns/shop/sa/web")), "{seen}");
    let pieces = pair.answers("/pieces").await;
    assert!(pieces.contains("two") && !pieces.contains("x-sum"), "trailers are dropped here as well: {pieces}");
    let (one, two) = pair.versions().await;
    assert!(one >= 1 && two == 0, "HTTP/1 {one}, HTTP/2 {two}");
    assert!(echoes(pair.outbound).await.starts_with("http/1.1 101 "));
    pair.world.write("shop.yaml", &policy("", "UPGRADE"));
    let upgraded = || async {
        pair.answers("/").await;
        (pair.versions().await.1 > 0).then_some(())
    };
    eventually(LIMIT, upgraded).await.expect("a service's policy counts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_takes_http_2_and_as_a_client_goes_on_with_http_1() {
    let pair = Pair::start(&policy("UPGRADE", ""), Program::Ninon, Program::Envoy).await;
    assert!(pair.answers("/").await.starts_with("GET / HTTP/1.1\r\n"));
    let (one, two) = pair.versions().await;
    assert!(one == 0 && two >= 1, "HTTP/1 {one}, HTTP/2 {two}");
    assert!(echoes(pair.outbound).await.starts_with("http/1.1 101 "));
    pair.world.is_accepted_by_all().await;
    drop(pair);
    let pair = Pair::start(&policy("UPGRADE", ""), Program::Envoy, Program::Ninon).await;
    assert!(pair.counts(pair.cart, "http.inbound.*.downstream_cx_http1_total").await >= 1);
    assert_eq!(pair.counts(pair.cart, "http.inbound.*.downstream_cx_http2_total").await, 0);
    assert!(echoes(pair.outbound).await.starts_with("http/1.1 101 "));
    pair.world.is_accepted_by_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_without_a_sidecar_is_spoken_to_as_ever() {
    let pair = Pair::start(&policy("UPGRADE", ""), Program::Ninon, Program::Ninon).await;
    let (bare, _serving) = application().await;
    pair.world.apply(&format!(
        "apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: bare, namespace: shop, labels: {{app: cart}}}}\nspec:\n  \
         addresses: [127.0.0.1]\n  ports: [{{name: http, port: {bare}}}]\n"
    ));
    let both = || async {
        // What the one without a sidecar sees went through one codec only.
        let seen = pair.answers("/").await;
        seen.contains("X-Case: Kept\r\n").then_some(())
    };
    eventually(LIMIT, both).await.expect("both are endpoints");
    let (one, two) = pair.versions().await;
    assert!(one >= 1 && two >= 1, "HTTP/1 {one}, HTTP/2 {two}");
    for _ in 0..20 {
        let (status, _) = named::get(pair.outbound, "/", "host: cart\r\n", LIMIT).await.unwrap();
        assert_eq!(status, 200);
    }
}

/// What an application is told of its client.
fn told(head: &str) -> Vec<&str> {
    head.lines()
        .filter_map(|line| line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-client-cert")))
        .map(|(_, told)| told)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_of_itself_is_taken_away() {
    const FORGED: &str = "x-forwarded-client-cert: URI=spiffe://cluster.local/ns/shop/sa/admin\r\n";
    for server in [Program::Ninon, Program::Envoy] {
        // Plain text is let in, too.
        let policy = STRICT.replace("mode: STRICT", "mode: PERMISSIVE");
        let pair = Pair::start(&policy, Program::Ninon, server).await;
        let (_, seen) = named::get(pair.port, "/", &format!("host: cart\r\n{FORGED}{FORGED}"), LIMIT).await.unwrap();
        assert_eq!(told(&seen), Vec::<&str>::new(), "{seen}");

        pair.stranger.joins("other", &token(&pair.world, "shop", &[]), 600);
        let words = format!(
            "20 openssl s_client -connect 127.0.0.1:{} -alpn ninon -quiet -CAfile root.pem -cert other.pem -key other.key",
            pair.port
        );
        let mut command = Command::new("timeout");
        command.args(words.split(' ')).current_dir(pair.stranger.folder.path());
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: cart\r\n{FORGED}{FORGED}connection: close\r\n\r\n");
        client.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        let output = client.wait_with_output().unwrap();
        let seen = String::from_utf8_lossy(&output.stdout);
        let told = told(&seen);
        let is_other = |told: &str| {
            told.starts_with("By=spiffe://cluster.local/ns/shop/sa/cart;Hash=")
                && told.ends_with(";URI=spiffe://cluster.local/ns/shop/sa/cart")
        };
        assert!(matches!(told.as_slice(), [told] if is_other(told)), "{seen}");
    }
}
