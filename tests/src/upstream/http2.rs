//! An HTTP/2 upstream with prior knowledge.

use super::{Record, Script, check};
use crate::case::{Respond, Then};
use crate::client::{header_map, lines, read_body};
use crate::observe::{Event, Message};
use crate::socket::Socket;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub(super) async fn serve(stream: Socket, script: &Script, record: &Record, index: usize) {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
        return record.end(index, "not HTTP/2");
    };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        let mut answer = script.next();
        if answer.check.is_some() {
            answer.headers.push("content-type: application/grpc".to_owned());
            answer.trailers.push("grpc-status: 0".to_owned());
        }
        if answer.goaway {
            connection.graceful_shutdown();
        }
        if answer.then == Then::Drop {
            record.event(index, Event::Message(head_of(&request)));
            return record.end(index, "closed by the upstream");
        }
        let is_head = request.method() == http::Method::HEAD;
        let body = if is_head { Bytes::new() } else { Bytes::from(script.body(&answer)) };
        streams.spawn(exchange(request, respond, answer, body, record.clone(), index));
    }
    while streams.join_next().await.is_some() {}
    record.end(index, "closed by the proxy");
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: Respond,
    body: Bytes,
    record: Record,
    index: usize,
) {
    let mut message = head_of(&request);
    if !answer.early {
        let asks = request.uri().path() == check::PATH;
        read_body(request.into_body(), &mut message).await;
        if let Some(lines) = asks.then(|| check::request(&message.body)).flatten() {
            message.headers.extend(lines);
            message.body.clear();
        }
    }
    record.event(index, Event::Message(message));
    sleep(Duration::from_millis(answer.delay)).await;
    if answer.then == Then::Hang {
        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        return record.event(index, Event::Note("reset by the proxy".to_owned()));
    }
    let _ = send(&mut respond, &answer, body).await;
}

async fn send(respond: &mut SendResponse<Bytes>, answer: &Respond, body: Bytes) -> Result<(), h2::Error> {
    if let (Some(code), None) = (&answer.reset, answer.status) {
        respond.send_reset(reason(code));
        return Ok(());
    }
    let mut head = Response::builder().status(answer.status.unwrap_or(200)).body(()).expect("the case names a valid status");
    *head.headers_mut() = header_map(&answer.headers);
    let ends_here = body.is_empty() && answer.trailers.is_empty() && answer.reset.is_none();
    let mut stream = respond.send_response(head, ends_here)?;
    if ends_here {
        return Ok(());
    }
    stream.send_data(body, answer.trailers.is_empty() && answer.reset.is_none())?;
    if let Some(code) = &answer.reset {
        // What was queued before a reset is dropped by it; it must be on its way first.
        sleep(Duration::from_millis(40)).await;
        stream.send_reset(reason(code));
    } else if !answer.trailers.is_empty() {
        stream.send_trailers(header_map(&answer.trailers))?;
    }
    Ok(())
}

fn head_of(request: &Request<RecvStream>) -> Message {
    let uri = request.uri();
    let mut headers = lines(request.headers());
    let pseudo = [
        (":scheme", uri.scheme_str().map(str::to_owned)),
        (":authority", uri.authority().map(ToString::to_string)),
        (":protocol", request.extensions().get::<h2::ext::Protocol>().map(|name| name.as_str().to_owned())),
    ];
    // A leading colon would read as an empty name; the angle brackets keep it apart.
    headers.extend(pseudo.into_iter().filter_map(|(name, value)| value.map(|value| format!("<{}>: {value}", &name[1..]))));
    let path = uri.path_and_query().map_or("-", |path| path.as_str());
    Message { start: format!("{} {path} HTTP/2", request.method()), headers, complete: true, ..Message::default() }
}

fn reason(code: &str) -> Reason {
    match code {
        "NO_ERROR" => Reason::NO_ERROR,
        "PROTOCOL_ERROR" => Reason::PROTOCOL_ERROR,
        "INTERNAL_ERROR" => Reason::INTERNAL_ERROR,
        "REFUSED_STREAM" => Reason::REFUSED_STREAM,
        "CANCEL" => Reason::CANCEL,
        "ENHANCE_YOUR_CALM" => Reason::ENHANCE_YOUR_CALM,
        unknown => panic!("unknown HTTP/2 error code `{unknown}`"),
    }
}
