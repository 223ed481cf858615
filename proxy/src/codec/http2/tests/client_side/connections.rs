use super::*;

#[tokio::test(start_paused = true)]
async fn a_refused_stream_gives_the_request_back() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| respond.send_reset(Reason::REFUSED_STREAM));
        let mut sent = request(Bytes::from_static(b"body"));
        sent.headers_mut().insert("x-kept", HeaderValue::from_static("1"));
        let failed = send(&client, sent).join().await.expect("task").expect_err("refused");
        assert_eq!(failed.error, SendError::Refused);
        assert!(!failed.response_bytes_seen);
        let unsent = failed.unsent.expect("request");
        assert_eq!(unsent.headers()["x-kept"], "1");
        assert_eq!(unsent.uri(), "http://shop.test/cart");
        assert_eq!(text(unsent.into_body()).await, b"body");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_request_is_not_given_back() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| respond.send_reset(Reason::INTERNAL_ERROR));
        let failed = send(&client, request_with(Body::Empty)).join().await.expect("task").expect_err("reset");
        assert_eq!(failed.error, SendError::Reset(Reason::INTERNAL_ERROR));
        assert!(failed.unsent.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_begun_is_not_given_back() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| respond.send_reset(Reason::REFUSED_STREAM));
        let failed = send(&client, request_with(frames(1000, None).0)).join().await.expect("task").expect_err("refused");
        assert_eq!(failed.error, SendError::Refused);
        assert!(failed.unsent.is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn goaway_gives_back_what_was_not_processed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    local(async {
        let (here, mut there) = tokio::io::duplex(65_536);
        let client = connect(here, Rc::new(options())).await.expect("connect");
        // SETTINGS, then after the requests: GOAWAY with stream 1 as the last one, and its answer.
        there.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings");
        let closed = client.closed();
        let first = send(&client, request_with(Body::Empty));
        let second = send(&client, request(Bytes::from_static(b"body")));
        sleep(Duration::from_secs(1)).await;
        assert!(client.is_usable());
        there.write_all(&[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]).await.expect("goaway");
        closed.await;
        assert!(!client.is_usable());
        let failed = second.join().await.expect("task").expect_err("goaway");
        assert_eq!(failed.error, SendError::Refused);
        assert_eq!(text(failed.unsent.expect("request").into_body()).await, b"body");
        // 0x88 is `:status: 200` in HPACK.
        there.write_all(&[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]).await.expect("headers");
        assert_eq!(first.join().await.expect("task").expect("answer").response.status(), StatusCode::OK);
        let failed = send(&client, request_with(Body::Empty)).join().await.expect("task").expect_err("closed");
        assert_eq!(failed.error, SendError::Closed);
        assert!(failed.unsent.is_some());
        drop(client);
        let mut rest = Vec::new();
        there.read_to_end(&mut rest).await.expect("the connection ends");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_closed_gives_the_request_back() {
    local(async {
        let (client, server) = client(options()).await;
        // The driver has had no turn to notice it.
        drop(server);
        let failed = client.send(request_with(Body::Empty), Informational::default()).await.expect_err("closed");
        assert_eq!(failed.error, SendError::Closed);
        assert!(failed.unsent.is_some());
        client.closed().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_more_streams_are_opened_than_the_server_takes() {
    local(async {
        let (client, server) = client_of(options(), h2::server::Builder::new().max_concurrent_streams(2)).await;
        let streams = Rc::new(RefCell::new(Vec::new()));
        let accepted = Rc::clone(&streams);
        let _server = run(server, move |stream| accepted.borrow_mut().push(stream));
        sleep(Duration::from_secs(1)).await;
        let first = send(&client, request_with(Body::Empty));
        let second = send(&client, request_with(Body::Empty));
        sleep(Duration::from_secs(1)).await;
        assert!(!client.has_capacity());
        assert!(client.is_usable());
        let failed = send(&client, request_with(Body::Empty)).join().await.expect("task").expect_err("full");
        assert_eq!(failed.error, SendError::Refused);
        assert!(failed.unsent.is_some());
        assert_eq!(streams.borrow().len(), 2);
        for (_, mut respond) in streams.take() {
            respond.send_response(Response::new(()), true).expect("response");
        }
        assert!(first.join().await.expect("task").is_ok());
        assert!(second.join().await.expect("task").is_ok());
        assert!(client.has_capacity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_connection_ends_with_the_last_client_and_body() {
    local(async {
        let (client, mut server) = client(options()).await;
        let sent = send(&client, request_with(Body::Empty));
        let (_, mut respond) = server.accept().await.expect("stream").expect("stream");
        let mut stream = respond.send_response(Response::new(()), false).expect("response");
        let server = OwnedTask::spawn(async move { while let Some(Ok(_)) = server.accept().await {} });
        let body = sent.join().await.expect("task").expect("answer").response.into_body();
        client.close_when_idle();
        assert!(!client.is_usable());
        drop(client);
        sleep(Duration::from_secs(1)).await;
        assert!(!server.is_finished());
        stream.send_data(Bytes::from_static(b"end"), true).expect("data");
        drop((stream, respond));
        assert_eq!(text(body).await, b"end");
        sleep(Duration::from_secs(1)).await;
        assert!(server.is_finished());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_and_given_up() {
    local(async {
        let options = Http2Options { keepalive_interval: Some(Duration::from_secs(30)), ..options() };
        let (client, server) = client(options).await;
        let served = run(server, |_| {});
        sleep(LONG).await;
        assert!(client.is_usable());
        let sent = send(&client, request_with(Body::Empty));
        sleep(Duration::from_secs(1)).await;
        // Stops reading without closing.
        let _kept = served;
        drop(sent);

        let (here, _there) = tokio::io::duplex(65_536);
        let options = Http2Options { keepalive_interval: Some(Duration::from_secs(30)), ..super::options() };
        let client = connect(here, Rc::new(options)).await.expect("connect");
        let failed = client.send(request_with(Body::Empty), Informational::default()).await.expect_err("dead");
        assert!(matches!(failed.error, SendError::Io(_)), "{failed:?}");
        client.closed().await;
    })
    .await;
}
