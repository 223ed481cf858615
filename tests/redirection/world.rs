use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use ninon_tests::eventually::eventually;
use ninon_tests::network::{Host, PROXY};
use ninon_tests::process::{Folder, Process};
use ninon_tests::settings;
use serde_json::{Value, json};
use socket2::SockRef;

/// Far more than anything here takes on a crowded machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// HTTP.
pub const WEB: u16 = 8080;
/// A protocol in which the server speaks first.
pub const MAIL: u16 = 2525;
/// The same, of which the sidecar is told nothing.
pub const OTHER: u16 = 2626;

/// What a sidecar is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the outbound listener is; IPv6 has one at `::1`, too.
    pub outbound: &'static str,
    /// The inbound listener is one for both families.
    pub dual: bool,
    /// Mode `tproxy`.
    pub transparent: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self { outbound: "127.0.0.1", dual: false, transparent: false }
    }
}

/// A proxy on a host, as a user of its own.
pub struct Sidecar<'a> {
    host: &'a Host,
    process: Process,
}

impl<'a> Sidecar<'a> {
    pub async fn start(host: &'a Host, plan: Plan) -> Self {
        let folder = Folder::new();
        chown(folder.path(), Some(PROXY), Some(PROXY)).unwrap();
        let file = folder.path().join("bootstrap.json");
        fs::write(&file, bootstrap(plan, &folder.path().join("access.log")).to_string()).unwrap();
        let mut command = if plan.transparent { host.command_with_net_admin(PROXY, program()) } else { host.command_as(PROXY, program()) };
        command.args(["run", "--workers", "2", "--health-address", "[::]:15020", "-c"]).arg(&file);
        Self::ready(host, command, folder).await
    }

    /// One that a control plane tells what to do, beside a workload of the namespace `shop`.
    pub async fn follow(host: &'a Host, control_plane: &str, workload: &str) -> Self {
        Self::follow_with(host, control_plane, workload, &[]).await
    }

    /// With more flags.
    pub async fn follow_with(host: &'a Host, control_plane: &str, workload: &str, more: &[&str]) -> Self {
        let mut command = host.command_as(PROXY, program());
        command.args(["run", "--workers", "2", "--xds-address", control_plane, "--node-id", workload]);
        command.args(["--node-metadata", &format!("NAMESPACE=shop,WORKLOAD_NAME={workload}")]).args(more);
        Self::ready(host, command, Folder::new()).await
    }

    /// One that shows the application its clients' addresses.
    pub async fn follow_transparently(host: &'a Host, control_plane: &str, workload: &str) -> Self {
        let mut command = host.command_with_net_admin(PROXY, program());
        command.args(["run", "--workers", "2", "--xds-address", control_plane, "--node-id", workload, "--inbound-mode", "tproxy"]);
        command.args(["--node-metadata", &format!("NAMESPACE=shop,WORKLOAD_NAME={workload}")]);
        Self::ready(host, command, Folder::new()).await
    }

    /// One that joins a mesh by a token, beside a workload.
    pub async fn join(host: &'a Host, control_plane: &str, token: &str, workload: &str, more: &[&str]) -> Self {
        let mut command = host.command_as(PROXY, program());
        command.args(["run", "--workers", "2", "--mesh", control_plane, "--token", token, "--workload", workload]).args(more);
        Self::ready(host, command, Folder::new()).await
    }

    async fn ready(host: &'a Host, command: Command, folder: Folder) -> Self {
        let sidecar = Self { host, process: Process::start(command, folder).unwrap() };
        let ready = || async { host.inside(|| get("127.0.0.1:15000", "/ready").starts_with("HTTP/1.1 200")).then_some(()) };
        if eventually(LIMIT, ready).await.is_none() {
            panic!("it is not ready: {}", sidecar.process.log());
        }
        sidecar
    }

    /// Waits until its log, or its access log, holds a text.
    pub async fn says(&self, text: &str) {
        if eventually(LIMIT, || async { self.said().contains(text).then_some(()) }).await.is_none() {
            panic!("it does not say {text:?}:\n{}", self.said());
        }
    }

    /// Its log and its access log.
    pub fn said(&self) -> String {
        let access = fs::read_to_string(self.process.folder().join("access.log")).unwrap_or_default();
        format!("{}\n{access}", self.process.log())
    }

    /// A counter.
    pub fn counter(&self, name: &str) -> u64 {
        let stats = self.host.inside(|| get("127.0.0.1:15000", "/stats"));
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {stats}"))
    }
}

/// The proxy's program, where any user may run it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<(PathBuf, Option<Folder>)> = OnceLock::new();
    let (path, _) = PROGRAM.get_or_init(|| {
        let built = settings::ninon_binary();
        let runs = Command::new("setpriv").args(["--reuid=1337", "--clear-groups"]).arg(&built).arg("--version").output();
        if runs.is_ok_and(|output| output.status.success()) {
            return (built, None);
        }
        let folder = Folder::new();
        let copy = folder.path().join("ninon-proxy");
        fs::copy(&built, &copy).unwrap();
        (copy, Some(folder))
    });
    path
}

/// `ninon-proxy redirect` as root.
pub fn redirect(host: &Host, words: &[&str]) -> Output {
    host.command(program()).arg("redirect").args(words).output().unwrap()
}

/// One that has to work; what it prints.
pub fn redirected(host: &Host, words: &[&str]) -> String {
    let output = redirect(host, words);
    assert!(output.status.success(), "redirect {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A service: says who it is and who its client is.
pub struct Application {
    listeners: Vec<TcpListener>,
}

impl Application {
    pub fn start(host: &Host, name: &'static str) -> Self {
        let listeners = host.inside(|| [WEB, MAIL, OTHER].map(|port| TcpListener::bind(("::", port)).unwrap()).into_iter().collect());
        let application = Self { listeners };
        for listener in &application.listeners {
            let listener = listener.try_clone().unwrap();
            thread::spawn(move || {
                while let Ok((stream, peer)) = listener.accept() {
                    thread::spawn(move || answer(stream, peer, name));
                }
            });
        }
        application
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // Ends who waits for a connection.
            let _ = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        }
    }
}

fn answer(mut stream: TcpStream, peer: SocketAddr, name: &str) {
    let peer = peer.ip().to_canonical();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // Clients that are cut off are part of the tests.
    if stream.local_addr().is_ok_and(|address| address.port() != WEB) {
        let mut line = String::new();
        let _ = stream.write_all(format!("220 {name} to {peer}\n").as_bytes());
        let _ = reader.read_line(&mut line);
        let _ = stream.write_all(format!("250 {line}").as_bytes());
        return;
    }
    let head: Vec<String> = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let body = format!("{name} to {peer}: {}\n", head.join("; ").to_lowercase());
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// A GET with curl: what it prints, or why it failed.
pub fn curl(host: &Host, to: impl Into<IpAddr>, port: u16) -> Result<String, String> {
    curl_as(host.command("curl"), to, port)
}

/// The same with a curl of some user.
pub fn curl_as(mut curl: Command, to: impl Into<IpAddr>, port: u16) -> Result<String, String> {
    let url = format!("http://{}/", SocketAddr::new(to.into(), port));
    let output = curl.args(["-g", "-sS", "--noproxy", "*", "--max-time", "15", &url]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Connects with Python, waits for the server's first line, says a line, and reads the rest.
pub fn mail(host: &Host, to: impl Into<IpAddr>, port: u16) -> Result<String, String> {
    const CLIENT: &str = "import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 15) as s, s.makefile('rw') as f:
    print(f.readline(), end='')
    f.write('hello\\n'); f.flush()
    print(f.read(), end='')";
    let output = host.command("python3").args(["-c", CLIENT, &to.into().to_string(), &port.to_string()]).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// A request with the sockets of this thread: the whole answer, or nothing.
pub fn get(address: &str, target: &str) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT) else { return String::new() };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut answer = String::new();
    let asked = stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes());
    // What came before a reset is what came.
    let _ = asked.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

/// A sidecar's configuration, as a control plane would make it.
fn bootstrap(plan: Plan, log: &Path) -> Value {
    let outbound = listener("outbound", vec![(plan.outbound, false), ("::1", false)], vec![], tcp("outbound", "outbound_passthrough", log));
    let addresses = if plan.dual { vec![("::", true)] } else { vec![("0.0.0.0", false), ("::", false)] };
    // TPROXY: a reply from 127.0.0.1 to the client's address could not be routed back, the application is reached at its own.
    let web = if plan.transparent { "inbound_passthrough" } else { "web" };
    let chains = vec![
        chain(15006, tcp("blackhole", "blackhole", log)),
        chain(WEB, http("web", web, log)),
        chain(MAIL, tcp("mail", if plan.transparent { "inbound_passthrough" } else { "mail" }, log)),
    ];
    let mut inbound = listener("inbound", addresses, chains, tcp("other", "inbound_passthrough", log));
    if plan.transparent {
        inbound["transparent"] = json!(true);
        let types = "type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc";
        let filter = json!({ "name": "envoy.filters.listener.original_src", "typed_config": { "@type": types, "mark": PROXY } });
        inbound["listener_filters"].as_array_mut().unwrap().push(filter);
    }
    let bind = json!({ "source_address": socket("127.0.0.6", 0), "extra_source_addresses": [{ "address": socket("::1", 0) }] });
    let mut inbound_passthrough = original("inbound_passthrough");
    if !plan.transparent {
        inbound_passthrough["upstream_bind_config"] = bind;
    }
    let mut steered = original("steered");
    steered["original_dst_lb_config"] = json!({ "use_http_header": true });
    json!({
        "node": { "id": "sidecar", "cluster": "tests" },
        "admin": { "address": { "socket_address": socket("127.0.0.1", 15000) } },
        "static_resources": {
            "listeners": [outbound, inbound],
            "clusters": [
                original("outbound_passthrough"),
                inbound_passthrough,
                steered,
                { "name": "web", "type": "STATIC", "load_assignment": assignment("web", WEB) },
                { "name": "mail", "type": "STATIC", "load_assignment": assignment("mail", MAIL) },
                { "name": "blackhole", "type": "STATIC", "load_assignment": { "cluster_name": "blackhole" } },
            ],
        },
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({ "address": address, "port_value": port })
}

fn listener(name: &str, addresses: Vec<(&str, bool)>, chains: Vec<Value>, default: Value) -> Value {
    let port = if name == "outbound" { 15001 } else { 15006 };
    let address = |(address, both): &(&str, bool)| {
        let mut socket = socket(address, port);
        socket["ipv4_compat"] = json!(both);
        json!({ "socket_address": socket })
    };
    let more: Vec<Value> = addresses[1..].iter().map(|one| json!({ "address": address(one) })).collect();
    json!({
        "name": name,
        "address": address(&addresses[0]),
        "additional_addresses": more,
        "traffic_direction": name.to_uppercase(),
        "listener_filters": [{
            "name": "envoy.filters.listener.original_dst",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst" },
        }],
        "filter_chains": chains,
        "default_filter_chain": { "filters": [default] },
    })
}

fn chain(port: u16, filter: Value) -> Value {
    json!({ "filter_chain_match": { "destination_port": port }, "filters": [filter] })
}

fn access_log(name: &str, log: &Path) -> Value {
    let line =
        format!("{name}: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% -> %DOWNSTREAM_LOCAL_ADDRESS% -> %UPSTREAM_HOST% %RESPONSE_FLAGS%\n");
    json!([{
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": log,
            "log_format": { "text_format_source": { "inline_string": line } },
        },
    }])
}

fn tcp(name: &str, cluster: &str, log: &Path) -> Value {
    json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name, "cluster": cluster, "access_log": access_log(name, log),
    } })
}

fn http(name: &str, cluster: &str, log: &Path) -> Value {
    let filters = "type.googleapis.com/envoy.extensions.filters";
    let header = json!({ "header": { "key": "x-inbound", "value": "seen" } });
    // A client may name a destination in a header; what it names is not to be the proxy itself.
    let steered = json!({ "match": { "prefix": "/steered" }, "route": { "cluster": "steered" } });
    let routes = json!([steered, { "match": { "prefix": "/" }, "route": { "cluster": cluster }, "request_headers_to_add": [header] }]);
    json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": format!("{filters}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "access_log": access_log(name, log),
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": { "@type": format!("{filters}.http.router.v3.Router") } }],
        "route_config": { "name": name, "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
    } })
}

fn original(name: &str) -> Value {
    json!({ "name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s" })
}

fn assignment(name: &str, port: u16) -> Value {
    let endpoint = json!({ "endpoint": { "address": { "socket_address": socket("127.0.0.1", port) } } });
    json!({ "cluster_name": name, "endpoints": [{ "lb_endpoints": [endpoint] }] })
}
