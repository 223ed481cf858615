use std::net::UdpSocket;

use ninon_tests::network::{Network, PROXY};

use crate::world::{Application, LIMIT, MAIL, OTHER, Plan, Sidecar, WEB, curl, curl_as, mail, redirected};

#[tokio::test]
async fn what_a_program_opens_goes_through_the_proxy() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    redirected(&client, &[]);
    let sidecar = Sidecar::start(&client, Plan::default()).await;
    for (to, own) in server.addresses().into_iter().zip(client.addresses()) {
        // The application still sees where the request came from: the proxy is on the same host.
        let seen = curl(&client, to, WEB).unwrap_or_else(|error| panic!("{to}: {error}{}", sidecar.said()));
        assert!(seen.starts_with(&format!("shop to {own}: get")), "{seen}");
        let there = std::net::SocketAddr::new(to, WEB);
        sidecar.says(&format!("outbound: {own} -> {there} -> {there} -")).await;
        // The server speaks first; nobody waits for a byte of the client.
        assert_eq!(mail(&client, to, MAIL).unwrap(), format!("220 shop to {own}\n250 hello\n"));
    }
    // Each connection went by once: what the proxy opens is not redirected to it again.
    assert_eq!(sidecar.counter("tcp.outbound.downstream_cx_total"), 4);
}

#[test]
fn without_a_proxy_nothing_gets_out_but_what_is_excluded() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    let _own = Application::start(&client, "own");
    redirected(&client, &["--exclude-outbound-port", "2520-2530", "--exclude-outbound-cidr", &format!("{}", network.node(2).v4)]);
    for to in server.addresses() {
        for port in [WEB, OTHER] {
            let refused = curl(&client, to, port).unwrap_err();
            assert!(refused.contains("Couldn't connect") || refused.contains("refused"), "{refused}");
        }
        assert!(mail(&client, to, MAIL).unwrap().starts_with("220 shop"));
        // The proxy's own user is not redirected.
        assert!(curl_as(client.command_as(PROXY, "curl"), to, WEB).unwrap().starts_with("shop"));
        assert!(curl_as(client.command_as(PROXY + 1, "curl"), to, WEB).is_err());
    }
    let excluded = std::net::IpAddr::from(network.node(2).v4);
    let _at_node = Application::start(network.node(2), "node");
    assert!(curl(&client, excluded, WEB).unwrap().starts_with("node to 10.77.1."));
    // Programs of a host among themselves, by its loopback addresses.
    for loopback in ["127.0.0.1", "::1"] {
        assert!(curl(&client, loopback.parse::<std::net::IpAddr>().unwrap(), WEB).unwrap().starts_with("own to "), "{loopback}");
    }
    redirected(&client, &["--proxy-gid", "2000", "--exclude-outbound-cidr", "fd77:2::/32"]);
    let mut of_group = client.command("setpriv");
    of_group.args(["--regid", "2000", "--clear-groups", "curl"]);
    assert!(curl_as(of_group, server.v4, WEB).unwrap().starts_with("shop"), "its group");
    assert!(curl(&client, server.v4, WEB).is_err() && curl(&client, server.v4, MAIL).is_err(), "a second run replaces the first");
    assert!(curl(&client, server.v6, WEB).unwrap().starts_with("shop"));
}

#[test]
fn only_some_users_may_be_redirected() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    redirected(&client, &["--include-outbound-uid", "1000,1001"]);
    assert!(curl_as(client.command_as(1000, "curl"), server.v4, WEB).is_err());
    assert!(curl_as(client.command_as(1001, "curl"), server.v6, WEB).is_err());
    assert!(curl(&client, server.v4, WEB).unwrap().starts_with("shop"), "root is not among them");
}

#[test]
fn datagrams_are_left_alone() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    redirected(&client, &[]);
    redirected(&server, &[]);
    for (from, to) in client.addresses().into_iter().zip(server.addresses()) {
        let there = server.inside(|| UdpSocket::bind((to, 15001)).unwrap());
        let here = client.inside(|| UdpSocket::bind((from, 0)).unwrap());
        for socket in [&here, &there] {
            socket.set_read_timeout(Some(LIMIT)).unwrap();
        }
        here.send_to(b"ping", (to, 15001)).unwrap();
        let mut bytes = [0; 8];
        let (length, sender) = there.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], sender), (&b"ping"[..], here.local_addr().unwrap()));
        there.send_to(b"pong", sender).unwrap();
        assert_eq!(here.recv_from(&mut bytes).unwrap().1, there.local_addr().unwrap());
    }
}
