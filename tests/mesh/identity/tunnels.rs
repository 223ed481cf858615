//! WebSockets live long: what let them in may have changed by then.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peers::STRICT;
use super::upgrade::{Pair, read_head};
use super::*;
use crate::world::Program;

/// A WebSocket to an application that repeats what is said.
struct Socket(TcpStream);

impl Socket {
    async fn open(pair: &Pair, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", pair.outbound)).await.unwrap();
        let opening = format!("GET {path} HTTP/1.1\r\nhost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        stream.write_all(opening.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut socket = Self(stream);
        assert!(socket.repeats("hello").await);
        socket
    }

    async fn repeats(&mut self, text: &str) -> bool {
        let mut heard = vec![0; text.len()];
        let said = async { self.0.write_all(text.as_bytes()).await.is_ok() && self.0.read_exact(&mut heard).await.is_ok() };
        timeout(LIMIT, said).await.expect("it is repeated, or the socket ends") && heard == text.as_bytes()
    }

    /// By itself, without anything on it.
    async fn ends(mut self) {
        let read = timeout(LIMIT, self.0.read(&mut [0])).await.expect("it is closed");
        assert!(!matches!(read, Ok(1..)), "it is closed, and nothing is said before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_closes_the_websockets_that_it_forbids_and_no_others() {
    let pair = Pair::start(STRICT, Program::Ninon, Program::Ninon).await;
    let (forbidden, mut other) = (Socket::open(&pair, "/forbidden").await, Socket::open(&pair, "/other").await);
    let deny = |path: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: sockets, namespace: shop}}\nspec:\n  action: DENY\n  \
             rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]\n"
        )
    };
    pair.world.write("policies.yaml", &deny("/forbidden"));
    forbidden.ends().await;
    assert!(other.repeats("still here").await);
    pair.world.write("policies.yaml", &deny("/other"));
    other.ends().await;
    // What is allowed again is open again.
    drop(Socket::open(&pair, "/forbidden").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_ends_when_its_servers_certificate_is_revoked() {
    let pair = Pair::start(STRICT, Program::Ninon, Program::Ninon).await;
    let socket = Socket::open(&pair, "/socket").await;
    pair.world.does(&["ca", "revoke", "-n", "shop", "--service-account", "cart"]);
    socket.ends().await;
}
