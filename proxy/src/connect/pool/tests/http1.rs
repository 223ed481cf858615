use super::*;

#[tokio::test]
async fn a_connection_is_used_again() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |_| {});
        assert!(!client.get().await);
        assert!(client.get().await);
        assert_eq!(server.accepted.get(), 1);
        let stats = client.cluster.stats();
        assert_eq!((stats.upstream_cx_total.value(), stats.upstream_rq_total.value()), (1, 2));
        assert_eq!((stats.upstream_rq_pending_total.value(), stats.upstream_rq_active.value()), (1, 0));
        assert_eq!((stats.upstream_cx_http1_active.value(), stats.upstream_rq_pending_active.value()), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closes_is_dropped_at_once() {
    local(async {
        let server = Server::start(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let client = Client::of(&server.address, |_| {});
        assert!(!client.get().await);
        settle().await;
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 0, "noticed without a request");
        assert!(!client.get().await);
    })
    .await;
}

#[tokio::test]
async fn a_busy_connection_is_not_shared() {
    local(async {
        let server = Server::start(answer_slowly).await;
        let client = Client::of(&server.address, |_| {});
        let first = client.send().await.unwrap();
        let second = client.send().await.unwrap();
        finish(first).await;
        finish(second).await;
        assert_eq!(server.accepted.get(), 2);
        assert!(client.get().await);
        assert_eq!(client.pools.open_connections(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_gives_the_request_back() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        drop(listener);
        let client = Client::of(&address, |_| {});
        let error = client.send().await.unwrap_err();
        assert!(matches!(&error.failure, Failure::Connect(dial) if dial.cause == DialCause::Refused), "{error}");
        assert!(error.unsent.is_some());
        let stats = client.cluster.stats();
        assert_eq!(stats.upstream_cx_connect_fail.value(), 1);
        assert_eq!(stats.upstream_rq_pending_failure_eject.value(), 1);
        assert_eq!(client.cluster.in_use(LimitKind::Connections, Priority::Default), 0);
        assert_eq!(client.cluster.in_use(LimitKind::PendingRequests, Priority::Default), 0);
    })
    .await;
}

#[tokio::test]
async fn at_the_limit_of_connections_a_request_waits_for_the_first_that_is_free() {
    local(async {
        let server = Server::start(answer_slowly).await;
        let client = Client::of(&server.address, |config| config.limits.connections = 1);
        let first = client.send().await.unwrap();
        let waiting = client.clone_of();
        let mut second = Box::pin(async move { waiting.get().await });
        assert!(timeout(Duration::from_millis(30), &mut second).await.is_err());
        assert_eq!(client.cluster.stats().upstream_rq_pending_active.value(), 1);
        finish(first).await;
        assert!(second.await, "the freed connection");
        assert_eq!(server.accepted.get(), 1);
        assert!(client.cluster.stats().upstream_cx_overflow.value() > 0);
    })
    .await;
}

#[tokio::test]
async fn who_waits_gets_a_new_connection_when_the_busy_one_is_closed() {
    local(async {
        let server = Server::start(answer_slowly).await;
        let client = Client::of(&server.address, |config| config.limits.connections = 1);
        let first = client.send().await.unwrap();
        let waiting = client.clone_of();
        let mut second = Box::pin(async move { waiting.get().await });
        assert!(timeout(Duration::from_millis(30), &mut second).await.is_err());
        // The body is not read: the connection cannot be used again.
        drop(first);
        assert!(!second.await);
        assert_eq!(server.accepted.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn more_waiting_requests_than_allowed_are_refused() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |config| config.limits.pending_requests = 0);
        let error = client.send().await.unwrap_err();
        assert_eq!(error.failure, Failure::Overflow(LimitKind::PendingRequests));
        assert!(error.unsent.is_some());
        assert_eq!(client.cluster.stats().upstream_rq_pending_overflow.value(), 1);
    })
    .await;
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_and_their_connection_is_kept() {
    local(async {
        let server = Server::start(answer_slowly).await;
        let client = Client::of(&server.address, |config| config.limits.requests = 1);
        let first = client.send().await.unwrap();
        let error = client.send().await.unwrap_err();
        assert_eq!(error.failure, Failure::Overflow(LimitKind::Requests));
        assert_eq!(client.cluster.stats().upstream_rq_active_overflow.value(), 1);
        finish(first).await;
        assert_eq!(client.pools.open_connections(), 2);
        client.get().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_goes_away_leaves_its_dial_to_the_next() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |_| {});
        let mut gone = Box::pin(client.send());
        assert!(futures_poll_once(&mut gone).await);
        drop(gone);
        let stats = client.cluster.stats();
        assert_eq!((stats.upstream_rq_cancelled.value(), stats.upstream_rq_pending_active.value()), (1, 0));
        settle().await;
        assert_eq!(client.cluster.in_use(LimitKind::PendingRequests, Priority::Default), 0);
        assert!(!client.get().await);
        assert_eq!(server.accepted.get(), 1);
    })
    .await;
}

/// Polls once; says whether it is pending.
async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
}

#[tokio::test]
async fn a_connection_is_closed_after_its_number_of_requests() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |config| config.max_requests_per_connection = Some(2));
        assert_eq!([client.get().await, client.get().await, client.get().await], [false, true, false]);
        assert_eq!(client.cluster.stats().upstream_cx_max_requests.value(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_limit() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |config| config.idle_timeout = Some(Duration::from_millis(40)));
        client.get().await;
        assert_eq!(client.pools.open_connections(), 1);
        tokio::time::sleep(Duration::from_millis(80)).await;
        assert_eq!(client.pools.open_connections(), 0);
        assert_eq!(client.cluster.stats().upstream_cx_idle_timeout.value(), 1);
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_not_used_beyond_its_longest_life() {
    local(async {
        let server = Server::start(answer).await;
        let longest = Some(Duration::from_millis(30));
        let client = Client::of(&server.address, |config| config.max_connection_duration = longest);
        client.get().await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 0);
        assert!(!client.get().await);
    })
    .await;
}

#[tokio::test]
async fn connections_of_an_endpoint_that_left_end_with_their_requests() {
    local(async {
        let server = Server::start(answer_slowly).await;
        let client = Client::of(&server.address, |_| {});
        let busy = client.send().await.unwrap();
        let idle = client.send().await.unwrap();
        finish(idle).await;
        assert_eq!(client.pools.open_connections(), 2);
        client.pools.retain(|_| false);
        settle().await;
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 1, "the idle one is closed");
        finish(busy).await;
        settle().await;
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_reported_not_sent_again() {
    local(async {
        let server = Server::start(|mut stream, _| async move {
            read_head(&mut stream).await;
        })
        .await;
        let client = Client::of(&server.address, |_| {});
        let error = client.send().await.unwrap_err();
        assert_eq!(error.failure, Failure::Closed { answering: false });
        assert!(error.unsent.is_none());
        assert_eq!(server.accepted.get(), 1);
        assert_eq!(client.cluster.stats().upstream_cx_destroy_with_active_rq.value(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_request_body_is_sent_and_bytes_are_counted() {
    local(async {
        let server = Server::start(|mut stream, _| async move {
            read_head(&mut stream).await;
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            stream.write_all(OK).await.unwrap();
        })
        .await;
        let client = Client::of(&server.address, |_| {});
        let body = Body::from(Bytes::from_static(b"hello"));
        let request = Request::post("http://shop/").header("content-length", "5").body(body).unwrap();
        let exchange = client.send_request(request).await.unwrap();
        assert_eq!(exchange.upstream.connection.remote, server.address);
        finish(exchange).await;
        let received = u64::try_from(OK.len()).unwrap();
        assert_eq!(client.cluster.stats().upstream_cx_rx_bytes_total.value(), received);
        assert!(client.cluster.stats().upstream_cx_tx_bytes_total.value() > 5);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_left_in_use_when_all_is_over() {
    local(async {
        let server = Server::start(answer).await;
        let client = Client::of(&server.address, |config| config.limits.connections = 2);
        let all: Vec<_> = (0..20).map(|_| client.clone_of()).collect();
        let tasks: Vec<_> = all.into_iter().map(|client| crate::task::OwnedTask::spawn(async move { client.get().await })).collect();
        for task in tasks {
            task.join().await.unwrap();
        }
        assert_eq!(server.accepted.get(), 2);
        for kind in [LimitKind::PendingRequests, LimitKind::Requests] {
            assert_eq!(client.cluster.in_use(kind, Priority::Default), 0, "{kind:?}");
        }
        assert_eq!(client.cluster.in_use(LimitKind::Connections, Priority::Default), 2);
    })
    .await;
}

#[tokio::test]
async fn pools_of_endpoints_without_connections_are_forgotten() {
    local(async {
        let server = Server::start(|mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        })
        .await;
        let mut client = Client::of(&server.address, |_| {});
        for _ in 0..200 {
            client.get().await;
            client.endpoint = EndpointState::new(server.address.clone(), "", Health::Healthy);
        }
        assert!(client.pools.0.hosts.borrow().len() <= super::super::FEW);
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_that_died_unnoticed_costs_no_request() {
    local(async {
        let server = Server::start(|mut stream, number| async move {
            while read_head(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
                if number < 3 {
                    return;
                }
            }
        })
        .await;
        let client = Client::of(&server.address, |_| {});
        // No pause between them: the close of one and the next request cross.
        for _ in 0..6 {
            client.get().await;
        }
    })
    .await;
}
