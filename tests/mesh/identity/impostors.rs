//! Who stands in a server's place: HAProxy, with certificates that are not quite right.

use ninon_tests::named;
use ninon_tests::ports;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use super::haproxy::{haproxy, service};
use super::nearly::{Signer, all, good};
use super::peers::{Port, join};
use super::*;
use crate::world::Program;

/// A server that is not accepted.
struct Impostor {
    name: &'static str,
    port: u16,
    /// Of its `bind`.
    more: &'static str,
    /// As `Proxy-Status` has it.
    error: &'static str,
    why: &'static str,
}

impl Impostor {
    fn new(name: &'static str, why: &'static str) -> Self {
        Self { name, port: ports::free(), more: "", error: "tls_certificate_error", why }
    }
}

/// Those whose certificates somebody else has signed, and one that speaks TLS 1.2 only.
fn others(signer: &Signer, stranger: &Stranger) -> Vec<Impostor> {
    let authority = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 1";
    let says = "subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/cart";
    stranger
        .openssl(&format!("{authority} -keyout self.key -out self.pem -subj /O=tests -addext basicConstraints=CA:FALSE -addext {says}"));
    // Its own authority has the name of the mesh's.
    stranger.openssl(&format!("{authority} -keyout rogue.key -out rogue.pem -subj /CN=shared -addext keyUsage=critical,keyCertSign"));
    stranger.csr("signed", "");
    fs::write(stranger.path("extensions"), format!("{says}\nextendedKeyUsage=serverAuth\n")).unwrap();
    stranger.openssl("x509 -req -in signed.csr -CA rogue.pem -CAkey rogue.key -days 1 -extfile extensions -out signed.pem");
    fs::write(stranger.path("signed.pem"), stranger.text("signed.pem") + &stranger.text("rogue.pem")).unwrap();
    // A service that signs another with its own.
    signer.issue(stranger, "above", &good("cart", ServerAuth));
    stranger.csr("below", "");
    stranger.openssl("x509 -req -in below.csr -CA above.pem -CAkey above.key -days 1 -extfile extensions -out below.pem");
    fs::write(stranger.path("below.pem"), stranger.text("below.pem") + &stranger.text("above.pem")).unwrap();
    signer.issue(stranger, "client", &good("cart", ClientAuth));
    signer.issue(stranger, "old", &good("cart", ServerAuth));
    vec![
        Impostor::new("self", "no trusted authority issued it"),
        Impostor::new("signed", "a signature is wrong"),
        Impostor::new("below", "one that is no authority's has issued it"),
        Impostor::new("client", "it is not for this use"),
        Impostor {
            more: "ssl-max-ver TLSv1.2",
            error: "tls_alert_received",
            ..Impostor::new("old", "the server refused the handshake with the alert protocol_version")
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_taken_for_a_server_who_is_not() {
    let signer = Signer::new();
    let world = signer.mesh().await;
    let stranger = Stranger::new(&world);
    let mut impostors = others(&signer, &stranger);
    for (name, params, why) in all(|| good("cart", ServerAuth)) {
        signer.issue(&stranger, name, &params);
        impostors.push(Impostor::new(name, why));
    }
    signer.issue(&stranger, "good", &good("cart", ServerAuth));
    let (served, outbound) = (ports::free(), ports::free());
    let bind = |name: &str, port: u16, more: &str| {
        fs::write(stranger.path(&format!("{name}.both")), stranger.text(&format!("{name}.pem")) + &stranger.text(&format!("{name}.key")))
            .unwrap();
        format!("  bind 127.0.0.1:{port} ssl crt {name}.both ca-file root.pem verify required {more}\n")
    };
    let binds: String = impostors.iter().map(|of| bind(of.name, of.port, of.more)).collect();
    let all = format!(
        "frontend all\n{}{binds}  http-request return status 200 content-type text/plain string served\n",
        bind("good", served, "")
    );
    let servers = haproxy(&stranger, "good", &all);
    let services: String = impostors.iter().map(|of| service(of.name, of.port)).collect();
    world.write("shop.yaml", &(service("good", served) + &services));
    let (web, admin) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", ports::free(), ports::free())], outbound).await;
    let asks = || async { named::get(outbound, "/", "host: good\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    let (_, answer) = eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}", web.log(), servers.log()));
    assert!(answer.contains("served"), "{answer}");
    let url = format!("http://127.0.0.1:{outbound}/");
    for Impostor { name, error, why, .. } in &impostors {
        let told = || async {
            let asking = ["-sS", "-D", "-", "--max-time", "20", "-H", &format!("host: {name}"), &url];
            let output = Command::new("curl").args(asking).output().unwrap();
            let told = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(told.starts_with("HTTP/1.1 503") && told.contains(&format!("proxy-status: ninon; error={error};")), "{name}: {told}");
            assert!(told.contains(why), "{name}: {why}: {told}");
            // Once a second: the next one is told where this one was too soon after another.
            let warned = format!("cluster={name}.shop:80");
            let says =
                |line: &str| line.contains(" WARN ") && line.contains(&warned) && line.contains("TLS handshake: ") && line.contains(why);
            web.log().lines().any(says).then_some(())
        };
        eventually(LIMIT, told).await.unwrap_or_else(|| panic!("{name}: no warning: {}", web.log()));
    }
    let counted = async |name: &str, rule: &str| {
        let filter = format!("/stats?filter=cluster.{name}.shop:80.ssl.{rule}$");
        let (_, stats) = named::get(admin, &filter, "host: x\r\n", LIMIT).await.unwrap();
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum::<u64>()
    };
    for (name, rule) in [("late", "fail_verify_error"), ("foreign", "fail_verify_san"), ("old", "connection_error")] {
        assert_ne!(counted(name, rule).await, 0, "{name}: {rule}");
        assert_eq!(counted("good", rule).await, 0, "{rule}");
    }
}
