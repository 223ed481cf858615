use std::net::{IpAddr, SocketAddr};

use ninon_tests::network::Network;

use crate::world::{Application, MAIL, OTHER, Plan, Sidecar, WEB, curl, mail, redirected};

#[tokio::test]
async fn what_clients_open_goes_through_the_proxy() {
    for dual in [false, true] {
        let network = Network::new();
        let (client, server) = (network.host("client", 1), network.host("server", 2));
        let _application = Application::start(&server, "shop");
        redirected(&server, &[]);
        let sidecar = Sidecar::start(&server, Plan { dual, ..Plan::default() }).await;
        for (from, to) in client.addresses().into_iter().zip(server.addresses()) {
            let seen = curl(&client, to, WEB).unwrap();
            assert!(seen.starts_with("shop to 127.0.0.1: get") && seen.contains("x-inbound: seen"), "{seen}");
            sidecar.says(&format!("web: {from} -> {} -> 127.0.0.1:{WEB} -", SocketAddr::new(to, WEB))).await;
            assert_eq!(mail(&client, to, MAIL).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
            // A port that the sidecar was not told of is reached at the host's own address.
            let itself = if to.is_ipv4() { "127.0.0.6" } else { "::1" };
            assert_eq!(mail(&client, to, OTHER).unwrap(), format!("220 shop to {itself}\n250 hello\n"));
            let there = SocketAddr::new(to, OTHER);
            sidecar.says(&format!("other: {from} -> {there} -> {there} -")).await;
        }
    }
}

#[test]
fn without_a_proxy_nothing_gets_in_but_what_is_excluded() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    redirected(&server, &["--exclude-inbound-port", "2525"]);
    for (from, to) in client.addresses().into_iter().zip(server.addresses()) {
        assert!(curl(&client, to, WEB).is_err() && mail(&client, to, OTHER).is_err());
        assert_eq!(mail(&client, to, MAIL).unwrap(), format!("220 shop to {from}\n250 hello\n"));
    }
    redirected(&server, &["--include-inbound-port", "8000-8100"]);
    for to in server.addresses() {
        assert!(curl(&client, to, WEB).is_err() && mail(&client, to, OTHER).is_ok() && mail(&client, to, MAIL).is_ok());
    }
    // What a node only passes on is not for its own proxy.
    redirected(network.node(2), &[]);
    assert!(mail(&client, server.v4, MAIL).is_ok() && mail(&client, server.v6, MAIL).is_ok());
    assert!(mail(&client, network.node(2).v4, MAIL).is_err());
}

#[tokio::test]
async fn both_ends_have_a_proxy_and_the_server_speaks_first() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    redirected(&client, &[]);
    redirected(&server, &[]);
    let out = Sidecar::start(&client, Plan::default()).await;
    let into = Sidecar::start(&server, Plan::default()).await;
    for to in server.addresses() {
        assert_eq!(mail(&client, to, MAIL).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
        assert!(curl(&client, to, WEB).unwrap().contains("x-inbound: seen"));
    }
    for sidecar in [&out, &into] {
        assert!(!sidecar.said().contains("WARN"), "{}", sidecar.said());
    }
    assert_eq!((out.counter("tcp.outbound.downstream_cx_total"), into.counter("tcp.mail.downstream_cx_total")), (4, 2));
}

/// As a call to another host: out by the proxy and in by the proxy, once each.
#[tokio::test]
async fn an_application_that_calls_its_own_address_comes_in_as_others_do() {
    let network = Network::new();
    let server = network.host("server", 2);
    let _application = Application::start(&server, "shop");
    redirected(&server, &[]);
    let sidecar = Sidecar::start(&server, Plan::default()).await;
    for to in server.addresses() {
        let seen = curl(&server, to, WEB).unwrap();
        assert!(seen.starts_with("shop to 127.0.0.1: get") && seen.contains("x-inbound: seen"), "{seen}");
        let there = SocketAddr::new(to, WEB);
        sidecar.says(&format!("outbound: {to} -> {there} -> {there} -")).await;
        sidecar.says(&format!("web: {to} -> {there} -> 127.0.0.1:{WEB} -")).await;
        let itself: IpAddr = if to.is_ipv4() { "127.0.0.6" } else { "::1" }.parse().unwrap();
        assert_eq!(mail(&server, to, OTHER).unwrap(), format!("220 shop to {itself}\n250 hello\n"));
    }
    let counted = ["tcp.outbound.downstream_cx_total", "http.web.downstream_cx_total", "tcp.other.downstream_cx_total"];
    assert_eq!(counted.map(|name| sidecar.counter(name)), [4, 2, 2]);
}
