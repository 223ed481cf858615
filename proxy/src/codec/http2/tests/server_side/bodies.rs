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
