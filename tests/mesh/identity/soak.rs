use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::load::Load;

/// Long connections.
const CONNECTIONS: usize = 20;
/// A soak that is to prove something.
const LONG: Duration = Duration::from_secs(600);
/// Between two messages of one.
const PACE: Duration = Duration::from_millis(200);

/// What the mesh is made of: all strict, `web` with a port of its machine for the database.
fn shop([port, http, database]: [u16; 3]) -> String {
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: cart, namespace: shop}}
spec: {{selector: {{app: cart}}, ports: [{{name: http, port: 80, targetPort: http}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: db, namespace: shop}}
spec: {{selector: {{app: cart}}, ports: [{{name: tcp, port: 3306, targetPort: tcp}}]}}
---
apiVersion: ninon.dev/v1alpha1
kind: PeerAuthentication
metadata: {{name: default, namespace: ninon-system}}
spec: {{mtls: {{mode: STRICT}}}}
---
apiVersion: ninon.dev/v1alpha1
kind: Workload
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec:
  addresses: [127.0.0.1]
  ports: [{{name: http, port: {port}, applicationPort: {port}}}]
  serviceAccount: web
  sidecar:
    outbound: '127.0.0.1:{http}'
    mutualTls: true
    binds: [{{address: '127.0.0.1:{database}', service: db, port: 3306}}]
"
    )
}

/// A sidecar that joins by a token, and its admin port.
pub(super) async fn join(world: &World, name: &str, more: &[&str]) -> (Process, u16) {
    let token = world.does(&["token", "create", "-n", "shop", "--service-account", name]);
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{}", world.secure_xds), "--token", token.trim(), "--workload", name]);
    command.args(["--admin-address", &format!("127.0.0.1:{admin}")]).args(more);
    let mut process = Process::start(command, Folder::new()).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}", process.log()));
    (process, admin)
}

/// When a sidecar's own certificate ends.
pub(super) async fn expires(admin: u16, account: &str) -> Option<SystemTime> {
    let (_, page) = named::get(admin, "/certs", "host: localhost\r\n", LIMIT).await?;
    let page: Value = serde_json::from_str(&page).ok()?;
    let own = json!([{"uri": format!("spiffe://cluster.local/ns/shop/sa/{account}")}]);
    let all = page["certificates"].as_array()?.iter().flat_map(|entry| entry["cert_chain"].as_array().into_iter().flatten());
    let ends = all.filter(|certificate| certificate["subject_alt_names"] == own).filter_map(|one| one["expiration_time"].as_str());
    ends.filter_map(|text| humantime::parse_rfc3339(text).ok()).min()
}

/// A server that says everything again.
async fn echo() -> (u16, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut from, mut to) = stream.split();
                drop(tokio::io::copy(&mut from, &mut to).await);
            });
        }
    });
    (port, serving)
}

/// Connections one after the other, each as long as it is left open.
struct Long {
    ended: usize,
    /// Those that ended before the certificates that were there at their beginning.
    early: Vec<String>,
}

async fn long(port: u16, admins: [u16; 2], seen: Arc<Mutex<Long>>, mut enough: watch::Receiver<bool>) {
    while !*enough.borrow() {
        let ends = [expires(admins[0], "cart").await, expires(admins[1], "web").await];
        let Some(until) = ends[0].zip(ends[1]).map(|(one, other)| one.min(other)) else {
            seen.lock().unwrap().early.push(format!("certificates are not told: {ends:?}"));
            return;
        };
        let Err(why) = talk(SocketAddr::from(([127, 0, 0, 1], port)), &mut enough).await else { return };
        let left = until.duration_since(SystemTime::now());
        let mut seen = seen.lock().unwrap();
        seen.ended += 1;
        if let Ok(left) = left {
            seen.early.push(format!("{left:?} before the end of its certificates: {why}"));
        }
    }
}

/// Messages there and back, until it breaks or it is enough.
async fn talk(server: SocketAddr, enough: &mut watch::Receiver<bool>) -> Result<(), String> {
    let mut stream = TcpStream::connect(server).await.map_err(|error| format!("connecting: {error}"))?;
    while !*enough.borrow() {
        let (sent, mut got) = ([7; 100], [0; 100]);
        let exchange = async {
            stream.write_all(&sent).await?;
            stream.read_exact(&mut got).await
        };
        match timeout(LIMIT, exchange).await {
            Ok(Ok(_)) => assert_eq!(sent, got),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer in time".to_owned()),
        }
        let _told = timeout(PACE, enough.changed()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_and_restarts_cost_no_request_and_no_connection() {
    let whole = settings::mesh_soak();
    let (life, grace) = if whole < Duration::from_secs(120) { ("10s", "5s") } else { ("30s", "45s") };
    let mut world =
        World::start_with(&["--certificate-ttl", life, "--max-certificate-ttl", life, "--registration-orphan-grace", grace]).await;
    let [port, http, database, at_cart, database_at_cart, unused] = std::array::from_fn(|_| ports::free());
    world.write("shop.yaml", &shop([port, http, database]));
    let application = Named::start("cart").await;
    let (echo_port, _echo) = echo().await;
    let ports = format!("http={at_cart}:{},tcp={database_at_cart}:{echo_port}", application.port);
    let outbound = format!("127.0.0.1:{unused}");
    let more = ["--port", &ports, "--label", "app=cart", "--address", "127.0.0.1", "--outbound-address", &outbound];
    let ttl = ["--certificate-ttl", life];
    let (cart, cart_admin) = join(&world, "cart", &[&more[..], &ttl].concat()).await;
    let (web, web_admin) = join(&world, "web", &ttl).await;
    crate::world::until(http, "/", "cart", (200, "cart")).await;
    let began = Instant::now();
    let load = Load::start(http, "cart", "/");
    let (seen, enough) = (Arc::new(Mutex::new(Long { ended: 0, early: Vec::new() })), watch::Sender::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        clients.spawn(long(database, [cart_admin, web_admin], Arc::clone(&seen), enough.subscribe()));
    }

    let old = ca(&world)["roots"][0]["fingerprint"].clone();
    tokio::time::sleep_until(began + whole / 10).await;
    world.kill();
    world.serve().await;
    tokio::time::sleep_until(began + whole / 5).await;
    world.does(&["ca", "rotate"]);
    tokio::time::sleep_until(began + whole * 2 / 5).await;
    world.end(LIMIT).await;
    world.serve().await;
    tokio::time::sleep_until(began + whole).await;
    let steady = || async { Some(ca(&world)).filter(|ca| ca["rotation"]["step"] == "steady" && ca["roots"][0]["fingerprint"] != old) };
    let steady = eventually(LIMIT * 3, steady).await;
    enough.send_replace(true);
    let mut tally = load.end().await;
    while clients.join_next().await.is_some() {}
    let good = tally.remove("200 cart").unwrap_or_default();
    let seen = seen.lock().unwrap();
    println!(
        "{} s: {good} requests, failed: {tally:?}; {} connections ended, early: {:?}",
        began.elapsed().as_secs(),
        seen.ended,
        seen.early
    );
    let logs = || format!("{}\n{}\n{}", world.log(), web.log(), cart.log());
    assert!(steady.is_some(), "the rotation is to end: {:#}\n{}", ca(&world), logs());
    assert!(tally.is_empty() && good > 0, "{tally:?}\n{}", logs());
    // A load that crawls proves nothing; the short one of every day may.
    assert!(whole < LONG || u64::try_from(good).unwrap() >= 300 * whole.as_secs(), "{good} requests in {whole:?}");
    assert!(seen.early.is_empty() && seen.ended > 0, "{:?}\n{}", seen.early, logs());
}
