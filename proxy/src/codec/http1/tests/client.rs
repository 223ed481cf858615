use super::*;

use http::Request;

use crate::codec::http1::{Reuse, SendError, SendFailed};
use crate::codec::{BodyError, Informational, Spelling};

fn get(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).header("host", "h").body(Body::Empty).unwrap()
}

fn post(body: &'static str) -> Request<Body> {
    Request::builder().method("POST").uri("/").header("host", "h").body(Body::from(Bytes::from_static(body.as_bytes()))).unwrap()
}

type Slot = Rc<RefCell<Option<Connection<DuplexStream>>>>;

fn pool() -> (Rc<dyn Reuse<DuplexStream>>, Slot) {
    let slot = Slot::default();
    let returned = Rc::clone(&slot);
    (Rc::new(move |connection| *returned.borrow_mut() = Some(connection)), slot)
}

fn connect() -> (Connection<DuplexStream>, DuplexStream) {
    let (client, peer) = tokio::io::duplex(256 * 1024);
    (Connection::new(client, client_options()), peer)
}

async fn send(
    connection: Connection<DuplexStream>,
    request: Request<Body>,
    pool: &Rc<dyn Reuse<DuplexStream>>,
) -> Result<Outgoing<Body>, SendFailed> {
    connection.send(request, Spelling::Lower, Informational::default(), Rc::clone(pool)).await
}

struct Exchanged {
    sent: String,
    /// Status and body, or what went wrong.
    answer: Result<(u16, String), SendError>,
    body_error: Option<BodyError>,
    reused: bool,
}

/// Sends `request` to a server that answers `response` once it has read what comes, and then perhaps closes.
async fn exchange(request: Request<Body>, response: &[u8], close: bool) -> Exchanged {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let server = async {
            let mut head = vec![0; 64 * 1024];
            let count = peer.read(&mut head).await.unwrap();
            peer.write_all(response).await.unwrap();
            if close {
                peer.shutdown().await.unwrap();
            }
            let more = read_all(&mut peer).await;
            (String::from_utf8_lossy(&head[..count]).into_owned() + more.trim_end_matches("<end>"), peer)
        };
        let client = async {
            match send(connection, request, &pool).await {
                Err(failed) => (Err(failed.error), None),
                Ok(outgoing) => {
                    let status = outgoing.response.status().as_u16();
                    let mut body = outgoing.response.into_body();
                    let mut text = String::new();
                    let mut fault = None;
                    while let Some(frame) = body.frame().await {
                        match frame.map(|frame| frame.into_data().unwrap_or_default()) {
                            Ok(data) => text += &String::from_utf8_lossy(&data),
                            Err(error) => fault = Some(error),
                        }
                    }
                    (Ok((status, text)), fault)
                }
            }
        };
        let ((answer, body_error), (sent, _peer)) = tokio::join!(client, server);
        let reused = returned.borrow().is_some();
        Exchanged { sent, answer, body_error, reused }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn requests_are_framed_by_what_is_known_of_them() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(exchange(get("/a?b"), ok, false).await.sent, "GET /a?b HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(exchange(post("ab"), ok, false).await.sent, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab");
    assert_eq!(exchange(post(""), ok, false).await.sent, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
    let mut odd = get("http://y/p");
    odd.headers_mut().insert("transfer-encoding", "gzip".parse().unwrap());
    odd.headers_mut().insert("connection", "x-a, close".parse().unwrap());
    odd.headers_mut().remove("host");
    assert_eq!(exchange(odd, ok, false).await.sent, "GET http://y/p HTTP/1.1\r\nhost: y\r\nconnection: close\r\n\r\n");
    let mut stream = post("");
    let body = Frames(vec![Ok("ab".into()), Ok("c".into())].into());
    *stream.body_mut() = Body::Boxed(Box::pin(body));
    let sent = exchange(stream, ok, false).await.sent;
    assert_eq!(sent, "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
}

struct Frames(std::collections::VecDeque<Result<Bytes, BodyError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(self.0.pop_front().map(|data| data.map(http_body::Frame::data)))
    }
}

#[tokio::test(start_paused = true)]
async fn answers_end_where_their_framing_says() {
    for (answer, close, status, body, reused) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", true),
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1 \t\r\n!\r\n0\r\nT: x\r\n\r\n", false, 200, "hi!", true),
        ("HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", true),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, 304, "", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", false),
        ("HTTP/1.1 200 OK\r\n\r\nhi", true, 200, "hi", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", false),
        ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", false, 200, "hi", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n", false, 200, "hi", false),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            false,
            404,
            "",
            true,
        ),
    ] {
        let exchanged = exchange(get("/"), answer.as_bytes(), close).await;
        assert_eq!(exchanged.answer, Ok((status, body.to_owned())), "{answer}");
        assert_eq!((exchanged.reused, exchanged.body_error), (reused, None), "{answer}");
    }
    let mut head = get("/");
    *head.method_mut() = http::Method::HEAD;
    let exchanged = exchange(head, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false).await;
    assert_eq!((exchanged.answer, exchanged.reused), (Ok((200, String::new())), true));
}

#[tokio::test(start_paused = true)]
async fn answers_that_two_readers_could_take_differently_are_refused() {
    for (answer, rule) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "both Content-Length and Transfer-Encoding"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", "more than one Content-Length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", "Content-Length is not a number"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unsupported transfer encoding"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        ("HTTP/1.1 204 OK\r\nContent-Length: 2\r\n\r\n", "an answer without a body has a length"),
        ("HTTP/1.1 103 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "an answer without a body has a length"),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", "a line ends with a bare LF"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "invalid field name"),
        ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "invalid field value"),
        ("HTTP/1.1 099 OK\r\n\r\n", "invalid status code"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "invalid status line"),
        ("HTTP/2.0 200 OK\r\n\r\n", "unsupported HTTP version"),
        ("SSH-2.0-x\r\n", "unsupported HTTP version"),
        ("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "101 without an upgrade"),
    ] {
        let exchanged = exchange(get("/"), answer.as_bytes(), false).await;
        assert_eq!(exchanged.answer, Err(SendError::Malformed(rule)), "{answer}");
        assert!(!exchanged.reused);
    }
    let many = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17);
    let exchanged = exchange(get("/"), many.as_bytes(), false).await;
    assert_eq!(exchanged.answer, Err(SendError::Malformed("too many informational answers")));
    let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(9000));
    assert_eq!(exchange(get("/"), long.as_bytes(), false).await.answer, Err(SendError::HeadTooLarge));
}

#[tokio::test(start_paused = true)]
async fn answers_that_end_early_are_told_apart() {
    assert_eq!(exchange(get("/"), b"", true).await.answer, Err(SendError::Closed));
    assert_eq!(exchange(get("/"), b"HTTP/1.1 20", true).await.answer, Err(SendError::Reset));
    for cut in ["Content-Length: 5\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "Transfer-Encoding: chunked\r\n\r\n9\r\nab"]
    {
        let exchanged = exchange(get("/"), format!("HTTP/1.1 200 OK\r\n{cut}").as_bytes(), true).await;
        assert_eq!(exchanged.answer, Ok((200, "ab".to_owned())));
        assert_eq!((exchanged.body_error, exchanged.reused), (Some(BodyError::Disconnected), false));
    }
}

#[tokio::test(start_paused = true)]
async fn informational_answers_are_passed_on_and_100_only_to_whom_asked() {
    for (expects, expected) in [(true, vec![100, 103]), (false, vec![103])] {
        local(async {
            let (connection, mut peer) = connect();
            let (pool, returned) = pool();
            let mut request = post("ab");
            if expects {
                request.headers_mut().insert("expect", "100-continue".parse().unwrap());
            }
            let seen = Rc::new(RefCell::new(Vec::new()));
            let log = Rc::clone(&seen);
            let informational = Informational(Some(Rc::new(move |response| log.borrow_mut().push(response.status().as_u16()))));
            let server = async {
                let first = read_all(&mut peer).await;
                assert_eq!(first.ends_with("ab"), !expects);
                peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n").await.unwrap();
                assert_eq!(read_all(&mut peer).await, if expects { "ab" } else { "" });
                peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            };
            let (answer, ()) = tokio::join!(connection.send(request, Spelling::Lower, informational, pool), server);
            assert_eq!(answer.unwrap().response.status(), 200);
            assert_eq!(*seen.borrow(), expected);
            assert!(returned.borrow().is_some());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_sends_100_gets_the_body_after_a_while() {
    let mut request = post("ab");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        let server = async {
            assert!(!read_all(&mut peer).await.ends_with("ab"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(read_all(&mut peer).await, "ab");
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        assert!(tokio::join!(send(connection, request, &pool), server).0.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_instead_of_100_means_that_the_body_stays() {
    let mut request = post("ab");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let exchanged = exchange(request, b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n", false).await;
    assert!(!exchanged.sent.ends_with("ab") && !exchanged.reused);
    assert_eq!(exchanged.answer, Ok((413, String::new())));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_nothing_was_written_comes_back() {
    local(async {
        let (mut connection, peer) = connect();
        let (pool, _returned) = pool();
        assert!(futures_pending(&mut connection).await);
        drop(peer);
        assert!(!futures_pending(&mut connection).await);
        let failed = send(connection, post("ab"), &pool).await.unwrap_err();
        assert_eq!((failed.error, failed.response_bytes_seen), (SendError::Closed, false));
        let request = failed.unsent.unwrap();
        assert_eq!(request.headers()["host"], "h");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "ab");
    })
    .await;
}

async fn futures_pending(connection: &mut Connection<DuplexStream>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(connection.poll_idle_closed(cx).is_pending())).await
}

/// Reads nothing and takes nothing: what a reset connection does to a write.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Broken {
    fn poll_write(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>, _: &[u8]) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_taken_but_not_written_comes_back_whole() {
    let mut request = post("");
    let frames = Frames(vec![Ok("ab".into()), Ok("cd".into())].into());
    *request.body_mut() = Body::Boxed(Box::pin(frames));
    let connection = Connection::new(Broken, client_options());
    let pool: Rc<dyn Reuse<Broken>> = Rc::new(|_| ());
    let failed = connection.send(request, Spelling::Lower, Informational::default(), pool).await.unwrap_err();
    assert_eq!(failed.error, SendError::Reset);
    let body = failed.unsent.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abcd");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_something_unasked_is_not_used() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        peer.write_all(b"HTTP/1.1 408 Timeout\r\n\r\n").await.unwrap();
        let failed = send(connection, get("/"), &pool).await.unwrap_err();
        assert!(failed.unsent.is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_many_requests_over_both_codecs() {
    local(async {
        let (client, server) = tokio::io::duplex(4096);
        let serving = serve(server, Bytes::new(), Rc::new(options()), Drain::never(), Handler(echo));
        let _task = crate::task::OwnedTask::spawn(serving);
        let (pool, slot) = pool();
        *slot.borrow_mut() = Some(Connection::new(client, client_options()));
        for size in [0_usize, 1, 100, 4096, 5000, 100_000] {
            let connection = slot.borrow_mut().take().expect("it comes back each time");
            let mut request = post("");
            *request.body_mut() = Body::from(Bytes::from(vec![b'x'; size]));
            let outgoing = send(connection, request, &pool).await.unwrap();
            let body = outgoing.response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), size + "POST / []".len());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_is_read_while_the_request_goes_on() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let mut request = post("");
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
        *request.body_mut() = Body::Boxed(Box::pin(Channel(receiver)));
        let server = async {
            read_all(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(send(connection, request, &pool), server);
        let mut body = answer.unwrap().response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
        sender.send("late".into()).await.unwrap();
        drop(sender);
        let server = async {
            assert_eq!(read_all(&mut peer).await, "4\r\nlate\r\n0\r\n\r\n");
            peer.write_all(b"0\r\n\r\n").await.unwrap();
        };
        let (end, ()) = tokio::join!(body.frame(), server);
        assert!(end.is_none());
        assert!(returned.borrow().is_some());
    })
    .await;
}

struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(http_body::Frame::data(data))))
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_before_its_request_ends_the_connection() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let mut request = post("");
        let (_sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
        *request.body_mut() = Body::Boxed(Box::pin(Channel(receiver)));
        let server = async {
            read_all(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            assert_eq!(read_all(&mut peer).await, "<end>");
        };
        let (answer, ()) = tokio::join!(
            async { send(connection, request, &pool).await.unwrap().response.into_body().collect().await.unwrap().to_bytes() },
            server
        );
        assert_eq!(answer, "hi");
        assert!(returned.borrow().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_fails_ends_the_exchange() {
    let mut request = post("");
    let frames = Frames(vec![Ok("ab".into()), Err(BodyError::TooLarge)].into());
    *request.body_mut() = Body::Boxed(Box::pin(frames));
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        let failed = send(connection, request, &pool).await.unwrap_err();
        assert_eq!(failed.error, SendError::RequestBody(BodyError::TooLarge));
        assert!(!read_all(&mut peer).await.contains("0\r\n\r\n"));
    })
    .await;
}

/// A proxy in one function: the server side's service sends its request over the client side.
async fn proxy(upgrade: bool) -> (DuplexStream, DuplexStream) {
    let (upstream, peer) = tokio::io::duplex(4096);
    let connection = RefCell::new(Some(Connection::new(upstream, client_options())));
    let service = Handler(move |incoming: Incoming| {
        let connection = connection.borrow_mut().take().unwrap();
        let pool: Rc<dyn Reuse<DuplexStream>> = Rc::new(|_| ());
        async move {
            let sent = connection.send(incoming.request, incoming.spelling, incoming.informational, pool).await;
            sent.map_err(|_| Abort { reason: h2::Reason::CANCEL })
        }
    });
    let (mut client, _task) = start(options(), service);
    if upgrade {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
        client.write_all(head).await.unwrap();
    }
    (client, peer)
}

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";

#[tokio::test(start_paused = true)]
async fn a_tunnel_through_both_codecs_keeps_half_closes() {
    for server_first in [false, true] {
        local(async {
            let (mut client, mut peer) = proxy(true).await;
            let head = read_all(&mut peer).await;
            assert_eq!(head, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            peer.write_all(SWITCH).await.unwrap();
            assert!(read_all(&mut client).await.ends_with("\r\n\r\nhello"));
            assert_eq!(read_all(&mut peer).await, "early");
            let (first, second) = if server_first { (&mut peer, &mut client) } else { (&mut client, &mut peer) };
            first.write_all(b"last").await.unwrap();
            first.shutdown().await.unwrap();
            assert_eq!(read_all(second).await, "last<end>");
            for _ in 0..3 {
                second.write_all(b"more").await.unwrap();
                assert_eq!(read_all(first).await, "more");
            }
            second.shutdown().await.unwrap();
            assert_eq!(read_all(first).await, "<end>");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_an_upgrade_that_is_refused_never_reach_the_server() {
    local(async {
        let (mut client, mut peer) = proxy(true).await;
        read_all(&mut peer).await;
        peer.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let answer = read_all(&mut client).await;
        assert_eq!(answer, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(read_all(&mut peer).await, "<end>");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_request_and_answer_pass_through_both_codecs() {
    local(async {
        let (mut client, mut peer) = proxy(false).await;
        client.write_all(b"POST /a HTTP/1.1\r\nhost: x\r\nx-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "POST /a HTTP/1.1\r\nhost: x\r\nx-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "3\r\nabc\r\n");
        client.write_all(b"0\r\nT: 1\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "0\r\nt: 1\r\n\r\n");
        peer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
        assert!(read_all(&mut client).await.ends_with("\r\n\r\n2\r\nhi\r\n"));
        peer.write_all(b"0\r\nT: 1\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut client).await, "0\r\nT: 1\r\n\r\n");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_takes_its_upstream_with_it() {
    local(async {
        let (mut client, mut peer) = proxy(false).await;
        client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_all(&mut peer).await;
        drop(client);
        assert_eq!(read_all(&mut peer).await, "<end>");
    })
    .await;
}
