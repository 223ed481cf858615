use ninon_tests::capture::Capture;
use ninon_tests::eventually::eventually;
use ninon_tests::network::{Host, Network};
use ninon_tests::process::Process;
use ninon_tests::settings;

use crate::mesh::control_plane;
use crate::world::{Application, LIMIT, MAIL, OTHER, Sidecar, WEB, curl, mail, redirected};

/// What nobody says by chance, in a request and, as the application repeats it, in the answer.
const MARKER: &str = "a-marker-that-nobody-else-says";

const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec:
  clusterIPs: [10.96.0.10]
  clusterIP: 10.96.0.10
  selector: {app: shop}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: mail, port: 25, targetPort: 2525, appProtocol: tcp}
";

fn authentication(mode: &str) -> String {
    format!(
        "---\napiVersion: ninon.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: ninon-system}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
    )
}

/// One of the operator's commands.
fn ninon(host: &Host, control_plane: &Process, words: &[&str]) -> String {
    let mut command = host.command(settings::control_plane_binary());
    command.args(words).env("NINON_SERVER", "http://127.0.0.1:15014");
    let output = command.env("NINON_TOKEN_FILE", control_plane.folder().join("data/admin-token")).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Four hosts: two sidecars that joined by tokens, somebody without one, and the control plane.
struct Mesh {
    network: Network,
    client: Host,
    server: Host,
    attacker: Host,
    control: Host,
    control_plane: Process,
}

impl Mesh {
    async fn new(mode: &str) -> Self {
        let network = Network::new();
        let [client, server, attacker, control] =
            [("client", 1), ("server", 2), ("attacker", 2), ("control", 1)].map(|(name, node)| network.host(name, node));
        let control_plane = control_plane(&control, &format!("{SERVICE}{}", authentication(mode))).await;
        for host in [&client, &server] {
            redirected(host, &[]);
        }
        Self { network, client, server, attacker, control, control_plane }
    }

    async fn join<'a>(&self, host: &'a Host, workload: &str, more: &[&str]) -> Sidecar<'a> {
        let account = workload.trim_end_matches("-1");
        let words = ["token", "create", "-n", "shop", "--service-account", account, "--workload", workload, "--uses", "1"];
        let token = ninon(&self.control, &self.control_plane, &words);
        Sidecar::join(host, &format!("{}:15012", self.control.v4), token.trim(), workload, more).await
    }

    async fn client_and_server(&self) -> (Sidecar<'_>, Sidecar<'_>) {
        let into = self.join(&self.server, "server-1", &["--port", "http=8080,mail=2525", "--label", "app=shop"]).await;
        let out = self.join(&self.client, "client-1", &["--port", "http=8080", "--label", "app=client"]).await;
        let is_told = || async { self.asks().await.is_ok().then_some(()) };
        if eventually(LIMIT, is_told).await.is_none() {
            panic!("{:?}\n{}\n{}\n{}", self.asks().await, out.said(), into.said(), self.control_plane.log());
        }
        (out, into)
    }

    /// A request by the service's address, with a marker that comes back.
    async fn asks(&self) -> Result<String, String> {
        let header = format!("x-marker: {MARKER}");
        let words = ["curl", "-sSf", "--noproxy", "*", "--max-time", "15", "-H", &header, "http://10.96.0.10/"];
        let output = self.client.output(&words);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }
}

#[tokio::test]
async fn between_hosts_nothing_is_in_plain_text() {
    let mesh = Mesh::new("STRICT").await;
    let _application = Application::start(&mesh.server, "shop");
    // From before anybody has a certificate: tokens go over the wire then.
    let captures = [Capture::start(mesh.network.node(1), "wire"), Capture::start(&mesh.server, "eth0")];
    let own = Capture::start(&mesh.server, "lo");
    let (out, into) = mesh.client_and_server().await;
    let seen = mesh.asks().await.unwrap();
    assert!(seen.starts_with("shop to 127.0.0.1: get") && seen.contains(MARKER), "{seen}");
    // The server speaks first, and the client says a line.
    assert_eq!(mail(&mesh.client, mesh_service(), 25).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
    for captured in captures.map(Capture::stop) {
        assert!(captured.frames() > 6, "they did speak");
        for plain in [MARKER, "GET / HTTP", "220 shop", "hello", "ninon-join-"] {
            assert!(!captured.holds(plain.as_bytes()), "{plain:?} is in plain text");
        }
        // What is in the clear of a handshake: that it is TLS, and that it is the mesh.
        assert!(captured.holds(b"\x16\x03"));
    }
    assert!(own.stop().holds(MARKER.as_bytes()), "within the host it is what the application understands");
    let [all, encrypted] = ["cx_total", "cx_ssl_total"].map(|what| into.counter(&format!("http.inbound:8080.downstream_{what}")));
    assert!(all > 0 && all == encrypted, "{all} connections, {encrypted} by TLS");
    assert!(!out.said().contains("WARN") && !into.said().contains("WARN"), "{}\n{}", out.said(), into.said());
}

fn mesh_service() -> std::net::IpAddr {
    "10.96.0.10".parse().unwrap()
}

#[tokio::test]
async fn who_has_no_certificate_is_refused_where_it_is_strict() {
    let mesh = Mesh::new("STRICT").await;
    let _application = Application::start(&mesh.server, "shop");
    let (_out, into) = mesh.client_and_server().await;
    // Ports that the workload names, and one that it does not.
    for (port, name) in [(WEB, "inbound:8080"), (MAIL, "inbound:2525"), (OTHER, "passthrough")] {
        let before = into.counter("listener.0.0.0.0_15006.ssl.connection_error");
        let answer = if port == WEB { curl(&mesh.attacker, mesh.server.v4, port) } else { mail(&mesh.attacker, mesh.server.v4, port) };
        assert!(!answer.clone().unwrap_or_default().contains("shop"), "{name}: {answer:?}");
        assert!(into.counter("listener.0.0.0.0_15006.ssl.connection_error") > before, "{name}");
    }
    // And the operator is told who came, and why he was sent away.
    let why = "TLS handshake: the client does not speak TLS";
    let told = |line: &str| line.contains(" WARN ") && line.contains(why) && line.contains(&format!("client={}:", mesh.attacker.v4));
    assert!(into.said().lines().any(told), "{}", into.said());
    // TLS without a certificate is no better.
    let address = format!("{}:{WEB}", mesh.server.v4);
    let words = ["openssl", "s_client", "-connect", &address, "-alpn", "ninon", "-tls1_3", "-quiet"];
    let output = mesh.attacker.command("timeout").args(["10"]).args(words).stdin(std::process::Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("certificate required"), "{told}");
    assert!(mesh.asks().await.is_ok(), "others are served meanwhile");
}

#[tokio::test]
async fn who_has_no_certificate_is_served_where_it_is_permissive() {
    let mesh = Mesh::new("PERMISSIVE").await;
    let _application = Application::start(&mesh.server, "shop");
    let (_out, into) = mesh.client_and_server().await;
    assert!(curl(&mesh.attacker, mesh.server.v4, WEB).unwrap().starts_with("shop to 127.0.0.1: get"));
    // The server speaks first: nobody waits for the client's first byte for ever.
    assert_eq!(mail(&mesh.attacker, mesh.server.v4, MAIL).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
    assert_eq!(mail(&mesh.attacker, mesh.server.v4, OTHER).unwrap(), "220 shop to 127.0.0.6\n250 hello\n");
    let capture = Capture::start(&mesh.server, "eth0");
    assert!(mesh.asks().await.unwrap().contains(MARKER));
    assert!(!capture.stop().holds(MARKER.as_bytes()), "who has a certificate uses it");
    assert!(into.counter("http.inbound:8080.downstream_cx_ssl_total") > 0);
}

#[tokio::test]
async fn a_policy_holds_at_every_port() {
    let mesh = Mesh::new("PERMISSIVE").await;
    let _application = Application::start(&mesh.server, "shop");
    let (_out, into) = mesh.client_and_server().await;
    let answer = |port| match port {
        WEB => curl(&mesh.attacker, mesh.server.v4, port).unwrap_or_default(),
        port => mail(&mesh.attacker, mesh.server.v4, port).unwrap_or_default(),
    };
    for port in [WEB, MAIL, OTHER] {
        assert!(answer(port).contains("shop to 127.0.0."), "{port}: nothing is said yet");
    }
    let file = mesh.control_plane.folder().join("policy.yaml");
    let spec = "{selector: {matchLabels: {app: shop}}, rules: [{from: [{source: {serviceAccounts: [client]}}]}]}";
    let kind = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy";
    std::fs::write(&file, format!("{kind}\nmetadata: {{name: shop, namespace: shop}}\nspec: {spec}\n")).unwrap();
    ninon(&mesh.control, &mesh.control_plane, &["apply", "-f", file.to_str().unwrap()]);
    let is_closed = || async { (!answer(WEB).contains("shop to")).then_some(()) };
    eventually(LIMIT, is_closed).await.unwrap_or_else(|| panic!("{}", into.said()));
    // Ports that the workload names, and one that it does not.
    for port in [MAIL, OTHER] {
        assert!(!answer(port).contains("220"), "{port}");
    }
    assert!(mesh.asks().await.unwrap().contains(MARKER), "the client may");
    assert_eq!(mail(&mesh.client, mesh_service(), 25).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
}
