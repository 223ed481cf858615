use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_is_answered() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(
            there,
            options(),
            answer(|incoming| async move {
                let request = incoming.request;
                assert_eq!(request.uri(), "http://shop.test/cart");
                assert!(matches!(request.body(), Body::Empty));
                ok(Bytes::from_static(b"three apples"))
            }),
        );
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        let response = response.await.expect("response");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(read(response.into_body()).await.expect("body"), b"three apples");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bodies_and_trailers_go_both_ways() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(there, options(), echo());
        let (mut sender, _connection) = peer(here).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        let mut response = response.await.expect("response");
        body.send_data(Bytes::from_static(b"ping"), false).expect("data");
        assert_eq!(response.body_mut().data().await.expect("data").expect("data"), "ping");
        body.send_trailers(trailers()).expect("trailers");
        assert!(response.body_mut().data().await.is_none());
        assert_eq!(response.body_mut().trailers().await.expect("trailers"), Some(trailers()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_holds_the_body_back() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let (body, taken) = frames(1000, Some(Ok(trailers())));
        let body = RefCell::new(Some(body));
        let _server = start(there, options(), answer(move |_| std::future::ready(ok(body.take().expect("one request")))));
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        let response = response.await.expect("response");
        sleep(Duration::from_secs(60)).await;
        // The window of 65,535 bytes and what may wait for it.
        assert!(taken.get() < 20, "{} frames were taken", taken.get());
        assert_eq!(read(response.into_body()).await.expect("body").len(), 10_000_000);
        assert_eq!(taken.get(), 1000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_window_that_stays_shut_ends_the_stream() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(there, options(), answer(|_| std::future::ready(ok(frames(1000, None).0))));
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        let mut body = response.await.expect("response").into_body();
        sleep(Duration::from_secs(601)).await;
        let error = loop {
            match body.data().await.expect("no end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.reason(), Some(Reason::CANCEL));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_holds_the_client_back() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(
            there,
            options(),
            answer(|incoming| async move {
                sleep(LONG).await;
                let body = incoming.request.into_body().collect().await.expect("body").to_bytes();
                ok(Bytes::from(body.len().to_string()))
            }),
        );
        let (mut sender, _connection) = peer(here).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        body.send_data(Bytes::from(vec![b'x'; 500_000]), false).expect("data");
        sleep(LONG / 2).await;
        body.reserve_capacity(600_000);
        // All but the window is still here.
        assert_eq!(body.capacity(), 0);
        body.send_data(Bytes::new(), true).expect("data");
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"500000");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_cancels_the_service_at_once() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let cancelled = Rc::new(Cell::new(false));
        let flag = Rc::clone(&cancelled);
        let _server = start(
            there,
            options(),
            answer(move |_| {
                let dropped = Dropped(Rc::clone(&flag));
                async move {
                    let _dropped = dropped;
                    std::future::pending().await
                }
            }),
        );
        let (mut sender, _connection) = peer(here).await;
        let (_response, mut body) = sender.send_request(post(), false).expect("send");
        sleep(Duration::from_millis(10)).await;
        assert!(!cancelled.get());
        body.send_reset(Reason::CANCEL);
        sleep(Duration::from_millis(10)).await;
        assert!(cancelled.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_request_does_not_cancel_the_service() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(
            there,
            options(),
            answer(|_| async {
                sleep(Duration::from_secs(60)).await;
                ok(Bytes::from_static(b"late"))
            }),
        );
        let (mut sender, _connection) = peer(here).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        body.send_data(Bytes::new(), true).expect("end");
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"late");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_cancels_the_service() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let cancelled = Rc::new(Cell::new(false));
        let flag = Rc::clone(&cancelled);
        let server = start(
            there,
            options(),
            answer(move |_| {
                let dropped = Dropped(Rc::clone(&flag));
                async move {
                    let _dropped = dropped;
                    std::future::pending().await
                }
            }),
        );
        let (mut sender, connection) = peer(here).await;
        let (_response, _body) = sender.send_request(get(), true).expect("send");
        sleep(Duration::from_millis(10)).await;
        drop(connection);
        assert!(server.join().await.is_some());
        sleep(Duration::from_millis(10)).await;
        assert!(cancelled.get());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_resets_with_its_reason() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|_| std::future::ready(Err(Abort { reason: Reason::ENHANCE_YOUR_CALM })));
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        assert_eq!(response.await.expect_err("reset").reason(), Some(Reason::ENHANCE_YOUR_CALM));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_resets_the_stream() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|_| std::future::ready(ok(frames(1, Some(Err(BodyError::Disconnected))).0)));
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        let error = match response.await {
            Ok(response) => read(response.into_body()).await.expect_err("reset"),
            Err(error) => error,
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connection_specific_fields_of_an_answer_are_removed() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|_| async {
            let response = Response::builder()
                .header("connection", "close")
                .header("keep-alive", "timeout=5")
                .header("proxy-connection", "close")
                .header("transfer-encoding", "chunked")
                .header("upgrade", "h2c")
                .header("x-kept", "1")
                .body(Body::Empty)
                .expect("response");
            Ok(response.into())
        });
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        let response = response.await.expect("response");
        assert_eq!(response.headers().keys().collect::<Vec<_>>(), ["x-kept"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn cookie_crumbs_become_one_field() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|incoming| async move {
            let cookies = incoming.request.headers().get_all("cookie").iter().cloned().collect::<Vec<_>>();
            assert_eq!(cookies, ["a=1; b=2; c=3"]);
            ok(Body::Empty)
        });
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        let mut request = get();
        for crumb in ["a=1", "b=2", "c=3"] {
            request.headers_mut().append("cookie", HeaderValue::from_static(crumb));
        }
        let (response, _) = sender.send_request(request, true).expect("send");
        assert_eq!(response.await.expect("response").status(), StatusCode::OK);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn informational_answers_come_before_the_final_one() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|incoming| async move {
            let mut hints = Response::new(());
            *hints.status_mut() = StatusCode::EARLY_HINTS;
            hints.headers_mut().insert("link", HeaderValue::from_static("</style.css>"));
            incoming.informational.send(hints);
            ok(Body::Empty)
        });
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        let (mut response, _) = sender.send_request(get(), true).expect("send");
        let hints = poll_fn(|cx| response.poll_informational(cx)).await.expect("1xx").expect("1xx");
        assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
        assert_eq!(hints.headers()["link"], "</style.css>");
        assert_eq!(response.await.expect("response").status(), StatusCode::OK);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_expects_100_gets_it_when_the_body_is_wanted() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(
            there,
            options(),
            answer(|incoming| async move { ok(incoming.request.into_body().collect().await.expect("body").to_bytes()) }),
        );
        let (mut sender, _connection) = peer(here).await;
        let mut request = post();
        request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
        let (mut response, mut body) = sender.send_request(request, false).expect("send");
        let go_on = poll_fn(|cx| response.poll_informational(cx)).await.expect("1xx").expect("1xx");
        assert_eq!(go_on.status(), StatusCode::CONTINUE);
        body.send_data(Bytes::from_static(b"body"), true).expect("data");
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"body");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_extended_connect_is_a_tunnel_that_closes_by_halves() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|incoming| async move {
            assert_eq!(incoming.request.method(), Method::CONNECT);
            let protocol = incoming.request.extensions().get::<h2::ext::Protocol>().expect("protocol");
            assert_eq!(protocol.as_str(), "websocket");
            let mut response = Response::new(incoming.request.into_body());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            Ok(response.into())
        });
        let _server = start(there, options(), service);
        let (mut sender, _connection) = peer(here).await;
        sleep(Duration::from_millis(10)).await;
        assert!(sender.is_extended_connect_protocol_enabled());
        let mut request = get();
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, mut body) = sender.send_request(request, false).expect("send");
        let mut response = response.await.expect("response");
        assert_eq!(response.status(), StatusCode::OK);
        body.send_data(Bytes::from_static(b"frame"), false).expect("data");
        assert_eq!(response.body_mut().data().await.expect("data").expect("data"), "frame");
        body.send_data(Bytes::from_static(b"last"), true).expect("data");
        assert_eq!(read(response.into_body()).await.expect("body"), b"last");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_gracefully() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let server = start(there, Http2Options { idle_timeout: Some(Duration::from_secs(60)), ..options() }, echo());
        let (mut sender, connection) = peer(here).await;
        for _ in 0..3 {
            sleep(Duration::from_secs(50)).await;
            let (response, _) = sender.send_request(get(), true).expect("send");
            assert_eq!(response.await.expect("response").status(), StatusCode::OK);
        }
        sleep(Duration::from_secs(59)).await;
        assert!(!server.is_finished());
        sleep(Duration::from_secs(2)).await;
        assert!(server.is_finished());
        assert!(connection.join().await.expect("connection").is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_keeps_its_connection_from_being_idle() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let service = answer(|_| async {
            sleep(LONG).await;
            ok(Body::Empty)
        });
        let _server = start(there, Http2Options { idle_timeout: Some(Duration::from_secs(60)), ..options() }, service);
        let (mut sender, _connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        assert_eq!(response.await.expect("response").status(), StatusCode::OK);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_that_is_dead_is_left_after_a_while() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let server = start(there, Http2Options { idle_timeout: Some(Duration::from_secs(60)), ..options() }, echo());
        let (mut sender, connection) = h2::client::handshake(here).await.expect("handshake");
        let (response, _) = sender.send_request(get(), true).expect("send");
        let mut connection = Box::pin(connection);
        tokio::select! {
            biased;
            response = response => assert_eq!(response.expect("response").status(), StatusCode::OK),
            _ = &mut connection => panic!("the connection ended"),
        }
        sleep(Duration::from_secs(64)).await;
        assert!(!server.is_finished());
        sleep(Duration::from_secs(2)).await;
        assert!(server.is_finished());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_server_says_goaway_and_finishes_what_it_has() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let (drain, draining) = tokio::sync::watch::channel(false);
        let service = answer(|_| async {
            sleep(Duration::from_secs(60)).await;
            ok(Bytes::from_static(b"done"))
        });
        let server = OwnedTask::spawn(serve(there, Rc::new(options()), Drain::new(draining), service));
        let (mut sender, connection) = peer(here).await;
        let (response, _) = sender.send_request(get(), true).expect("send");
        sleep(Duration::from_secs(1)).await;
        drain.send(true).expect("drain");
        sleep(Duration::from_secs(1)).await;
        assert!(sender.send_request(get(), true).is_err());
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"done");
        assert_eq!(server.join().await, Some(Ok(())));
        assert!(connection.join().await.expect("connection").is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_after_its_requests() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let server = start(there, Http2Options { max_requests: Some(2), ..options() }, echo());
        let (mut sender, _connection) = peer(here).await;
        for _ in 0..2 {
            let (response, _) = sender.send_request(get(), true).expect("send");
            assert_eq!(response.await.expect("response").status(), StatusCode::OK);
        }
        assert_eq!(server.join().await, Some(Ok(())));
        assert!(sender.send_request(get(), true).is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_asked_and_given_up() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let options = Http2Options { keepalive_interval: Some(Duration::from_secs(30)), ..options() };
        let server = start(there, options, echo());
        let (_sender, connection) = peer(here).await;
        // It answers PINGs.
        sleep(LONG).await;
        assert!(!server.is_finished());
        let (here, there) = tokio::io::duplex(65_536);
        drop(connection);
        let options = Http2Options { keepalive_interval: Some(Duration::from_secs(30)), ..super::options() };
        let server = start(there, options, echo());
        // This one only says its preface.
        let _silent = h2::client::handshake(here).await.expect("handshake");
        sleep(Duration::from_secs(39)).await;
        assert!(!server.is_finished());
        assert_eq!(server.join().await, Some(Err(ServeError::KeepAliveTimeout)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_does_not_come_is_given_up() {
    local(async {
        let (_here, there) = tokio::io::duplex(65_536);
        assert_eq!(start(there, options(), echo()).join().await, Some(Err(ServeError::PrefaceTimeout)));
    })
    .await;
}
