use super::*;

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
