use super::*;

use std::cell::Cell;

use http::HeaderMap;
use http_body::Frame;
use tokio::sync::watch;

use crate::codec::{BodyError, Fragment, Spelling};

/// A body of these frames, each ready at once.
fn frames(frames: Vec<Frame<Bytes>>) -> Body {
    struct Frames(std::collections::VecDeque<Frame<Bytes>>);
    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            std::task::Poll::Ready(self.0.pop_front().map(Ok))
        }
    }
    Body::Boxed(Box::pin(Frames(frames.into())))
}

fn refused(answer: &str, status: u16, text: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with(&format!("{text}<end>")), "{answer}");
}

async fn is_refused(head: &str, status: u16, text: &str) {
    refused(&echoed(options(), head.as_bytes()).await, status, text);
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_are_answered_in_order_on_one_connection() {
    let input = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcPUT /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: 1\r\n\r\n";
    let answers = echoed(options(), input).await;
    assert_eq!(
        answers,
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nGET /a []\
         HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\nPOST /b [abc]\
         HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\nPUT /c [def] t=1"
    );
}

#[tokio::test(start_paused = true)]
async fn what_two_readers_could_take_differently_is_refused() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n";
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for (head, text) in [
        ("GET / HTTP/1.1\nHost: x\n\n".to_owned(), "a line ends with a bare LF"),
        ("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n".to_owned(), "a line ends with a bare LF"),
        ("\nGET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "a line ends with a bare LF"),
        (format!("{get}\n"), "a line ends with a bare LF"),
        (format!("{get}A: b\rc\r\n\r\n"), "invalid field value"),
        (format!("{get}A: b\0c\r\n\r\n"), "invalid field value"),
        (format!("{get}A: b\x7fc\r\n\r\n"), "invalid field value"),
        (format!("{get}A : b\r\n\r\n"), "invalid field name"),
        (format!("{get}A: b\r\n c\r\n\r\n"), "invalid field name"),
        (format!("{get}A: b\r\n\tc\r\n\r\n"), "invalid field name"),
        (format!("{get}: b\r\n\r\n"), "invalid field name"),
        (format!("{get}A\r\n\r\n"), "invalid field name"),
        (format!("{get}A\u{e9}: b\r\n\r\n"), "invalid field name"),
        ("GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n".to_owned(), "invalid field name"),
        ("GET / HTTP/1.1\r\nHost: a b<c>\r\n\r\n".to_owned(), "invalid host"),
        (format!("{get}host: y\r\n\r\n"), "more than one Host"),
        (format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "both Content-Length and Transfer-Encoding"),
        (format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"), "both Content-Length and Transfer-Encoding"),
        (format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n"), "invalid field value"),
        (format!("{post}Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), "more than one Content-Length"),
        (format!("{post}Content-Length: 1, 1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: +1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: -1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: 0x1\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length:\r\n\r\na"), "Content-Length is not a number"),
        (format!("{post}Content-Length: 18446744073709551616\r\n\r\na"), "Content-Length is too large"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na".to_owned(), "CONNECT with a Content-Length"),
    ] {
        is_refused(&head, 400, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_coding_other_than_one_chunked_is_answered_501() {
    let post = "POST / HTTP/1.1\r\nHost: x\r\n";
    for head in [
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n"),
        format!("{post}Transfer-Encoding:\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n"),
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        is_refused(&head, 501, "unsupported transfer encoding").await;
    }
    is_refused(&format!("{post}Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\na"), 400, "both Content-Length and Transfer-Encoding")
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_http_10_connection_ends_behind_a_chunked_body() {
    let head = b"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let answer = echoed(options(), head).await;
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("POST / [a]<end>"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn odd_request_lines_are_refused() {
    for (line, status, text) in [
        ("GET /\u{e9} HTTP/1.1", 400, "the target has a byte that must be encoded"),
        ("GET /\x7f HTTP/1.1", 400, "invalid request line"),
        ("GET /a\tb HTTP/1.1", 400, "invalid request line"),
        ("GET  / HTTP/1.1", 400, "invalid request line"),
        ("GET / HTTP/1.1 ", 400, "a line ends with a bare CR"),
        ("G(T / HTTP/1.1", 400, "invalid request line"),
        (" GET / HTTP/1.1", 400, "invalid request line"),
        ("GET foo HTTP/1.1", 400, "the target does not suit the method"),
        ("GET * HTTP/1.1", 400, "the target does not suit the method"),
        ("GET ftp://y/ HTTP/1.1", 400, "the target does not suit the method"),
        ("GET http://u@y/ HTTP/1.1", 400, "the target has user information"),
        ("CONNECT /a HTTP/1.1", 400, "the target does not suit the method"),
        ("GET / HTTP/2.0", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / HTTP/1.2", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / HTTP/0.9", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("GET / http/1.1", 400, "unsupported HTTP version"),
        ("GET / HTTP/1.2 x", 400, "unsupported HTTP version"),
        ("FROBNICATE / HTTP/1.1", 400, "unknown method"),
        ("PRI * HTTP/2.0", 400, "unsupported HTTP version"),
        ("GET /", 426, "the version is neither HTTP/1.0 nor HTTP/1.1"),
        ("FROBNICATE /", 400, "invalid request line"),
    ] {
        is_refused(&format!("{line}\r\nHost: x\r\n\r\n"), status, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_without_a_line_end_is_refused_at_once() {
    is_refused("\x16\x03\x01\x02\0\x01\0", 400, "invalid request line").await;
}

#[tokio::test(start_paused = true)]
async fn good_heads_are_taken() {
    for (head, expected) in [
        ("\r\n\r\nGET /e HTTP/1.1\r\nHost: x\r\n\r\n", "GET /e []"),
        ("GET http://y:81/p?q HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://y:81/p?q []"),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * []"),
        ("MSEARCH / HTTP/1.1\r\nHost:\r\n\r\n", "MSEARCH / []"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ChunkeD\r\n\r\n0\r\n\r\n", "POST / []"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX: \u{e9}\t\r\n\r\nab", "POST / [ab]"),
    ] {
        let answer = echoed(options(), head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(expected), "{head:?}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_is_taken_from_the_target_or_assumed_for_http_10() {
    let show = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
        let host = incoming.request.headers().get("host").cloned().unwrap();
        Ok(Response::new(Body::from(Bytes::copy_from_slice(host.as_bytes()))).into())
    });
    local(async {
        let (mut client, _task) = start(options(), show);
        client.write_all(b"GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\n\r\n").await.unwrap();
        let answers = read_all(&mut client).await;
        assert!(answers.contains("\r\n\r\nyHTTP/1.0 200 OK\r\n") && answers.ends_with("\r\n\r\ndefault<end>"), "{answers}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_layer_above_refuses_reaches_it() {
    let show = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
        let request = incoming.request;
        let fragment = request.extensions().get::<Fragment>().is_some();
        Ok(answer(
            200,
            if fragment {
                "fragment"
            } else if request.headers().contains_key("host") {
                "host"
            } else {
                "no host"
            },
        ))
    });
    local(async {
        let (mut client, _task) = start(options(), show);
        client.write_all(b"GET / HTTP/1.1\r\n\r\nGET /a#b HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answers = read_all(&mut client).await;
        assert!(answers.contains("\r\n\r\nno hostHTTP/1.1 200 OK\r\n") && answers.ends_with("\r\n\r\nfragment"), "{answers}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn both_lengths_are_taken_where_allowed_and_the_chunks_count() {
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let answer = echoed(Http1Options { allow_chunked_length: true, ..options() }, head).await;
    assert!(answer.ends_with("POST / [a]"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn heads_over_the_limits_are_refused() {
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(9000));
    refused(&echoed(options(), long.as_bytes()).await, 431, "the head is too large");
    refused(&echoed(options(), &long.as_bytes()[..8800]).await, 431, "the head is too large");
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
    refused(&echoed(options(), many(101).as_bytes()).await, 431, "too many fields");
    assert!(echoed(options(), many(100).as_bytes()).await.starts_with("HTTP/1.1 200"));
    let more = Http1Options { max_headers: 200, ..options() };
    assert!(echoed(more.clone(), many(200).as_bytes()).await.starts_with("HTTP/1.1 200"));
    refused(&echoed(more, many(201).as_bytes()).await, 431, "too many fields");
    refused(&echoed(options(), "\r\n".repeat(9).as_bytes()).await, 400, "too many empty lines before the head");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_takes_too_long_is_given_up() {
    local(async {
        let (mut client, task) = start(options(), Handler(echo));
        for _ in 0..11 {
            client.write_all(b"G").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut answer = vec![0; 20];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 408 Request");
        drop(client);
        assert_eq!(task.await.unwrap().unwrap_err().side, super::super::Side::Client);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_limit_counted_from_the_last_answer() {
    local(async {
        let (mut client, task) = start(options(), Handler(echo));
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert!(read_all(&mut client).await.ends_with("GET / []"));
        }
        tokio::time::sleep(Duration::from_secs(58)).await;
        assert!(!task.is_finished());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(task.is_finished());
        assert_eq!(task.await.unwrap(), Ok(()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn draining_closes_idle_connections_and_marks_answers() {
    local(async {
        let (drain, draining) = watch::channel(false);
        let (mut idle, end) = tokio::io::duplex(4096);
        let serving = serve(end, Bytes::new(), Rc::new(options()), Drain::new(draining.clone()), Handler(echo));
        let idle_task = crate::task::OwnedTask::spawn(serving);
        let (mut busy, end) = tokio::io::duplex(4096);
        let serving = serve(end, Bytes::new(), Rc::new(options()), Drain::new(draining), Handler(echo));
        let busy_task = crate::task::OwnedTask::spawn(serving);
        busy.write_all(b"GET / HT").await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        drain.send(true).unwrap();
        assert_eq!(read_all(&mut idle).await, "", "a request may be on its way");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(read_all(&mut idle).await, "<end>");
        busy.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let answer = read_all(&mut busy).await;
        assert!(answer.contains("Connection: close\r\n") && answer.ends_with("GET / []<end>"), "{answer}");
        assert_eq!((idle_task.join().await, busy_task.join().await), (Some(Ok(())), Some(Ok(()))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_ends_when_a_side_asks_for_it() {
    let close = "GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = echoed(options(), close.as_bytes()).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET / []<end>");
    let old = echoed(options(), b"GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(old, "HTTP/1.0 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nGET / []<end>");
    let kept = echoed(options(), b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    assert_eq!(kept, "HTTP/1.0 200 OK\r\ncontent-length: 8\r\nconnection: keep-alive\r\n\r\nGET / []");
    let twice = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(3);
    let limited = echoed(Http1Options { max_requests: Some(2), ..options() }, twice.as_bytes()).await;
    assert_eq!(limited.matches("GET / []").count(), 2);
    assert!(limited.ends_with("connection: close\r\n\r\nGET / []<end>"), "{limited}");
    is_refused_10().await;
}

async fn is_refused_10() {
    let strict = Http1Options { accept_http_10: false, ..options() };
    refused(&echoed(strict, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n").await, 426, "HTTP/1.0 is not accepted");
}

/// Serves one request with this answer.
async fn answered(request: &str, make: impl Fn() -> Response<Body> + 'static) -> String {
    let service = Handler(move |_| std::future::ready(Ok(make().into())));
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut client).await
    })
    .await
}

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn answers_are_framed_by_what_is_known_of_them() {
    let stream = || {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-t", "1".parse().unwrap());
        trailers.insert("content-length", "1".parse().unwrap());
        Response::new(frames(vec![Frame::data("ab".into()), Frame::data("".into()), Frame::data("c".into()), Frame::trailers(trailers)]))
    };
    assert_eq!(
        answered(GET, stream).await,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nx-t: 1\r\n\r\n"
    );
    let old = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    assert_eq!(answered(old, stream).await, "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\nabc<end>");
    let known = || {
        let response = Response::builder().header("content-length", "3").header("transfer-encoding", "gzip");
        response.header("connection", "x-foo").body(frames(vec![Frame::data("abc".into())])).unwrap()
    };
    assert_eq!(answered(GET, known).await, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc");
    let close = || Response::builder().header("connection", "close").body(Body::Empty).unwrap();
    assert_eq!(answered(GET, close).await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n<end>");
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_body_keep_what_they_say_of_it() {
    let head = "HEAD / HTTP/1.1\r\nhost: x\r\n\r\n";
    let sized = || Response::builder().header("content-length", "7").body(Body::Empty).unwrap();
    assert_eq!(answered(head, sized).await, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    let given = || Response::new(Body::from(Bytes::from_static(b"abc")));
    assert_eq!(answered(head, given).await, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
    let unknown = || Response::new(Body::Empty);
    assert_eq!(answered(head, unknown).await, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    let none = || Response::builder().status(204).body(Body::Empty).unwrap();
    assert_eq!(answered(GET, none).await, "HTTP/1.1 204 No Content\r\n\r\n");
    let same = || Response::builder().status(304).header("content-length", "7").body(Body::Empty).unwrap();
    assert_eq!(answered(GET, same).await, "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_fit_its_length_ends_the_connection() {
    let short = || Response::builder().header("content-length", "5").body(frames(vec![Frame::data("abc".into())])).unwrap();
    assert!(answered(GET, short).await.ends_with("\r\n\r\nabc<end>"));
    let long = || Response::builder().header("content-length", "2").body(frames(vec![Frame::data("abc".into())])).unwrap();
    assert!(answered(GET, long).await.ends_with("\r\n\r\n<end>"));
}

#[tokio::test(start_paused = true)]
async fn names_go_out_as_the_spelling_says() {
    let written = || {
        let mut response = Response::new(Body::Empty);
        for name in ["x-request-id", "etag", "www-authenticate"] {
            response.headers_mut().insert(name, "1".parse().unwrap());
        }
        response
    };
    let spell = |spelling: Spelling| {
        let service = Handler(move |_| std::future::ready(Ok(Outgoing { response: written(), spelling: spelling.clone() })));
        local(async {
            let (mut client, _task) = start(options(), service);
            client.write_all(GET.as_bytes()).await.unwrap();
            read_all(&mut client).await
        })
    };
    assert!(spell(Spelling::Title).await.contains("\r\nX-Request-Id: 1\r\nEtag: 1\r\nWww-Authenticate: 1\r\nContent-Length: 0"));
    let names = vec![("etag".parse().unwrap(), Bytes::from("ETag")), ("www-authenticate".parse().unwrap(), Bytes::from("evil\r\n"))];
    assert!(spell(Spelling::AsWritten(names)).await.contains("\r\nx-request-id: 1\r\nETag: 1\r\nwww-authenticate: 1\r\ncontent-length"));
}

#[tokio::test(start_paused = true)]
async fn the_client_is_asked_to_continue_once() {
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    for passed_through in [false, true] {
        let service = Handler(move |mut incoming: Incoming| async move {
            let hundred = || Response::builder().status(100).body(()).unwrap();
            if passed_through {
                incoming.informational.send(hundred());
            }
            let body = std::mem::take(incoming.request.body_mut()).collect().await.unwrap().to_bytes();
            incoming.informational.send(hundred());
            Ok(Outgoing::from(Response::new(Body::from(body))))
        });
        local(async {
            let (mut client, _task) = start(options(), service);
            client.write_all(head.as_bytes()).await.unwrap();
            assert_eq!(read_all(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
            client.write_all(b"ab").await.unwrap();
            assert_eq!(read_all(&mut client).await, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_the_body_that_waits_for_100_ends_the_connection() {
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let answer = answered(head, || Response::builder().status(413).body(Body::Empty).unwrap()).await;
    assert_eq!(answer, "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n<end>");
}

#[tokio::test(start_paused = true)]
async fn early_hints_come_before_the_answer_and_not_for_http_10() {
    for (request, hints) in [(GET, true), ("GET / HTTP/1.0\r\n\r\n", false)] {
        let service = Handler(async |incoming: Incoming| -> Result<Outgoing<Body>, Abort> {
            incoming.informational.send(Response::builder().status(103).header("link", "a").body(()).unwrap());
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(answer(200, "done"))
        });
        local(async {
            let (mut client, _task) = start(options(), service);
            client.write_all(request.as_bytes()).await.unwrap();
            let all = read_all(&mut client).await;
            assert_eq!(all.starts_with("HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n"), hints, "{all}");
            assert_eq!(all.matches("HTTP/").count(), if hints { 2 } else { 1 });
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handle_for_hints_that_was_kept_does_not_speak_for_the_next_request() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&kept);
    let service = Handler(move |incoming: Incoming| {
        for old in all.borrow().iter() {
            crate::codec::Informational::send(old, Response::builder().status(103).body(()).unwrap());
        }
        all.borrow_mut().push(incoming.informational);
        std::future::ready(Ok(answer(200, "x")))
    });
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(GET.repeat(3).as_bytes()).await.unwrap();
        assert!(!read_all(&mut client).await.contains("103"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_cancels_its_request() {
    struct OnDrop(Rc<Cell<bool>>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let cancelled = Rc::new(Cell::new(false));
    let flag = Rc::clone(&cancelled);
    let service = Handler(move |_| {
        let guard = OnDrop(Rc::clone(&flag));
        async move {
            std::future::pending::<()>().await;
            drop(guard);
            Err(Abort { reason: h2::Reason::CANCEL })
        }
    });
    local(async {
        let (mut client, task) = start(options(), service);
        client.write_all(GET.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(!cancelled.get());
        drop(client);
        assert_eq!(task.await.unwrap().unwrap_err().to_string(), "the client closed before the answer");
        assert!(cancelled.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_closes_without_an_answer() {
    let service = Handler(|_| std::future::ready(Err(Abort { reason: h2::Reason::CANCEL })));
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut client).await, "<end>");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_nobody_reads_is_forgotten_if_it_has_arrived_and_ends_the_connection_if_not() {
    let ok = || Response::new(Body::Empty);
    let arrived = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n{GET}");
    assert_eq!(answered(&arrived, ok).await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2));
    let missing = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab";
    assert_eq!(answered(missing, ok).await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n<end>");
    let wrong = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    assert_eq!(answered(wrong, ok).await, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n<end>");
}

#[tokio::test(start_paused = true)]
async fn wrong_chunks_are_told_to_whoever_reads_and_end_the_connection() {
    for (body, rule) in [
        ("zz\r\n", "a chunk size is not hexadecimal"),
        ("\r\n", "a chunk has no size"),
        (";a\r\n", "a chunk has no size"),
        ("1 \r\na\r\n", "a chunk size is not hexadecimal"),
        ("0x1\r\na\r\n", "a chunk size is not hexadecimal"),
        ("1\na\r\n", "a chunk size is not hexadecimal"),
        ("1\ra\r\n", "a chunk size's line ends with a bare CR"),
        ("1;a\nb\r\n", "a chunk extension has a control character"),
        ("1\r\nab\r\n", "a chunk is longer than its size"),
        ("1\r\na\n0\r\n\r\n", "a chunk is longer than its size"),
        ("00000000000000001\r\na", "a chunk size has too many digits"),
        ("0\r\nA: b\n\r\n", "a line ends with a bare LF"),
        ("0\r\nA : b\r\n\r\n", "invalid field name"),
        ("0\r\nA: b\r\n c\r\n\r\n", "invalid field name"),
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let answer = echoed(options(), head.as_bytes()).await;
        assert!(answer.ends_with(&format!("!malformed body: {rule}<end>")), "{body:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    let long = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;{}", "a".repeat(20_000));
    assert!(echoed(options(), long.as_bytes()).await.ends_with("chunk extensions are too long<end>"));
}

#[tokio::test(start_paused = true)]
async fn trailers_are_bounded_and_dropped_where_not_wanted() {
    let send = |trailers: String| format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{trailers}\r\n");
    let plain = send("A: 1\r\nContent-Length: 5\r\nHost: y\r\n".to_owned());
    assert!(echoed(options(), plain.as_bytes()).await.ends_with("POST / [] a=1"));
    let dropped = Http1Options { enable_trailers: false, ..options() };
    assert!(echoed(dropped, plain.as_bytes()).await.ends_with("POST / []"));
    let many = send("A: 1\r\n".repeat(101));
    assert!(echoed(options(), many.as_bytes()).await.ends_with("!malformed body: too many trailers<end>"));
    let large = send(format!("A: {}\r\n", "1".repeat(9000)));
    assert!(echoed(options(), large.as_bytes()).await.ends_with("!malformed body: trailers are too large<end>"));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_carries_both_directions_and_their_ends() {
    for (head, granted) in [
        ("GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n", 101),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 200),
    ] {
        let service = Handler(move |incoming: Incoming| async move {
            let response = Response::builder().status(granted).header("upgrade", "websocket");
            Ok(Outgoing::from(response.body(incoming.request.into_body()).unwrap()))
        });
        local(async {
            let (mut client, task) = start(options(), service);
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(b"early").await.unwrap();
            let answer = read_all(&mut client).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {granted} ")) && answer.ends_with("\r\n\r\nearly"), "{answer}");
            assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"), "{answer}");
            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read_all(&mut client).await, "ping<end>");
            assert_eq!(task.await.unwrap(), Ok(()));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_not_granted_goes_on_as_http() {
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let answer = answered(&format!("{head}{GET}"), || Response::new(Body::Empty)).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2));
}

#[tokio::test(start_paused = true)]
async fn a_101_nobody_asked_for_is_not_sent() {
    let answer = answered(GET, || Response::builder().status(101).body(Body::Empty).unwrap()).await;
    assert_eq!(answer, "<end>");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stops_the_body() {
    struct Endless(Rc<Cell<usize>>);
    impl http_body::Body for Endless {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            self.0.set(self.0.get() + 10_000);
            std::task::Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; 10_000])))))
        }
    }
    let taken = Rc::new(Cell::new(0));
    let count = Rc::clone(&taken);
    let service = Handler(move |_| std::future::ready(Ok(Response::new(Body::Boxed(Box::pin(Endless(Rc::clone(&count))))).into())));
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(GET.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The pipe holds 256 KiB, our buffer 64 KiB.
        assert!((250_000..400_000).contains(&taken.get()), "{}", taken.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pipelines_without_reading_is_read_ahead_only_to_the_limit() {
    local(async {
        let service = Handler(|_| std::future::pending::<Result<Outgoing<Body>, Abort>>());
        let (client, server) = tokio::io::duplex(1024);
        let serving = serve(server, Bytes::new(), Rc::new(options()), Drain::never(), service);
        let _task = crate::task::OwnedTask::spawn(serving);
        let mut client = client;
        client.write_all(GET.as_bytes()).await.unwrap();
        let mut sent = 0;
        while let Ok(Ok(count)) = timeout(Duration::from_secs(1), client.write(GET.repeat(30).as_bytes())).await {
            sent += count;
        }
        assert!(sent < 100_000, "{sent}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_kept_after_its_exchange_reads_nothing_of_the_next() {
    let kept = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&kept);
    let service = Handler(move |incoming: Incoming| {
        let body = incoming.request.into_body();
        if matches!(body, Body::Http1(_)) {
            *slot.borrow_mut() = Some(body);
        }
        std::future::ready(Ok(answer(200, "")))
    });
    local(async {
        let (mut client, _task) = start(options(), service);
        client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await.unwrap();
        assert!(read_all(&mut client).await.ends_with("connection: close\r\n\r\n<end>"));
        let body = kept.borrow_mut().take().unwrap();
        drop(body);
    })
    .await;
}

/// Counts the calls that would be system calls.
struct Counting {
    io: DuplexStream,
    reads: Rc<Cell<usize>>,
    writes: Rc<Cell<usize>>,
}

impl tokio::io::AsyncRead for Counting {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let polled = std::pin::Pin::new(&mut self.io).poll_read(cx, buffer);
        self.reads.set(self.reads.get() + usize::from(polled.is_ready()));
        polled
    }
}

impl tokio::io::AsyncWrite for Counting {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        data: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        std::pin::Pin::new(&mut self.io).poll_write(cx, data)
    }
    fn poll_flush(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_message_takes_one_read_and_one_write() {
    local(async {
        let (mut client, io) = tokio::io::duplex(64 * 1024);
        let (reads, writes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let io = Counting { io, reads: Rc::clone(&reads), writes: Rc::clone(&writes) };
        let _task = crate::task::OwnedTask::spawn(serve(io, Bytes::new(), Rc::new(options()), Drain::never(), Handler(echo)));
        for turn in 1..5 {
            client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").await.unwrap();
            read_all(&mut client).await;
            assert_eq!((reads.get(), writes.get()), (turn, turn));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    local(async {
        let (mut client, end) = tokio::io::duplex(1024);
        let service = Handler(|_| std::future::ready(Ok(Response::new(Body::from(Bytes::from(vec![0; 100_000]))).into())));
        let task = crate::task::OwnedTask::spawn(serve(end, Bytes::new(), Rc::new(options()), Drain::never(), service));
        client.write_all(GET.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(200)).await;
        client.read_exact(&mut [0; 100]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(290)).await;
        assert!(!task.is_finished());
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(task.is_finished());
        assert_eq!(task.join().await.unwrap().unwrap_err().to_string(), "the client takes no more of the answer");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_may_be_read_by_another_task() {
    let service = Handler(|incoming: Incoming| async move {
        let reading = crate::task::OwnedTask::spawn(incoming.request.into_body().collect());
        let body = reading.join().await.unwrap().unwrap().to_bytes();
        Ok(Outgoing::from(Response::new(Body::from(body))))
    });
    local(async {
        let (mut client, _task) = start(options(), service);
        for _ in 0..2 {
            client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 6\r\n\r\n").await.unwrap();
            assert_eq!(read_all(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
            for piece in [b"ab", b"cd", b"ef"] {
                tokio::time::sleep(Duration::from_millis(1)).await;
                client.write_all(piece).await.unwrap();
            }
            assert_eq!(read_all(&mut client).await, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_obsolete_upgrade_to_http2_is_not_passed_on() {
    let service = Handler(|incoming: Incoming| {
        let asks = incoming.request.headers().contains_key("upgrade");
        std::future::ready(Ok(answer(if asks { 500 } else { 200 }, "")))
    });
    local(async {
        let (mut client, _task) = start(options(), service);
        let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n";
        client.write_all(head).await.unwrap();
        assert!(read_all(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    })
    .await;
}
