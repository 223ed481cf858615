use super::*;

#[tokio::test(start_paused = true)]
async fn an_http_10_connection_ends_behind_a_chunked_body() {
    let head = b"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let answer = echoed(options(), head).await;
    assert!(answer.contains("Connection: close\r\n") && answer.ends_with("POST / [a]<end>"), "{answer}");
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
        assert_eq!(task.await.unwrap().unwrap_err().side, super::super::super::Side::Client);
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

    impl crate::codec::Message for Endless {}
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
