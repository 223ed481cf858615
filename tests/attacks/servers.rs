use crate::victim;
use ninon_tests::wire::Wire;
use std::future::Future;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What a hostile server does with a connection.
pub(crate) type Handler = Arc<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A handler of a function.
pub(crate) fn handler<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |stream| Box::pin(serve(stream)))
}

/// A server on a thread of its own, so that an attacker's work does not slow it. Ends when dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub(crate) fn start(handler: Handler) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listening socket");
        // Attacks open hundreds of connections at once; the standard library's queue is of 128.
        socket2::SockRef::from(&listener).listen(1024).expect("a listening socket");
        let port = listener.local_addr().expect("a listening socket").port();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, handler) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, _stop: stop }
    }
}

async fn accept(listener: StdListener, handler: Handler) {
    let listener = TcpListener::from_std(listener).expect("a listening socket");
    let mut connections = tokio::task::JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(handler(stream));
        }
        while connections.try_join_next().is_some() {}
    }
}

/// What the good server was asked, but for the victim's requests.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// Head and body of each request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.0.lock().expect("no panic while locked").clone()
    }

    fn note(&self, request: String) {
        let mut requests = self.0.lock().expect("no panic while locked");
        if requests.len() < KEPT {
            requests.push(request);
        }
    }

    /// The requests that contain `piece`.
    pub(crate) fn with(&self, piece: &str) -> Vec<String> {
        self.requests().into_iter().filter(|request| request.contains(piece)).collect()
    }
}

/// Most requests that are kept: some attacks are many.
const KEPT: usize = 2000;

/// A server that does as it should: `/victim`, `/bytes/N`, `/hang` (no answer); all else is answered `ok`.
pub(crate) fn good(seen: Seen) -> Handler {
    handler(move |stream| {
        let seen = seen.clone();
        async move {
            let mut wire = Wire::new(stream);
            while let Some(mut request) = wire.head().await {
                wire.body(&mut request, false).await;
                let path = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
                if path == "/victim" {
                    wire.send(answer(victim::ANSWER.as_bytes()).as_slice()).await;
                    continue;
                }
                let text = format!("{}\n{}\n\n{}", request.start, request.headers.join("\n"), ninon_tests::wire::latin1(&request.body));
                seen.note(text);
                if path.starts_with("/hang") {
                    while wire.fill().await {}
                    return;
                }
                match path.strip_prefix("/bytes/").and_then(|size| size.parse().ok()) {
                    Some(size) => send_bytes(&mut wire, size).await,
                    None => wire.send(&answer(b"ok")).await,
                }
            }
        }
    })
}

/// 200 with a body of any size, piece by piece.
async fn send_bytes(wire: &mut Wire, size: usize) {
    wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes()).await;
    let piece = [b'x'; 16_384];
    let mut left = size;
    while left > 0 {
        let now = left.min(piece.len());
        wire.send(&piece[..now]).await;
        left -= now;
    }
}

/// 200 with a body.
pub(crate) fn answer(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}
