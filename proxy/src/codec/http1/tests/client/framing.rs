use super::*;

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
