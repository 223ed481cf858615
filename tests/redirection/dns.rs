use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Output;

use ninon_tests::eventually::eventually;
use ninon_tests::network::{Host, Network, PROXY};
use ninon_tests::process::{Folder, Process};

use crate::mesh::control_plane;
use crate::world::{Application, LIMIT, Sidecar, redirected};

/// More than fits into a datagram that passes everywhere.
const LONG: usize = 2000;

/// A resolver for all that is not of the mesh: dnsmasq, which says what it is asked.
async fn resolver(host: &Host) -> Process {
    let mut command = host.command("dnsmasq");
    let words = "--keep-in-foreground --log-facility=- --log-queries --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --bind-interfaces --local=/test/ --host-record=elsewhere.test,192.0.2.7,2001:db8::7";
    command.args(words.split(' '));
    command.args(host.addresses().map(|address| format!("--listen-address={address}")));
    let text = vec!["x".repeat(200); LONG / 200].join(",");
    command.arg(format!("--txt-record=long.test,{text}"));
    let process = Process::start(command, Folder::new()).unwrap();
    let serves = || async { dig(host, host.v4.into(), "elsewhere.test", &["A"]).ok().filter(|answer| !answer.is_empty()) };
    if eventually(LIMIT, serves).await.is_none() {
        panic!("it does not serve: {}", process.log());
    }
    process
}

/// What dig says in short, as a user of the host.
fn dig(host: &Host, server: IpAddr, name: &str, words: &[&str]) -> Result<String, String> {
    dig_whole(host, server, name, &[&["+short"], words].concat())
}

/// All that dig says.
fn dig_whole(host: &Host, server: IpAddr, name: &str, words: &[&str]) -> Result<String, String> {
    let mut command = host.command_as(1000, "dig");
    command.arg(format!("@{server}")).args(["+tries=1", "+time=15", name]).args(words);
    said(command.output().unwrap())
}

fn said(output: Output) -> Result<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{text}{}", String::from_utf8_lossy(&output.stderr))) }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_find_the_mesh_by_name_and_all_else_as_before() {
    let network = Network::new();
    let [client, server, elsewhere, control] =
        [("client", 1), ("server", 2), ("elsewhere", 2), ("control", 1)].map(|(name, node)| network.host(name, node));
    let objects = include_str!("mesh/shop.yaml")
        .replace("CLIENT", &format!("{}, \"{}\"", client.v4, client.v6))
        .replace("SERVER", &format!("{}, \"{}\"", server.v4, server.v6));
    let _control_plane = control_plane(&control, &objects).await;
    let _application = Application::start(&server, "shop");
    let resolver = resolver(&elsewhere).await;
    client.resolvers(&elsewhere.addresses());
    redirected(&client, &["--dns"]);
    redirected(&server, &[]);
    let at = format!("{}:15010", control.v4);
    let sidecar = Sidecar::follow_with(&client, &at, "client-1", &["--dns"]).await;
    let _into = Sidecar::follow(&server, &at, "server-1").await;

    for to in elsewhere.addresses() {
        for way in ["+notcp", "+tcp"] {
            for name in ["shop", "shop.shop", "shop.shop.svc.cluster.local"] {
                assert_eq!(dig(&client, to, name, &["A", way]), Ok("10.96.0.10".to_owned()), "{name} {to} {way}");
                assert_eq!(dig(&client, to, name, &["AAAA", way]), Ok("fd96::10".to_owned()), "{name} {to} {way}");
            }
            assert_eq!(dig(&client, to, "elsewhere.test", &["A", way, "+dnssec"]), Ok("192.0.2.7".to_owned()));
            assert_eq!(dig(&client, to, "elsewhere.test", &["AAAA", way, "+noedns"]), Ok("2001:db8::7".to_owned()));
            assert_eq!(dig(&client, to, "shop.shop", &["TXT", way]), Ok(String::new()));
        }
        let whole = dig_whole(&client, to, "nobody.test", &["A"]).unwrap();
        assert!(whole.contains("status: NXDOMAIN"), "{whole}");
        // First cut off, then by TCP.
        assert!(dig(&client, to, "long.test", &["TXT"]).unwrap().len() > LONG);
        let cut = dig_whole(&client, to, "long.test", &["TXT", "+ignore"]).unwrap();
        assert!(cut.contains(" tc "), "{cut}");
    }
    // The resolver never heard of the mesh's names; and the proxy's user asks it directly.
    let asked = resolver.log();
    assert!(asked.contains("nobody.test") && !asked.contains("shop"), "{asked}");
    let passed_on = sidecar.counter("dns.passed_on");
    let mut command = client.command_as(PROXY, "dig");
    command.arg(format!("@{}", elsewhere.v4)).args(["+short", "+tries=1", "+time=15", "shop.shop"]);
    assert_eq!(said(command.output().unwrap()), Ok(String::new()));
    assert_eq!(sidecar.counter("dns.passed_on"), passed_on);

    // A program that knows nothing of all this: from a name to the application behind two sidecars.
    for family in ["-4", "-6"] {
        let words = ["curl", family, "-sS", "--noproxy", "*", "--max-time", "15", "http://shop.shop.svc.cluster.local/"];
        let answer = said(client.output(&words));
        assert!(answer.as_ref().is_ok_and(|text| text.starts_with("shop to ")), "{answer:?}\n{}", sidecar.said());
    }

    garbage(&client, elsewhere.v4.into());
    assert_eq!(dig(&client, elsewhere.v4.into(), "shop.shop", &[]), Ok("10.96.0.10".to_owned()));
    assert_eq!(dig(&client, elsewhere.v4.into(), "elsewhere.test", &["+tcp"]), Ok("192.0.2.7".to_owned()));

    // Another resolver from now on.
    let other = network.host("other", 2);
    let second = self::resolver(&other).await;
    client.resolvers(&other.addresses());
    let asks_it = || async {
        let _asked = dig(&client, elsewhere.v4.into(), "changed.test", &[]);
        second.log().contains("changed.test").then_some(())
    };
    assert!(eventually(LIMIT, asks_it).await.is_some(), "{}", second.log());
    assert!(!sidecar.said().contains("WARN"), "{}", sidecar.said());
}

/// What is no question, by both ways.
fn garbage(host: &Host, to: IpAddr) {
    let to = SocketAddr::new(to, 53);
    host.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        for length in 0..600_u16 {
            let bytes: Vec<u8> = (0..length).map(|at| at.wrapping_mul(length).to_be_bytes()[1]).collect();
            let _ = socket.send_to(&bytes, to);
        }
        for bytes in [b"".as_slice(), b"\x00\x05abc", b"\xff\xff", b"GET / HTTP/1.1\r\n\r\n", &[0; 5000]] {
            let mut stream = TcpStream::connect_timeout(&to, LIMIT).unwrap();
            let _ = stream.write_all(bytes);
        }
    });
}

/// A machine whose resolver is the DNS itself, by way of another one: it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_resolvers_ends() {
    let network = Network::new();
    let [client, control] = [("client", 1), ("control", 1)].map(|(name, node)| network.host(name, node));
    let objects = include_str!("mesh/shop.yaml").replace("CLIENT", &client.v4.to_string()).replace("SERVER", "10.77.2.99");
    let _control_plane = control_plane(&control, &objects).await;
    client.resolvers(&["127.0.0.1".parse().unwrap()]);
    redirected(&client, &["--dns"]);
    let sidecar = Sidecar::follow_with(&client, &format!("{}:15010", control.v4), "client-1", &["--dns"]).await;
    // It is no user whose questions get out, and asks somebody far away: its questions come to the proxy.
    let mut command = client.command("dnsmasq");
    let words = "--keep-in-foreground --log-facility=- --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --bind-interfaces --listen-address=127.0.0.1 --server=192.0.2.53";
    command.args(words.split(' '));
    let _local = Process::start(command, Folder::new()).unwrap();
    let ended = || async {
        let answer = dig_whole(&client, "192.0.2.1".parse().unwrap(), "round.test", &[]);
        answer.ok().filter(|answer| answer.contains("status: SERVFAIL") || answer.contains("status: REFUSED"))
    };
    assert!(eventually(LIMIT, ended).await.is_some(), "{}", sidecar.said());
    let settled = || async { (sidecar.counter("dns.questions_active") == 0).then_some(()) };
    assert!(eventually(LIMIT, settled).await.is_some());
    assert!(sidecar.counter("dns.passed_on") < 500, "{}", sidecar.counter("dns.passed_on"));
}
