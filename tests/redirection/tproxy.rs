use std::net::{IpAddr, SocketAddr};

use ninon_tests::network::Network;

use crate::mesh::control_plane;
use crate::world::{Application, MAIL, OTHER, Plan, Sidecar, WEB, curl, mail, redirected};

#[tokio::test]
async fn the_application_sees_the_clients_address() {
    let network = Network::new();
    let (client, other, server) = (network.host("client", 1), network.host("other", 2), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    redirected(&server, &["--inbound-mode", "tproxy"]);
    let sidecar = Sidecar::start(&server, Plan { transparent: true, ..Plan::default() }).await;
    // Twice: connections to the application are kept, and are another client's not to use.
    for _ in 0..2 {
        for host in [&client, &other] {
            for (from, to) in host.addresses().into_iter().zip(server.addresses()) {
                let seen = curl(host, to, WEB).unwrap();
                assert!(seen.starts_with(&format!("shop to {from}: get")) && seen.contains("x-inbound: seen"), "{seen}");
                for port in [MAIL, OTHER] {
                    assert_eq!(mail(host, to, port).unwrap(), format!("220 shop to {from}\n250 hello\n"));
                }
            }
        }
    }
    let there = SocketAddr::new(server.v4.into(), WEB);
    sidecar.says(&format!("web: {} -> {there} -> {there} -", client.v4)).await;
    // To itself: out by the proxy, and in.
    let seen = curl(&server, server.v4, WEB).unwrap();
    assert!(seen.starts_with(&format!("shop to {}: get", server.v4)) && seen.contains("x-inbound: seen"), "{seen}");
    // What the host opens itself comes back to it.
    let _theirs = Application::start(&client, "theirs");
    assert!(mail(&server, client.v4, MAIL).unwrap().starts_with(&format!("220 theirs to {}", server.v4)));
    assert!(!sidecar.said().contains("WARN"), "{}", sidecar.said());
}

#[tokio::test]
async fn a_direct_dial_is_refused() {
    let network = Network::new();
    let (server, attacker) = (network.host("server", 2), network.host("attacker", 2));
    let _application = Application::start(&server, "shop");
    redirected(&server, &["--inbound-mode", "tproxy"]);
    let sidecar = Sidecar::start(&server, Plan { transparent: true, ..Plan::default() }).await;
    for (from, to) in attacker.addresses().into_iter().zip(server.addresses()) {
        assert!(curl(&attacker, to, 15006).is_err());
        sidecar.says(&format!("blackhole: {from} -> {} -> - UH", SocketAddr::new(to, 15006))).await;
        assert!(curl(&attacker, to, 15001).is_err() && curl(&attacker, to, 15000).is_err());
    }
    sidecar.says("it was not redirected here: the client dialled the proxy itself").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_planes_sidecar_shows_the_clients_address_too() {
    let network = Network::new();
    let [client, server, control] = [("client", 1), ("server", 2), ("control", 1)].map(|(name, node)| network.host(name, node));
    let objects = include_str!("mesh/shop.yaml")
        .replace("CLIENT", &format!("{}, \"{}\"", client.v4, client.v6))
        .replace("SERVER", &format!("{}, \"{}\"", server.v4, server.v6));
    let _control_plane = control_plane(&control, &objects).await;
    let _application = Application::start(&server, "shop");
    redirected(&client, &[]);
    redirected(&server, &["--inbound-mode", "tproxy"]);
    let at = format!("{}:15010", control.v4);
    let _out = Sidecar::follow(&client, &at, "client-1").await;
    let into = Sidecar::follow_transparently(&server, &at, "server-1").await;
    for (from, to) in client.addresses().into_iter().zip(server.addresses()) {
        // Twice: connections to the application are kept.
        for _ in 0..2 {
            let seen = curl(&client, to, WEB).unwrap_or_else(|error| panic!("{error}\n{}", into.said()));
            assert!(seen.starts_with(&format!("shop to {from}: get")), "{seen}");
        }
        // One that the workload names, and one that it does not.
        for port in [MAIL, OTHER] {
            assert_eq!(mail(&client, to, port).unwrap(), format!("220 shop to {from}\n250 hello\n"));
        }
        let service = if to.is_ipv4() { "10.96.0.10" } else { "fd96::10" };
        let seen = curl(&client, service.parse::<IpAddr>().unwrap(), 80).unwrap();
        // The service has endpoints of both families, and the client's sidecar takes one of them.
        let is_clients = client.addresses().into_iter().any(|own| seen.starts_with(&format!("shop to {own}: get")));
        assert!(is_clients, "{seen}");
    }
    assert!(!into.said().contains("WARN"), "{}", into.said());
}
