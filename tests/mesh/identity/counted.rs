use ninon_tests::named::{self, Named};
use ninon_tests::ports;

use super::peers::{Port, join};
use super::*;
use crate::world::Program;

const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  selector: {app: cart}
  ports: [{name: http, port: 80, targetPort: http}]
";

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";

/// The value of a metric for a client, on Prometheus' page; nothing while it is not there.
async fn counted(admin: u16, name: &str, source: &str, destination: &str) -> Option<u64> {
    let (_, page) = named::get(admin, "/stats/prometheus?filter=^peer", "host: x\r\n", LIMIT).await.unwrap();
    let policy = if source == "unknown" { "none" } else { "mutual_tls" };
    let labels = format!("source_principal=\"{source}\",destination_principal=\"{destination}\",connection_security_policy=\"{policy}\"");
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("ninon_peer_{name}{{{labels}}} ")));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_an_application_is_counted_by_who_has_sent_it() {
    let world = World::start().await;
    world.write("shop.yaml", SERVICES);
    let (stranger, application) = (Stranger::new(&world), Named::start("cart").await);
    let [http, bytes, outbound, unused] = [ports::free(), ports::free(), ports::free(), ports::free()];
    let of = [Port::new("http", http, application.port), Port::new("tcp", bytes, application.port)];
    let (cart, admin) = join((&world, &stranger), Program::Ninon, "cart", &of, ports::free()).await;
    let (web, _) = join((&world, &stranger), Program::Ninon, "web", &[Port::new("http", unused, unused)], outbound).await;
    let asks = || async { named::get(outbound, "/", "host: cart\r\n", LIMIT).await.filter(|(status, _)| *status == 200) };
    eventually(LIMIT, asks).await.unwrap_or_else(|| panic!("{}\n{}", web.log(), cart.log()));
    // Mutual TLS, by another sidecar: each request, on connections that it shares.
    let by = "spiffe://cluster.local/ns/shop/sa/web";
    let before = counted(admin, "downstream_rq_total", by, CART).await.expect("it has been reached");
    for _ in 0..3 {
        asks().await.expect("an answer");
    }
    assert_eq!(counted(admin, "downstream_rq_total", by, CART).await, Some(before + 3));
    let connections = counted(admin, "downstream_cx_total", by, CART).await.unwrap();
    assert!((1..=before + 3).contains(&connections), "{connections}");
    // Plain text, by nobody.
    assert_eq!(named::get(http, "/", "host: cart\r\n", LIMIT).await.unwrap().0, 200);
    assert_eq!(counted(admin, "downstream_rq_total", "unknown", "unknown").await, Some(1));
    // Bytes, by somebody else. What a client says that it is does not matter.
    stranger.joins("bank", world.does(&["token", "create", "-n", "shop", "--service-account", "bank"]).trim(), 600);
    let connect = format!("s_client -connect 127.0.0.1:{bytes} -alpn ninon -CAfile root.pem -cert bank.pem -key bank.key -servername web");
    let shown = stranger.openssl(&connect);
    assert!(shown.contains("Verify return code: 0"), "{shown}");
    let bank = "spiffe://cluster.local/ns/shop/sa/bank";
    let found = eventually(LIMIT, || async { counted(admin, "downstream_cx_total", bank, CART).await }).await;
    assert_eq!((found, counted(admin, "downstream_rq_total", bank, CART).await), (Some(1), Some(0)));
    // Nothing of what goes out, and in Envoy's form of the page as well.
    let (_, text) = named::get(admin, "/stats?filter=^peer", "host: x\r\n", LIMIT).await.unwrap();
    assert!(text.contains(&format!("peer.{bank}.{CART}.downstream_cx_total: 1\n")), "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
}
