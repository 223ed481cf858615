use super::*;

#[tokio::test(start_paused = true)]
async fn a_tunnel_carries_both_directions_and_their_ends() {
    for (head, granted) in [
        ("GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n", 101),
        ("CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 200),
    ] {
        let service = Handler(move |incoming: Incoming| async move {
            let response = Response::builder().status(granted).header("upgrade", "websocket");
            Ok(Outgoing::from(response.body(incoming.request.into_body()).unwrap()))
        });
        local(async {
            let (mut client, task) = start(options(), service);
            client.write_all(head.as_bytes()).await.unwrap();
            client.write_all(b"early").await.unwrap();
            let answer = read_all(&mut client).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {granted} ")) && answer.ends_with("\r\n\r\nearly"), "{answer}");
            assert!(!answer.contains("content-length") && !answer.contains("transfer-encoding"), "{answer}");
            client.write_all(b"ping").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(read_all(&mut client).await, "ping<end>");
            assert_eq!(task.await.unwrap(), Ok(()));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_not_granted_goes_on_as_http() {
    let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    let answer = answered(&format!("{head}{GET}"), || Response::new(Body::Empty)).await;
    assert_eq!(answer, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2));
}

#[tokio::test(start_paused = true)]
async fn a_101_nobody_asked_for_is_not_sent() {
    let answer = answered(GET, || Response::builder().status(101).body(Body::Empty).unwrap()).await;
    assert_eq!(answer, "<end>");
}

#[tokio::test(start_paused = true)]
async fn an_obsolete_upgrade_to_http2_is_not_passed_on() {
    let service = Handler(|incoming: Incoming| {
        let asks = incoming.request.headers().contains_key("upgrade");
        std::future::ready(Ok(answer(if asks { 500 } else { 200 }, "")))
    });
    local(async {
        let (mut client, _task) = start(options(), service);
        let head = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n";
        client.write_all(head).await.unwrap();
        assert!(read_all(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    })
    .await;
}
