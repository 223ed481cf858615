use std::net::SocketAddr;
use std::process::Output;

use ninon_tests::network::{Host, Network};

use crate::world::{Application, Plan, Sidecar, WEB, curl, redirected};

/// A request with these arguments of curl.
fn ask(host: &Host, to: SocketAddr, path: &str, words: &[&str]) -> Output {
    let url = format!("http://{to}{path}");
    host.command("curl").args(["-g", "-sS", "--noproxy", "*", "--max-time", "15", "-i"]).args(words).arg(&url).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Past the redirection to the proxy's own ports.
#[tokio::test]
async fn direct_dials_to_the_proxys_ports_are_refused() {
    let network = Network::new();
    let (server, attacker) = (network.host("server", 2), network.host("attacker", 2));
    let _application = Application::start(&server, "shop");
    redirected(&server, &[]);
    // An outbound listener for everybody, as Istio has it: who reaches it is to get nowhere by it.
    for outbound in ["127.0.0.1", "0.0.0.0"] {
        let sidecar = Sidecar::start(&server, Plan { outbound, ..Plan::default() }).await;
        for (from, to) in attacker.addresses().into_iter().zip(server.addresses()) {
            // An address of a wildcard: of both families at 15006, of IPv4 at 15001 where it is open to all.
            for port in [15001, 15006] {
                let answer = ask(&attacker, SocketAddr::new(to, port), "/", &[]);
                assert!(!answer.status.success() && answer.stdout.is_empty(), "{port}: {}", text(&answer));
            }
            sidecar.says(&format!("blackhole: {from} -> {} -> - UH", SocketAddr::new(to, 15006))).await;
            let admin = ask(&attacker, SocketAddr::new(to, 15000), "/config_dump", &[]);
            assert!(!admin.status.success() && text(&admin).contains("connect"), "{}", text(&admin));
            let health = SocketAddr::new(to, 15020);
            assert!(text(&ask(&attacker, health, "/ready", &[])).starts_with("HTTP/1.1 200"));
            for page in ["/config_dump", "/quitquitquit", "/logging?level=off"] {
                let answer = text(&ask(&attacker, health, page, &["-X", "POST"]));
                assert!(answer.starts_with("HTTP/1.1 40"), "{page}: {answer}");
            }
        }
        sidecar.says("refused: the cluster has no endpoints; it was not redirected here: the client dialled the proxy itself").await;
        if outbound == "0.0.0.0" {
            sidecar.says(&format!("outbound: {} -> {}:15001 -> - UH", attacker.v4, server.v4)).await;
        }
        // It serves still.
        assert!(curl(&attacker, server.v4, WEB).unwrap().contains("x-inbound: seen"));
    }
}

/// A program of the same host that dials the proxy's ports, or a redirection that brings a connection for them.
#[tokio::test]
async fn a_connection_to_the_proxy_itself_never_goes_in_a_circle() {
    let network = Network::new();
    let server = network.host("server", 2);
    let _application = Application::start(&server, "shop");
    redirected(&server, &[]);
    let sidecar = Sidecar::start(&server, Plan { outbound: "0.0.0.0", ..Plan::default() }).await;
    for port in [15001, 15006] {
        let answer = ask(&server, SocketAddr::new(server.v4.into(), port), "/", &[]);
        assert!(!answer.status.success() && answer.stdout.is_empty(), "{port}: {}", text(&answer));
    }
    // Somebody else's rule, before ours: what is for these ports comes redirected, too.
    let ports = format!("ip daddr {} tcp dport {{ 15001, 15006 }}", server.v4);
    let rules = format!(
        "add table inet other
        add chain inet other output {{ type nat hook output priority -110; }}
        add rule inet other output meta skuid != 1337 {ports} redirect to :15001"
    );
    assert!(server.output(&["nft", &rules]).status.success());
    for port in [15001, 15006] {
        let to = SocketAddr::new(server.v4.into(), port);
        let answer = ask(&server, to, "/", &[]);
        assert!(!answer.status.success() && answer.stdout.is_empty(), "{port}: {}", text(&answer));
        sidecar.says(&format!("outbound: {0} -> {to} -> - UH", server.v4)).await;
    }
    sidecar.says("refused: the original destination is an address that this proxy listens on: the connection would come back").await;
    let refused = sidecar.counter("cluster.outbound_passthrough.original_dst_host_invalid");
    let total = sidecar.counter("tcp.outbound.downstream_cx_total");
    assert!(refused >= 1 && total <= 4, "{refused} of {total}");
}

/// By way of a cluster that goes where a header says.
#[tokio::test]
async fn no_header_leads_to_the_proxys_own_pages() {
    let network = Network::new();
    let (server, attacker) = (network.host("server", 2), network.host("attacker", 2));
    let _application = Application::start(&server, "shop");
    redirected(&server, &[]);
    let sidecar = Sidecar::start(&server, Plan::default()).await;
    let web = SocketAddr::new(server.v4.into(), WEB);
    let steered = |to: &str| text(&ask(&attacker, web, "/steered", &["-H", &format!("x-envoy-original-dst-host: {to}")]));
    assert!(steered(&format!("127.0.0.1:{WEB}")).contains("shop to 127.0.0.1"), "the header counts");
    let own = [format!("{}:15020", server.v4), format!("[{}]:15006", server.v6)];
    for to in ["127.0.0.1:15000", "0.0.0.0:15000", "127.0.0.1:15001", "127.0.0.1:15006", "[::1]:15001", "127.3.2.1:15020"] {
        let answer = steered(to);
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("this proxy listens on"), "{to}: {answer}");
    }
    for to in &own {
        assert!(steered(to).starts_with("HTTP/1.1 503"), "{to}");
    }
    assert_eq!(sidecar.counter("cluster.steered.original_dst_host_invalid"), 8);
    sidecar.says("destination=").await;
}
