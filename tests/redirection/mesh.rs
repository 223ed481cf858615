use std::fs;
use std::net::{IpAddr, SocketAddr};

use ninon_tests::eventually::eventually;
use ninon_tests::network::{Host, Network};
use ninon_tests::process::{Folder, Process};
use ninon_tests::settings;

use crate::world::{Application, LIMIT, MAIL, OTHER, Sidecar, WEB, curl, get, mail, redirected};

/// A control plane on a host, with these objects.
async fn control_plane(host: &Host, objects: &str) -> Process {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("config")).unwrap();
    fs::write(folder.path().join("config/shop.yaml"), objects).unwrap();
    let mut command = host.command(settings::control_plane_binary());
    command.arg("serve").arg("--config-dir").arg(folder.path().join("config")).arg("--state-dir").arg(folder.path().join("data"));
    command.args(["--xds-address", &format!("{}:15010", host.v4), "--api-address", "127.0.0.1:15014"]);
    let process = Process::start(command, folder).unwrap();
    let ready = || async { host.inside(|| get("127.0.0.1:15014", "/readyz").starts_with("HTTP/1.1 200")).then_some(()) };
    if eventually(LIMIT, ready).await.is_none() {
        panic!("it does not serve: {}", process.log());
    }
    process
}

#[tokio::test]
async fn a_mesh_is_reached_by_addresses_that_nobody_has() {
    let network = Network::new();
    let [client, server, attacker, control] =
        [("client", 1), ("server", 2), ("attacker", 2), ("control", 1)].map(|(name, node)| network.host(name, node));
    let objects = include_str!("mesh/shop.yaml")
        .replace("CLIENT", &format!("{}, \"{}\"", client.v4, client.v6))
        .replace("SERVER", &format!("{}, \"{}\"", server.v4, server.v6));
    let _control_plane = control_plane(&control, &objects).await;
    let _application = Application::start(&server, "shop");
    for host in [&client, &server] {
        redirected(host, &[]);
    }
    let at = format!("{}:15010", control.v4);
    let out = Sidecar::follow(&client, &at, "client-1").await;
    let into = Sidecar::follow(&server, &at, "server-1").await;
    let services: [IpAddr; 2] = ["10.96.0.10".parse().unwrap(), "fd96::10".parse().unwrap()];
    for (service, own) in services.into_iter().zip(server.addresses()) {
        // The service's port is not the application's, and no host has its address.
        let seen = curl(&client, service, 80).unwrap_or_else(|error| panic!("{error}\n{}\n{}", out.said(), into.said()));
        assert!(seen.starts_with("shop to 127.0.0.1: get"), "{seen}");
        assert_eq!(mail(&client, service, 25).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
        // By way of the service to itself: it comes in as another's request does.
        assert!(curl(&server, service, 80).unwrap().starts_with("shop to 127.0.0.1: get"));
        // A port that the workload does not name.
        let itself = if own.is_ipv4() { "127.0.0.6" } else { "::1" };
        assert_eq!(mail(&attacker, own, OTHER).unwrap(), format!("220 shop to {itself}\n250 hello\n"));
        assert_eq!(mail(&client, own, MAIL).unwrap(), "220 shop to 127.0.0.1\n250 hello\n");
        assert!(curl(&attacker, own, WEB).unwrap().starts_with("shop to 127.0.0.1: get"));
        for port in [15001, 15006, 15000] {
            assert!(curl(&attacker, own, port).is_err(), "{}", SocketAddr::new(own, port));
        }
    }
    // Without redirection, by the host that a request names: for programs of the same host.
    let by_name = |host: &Host, to: &str| {
        let words = ["curl", "-sS", "--noproxy", "*", "--max-time", "15", "-H", "host: shop.shop", to];
        String::from_utf8(host.output(&words).stdout).unwrap()
    };
    assert!(by_name(&client, "http://127.0.0.1:15001/").starts_with("shop to 127.0.0.1"));
    assert_eq!(by_name(&attacker, &format!("http://{}:15001/", client.v4)), "");
    into.says("refused: the cluster has no endpoints; it was not redirected here: the client dialled the proxy itself").await;
    assert!(!out.said().contains("WARN"), "{}", out.said());
}

/// An outbound listener that others reach would be a way into the mesh under its workload's identity.
#[tokio::test]
async fn nobody_else_speaks_by_the_outbound_listener() {
    let network = Network::new();
    let [client, server, attacker, control] =
        [("client", 1), ("server", 2), ("attacker", 2), ("control", 1)].map(|(name, node)| network.host(name, node));
    let objects = include_str!("mesh/shop.yaml")
        .replace("CLIENT", &client.v4.to_string())
        .replace("SERVER", &server.v4.to_string())
        .replace("sidecar: {}", "sidecar: {outbound: \"0.0.0.0:15001\"}");
    let _control_plane = control_plane(&control, &objects).await;
    let _application = Application::start(&server, "shop");
    redirected(&client, &[]);
    let sidecar = Sidecar::follow(&client, &format!("{}:15010", control.v4), "client-1").await;
    let by_name = |host: &Host, to: &str| {
        let words = ["curl", "-sS", "--noproxy", "*", "--max-time", "15", "-H", "host: shop.shop", to];
        String::from_utf8(host.output(&words).stdout).unwrap()
    };
    let url = format!("http://{}:15001/", client.v4);
    assert!(by_name(&client, &url).starts_with("shop to "), "its own programs");
    assert_eq!(by_name(&attacker, &url), "");
    sidecar.says("refused: the original destination is not known; it was not redirected here: the client dialled the proxy itself").await;
}
