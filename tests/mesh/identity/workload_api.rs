use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;
use ninon_tests::workload_api::{self, Domain};

use super::nearly::given;
use super::peers::STRICT;
use super::*;

/// A sidecar whose identity is not the control plane's to give.
struct Sidecar {
    process: Process,
    admin: u16,
    _api: workload_api::Program,
}

async fn join(world: &World, files: &Stranger, domain: &Domain, name: &str, port: &str, outbound: u16) -> Sidecar {
    let socket = files.path(&format!("{name}.sock"));
    let mut api = workload_api::Program::server(&socket);
    api.says(&domain.says(&domain.issue(&format!("spiffe://cluster.local/ns/shop/sa/{name}")), &[]).to_string());
    let admin = ports::free();
    let mut command = Command::new(settings::ninon_binary());
    command.args(["run", "--mesh", &format!("127.0.0.1:{}", world.secure_xds), "--workload", name, "--port", port]);
    // As SPIFFE names it.
    command.env("SPIFFE_ENDPOINT_SOCKET", format!("unix://{}", socket.display()));
    command.arg("--mesh-ca").arg(files.path("ca.pem"));
    command.args(["--label", &format!("app={name}"), "--address", "127.0.0.1", "--log-level", "debug"]);
    command.args(["--outbound-address", &format!("127.0.0.1:{outbound}"), "--admin-address", &format!("127.0.0.1:{admin}")]);
    let mut process = Process::start(command, Folder::new()).unwrap();
    process.wait_until_ready(admin).await.unwrap_or_else(|problem| panic!("{problem}: {}\n{}", process.log(), world.log()));
    Sidecar { process, admin, _api: api }
}

/// The operator lists the roots of the other authority in `--ca-root`: its workloads are known at the secure port, and to one another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_takes_identities_of_the_workload_api() {
    let files = Stranger { folder: Folder::new(), port: 0 };
    let mut flags = given(&files);
    let domain = Domain::new("cluster.local");
    let roots = files.path("roots.pem");
    fs::write(&roots, format!("{}{}", files.text("ca.pem"), domain.pem)).unwrap();
    *flags.last_mut().unwrap() = roots.to_str().unwrap().to_owned();
    let world = World::start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    world.write("shop.yaml", STRICT);
    let application = Named::start("cart").await;
    let [port, outbound, other] = [ports::free(), ports::free(), ports::free()];
    let cart = join(&world, &files, &domain, "cart", &format!("http={port}:{}", application.port), other).await;
    let web = join(&world, &files, &domain, "web", &ports::free().to_string(), outbound).await;
    let asks = || async { named::get(outbound, "/", "host: cart\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    let (_, answer) =
        eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}\n{}", web.process.log(), cart.process.log(), world.log()));
    assert!(answer.contains("cart"), "{answer}");
    let plain = named::get(port, "/", "host: cart\r\n", LIMIT).await;
    assert!(plain.as_ref().is_none_or(|(status, _)| *status != 200), "plain text is refused: {plain:?}");
    let identities: Vec<Value> = world.proxies().iter().map(|proxy| proxy["identity"].clone()).collect();
    for name in ["cart", "web"] {
        assert!(identities.contains(&json!(format!("spiffe://cluster.local/ns/shop/sa/{name}"))), "{identities:?}");
    }
    let (_, stats) = named::get(web.admin, "/stats", "host: x\r\n", LIMIT).await.unwrap();
    assert!(stats.contains("ninon.identity.issued: 1"), "{stats}");
}
