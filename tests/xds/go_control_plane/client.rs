use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Far more than a request takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(5);

/// A connection to a listener.
pub(super) struct Connection {
    sender: Sender,
    /// What the listener showed.
    pub(super) certificate: CertificateDer<'static>,
    used: bool,
    _driver: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Which of the upstreams.
    pub(super) upstream: Option<usize>,
    /// What the upstream was spoken to in.
    pub(super) protocol: String,
    /// Which state of a route table.
    pub(super) stamp: String,
    /// The listener's setting.
    pub(super) server: String,
    /// Of an answer of the proxy itself, why.
    pub(super) problem: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection had ended: the request was not sent, or it crossed with the end of an idle HTTP/1 connection, which RFC 9112
    /// (9.3.1) asks clients to reckon with.
    Gone,
    /// Anything else.
    Failed(String),
}

impl Connection {
    /// Connects and shakes hands.
    pub(super) async fn open(port: u16, config: &Arc<ClientConfig>) -> Result<Self, String> {
        tokio::time::timeout(LIMIT, Self::handshake(port, config)).await.unwrap_or_else(|_| Err("no connection in time".to_owned()))
    }

    async fn handshake(port: u16, config: &Arc<ClientConfig>) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).expect("a connected socket");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(<[_]>::first).expect("servers show one").clone().into_owned();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let (io, mut driver) = (TokioIo::new(stream), JoinSet::new());
        let sender = if is_http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(|error| error.to_string())?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Self { sender, certificate, used: false, _driver: driver })
    }

    /// Whether it is over as far as can be seen.
    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// One GET.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let asked = tokio::time::timeout(LIMIT, self.ask(path)).await;
        asked.unwrap_or_else(|_| Err(Failure::Failed(format!("{path}: no answer in time"))))
    }

    async fn ask(&mut self, path: &str) -> Result<Answer, Failure> {
        let (kept, request) = (std::mem::replace(&mut self.used, true), Request::get(path).header("host", "localhost"));
        let answered = match &mut self.sender {
            Sender::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failure::Gone);
                }
                let answered = sender.try_send_request(request.body(Empty::new()).expect("a request")).await;
                answered.map_err(|error| (error.message().is_some() || kept && is_before_the_answer(error.error()), error.into_error()))
            }
            Sender::Http2(sender) => {
                if sender.ready().await.is_err() {
                    return Err(Failure::Gone);
                }
                let request = request.uri(format!("https://localhost{path}")).body(Empty::new()).expect("a request");
                sender.try_send_request(request).await.map_err(|error| (error.message().is_some(), error.into_error()))
            }
        };
        match answered {
            Ok(answer) => read(answer).await.map_err(|error| Failure::Failed(format!("{path}: the body: {error:?}"))),
            Err((true, _)) => Err(Failure::Gone),
            Err((false, error)) => Err(Failure::Failed(format!("{path}: {error:?}"))),
        }
    }
}

fn is_before_the_answer(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_incomplete_message() || cause.is_some()
}

async fn read(answer: Response<Incoming>) -> Result<Answer, hyper::Error> {
    let field = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (status, problem) = (answer.status().as_u16(), field("proxy-status"));
    let (stamp, server, protocol) = (field("x-table"), field("server"), field("x-protocol"));
    let body = answer.into_body().collect().await?.to_bytes();
    let upstream = std::str::from_utf8(&body).ok().and_then(|text| text.strip_prefix("upstream ")).and_then(|name| name.parse().ok());
    Ok(Answer { status, upstream, protocol, stamp, server, problem })
}

/// What upstreams say of the protocol that they are spoken to in.
pub(super) fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }
}
