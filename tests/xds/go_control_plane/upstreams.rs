use std::convert::Infallible;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::client;

/// How many there are.
pub(super) const COUNT: usize = 6;

/// Servers that answer with their number, in HTTP/1.1 and in HTTP/2.
pub(super) struct Upstreams {
    /// Where they are.
    pub(super) ports: Vec<u16>,
    _tasks: JoinSet<()>,
}

impl Upstreams {
    pub(super) async fn start() -> Self {
        let (mut ports, mut tasks) = (Vec::new(), JoinSet::new());
        for number in 0..COUNT {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
            ports.push(listener.local_addr().expect("it is bound").port());
            tasks.spawn(serve(listener, number));
        }
        Self { ports, _tasks: tasks }
    }
}

async fn serve(listener: TcpListener, number: usize) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, number));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, number: usize) {
    stream.set_nodelay(true).expect("a connected socket");
    let service = service_fn(move |request: hyper::Request<Incoming>| async move {
        let answer = Response::builder().header("x-protocol", client::protocol(request.version()));
        Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(format!("upstream {number}")))).expect("an answer"))
    });
    // The preface of HTTP/2 begins as no method that is used here.
    let mut first = [0];
    let is_http2 = matches!(stream.peek(&mut first).await, Ok(1) if first == *b"P");
    let io = TokioIo::new(stream);
    // How the proxy leaves a connection that it needs no more is its own affair.
    if is_http2 {
        drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(io, service).await);
    }
}
