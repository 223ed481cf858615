use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;

use tokio::net::{TcpSocket, TcpStream};

use super::secure::connector;
use super::*;

/// More than there may be handshakes at a time.
const FLOOD: usize = 700;
/// Some of the first.
const FIRST: usize = 200;

async fn connect(from: &str, port: u16) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.ok()
}

fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0; 1]);
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_on_many_connections_leaves_room_for_others() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let token = token(&world, "shop", &[]);
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        flood.extend(connect("127.0.0.2", world.secure_xds).await);
    }
    let refused = || async { (flood.iter().filter(|stream| !is_open(stream)).count() >= FLOOD / 2).then_some(()) };
    eventually(LIMIT, refused).await.expect("all of them have their place");
    let stream = TcpStream::connect(("127.0.0.1", world.secure_xds)).await.unwrap();
    let stream = connector(&stranger).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    // They had no time to run out: there was room beside them.
    assert!(flood.iter().take(FIRST).all(is_open), "nobody was in the way");
    drop(stream);
    stranger.joins("cart", &token, 600);
    let closed = eventually(LIMIT, || async { flood.iter().take(FIRST).all(|stream| !is_open(stream)).then_some(()) }).await;
    closed.expect("who says nothing is sent away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_certificate_and_asks_for_none_is_sent_away() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let words = format!("s_client -connect 127.0.0.1:{} -CAfile root.pem -alpn h2 -quiet", world.secure_xds);
    let mut command = Command::new("openssl");
    command.args(words.split(' ')).current_dir(stranger.folder.path()).stdin(Stdio::piped()).stdout(Stdio::null());
    let client = std::cell::RefCell::new(command.stderr(Stdio::null()).spawn().unwrap());
    let gone = eventually(LIMIT, || async { client.borrow_mut().try_wait().unwrap() }).await;
    let _ended = client.borrow_mut().kill();
    client.borrow_mut().wait().unwrap();
    gone.expect("it is still there");
}
