use super::*;

#[tokio::test(start_paused = true)]
async fn one_connection_serves_many_requests_over_both_codecs() {
    local(async {
        let (client, server) = tokio::io::duplex(4096);
        let serving = serve(server, Bytes::new(), Rc::new(options()), Drain::never(), Handler(echo));
        let _task = crate::task::OwnedTask::spawn(serving);
        let (pool, slot) = pool();
        *slot.borrow_mut() = Some(Connection::new(client, client_options()));
        for size in [0_usize, 1, 100, 4096, 5000, 100_000] {
            let connection = slot.borrow_mut().take().expect("it comes back each time");
            let mut request = post("");
            *request.body_mut() = Body::from(Bytes::from(vec![b'x'; size]));
            let outgoing = send(connection, request, &pool).await.unwrap();
            let body = outgoing.response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.len(), size + "POST / []".len());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_early_answer_is_read_while_the_request_goes_on() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let mut request = post("");
        let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
        *request.body_mut() = Body::Boxed(Box::pin(Channel(receiver)));
        let server = async {
            read_all(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(send(connection, request, &pool), server);
        let mut body = answer.unwrap().response.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
        sender.send("late".into()).await.unwrap();
        drop(sender);
        let server = async {
            assert_eq!(read_all(&mut peer).await, "4\r\nlate\r\n0\r\n\r\n");
            peer.write_all(b"0\r\n\r\n").await.unwrap();
        };
        let (end, ()) = tokio::join!(body.frame(), server);
        assert!(end.is_none());
        assert!(returned.borrow().is_some());
    })
    .await;
}

struct Channel(tokio::sync::mpsc::Receiver<Bytes>);

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(http_body::Frame::data(data))))
    }
}

impl crate::codec::Message for Channel {}

#[tokio::test(start_paused = true)]
async fn an_answer_that_ends_before_its_request_ends_the_connection() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, returned) = pool();
        let mut request = post("");
        let (_sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(4);
        *request.body_mut() = Body::Boxed(Box::pin(Channel(receiver)));
        let server = async {
            read_all(&mut peer).await;
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
            assert_eq!(read_all(&mut peer).await, "<end>");
        };
        let (answer, ()) = tokio::join!(
            async { send(connection, request, &pool).await.unwrap().response.into_body().collect().await.unwrap().to_bytes() },
            server
        );
        assert_eq!(answer, "hi");
        assert!(returned.borrow().is_none());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_body_that_fails_ends_the_exchange() {
    let mut request = post("");
    let frames = Frames(vec![Ok("ab".into()), Err(BodyError::TooLarge)].into());
    *request.body_mut() = Body::Boxed(Box::pin(frames));
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        let failed = send(connection, request, &pool).await.unwrap_err();
        assert_eq!(failed.error, SendError::RequestBody(BodyError::TooLarge));
        assert!(!read_all(&mut peer).await.contains("0\r\n\r\n"));
    })
    .await;
}

/// A proxy in one function: the server side's service sends its request over the client side.
async fn proxy(upgrade: bool) -> (DuplexStream, DuplexStream) {
    let (upstream, peer) = tokio::io::duplex(4096);
    let connection = RefCell::new(Some(Connection::new(upstream, client_options())));
    let service = Handler(move |incoming: Incoming| {
        let connection = connection.borrow_mut().take().unwrap();
        let pool: Rc<dyn Reuse<DuplexStream>> = Rc::new(|_| ());
        async move {
            let sent = connection.send(incoming.request, incoming.spelling, incoming.informational, pool).await;
            sent.map_err(|_| Abort { reason: h2::Reason::CANCEL })
        }
    });
    let (mut client, _task) = start(options(), service);
    if upgrade {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
        client.write_all(head).await.unwrap();
    }
    (client, peer)
}

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nhello";

#[tokio::test(start_paused = true)]
async fn a_tunnel_through_both_codecs_keeps_half_closes() {
    for server_first in [false, true] {
        local(async {
            let (mut client, mut peer) = proxy(true).await;
            let head = read_all(&mut peer).await;
            assert_eq!(head, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            peer.write_all(SWITCH).await.unwrap();
            assert!(read_all(&mut client).await.ends_with("\r\n\r\nhello"));
            assert_eq!(read_all(&mut peer).await, "early");
            let (first, second) = if server_first { (&mut peer, &mut client) } else { (&mut client, &mut peer) };
            first.write_all(b"last").await.unwrap();
            first.shutdown().await.unwrap();
            assert_eq!(read_all(second).await, "last<end>");
            for _ in 0..3 {
                second.write_all(b"more").await.unwrap();
                assert_eq!(read_all(first).await, "more");
            }
            second.shutdown().await.unwrap();
            assert_eq!(read_all(first).await, "<end>");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_behind_an_upgrade_that_is_refused_never_reach_the_server() {
    local(async {
        let (mut client, mut peer) = proxy(true).await;
        read_all(&mut peer).await;
        peer.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let answer = read_all(&mut client).await;
        assert_eq!(answer, "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(read_all(&mut peer).await, "<end>");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_request_and_answer_pass_through_both_codecs() {
    local(async {
        let (mut client, mut peer) = proxy(false).await;
        client.write_all(b"POST /a HTTP/1.1\r\nhost: x\r\nx-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "POST /a HTTP/1.1\r\nhost: x\r\nx-Odd: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "3\r\nabc\r\n");
        client.write_all(b"0\r\nT: 1\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut peer).await, "0\r\nt: 1\r\n\r\n");
        peer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
        assert!(read_all(&mut client).await.ends_with("\r\n\r\n2\r\nhi\r\n"));
        peer.write_all(b"0\r\nT: 1\r\n\r\n").await.unwrap();
        assert_eq!(read_all(&mut client).await, "0\r\nT: 1\r\n\r\n");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_takes_its_upstream_with_it() {
    local(async {
        let (mut client, mut peer) = proxy(false).await;
        client.write_all(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_all(&mut peer).await;
        drop(client);
        assert_eq!(read_all(&mut peer).await, "<end>");
    })
    .await;
}
