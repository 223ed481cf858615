//! WebSockets live long: what let them in may have changed by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peers::STRICT;
use super::upgrade::{Pair, read_head, serve};
use super::*;
use crate::shop::policy;
use crate::tokens::{ISSUER, Issuer, authentication};
use crate::world::Program;

/// A WebSocket to an application that repeats what is said.
struct Socket(TcpStream);

impl Socket {
    async fn open(pair: &Pair, path: &str) -> Self {
        Self::with(pair, path, "").await
    }

    /// With more fields.
    async fn with(pair: &Pair, path: &str, fields: &str) -> Self {
        let mut socket = Self(Self::begin(pair, path, fields).await);
        assert!(socket.repeats("hello").await);
        socket
    }

    async fn begin(pair: &Pair, path: &str, fields: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", pair.outbound)).await.unwrap();
        let opening = format!("GET {path} HTTP/1.1\r\nhost: cart\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{fields}\r\n");
        stream.write_all(opening.as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
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

/// Of a path, whoever asks.
pub(super) fn deny(path: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: sockets, namespace: shop}}\nspec:\n  action: DENY\n  \
         rules: [{{to: [{{operation: {{paths: ['{path}']}}}}]}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_closes_the_websockets_that_it_forbids_and_no_others() {
    let pair = Pair::start(STRICT, Program::Ninon, Program::Ninon).await;
    let (forbidden, mut other) = (Socket::open(&pair, "/forbidden").await, Socket::open(&pair, "/other").await);
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

/// Rules are asked about what the token has said, although it does not go on with the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_closes_the_websockets_whose_tokens_it_forbids() {
    let issuer = Issuer::start().await;
    let rule = format!(
        "{{issuer: '{ISSUER}', audiences: [shop], jwksUri: 'http://127.0.0.1:{}/keys', outputClaimToHeaders: [{{header: x-user, claim: sub}}]}}",
        issuer.port
    );
    let pair = Pair::start(&[STRICT, &authentication(&format!("{{jwtRules: [{rule}]}}"))].concat(), Program::Ninon, Program::Ninon).await;
    let mut sockets = Vec::new();
    for name in ["ada", "bob", "eve"] {
        let token = format!("authorization: Bearer {}\r\nx-user: mallory\r\n", issuer.token(json!({"sub": name})).await);
        sockets.push(Socket::with(&pair, "/socket", &token).await);
    }
    let [ada, bob, mut eve] = <[Socket; 3]>::try_from(sockets).ok().unwrap();
    let known = policy("known", &format!("{{rules: [{{from: [{{source: {{requestPrincipals: ['{ISSUER}/*']}}}}]}}]}}"));
    let deny = |name: &str, condition: &str| policy(name, &format!("{{action: DENY, rules: [{{when: [{{{condition}}}]}}]}}"));
    let of_ada = deny("ada", "key: 'request.auth.claims[sub]', values: [ada]");
    let of_bob = deny("bob", "key: 'request.headers[x-user]', values: [bob, mallory]");
    pair.world.write("policies.yaml", &[known.as_str(), &of_ada].concat());
    ada.ends().await;
    pair.world.write("policies.yaml", &[known.as_str(), &of_bob].concat());
    bob.ends().await;
    assert!(eve.repeats("still here").await);
}

/// What an application has said and heard.
#[derive(Default)]
struct Counts {
    said: AtomicUsize,
    heard: AtomicUsize,
    has_ended: AtomicBool,
}

/// An application that says so much that nobody can read it all, or nothing any more, and hears whatever it is told.
async fn one_sided(mut stream: TcpStream, counts: Arc<Counts>) {
    while let Some(head) = read_head(&mut stream).await {
        if !head.to_ascii_lowercase().contains("upgrade: websocket") {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            continue;
        }
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let says = async {
            if head.starts_with("GET /loud ") {
                while let Ok(said @ 1..) = write.write(&[b'x'; 16 * 1024]).await {
                    counts.said.fetch_add(said, Ordering::Relaxed);
                }
            } else {
                write.shutdown().await.unwrap();
                std::future::pending().await
            }
        };
        let hears = async {
            let mut piece = vec![0; 16 * 1024];
            while let Ok(heard @ 1..) = read.read(&mut piece).await {
                counts.heard.fetch_add(heard, Ordering::Relaxed);
            }
        };
        tokio::select! {
            () = says => {}
            () = hears => {}
        }
        counts.has_ended.store(true, Ordering::Relaxed);
        return;
    }
}

/// Waits until a count has been the same for so many looks.
async fn rests(count: &AtomicUsize) {
    let (mut before, mut looks) = (0, 0);
    let same = || {
        let now = count.load(Ordering::Relaxed);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
        std::future::ready((looks == 25).then_some(()))
    };
    assert!(eventually(LIMIT, same).await.is_some(), "{before} bytes, and more");
}

/// What the client says goes on for as long as it is allowed to, whether or not it reads, and whether or not it is answered.
async fn upload_ends(path: &str) {
    let counts = Arc::new(Counts::default());
    let application = serve({
        let counts = Arc::clone(&counts);
        move |stream| one_sided(stream, Arc::clone(&counts))
    });
    let pair = Pair::before(application.await, STRICT, Program::Ninon, Program::Ninon).await;
    let mut stream = Socket::begin(&pair, path, "").await;
    let says = async {
        while stream.write_all(&[b'y'; 1024]).await.is_ok() {
            tokio::task::yield_now().await;
        }
        std::future::pending::<()>().await;
    };
    let forbids = async {
        rests(&counts.said).await;
        let before = counts.heard.load(Ordering::Relaxed);
        let more = || std::future::ready((counts.heard.load(Ordering::Relaxed) > before + 1024 * 1024).then_some(()));
        assert!(eventually(LIMIT, more).await.is_some(), "what the client says goes on: {before} bytes, and no more");
        pair.world.write("policies.yaml", &deny(path));
        let ended = || std::future::ready(counts.has_ended.load(Ordering::Relaxed).then_some(()));
        assert!(eventually(LIMIT, ended).await.is_some(), "the application's connection is closed");
    };
    tokio::select! {
        () = says => {}
        () = forbids => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_websocket_ends_though_the_client_does_not_read() {
    upload_ends("/loud").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forbidden_websocket_ends_though_the_server_has_nothing_more_to_say() {
    upload_ends("/silent").await;
}
