use super::*;

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

    impl crate::codec::Message for Frames {}
    Body::Boxed(Box::pin(Frames(frames.into())))
}

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
