use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use ninon_tests::network::{Host, Network};

use crate::world::{LIMIT, redirected};

/// Answers each datagram, and each connection's first bytes, with a name.
fn name_server(host: &Host, port: u16, name: &'static str) {
    for address in ["127.0.0.1", "::1"].map(|address| address.parse::<IpAddr>().unwrap()).into_iter().chain(host.addresses()) {
        let (datagrams, connections) =
            host.inside(|| (UdpSocket::bind((address, port)).unwrap(), TcpListener::bind((address, port)).unwrap()));
        datagrams.set_read_timeout(Some(LIMIT)).unwrap();
        thread::spawn(move || {
            while let Ok((_, from)) = datagrams.recv_from(&mut [0; 64]) {
                let _ = datagrams.send_to(name.as_bytes(), from);
            }
        });
        thread::spawn(move || {
            while let Ok((mut stream, _)) = connections.accept() {
                let _ = stream.write_all(name.as_bytes());
            }
        });
    }
}

/// Who answers a question, by UDP and by TCP; nobody where it is empty.
fn ask(host: &Host, to: SocketAddr) -> [String; 2] {
    host.inside(|| {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.connect(to).unwrap();
        let mut bytes = [0; 64];
        let length = socket.send(b"?").and_then(|_| socket.recv(&mut bytes)).unwrap_or(0);
        let mut text = String::new();
        let _ = TcpStream::connect_timeout(&to, LIMIT).and_then(|mut stream| {
            stream.set_read_timeout(Some(LIMIT))?;
            let mut bytes = [0; 64];
            let length = stream.read(&mut bytes)?;
            text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            Ok(())
        });
        [String::from_utf8_lossy(&bytes[..length]).into_owned(), text]
    })
}

#[test]
fn questions_for_names_go_to_the_proxy() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    name_server(&server, 53, "theirs");
    name_server(&client, 53, "resolver");
    name_server(&client, 15053, "proxy");
    let theirs = server.addresses().map(|address| SocketAddr::new(address, 53));
    redirected(&client, &["--exclude-outbound-cidr", "10.77.2.0/24,fd77:2::/64"]);
    for to in theirs {
        assert_eq!(ask(&client, to), ["theirs", "theirs"], "not asked for");
    }
    redirected(&client, &["--dns"]);
    let resolver = ["127.0.0.1:53", "[::1]:53"].map(|address| address.parse().unwrap());
    for to in theirs.into_iter().chain(resolver) {
        assert_eq!(ask(&client, to), ["proxy", "proxy"], "{to}");
    }
    redirected(&client, &["--dns", "--exclude-outbound-cidr", "10.77.2.0/24,::1"]);
    assert_eq!(ask(&client, theirs[0]), ["theirs", "theirs"]);
    assert_eq!(ask(&client, theirs[1]), ["proxy", "proxy"]);
    assert_eq!(ask(&client, resolver[1]), ["resolver", "resolver"]);
    redirected(&client, &["--dns", "--exclude-outbound-port", "53"]);
    assert_eq!((ask(&client, theirs[0]), ask(&client, theirs[1])), (["theirs"; 2].map(str::to_owned), ["theirs"; 2].map(str::to_owned)));
}
