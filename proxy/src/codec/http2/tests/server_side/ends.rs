use super::*;

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
async fn an_answer_that_must_not_go_on_is_reset_though_the_client_takes_none_of_it() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(there, options(), answer(|_| async { Ok(Response::new(forbidden_after_a_minute()).into()) }));
        let (mut sender, _connection) = peer(here).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        let _unread = response.await.expect("response");
        let reset = timeout(Duration::from_secs(59), poll_fn(|cx| body.poll_reset(cx)));
        assert!(reset.await.is_err(), "not before");
        let reset = timeout(Duration::from_secs(2), poll_fn(|cx| body.poll_reset(cx)));
        assert_eq!(reset.await.expect("in time").expect("reset"), Reason::INTERNAL_ERROR);
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
