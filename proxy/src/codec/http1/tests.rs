mod client;
mod properties;
mod server;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::timeout;

use super::{ClientOptions, Connection, ServeError, serve};
use crate::codec::{Abort, Body, Drain, Http1Options, Incoming, Outgoing, RequestFault, Service};

fn options() -> Http1Options {
    Http1Options {
        max_head_bytes: 8192,
        max_headers: 100,
        head_timeout: Some(Duration::from_secs(10)),
        idle_timeout: Some(Duration::from_secs(60)),
        allow_custom_methods: false,
        accept_http_10: true,
        default_host_for_http_10: Some("default".to_owned()),
        allow_absolute_url: true,
        allow_chunked_length: false,
        enable_trailers: true,
        max_requests: None,
        buffer_limit: 64 * 1024,
        stall_timeout: Some(Duration::from_secs(300)),
    }
}

fn client_options() -> Rc<ClientOptions> {
    Rc::new(ClientOptions { max_head_bytes: 8192, max_headers: 100, enable_trailers: true, buffer_limit: 64 * 1024 })
}

/// A service made of a closure.
struct Handler<F>(F);

impl<F, A> Service for Handler<F>
where
    F: Fn(Incoming) -> A,
    A: Future<Output = Result<Outgoing<Body>, Abort>>,
{
    type ResponseBody = Body;

    fn call(&self, incoming: Incoming) -> impl Future<Output = Result<Outgoing<Body>, Abort>> {
        (self.0)(incoming)
    }

    fn reject(&self, fault: RequestFault) -> Outgoing<Body> {
        let (status, text) = match fault {
            RequestFault::Malformed(text) => (400, text),
            RequestFault::Version(text) => (426, text),
            RequestFault::Coding(text) => (501, text),
            RequestFault::HeadTooLarge(text) => (431, text),
            RequestFault::HeadTimeout => (408, "too slow"),
        };
        answer(status, text)
    }
}

fn answer(status: u16, text: &'static str) -> Outgoing<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.into()
}

/// Answers with what the request was.
async fn echo(incoming: Incoming) -> Result<Outgoing<Body>, Abort> {
    let (parts, body) = incoming.request.into_parts();
    let mut text = format!("{} {}", parts.method, parts.uri);
    match body.collect().await {
        Ok(body) => {
            let trailers = body.trailers().cloned();
            text += &format!(" [{}]", String::from_utf8_lossy(&body.to_bytes()));
            for (name, value) in trailers.iter().flatten_headers() {
                text += &format!(" {name}={value}");
            }
        }
        Err(error) => text += &format!(" !{error}"),
    }
    let mut outgoing: Outgoing<Body> = Response::new(Body::from(Bytes::from(text))).into();
    outgoing.spelling = incoming.spelling;
    Ok(outgoing)
}

trait FlattenHeaders {
    fn flatten_headers(self) -> Vec<(String, String)>;
}

impl<'a, I: Iterator<Item = &'a http::HeaderMap>> FlattenHeaders for I {
    fn flatten_headers(self) -> Vec<(String, String)> {
        self.flatten().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }
}

/// Starts a server; gives the client's end and the outcome.
fn start<S: Service + 'static>(options: Http1Options, service: S) -> (DuplexStream, JoinHandle<Result<(), ServeError>>) {
    let (client, server) = tokio::io::duplex(256 * 1024);
    let serving = serve(server, Bytes::new(), Rc::new(options), Drain::never(), service);
    #[expect(clippy::disallowed_methods, reason = "the test looks at the outcome")]
    let task = tokio::task::spawn_local(serving);
    (client, task)
}

/// Everything that comes until nothing does for a second.
async fn read_all(stream: &mut DuplexStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(Ok(count)) = timeout(Duration::from_millis(500), stream.read(&mut piece)).await {
        if count == 0 {
            all.extend_from_slice(b"<end>");
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

/// What the echo server answers to these bytes.
async fn echoed(options: Http1Options, input: &[u8]) -> String {
    local(async {
        let (mut client, _task) = start(options, Handler(echo));
        client.write_all(input).await.unwrap();
        read_all(&mut client).await
    })
    .await
}
