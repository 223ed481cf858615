//! An HTTP/2 client with prior knowledge.

use crate::case::Step;
use crate::observe::{Event, Message};
use crate::socket::Socket;
use crate::wire::{latin1, to_bytes};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// One connection; its driver ends when this is dropped.
pub(super) struct Client {
    requests: SendRequest<Bytes>,
    driver: JoinSet<()>,
    end: Arc<Mutex<Option<String>>>,
    waiting: VecDeque<(ResponseFuture, Option<SendStream<Bytes>>)>,
}

impl Client {
    pub(super) async fn connect(stream: Socket) -> Option<Self> {
        let (requests, connection) = h2::client::handshake(stream).await.ok()?;
        let end = Arc::new(Mutex::new(None));
        let mut driver = JoinSet::new();
        let note = Arc::clone(&end);
        driver.spawn(async move {
            let how = match connection.await {
                Err(error) if error.is_go_away() => {
                    format!("closed by the proxy: {}", name(error.reason()))
                }
                Ok(()) | Err(_) => "closed by the proxy".to_owned(),
            };
            *note.lock().expect("no panic while locked") = Some(how);
        });
        Some(Self { requests, driver, end, waiting: VecDeque::new() })
    }

    pub(super) async fn act(&mut self, step: &Step, events: &mut Vec<Event>) {
        if let Some(line) = &step.request {
            match self.send(line, step).await {
                Ok(sent) => self.waiting.push_back(sent),
                Err(error) => events.push(Event::Note(format!("not sent: {}", said(&error)))),
            }
        }
        let responses = step.responses.unwrap_or_else(|| usize::from(step.request.is_some()));
        for _ in 0..responses {
            let Some((response, _body)) = self.waiting.pop_front() else {
                return;
            };
            events.push(receive(response).await);
        }
    }

    /// How the proxy left the connection.
    pub(super) async fn ended(&mut self, limit: Duration) -> String {
        let _ = timeout(limit, self.driver.join_next()).await;
        let end = self.end.lock().expect("no panic while locked");
        end.clone().unwrap_or_else(|| "left open".to_owned())
    }

    async fn send(&mut self, line: &str, step: &Step) -> Result<(ResponseFuture, Option<SendStream<Bytes>>), h2::Error> {
        let request = build(line, &step.headers);
        let body = step.size.map(|size| vec![b'x'; size]).or_else(|| step.body.as_deref().map(to_bytes));
        let pieces: Vec<Vec<u8>> = body.into_iter().chain(step.chunks.iter().map(|chunk| to_bytes(chunk))).collect();
        let mut requests = self.requests.clone().ready().await?;
        let ends_here = pieces.is_empty() && step.trailers.is_empty() && !line.starts_with("CONNECT");
        let (response, mut stream) = requests.send_request(request, ends_here)?;
        if ends_here {
            return Ok((response, None));
        }
        let last = pieces.len().saturating_sub(1);
        for (index, piece) in pieces.into_iter().enumerate() {
            let end = index == last && step.trailers.is_empty() && !line.starts_with("CONNECT");
            // A stream reset by then shows in the response.
            let _ = stream.send_data(Bytes::from(piece), end);
        }
        if !step.trailers.is_empty() {
            let _ = stream.send_trailers(header_map(&step.trailers));
        }
        Ok((response, Some(stream)))
    }
}

/// `METHOD PATH HTTP/2`; headers `:scheme`, `:authority` and `:protocol` set the pseudo headers.
fn build(line: &str, headers: &[String]) -> Request<()> {
    let mut parts = line.split(' ');
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let pseudo = |name: &str| headers.iter().find_map(|header| header.strip_prefix(name).map(str::trim));
    let authority = pseudo(":authority:").unwrap_or("example.com");
    let scheme = pseudo(":scheme:").unwrap_or("http");
    let mut request = Request::builder().method(method).version(http::Version::HTTP_2);
    let protocol = pseudo(":protocol:");
    request = if method == "CONNECT" && protocol.is_none() {
        request.uri(http::Uri::builder().authority(target).build().expect("the case names an authority"))
    } else {
        request.uri(format!("{scheme}://{authority}{target}"))
    };
    let mut request = request.body(()).expect("the case names a valid request");
    if let Some(protocol) = protocol {
        request.extensions_mut().insert(h2::ext::Protocol::from(protocol));
    }
    let plain: Vec<_> = headers.iter().filter(|header| !header.starts_with(':')).cloned().collect();
    *request.headers_mut() = header_map(&plain);
    request
}

async fn receive(response: ResponseFuture) -> Event {
    let mut message = Message { complete: true, ..Message::default() };
    match response.await {
        Ok(response) => {
            message.start = format!("HTTP/2 {}", response.status().as_u16());
            message.headers = lines(response.headers());
            read_body(response.into_body(), &mut message).await;
            Event::Message(message)
        }
        Err(error) => Event::Note(format!("no response: {}", said(&error))),
    }
}

/// Body and trailers, or the reset that ended them.
pub(crate) async fn read_body(mut body: RecvStream, message: &mut Message) {
    message.complete = true;
    while let Some(piece) = body.data().await {
        match piece {
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
                message.body.extend_from_slice(&piece);
            }
            Err(error) => {
                message.reset = Some(said(&error));
                return;
            }
        }
    }
    match body.trailers().await {
        Ok(trailers) => message.trailers = trailers.as_ref().map(lines).unwrap_or_default(),
        Err(error) => message.reset = Some(said(&error)),
    }
}

/// `name: value` of each header.
pub(crate) fn lines(headers: &HeaderMap) -> Vec<String> {
    headers.iter().map(|(name, value)| format!("{name}: {}", latin1(value.as_bytes()))).collect()
}

/// Headers of `name: value` lines.
pub(crate) fn header_map(lines: &[String]) -> HeaderMap {
    let pairs = lines.iter().filter_map(|line| line.split_once(':'));
    let parsed = pairs.filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(&to_bytes(value.trim_start())).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in parsed {
        map.append(name, value);
    }
    map
}

fn said(error: &h2::Error) -> String {
    match (error.is_reset(), error.is_go_away()) {
        (true, _) => format!("reset {}", name(error.reason())),
        (_, true) => format!("goaway {}", name(error.reason())),
        _ => "the connection ended".to_owned(),
    }
}

fn name(reason: Option<Reason>) -> String {
    reason.map_or_else(|| "without a code".to_owned(), |reason| format!("{reason:?}"))
}
