use super::*;

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
