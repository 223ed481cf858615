use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
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
    /// h2 itself: hyper gives up a request that a GOAWAY overtakes on the way to the connection, sent or not.
    Http2(h2::client::SendRequest<Bytes>),
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
    /// The connection had ended, and the request was not sent.
    Unsent,
    /// The request crossed with the end of an idle connection, which clients have to reckon with: of HTTP/1 (RFC 9112, 9.3.1), or of
    /// HTTP/2, where the server's last GOAWAY says that it has not taken the stream (RFC 9113, 8.7). h2 answers the ping before it
    /// with priority over requests, so that one may come too late.
    Crossed,
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
        let mut driver = JoinSet::new();
        let sender = if is_http2 {
            let (sender, connection) = h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
            driver.spawn(async { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Self { sender, certificate, used: false, _driver: driver })
    }

    /// Whether it is over as far as can be seen.
    pub(super) fn is_closed(&self) -> bool {
        matches!(&self.sender, Sender::Http1(sender) if sender.is_closed())
    }

    /// One GET.
    pub(super) async fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let kept = std::mem::replace(&mut self.used, true);
        let asking = async {
            match &mut self.sender {
                Sender::Http1(sender) => ask_http1(sender, path, kept).await,
                Sender::Http2(sender) => ask_http2(sender, path).await,
            }
        };
        let asked = tokio::time::timeout(LIMIT, asking).await.unwrap_or_else(|_| Err(Failure::Failed("no answer in time".to_owned())));
        asked.map_err(|failure| match failure {
            Failure::Unsent | Failure::Crossed => failure,
            Failure::Failed(problem) => Failure::Failed(format!("{path}: {problem}")),
        })
    }
}

async fn ask_http1(sender: &mut http1::SendRequest<Empty<Bytes>>, path: &str, kept: bool) -> Result<Answer, Failure> {
    if sender.ready().await.is_err() {
        return Err(Failure::Unsent);
    }
    let request = Request::get(path).header("host", "localhost").body(Empty::new()).expect("a request");
    let answered = sender.try_send_request(request).await;
    let answer = answered.map_err(|error| match error.message() {
        Some(_) => Failure::Unsent,
        None if kept && is_before_the_answer(error.error()) => Failure::Crossed,
        None => Failure::Failed(format!("{:?}", error.into_error())),
    })?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| Failure::Failed(format!("the body: {error:?}")))?.to_bytes();
    Ok(read(&head, &body))
}

fn is_before_the_answer(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.is_incomplete_message() || cause.is_some()
}

async fn ask_http2(sender: &mut h2::client::SendRequest<Bytes>, path: &str) -> Result<Answer, Failure> {
    if std::future::poll_fn(|context| sender.poll_ready(context)).await.is_err() {
        return Err(Failure::Unsent);
    }
    let request = Request::get(format!("https://localhost{path}")).body(()).expect("a request");
    let Ok((answer, _)) = sender.send_request(request, true) else { return Err(Failure::Unsent) };
    let failed = |error: h2::Error| Failure::Failed(format!("{error:?}"));
    // h2 gives up on a GOAWAY only those streams that it says were not taken.
    let is_not_taken = |error: &h2::Error| error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
    let answer = answer.await.map_err(|error| if is_not_taken(&error) { Failure::Crossed } else { failed(error) })?;
    let (head, mut body) = answer.into_parts();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data.map_err(failed)?);
    }
    Ok(read(&head, &whole))
}

fn read(head: &Parts, body: &[u8]) -> Answer {
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let upstream = std::str::from_utf8(body).ok().and_then(|text| text.strip_prefix("upstream ")).and_then(|name| name.parse().ok());
    let (stamp, server, protocol, problem) = (field("x-table"), field("server"), field("x-protocol"), field("proxy-status"));
    Answer { status: head.status.as_u16(), upstream, protocol, stamp, server, problem }
}

/// What upstreams say of the protocol that they are spoken to in.
pub(super) fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }
}
