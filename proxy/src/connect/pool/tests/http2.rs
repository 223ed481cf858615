use super::*;

/// Answers every stream after `hold`.
async fn answer_http2(stream: TcpStream, streams: u32, hold: Duration) {
    let mut connection = h2::server::Builder::new();
    let mut connection = connection.max_concurrent_streams(streams).handshake::<_, Bytes>(stream).await.unwrap();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        spawn_bounded_by_connection(async move {
            tokio::time::sleep(hold).await;
            let Ok(mut body) = respond.send_response(http::Response::new(()), false) else { return };
            drop(body.send_data(Bytes::from_static(b"ok"), true));
        });
    }
}

fn http2(config: &mut Cluster) {
    config.protocol = UpstreamProtocol::Http2;
}

async fn all_at_once(client: &Client, requests: usize) -> Vec<bool> {
    let tasks: Vec<_> =
        (0..requests).map(|_| client.clone_of()).map(|client| crate::task::OwnedTask::spawn(async move { client.get().await })).collect();
    let mut reused = Vec::new();
    for task in tasks {
        reused.push(task.join().await.unwrap());
    }
    reused
}

#[tokio::test]
async fn requests_that_arrive_during_the_handshake_share_its_connection() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 100, Duration::ZERO)).await;
        let client = Client::of(&server.address, http2);
        all_at_once(&client, 20).await;
        assert_eq!(server.accepted.get(), 1);
        let stats = client.cluster.stats();
        assert_eq!((stats.upstream_cx_http2_total.value(), stats.upstream_rq_pending_total.value()), (1, 20));
        assert_eq!((stats.upstream_rq_active.value(), stats.upstream_rq_total.value()), (0, 20));
    })
    .await;
}

#[tokio::test]
async fn a_full_connection_is_joined_by_another() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 100, Duration::from_millis(50))).await;
        let client = Client::of(&server.address, |config| {
            http2(config);
            config.http2.max_concurrent_streams = 2;
        });
        all_at_once(&client, 6).await;
        assert_eq!(server.accepted.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn at_the_limit_of_connections_requests_wait_for_a_stream() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 100, Duration::from_millis(20))).await;
        let client = Client::of(&server.address, |config| {
            http2(config);
            config.http2.max_concurrent_streams = 2;
            config.limits.connections = 1;
        });
        all_at_once(&client, 6).await;
        assert_eq!(server.accepted.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn the_server_s_own_limit_of_streams_is_kept() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 1, Duration::from_millis(20))).await;
        let client = Client::of(&server.address, |config| {
            http2(config);
            config.limits.connections = 1;
        });
        client.get().await;
        all_at_once(&client, 4).await;
        assert_eq!(server.accepted.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_says_goaway_takes_no_more_requests() {
    local(async {
        let server = Server::start(|stream, _| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(Bytes::from_static(b"ok"), true).unwrap();
                connection.graceful_shutdown();
            }
        })
        .await;
        let client = Client::of(&server.address, http2);
        client.get().await;
        settle().await;
        assert!(!client.get().await);
        assert_eq!(server.accepted.get(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_refused_stream_comes_back_whole() {
    local(async {
        let server = Server::start(|stream, _| async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
            }
        })
        .await;
        let client = Client::of(&server.address, http2);
        let error = client.send().await.unwrap_err();
        assert_eq!(error.failure, Failure::Refused);
        assert!(error.unsent.is_some());
        assert_eq!(server.accepted.get(), 1, "that is for the retry policy");
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_limit() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 100, Duration::ZERO)).await;
        let client = Client::of(&server.address, |config| {
            http2(config);
            config.idle_timeout = Some(Duration::from_millis(40));
        });
        client.get().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(client.cluster.stats().upstream_cx_http2_active.value(), 0);
        assert_eq!(client.cluster.stats().upstream_cx_idle_timeout.value(), 1);
        assert!(!client.get().await);
    })
    .await;
}

#[tokio::test]
async fn a_connection_ends_after_its_number_of_requests() {
    local(async {
        let server = Server::start(|stream, _| answer_http2(stream, 100, Duration::ZERO)).await;
        let client = Client::of(&server.address, |config| {
            http2(config);
            config.max_requests_per_connection = Some(2);
        });
        assert_eq!([client.get().await, client.get().await, client.get().await], [false, true, false]);
        settle().await;
        assert_eq!(client.cluster.stats().upstream_cx_active.value(), 1);
    })
    .await;
}
