use super::*;

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

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_go_on_is_reset_though_the_server_takes_none_of_it() {
    local(async {
        let (client, server) = client(options()).await;
        let reason = Rc::new(Cell::new(None));
        let seen = Rc::clone(&reason);
        let _server = run(server, move |(request, mut respond)| {
            let seen = Rc::clone(&seen);
            let mut stream = respond.send_response(Response::new(()), false).expect("response");
            crate::task::spawn_bounded_by_connection(async move {
                let _unread = request;
                seen.set(poll_fn(|cx| stream.poll_reset(cx)).await.ok());
            });
        });
        let outgoing = send(&client, request_with(forbidden_after_a_minute())).join().await.expect("task").expect("answer");
        sleep(Duration::from_secs(59)).await;
        assert_eq!(reason.get(), None);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(reason.get(), Some(Reason::CANCEL));
        drop(outgoing);
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

impl Message for Late {}

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
