use super::*;

#[tokio::test(start_paused = true)]
async fn a_server_that_never_sends_100_gets_the_body_after_a_while() {
    let mut request = post("ab");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        let server = async {
            assert!(!read_all(&mut peer).await.ends_with("ab"));
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(read_all(&mut peer).await, "ab");
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        };
        assert!(tokio::join!(send(connection, request, &pool), server).0.is_ok());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_instead_of_100_means_that_the_body_stays() {
    let mut request = post("ab");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let exchanged = exchange(request, b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n", false).await;
    assert!(!exchanged.sent.ends_with("ab") && !exchanged.reused);
    assert_eq!(exchanged.answer, Ok((413, String::new())));
}

#[tokio::test(start_paused = true)]
async fn a_request_of_which_nothing_was_written_comes_back() {
    local(async {
        let (mut connection, peer) = connect();
        let (pool, _returned) = pool();
        assert!(futures_pending(&mut connection).await);
        drop(peer);
        assert!(!futures_pending(&mut connection).await);
        let failed = send(connection, post("ab"), &pool).await.unwrap_err();
        assert_eq!((failed.error, failed.response_bytes_seen), (SendError::Closed, false));
        let request = failed.unsent.unwrap();
        assert_eq!(request.headers()["host"], "h");
        assert_eq!(request.into_body().collect().await.unwrap().to_bytes(), "ab");
    })
    .await;
}

async fn futures_pending(connection: &mut Connection<DuplexStream>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(connection.poll_idle_closed(cx).is_pending())).await
}

/// Reads nothing and takes nothing: what a reset connection does to a write.
struct Broken;

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Pending
    }
}

impl tokio::io::AsyncWrite for Broken {
    fn poll_write(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>, _: &[u8]) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_taken_but_not_written_comes_back_whole() {
    let mut request = post("");
    let frames = Frames(vec![Ok("ab".into()), Ok("cd".into())].into());
    *request.body_mut() = Body::Boxed(Box::pin(frames));
    let connection = Connection::new(Broken, client_options());
    let pool: Rc<dyn Reuse<Broken>> = Rc::new(|_| ());
    let failed = connection.send(request, Spelling::Lower, Informational::default(), pool).await.unwrap_err();
    assert_eq!(failed.error, SendError::Reset);
    let body = failed.unsent.unwrap().into_body();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abcd");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_something_unasked_is_not_used() {
    local(async {
        let (connection, mut peer) = connect();
        let (pool, _returned) = pool();
        peer.write_all(b"HTTP/1.1 408 Timeout\r\n\r\n").await.unwrap();
        let failed = send(connection, get("/"), &pool).await.unwrap_err();
        assert!(failed.unsent.is_some());
    })
    .await;
}
