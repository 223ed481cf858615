use super::*;

fn request(body: impl Into<Body>) -> Request<Body> {
    post().map(|()| body.into())
}

/// Our client, and a real server's connection to test it with.
async fn client(options: Http2Options) -> (Client, h2::server::Connection<DuplexStream, Bytes>) {
    client_of(options, &h2::server::Builder::new()).await
}

async fn client_of(options: Http2Options, builder: &h2::server::Builder) -> (Client, h2::server::Connection<DuplexStream, Bytes>) {
    let (here, there) = tokio::io::duplex(65_536);
    let client = connect(here, Rc::new(options)).await.expect("connect");
    (client, builder.handshake(there).await.expect("handshake"))
}

type Accepted = (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>);

/// Runs a real server that hands each request to `serve`.
fn run(mut connection: h2::server::Connection<DuplexStream, Bytes>, mut serve: impl FnMut(Accepted) + 'static) -> OwnedTask {
    OwnedTask::spawn(async move {
        while let Some(Ok(accepted)) = connection.accept().await {
            serve(accepted);
        }
    })
}

fn send(client: &Client, request: Request<Body>) -> OwnedTask<Result<Outgoing<Body>, SendFailed>> {
    let client = client.clone();
    OwnedTask::spawn(async move { client.send(request, Informational::default()).await })
}

async fn text(body: Body) -> Vec<u8> {
    body.collect().await.expect("body").to_bytes().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_and_its_answer_read() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(request, mut respond)| {
            assert_eq!(request.uri(), "http://shop.test/cart");
            let mut stream = respond.send_response(Response::new(()), false).expect("response");
            crate::task::spawn_bounded_by_connection(async move {
                let body = read(request.into_body()).await.expect("body");
                stream.send_data(Bytes::from(body), false).expect("data");
                stream.send_trailers(trailers()).expect("trailers");
            });
        });
        let outgoing = send(&client, request(Bytes::from_static(b"three apples"))).join().await;
        let body = outgoing.expect("task").expect("answer").response.into_body();
        assert_eq!(client.active_streams(), 1);
        let collected = body.collect().await.expect("body");
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "three apples");
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_host_becomes_the_authority() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(request, mut respond)| {
            assert_eq!(request.uri(), "http://shop.test:8080/cart?x=1");
            let mut names = request.headers().keys().map(http::HeaderName::as_str).collect::<Vec<_>>();
            names.sort_unstable();
            assert_eq!(names, ["te", "x-kept"]);
            respond.send_response(Response::new(()), true).expect("response");
        });
        let request = Request::get("/cart?x=1")
            .header("host", "shop.test:8080")
            .header("connection", "keep-alive")
            .header("keep-alive", "timeout=5")
            .header("transfer-encoding", "chunked")
            .header("te", "trailers")
            .header("x-kept", "1")
            .body(Body::Empty)
            .expect("request");
        let outgoing = send(&client, request).join().await.expect("task").expect("answer");
        assert!(matches!(outgoing.response.body(), Body::Empty));
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_body_waits_for_the_window() {
    local(async {
        let (client, server) = client(options()).await;
        let streams = Rc::new(RefCell::new(Vec::new()));
        let accepted = Rc::clone(&streams);
        let _server = run(server, move |stream| accepted.borrow_mut().push(stream));
        let (body, taken) = frames(1000, Some(Ok(trailers())));
        let sent = send(&client, request_with(body));
        sleep(Duration::from_secs(60)).await;
        assert!(taken.get() < 20, "{} frames were taken", taken.get());
        let (request, mut respond) = streams.borrow_mut().pop().expect("stream");
        let mut stream = request.into_body();
        respond.send_response(Response::new(()), false).expect("response").send_data(Bytes::new(), false).expect("data");
        let outgoing = sent.join().await.expect("task").expect("answer");
        let mut length = 0;
        while let Some(data) = stream.data().await {
            let data = data.expect("data");
            stream.flow_control().release_capacity(data.len()).expect("capacity");
            length += data.len();
        }
        assert_eq!(length, 10_000_000);
        assert_eq!(stream.trailers().await.expect("trailers"), Some(trailers()));
        drop(outgoing);
    })
    .await;
}

fn request_with(body: Body) -> Request<Body> {
    post().map(|()| body)
}

#[tokio::test(start_paused = true)]
async fn dropping_a_request_or_its_answer_cancels_the_stream() {
    local(async {
        let (client, server) = client(options()).await;
        let resets = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&resets);
        let mut answered = false;
        let _server = run(server, move |(_, mut respond)| {
            let seen = Rc::clone(&seen);
            let mut stream = None;
            if std::mem::replace(&mut answered, true) {
                stream = Some(respond.send_response(Response::new(()), false).expect("response"));
            }
            crate::task::spawn_bounded_by_connection(async move {
                let reason = poll_fn(|cx| match &mut stream {
                    Some(stream) => stream.poll_reset(cx),
                    None => respond.poll_reset(cx),
                })
                .await;
                seen.borrow_mut().push(reason.expect("reset"));
            });
        });
        let sent = send(&client, request_with(Body::Empty));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 1);
        drop(sent);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 0);
        assert_eq!(*resets.borrow(), [Reason::CANCEL]);
        let outgoing = send(&client, request_with(Body::Empty)).join().await.expect("task").expect("answer");
        drop(outgoing);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*resets.borrow(), [Reason::CANCEL, Reason::CANCEL]);
    })
    .await;
}

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
async fn informational_answers_are_passed_on() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| {
            for _ in 0..50 {
                let mut hints = Response::new(());
                *hints.status_mut() = StatusCode::EARLY_HINTS;
                respond.send_informational(hints).expect("hints");
            }
            respond.send_response(Response::new(()), true).expect("response");
        });
        let seen = Rc::new(Cell::new(0));
        let count = Rc::clone(&seen);
        let informational = Informational(Some(Rc::new(move |response: Response<()>| {
            assert_eq!(response.status(), StatusCode::EARLY_HINTS);
            count.set(count.get() + 1);
        })));
        let outgoing = client.send(request_with(Body::Empty), informational).await.expect("answer");
        assert_eq!(outgoing.response.status(), StatusCode::OK);
        assert_eq!(seen.get(), 16);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_fails_resets_the_stream() {
    local(async {
        let (client, server) = client(options()).await;
        let reason = Rc::new(Cell::new(None));
        let seen = Rc::clone(&reason);
        let _server = run(server, move |(_, mut respond)| {
            let seen = Rc::clone(&seen);
            crate::task::spawn_bounded_by_connection(async move {
                seen.set(poll_fn(|cx| respond.poll_reset(cx)).await.ok());
            });
        });
        let body = Body::Boxed(Box::pin(Late(Box::pin(sleep(Duration::from_secs(1))))));
        let failed = send(&client, request_with(body)).join().await.expect("task").expect_err("body");
        assert_eq!(failed.error, SendError::RequestBody(BodyError::Disconnected));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(reason.get(), Some(Reason::CANCEL));
    })
    .await;
}

/// Fails after a while.
struct Late(Pin<Box<tokio::time::Sleep>>);

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().poll(cx).map(|()| Some(Err(BodyError::Disconnected)))
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_reset_fails_where_it_is_read() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| {
            let mut stream = respond.send_response(Response::new(()), false).expect("response");
            crate::task::spawn_bounded_by_connection(async move {
                sleep(Duration::from_secs(1)).await;
                stream.send_reset(Reason::INTERNAL_ERROR);
            });
        });
        let outgoing = client.send(request_with(Body::Empty), Informational::default()).await.expect("answer");
        let error = outgoing.response.into_body().collect().await.expect_err("reset");
        assert_eq!(error, BodyError::Reset(Reason::INTERNAL_ERROR));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_shorter_than_declared_fails() {
    local(async {
        let (client, server) = client(options()).await;
        let _server = run(server, |(_, mut respond)| {
            let head = Response::builder().header("content-length", "10").body(()).expect("response");
            let mut stream = respond.send_response(head, false).expect("response");
            stream.send_data(Bytes::from_static(b"short"), true).expect("data");
        });
        let failed = client.send(request_with(Body::Empty), Informational::default()).await;
        let error = match failed {
            Ok(outgoing) => outgoing.response.into_body().collect().await.expect_err("malformed"),
            Err(failed) => {
                assert!(matches!(failed.error, SendError::Malformed(_)), "{failed:?}");
                return;
            }
        };
        assert!(matches!(error, BodyError::Malformed(_)), "{error:?}");
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
