use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use ninon_tests::capture::Capture;
use ninon_tests::network::Network;

use crate::world::{Application, LIMIT, WEB};

const MARKER: &[u8] = b"a-marker-that-nobody-else-says";

#[test]
fn a_capture_finds_what_passed_and_nothing_else() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let _application = Application::start(&server, "shop");
    for to in server.addresses() {
        let [wire, elsewhere, far] =
            [(network.node(1), "wire"), (&client, "lo"), (&server, "eth0")].map(|(host, device)| Capture::start(host, device));
        let url = format!("http://{}/", std::net::SocketAddr::new(to, WEB));
        let header = format!("x-marker: {}", String::from_utf8_lossy(MARKER));
        let asked = client.output(&["curl", "-g", "-sS", "--noproxy", "*", "--max-time", "15", "-H", &header, &url]);
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        for captured in [wire.stop(), far.stop()] {
            assert!(captured.holds(MARKER) && captured.frames() > 6 && !captured.holds(b"something-else"));
            let flows = captured.flows();
            let (ends, _) = flows.iter().find(|(_, bytes)| bytes.starts_with(b"GET / HTTP/1.1\r\n")).expect("the request");
            assert_eq!(ends.1, std::net::SocketAddr::new(to, WEB));
            assert!(flows[&(ends.1, ends.0)].starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        assert!(!elsewhere.stop().holds(MARKER), "it went by another device");
    }
}

#[test]
fn a_marker_is_found_over_several_packets() {
    let network = Network::new();
    let (client, server) = (network.host("client", 1), network.host("server", 2));
    let listener = server.inside(|| TcpListener::bind((server.v4, 7)).unwrap());
    let capture = Capture::start(network.node(2), "wire");
    let mut stream = client.inside(|| TcpStream::connect_timeout(&(server.v4, 7).into(), LIMIT).unwrap());
    let (mut taken, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in MARKER.chunks(7) {
        stream.write_all(piece).unwrap();
        let mut arrived = vec![0; piece.len()];
        taken.read_exact(&mut arrived).unwrap();
    }
    let captured = capture.stop();
    assert!(captured.holds(MARKER));
    assert!(captured.holds(&MARKER[..7]) && !captured.holds(b"nobody-else-saysX"));
}
