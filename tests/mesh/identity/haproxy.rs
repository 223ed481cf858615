use std::process::Command;

use ninon_tests::named::{self, Named};
use ninon_tests::ports;
use ninon_tests::process::Process;

use super::peers::{Port, STRICT, join};
use super::*;
use crate::world::Program;

const HEAD: &str = "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n";

/// Debian's, with the certificate of somebody's files.
pub(super) fn haproxy(stranger: &Stranger, name: &str, rest: &str) -> Process {
    let both = stranger.text(&format!("{name}.pem")) + &stranger.text(&format!("{name}.key"));
    fs::write(stranger.path(&format!("{name}.both")), both).unwrap();
    let file = stranger.path(&format!("{name}.cfg"));
    fs::write(&file, format!("{HEAD}{rest}")).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-f").arg(file).current_dir(stranger.folder.path());
    Process::start(command, Folder::new()).expect("haproxy is installed: `make test` does so")
}

/// A service with one workload, which is the account `cart`.
pub(super) fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  \
         ports: [{{name: http, port: 80, targetPort: http}}]\n---\n\
         apiVersion: ninon.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}-1, namespace: shop, labels: {{app: {name}}}}}\n\
         spec:\n  addresses: [127.0.0.1]\n  serviceAccount: cart\n  ports: [{{name: http, port: {port}}}]\n  \
         sidecar: {{mutualTls: true}}\n---\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_reaches_ninon() {
    let world = World::start().await;
    world.write("shop.yaml", STRICT);
    let (stranger, application) = (Stranger::new(&world), Named::start("cart").await);
    let [port, inside, bare] = [ports::free(), ports::free(), ports::free()];
    let (cart, _) = join((&world, &stranger), Program::Ninon, "cart", &[Port::new("http", port, application.port)], ports::free()).await;
    stranger.joins("web", &token(&world, "shop", &[]), 600);
    let tls = "ssl verify required ca-file root.pem ssl-min-ver TLSv1.3 alpn ninon";
    let web = haproxy(
        &stranger,
        "web",
        &format!(
            "listen known\n  bind 127.0.0.1:{inside}\n  server cart 127.0.0.1:{port} {tls} crt web.both\n\
             listen unknown\n  bind 127.0.0.1:{bare}\n  server cart 127.0.0.1:{port} {tls}\n"
        ),
    );
    let asks = || async { named::get(inside, "/", "host: cart\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    let (_, answer) = eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}", web.log(), cart.log()));
    assert!(answer.contains("cart"), "{answer}");
    let refused = named::get(bare, "/", "host: cart\r\n", LIMIT).await.unwrap();
    assert_eq!(refused.0 / 100, 5, "who shows no certificate is refused: {refused:?}");
    // HAProxy answers as soon as it has been refused; the line may come later.
    let told = || async { cart.log().contains("showed no certificate").then_some(()) };
    assert!(eventually(LIMIT, told).await.is_some(), "{}", cart.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ninon_reaches_haproxy_and_nobody_else_in_its_place() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let [good, other, outbound] = [ports::free(), ports::free(), ports::free()];
    stranger.joins("cart", &token(&world, "shop", &[]), 600);
    let bank = world.does(&["token", "create", "-n", "shop", "--service-account", "bank"]);
    stranger.joins("bank", bank.trim(), 600);
    world.write("shop.yaml", &(service("cart", good) + &service("fake", other)));
    let serves = |name: &str, port: u16| {
        let bind = format!("bind 127.0.0.1:{port} ssl crt {name}.both ca-file root.pem verify required ssl-min-ver TLSv1.3");
        let says = "http-request return status 200 content-type text/plain lf-string \"haproxy %[ssl_fc_protocol] %[ssl_c_verify]\"";
        haproxy(&stranger, name, &format!("frontend {name}\n  {bind}\n  {says}\n"))
    };
    let (cart, _bank) = (serves("cart", good), serves("bank", other));
    let (web, _) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", ports::free(), ports::free())], outbound).await;
    let asks = || async { named::get(outbound, "/", "host: cart\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    let (_, answer) = eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}", web.log(), cart.log()));
    assert!(answer.contains("haproxy TLSv1.3 0"), "{answer}");
    // It has a certificate of the same root, and is somebody else than the service's accounts.
    let refused = named::get(outbound, "/", "host: fake\r\n", LIMIT).await.unwrap();
    assert_eq!(refused.0, 503, "{refused:?}");
    let url = format!("http://127.0.0.1:{outbound}/");
    let output = Command::new("curl").args(["-sS", "-D", "-", "--max-time", "20", "-H", "host: fake", &url]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = "TLS: the server's certificate was refused: it is for spiffe://cluster.local/ns/shop/sa/bank, which is not accepted here \
               (ours: spiffe://cluster.local/ns/shop/sa/web)";
    assert!(told.contains("proxy-status: ninon; error=tls_certificate_error") && told.contains(why), "{told}");
}
