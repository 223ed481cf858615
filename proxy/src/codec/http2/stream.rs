use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode, Version, header};
use tokio::time::Instant;

use super::head::{content_length, join_cookies, strip_connection_fields};
use super::incoming::IncomingBody;
use super::pump::{End, Pump};
use super::server::{Reading, Shared};
use crate::codec::{Abort, Body, Incoming, Informational, Message, Outgoing, RequestFault, Service, Spelling};

/// Where the answer goes; empty once it has begun, after which 1xx answers go nowhere.
type Respond = Rc<RefCell<Option<SendResponse<Bytes>>>>;

/// Serves one stream. When the connection ends, or the client resets the stream, this ends too.
pub(super) async fn run<S: Service>(
    service: S,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    shared: Rc<Shared>,
    opened: Instant,
) {
    let respond: Respond = Rc::new(RefCell::new(Some(respond)));
    let tunnel = request.method() == http::Method::CONNECT;
    let answer = if request.headers().len() > shared.options.max_headers {
        // Counted and logged as refused; the client's stream is reset (as Envoy).
        drop(service.reject(RequestFault::HeadTooLarge("too many fields")));
        Some(Err(Abort { reason: Reason::INTERNAL_ERROR }))
    } else {
        let incoming = incoming(request, &respond, &shared);
        call(&service, incoming, &respond).await
    };
    let sent = match answer {
        Some(Ok(outgoing)) => send(outgoing.response, tunnel, &respond, shared.options.stall_timeout).await,
        Some(Err(abort)) => {
            reset(&respond, abort);
            true
        }
        None => false,
    };
    // What keeps `Informational` beyond the answer must not keep the stream.
    drop(respond.take());
    if sent {
        shared.answered();
    } else {
        shared.reset(opened);
    }
}

fn incoming(request: Request<RecvStream>, respond: &Respond, shared: &Rc<Shared>) -> Incoming {
    let informational = informational(Rc::clone(respond));
    let (mut parts, stream) = request.into_parts();
    join_cookies(&mut parts.headers);
    let body = if stream.is_end_stream() {
        Body::Empty
    } else {
        let expecting = parts.headers.get(header::EXPECT).is_some_and(|expect| expect == "100-continue");
        let expecting = expecting.then(|| informational.clone());
        Body::Http2(IncomingBody::request(
            stream,
            content_length(&parts.headers),
            shared.options.max_headers,
            expecting,
            Reading::new(shared),
        ))
    };
    Incoming { request: Request::from_parts(parts, body), spelling: Spelling::Lower, informational }
}

fn informational(respond: Respond) -> Informational {
    let continued = Cell::new(false);
    Informational(Some(Rc::new(move |mut response: Response<()>| {
        // The service and the body may both say it.
        if response.status() == StatusCode::CONTINUE && continued.replace(true) {
            return;
        }
        strip_connection_fields(response.headers_mut());
        if let Ok(mut respond) = respond.try_borrow_mut()
            && let Some(respond) = respond.as_mut()
        {
            // Refuses what is not 1xx; a stream that has ended wants nothing.
            let _ = respond.send_informational(response);
        }
    })))
}

/// Runs the service; `None` when the client has gone away.
async fn call<S: Service>(service: &S, incoming: Incoming, respond: &Respond) -> Option<Result<Outgoing<S::ResponseBody>, Abort>> {
    let mut answer = pin!(service.call(incoming));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        match respond.borrow_mut().as_mut() {
            Some(respond) => respond.poll_reset(cx).map(|_| None),
            None => Poll::Ready(None),
        }
    })
    .await
}

fn reset(respond: &Respond, abort: Abort) {
    if let Some(mut respond) = respond.take() {
        respond.send_reset(abort.reason);
    }
}

/// Sends the answer; `false` when the client did not want all of it.
async fn send<B>(response: Response<B>, tunnel: bool, respond: &Respond, stall_timeout: Option<Duration>) -> bool
where
    B: Message,
{
    let Some(mut respond) = respond.take() else { return false };
    let (mut head, body) = response.into_parts();
    if head.version != Version::HTTP_2 {
        strip_connection_fields(&mut head.headers);
    }
    if tunnel && head.status == StatusCode::SWITCHING_PROTOCOLS {
        // RFC 8441, 5: what an HTTP/1 server accepts with 101 is accepted with 200.
        head.status = StatusCode::OK;
    }
    if head.status.is_informational() {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return true;
    }
    let is_open = tunnel && head.status.is_success();
    let empty = body.is_end_stream();
    let Ok(stream) = respond.send_response(Response::from_parts(head, ()), empty) else {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return false;
    };
    if empty {
        return true;
    }
    drop(respond);
    // A tunnel's other direction may move: who answers knows, and limits it.
    let mut pump = Pump::new(stream, stall_timeout.filter(|_| !is_open));
    let mut body = pin!(body);
    match poll_fn(|cx| pump.poll(body.as_mut(), cx)).await {
        End::Complete => true,
        End::Body(_) => {
            // A reset drops what waits to be sent: the connection's task gets a turn to send the head first.
            tokio::task::yield_now().await;
            // RFC 9113, 8.5.
            pump.reset(if tunnel { Reason::CONNECT_ERROR } else { Reason::INTERNAL_ERROR });
            true
        }
        End::Stalled => {
            pump.reset(Reason::CANCEL);
            true
        }
        End::Refused => false,
    }
}
