//! Both sides together, as the proxy uses them.

use super::*;

/// A proxy before `upstream`: a real client's connection to it.
async fn proxied(upstream: Answer) -> (h2::client::SendRequest<Bytes>, Client, Vec<OwnedTask<Result<(), ServeError>>>) {
    let (here, there) = tokio::io::duplex(65_536);
    let behind = start(there, options(), upstream);
    let client = connect(here, Rc::new(options())).await.expect("connect");
    let upstream = client.clone();
    let proxy = answer(move |incoming| {
        let client = upstream.clone();
        async move {
            let sent = client.send(incoming.request, incoming.informational).await;
            sent.map_err(|_| Abort { reason: Reason::INTERNAL_ERROR })
        }
    });
    let (here, there) = tokio::io::duplex(65_536);
    let before = start(there, options(), proxy);
    // Answers wait in any order; none of them may use up the connection's window.
    let mut builder = h2::client::Builder::new();
    builder.initial_connection_window_size(10_000_000);
    let (sender, connection) = peer_with(here, &builder).await;
    crate::task::spawn_bounded_by_connection(async move {
        connection.join().await;
    });
    (sender, client, vec![before, behind])
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_are_answered() {
    local(async {
        let (sender, client, _tasks) = proxied(echo()).await;
        let mut answers = Vec::new();
        for number in 0..90_u8 {
            let (response, mut body) = sender.clone().send_request(post(), false).expect("send");
            body.send_data(Bytes::from(vec![number; 20_000]), false).expect("data");
            body.send_trailers(trailers()).expect("trailers");
            answers.push((number, response));
        }
        for (number, response) in answers {
            let mut body = response.await.expect("response").into_body();
            let mut length = 0;
            while let Some(data) = body.data().await {
                let data = data.expect("data");
                assert!(data.iter().all(|byte| *byte == number));
                body.flow_control().release_capacity(data.len()).expect("capacity");
                length += data.len();
            }
            assert_eq!(length, 20_000);
            assert_eq!(body.trailers().await.expect("trailers"), Some(trailers()));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_goes_through() {
    local(async {
        let cancelled = Rc::new(Cell::new(false));
        let flag = Rc::clone(&cancelled);
        let upstream = answer(move |incoming| {
            let dropped = Dropped(Rc::clone(&flag));
            async move {
                let _dropped = (dropped, incoming);
                std::future::pending().await
            }
        });
        let (mut sender, client, _tasks) = proxied(upstream).await;
        let (_response, mut body) = sender.send_request(post(), false).expect("send");
        body.send_data(Bytes::from_static(b"some"), false).expect("data");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 1);
        body.send_reset(Reason::CANCEL);
        sleep(Duration::from_secs(1)).await;
        assert!(cancelled.get());
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_begins_before_the_request_ends_goes_through() {
    local(async {
        let (mut sender, client, _tasks) = proxied(echo()).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        let mut response = response.await.expect("response");
        for _ in 0..10 {
            body.send_data(Bytes::from_static(b"ping"), false).expect("data");
            assert_eq!(response.body_mut().data().await.expect("data").expect("data"), "ping");
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(client.active_streams(), 1);
        body.send_trailers(trailers()).expect("trailers");
        assert!(response.body_mut().data().await.is_none());
        assert_eq!(response.body_mut().trailers().await.expect("trailers"), Some(trailers()));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_before_the_request_ends_the_exchange() {
    local(async {
        let upstream = answer(|incoming| async move {
            crate::task::spawn_bounded_by_connection(async move {
                let _ = incoming.request.into_body().collect().await;
            });
            ok(Bytes::from_static(b"no"))
        });
        let (mut sender, client, _tasks) = proxied(upstream).await;
        let (response, mut body) = sender.send_request(post(), false).expect("send");
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"no");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 0);
        let reason = poll_fn(|cx| body.poll_reset(cx)).await.expect("reset");
        assert_eq!(reason, Reason::NO_ERROR);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_closes_by_halves_in_both_orders() {
    local(async {
        // The server ends its half at once, and hears the client to the end.
        let heard = Rc::new(RefCell::new(None));
        let hearing = Rc::clone(&heard);
        let upstream = answer(move |incoming| {
            let hearing = Rc::clone(&hearing);
            async move {
                crate::task::spawn_bounded_by_connection(async move {
                    let heard = incoming.request.into_body().collect().await.expect("body").to_bytes();
                    *hearing.borrow_mut() = Some(heard);
                });
                ok(Bytes::from_static(b"bye"))
            }
        });
        let (mut sender, client, _tasks) = proxied(upstream).await;
        let mut request = get();
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (response, mut body) = sender.send_request(request, false).expect("send");
        assert_eq!(read(response.await.expect("response").into_body()).await.expect("body"), b"bye");
        sleep(Duration::from_secs(1)).await;
        body.send_data(Bytes::from_static(b"one "), false).expect("data");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.active_streams(), 1);
        body.send_data(Bytes::from_static(b"two"), true).expect("data");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(heard.borrow().as_deref(), Some(&b"one two"[..]));
        assert_eq!(client.active_streams(), 0);
    })
    .await;
}
