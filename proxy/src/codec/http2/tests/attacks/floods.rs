use super::*;

#[tokio::test(start_paused = true)]
async fn a_body_longer_than_declared_is_reset() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let _server = start(there, options(), never());
        let (mut sender, _connection) = peer(here).await;
        let mut request = post();
        request.headers_mut().insert("content-length", HeaderValue::from_static("2"));
        let (response, mut body) = sender.send_request(request, false).expect("send");
        body.send_data(Bytes::from_static(b"three"), false).expect("data");
        assert_eq!(response.await.expect_err("reset").reason(), Some(Reason::PROTOCOL_ERROR));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn floods_of_empty_and_tiny_data_end_the_connection() {
    local(async {
        for payload in [&[][..], &[b'x'][..]] {
            let mut bytes = hello();
            bytes.extend(frame(HEADERS, END_HEADERS, 1, REQUEST));
            bytes.extend(frame(DATA, 0, 1, payload).repeat(10_000));
            let ended = outcome(options(), never(), bytes).await;
            assert_eq!(ended, Err(ServeError::Protocol(Reason::ENHANCE_YOUR_CALM)));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answers_is_not_read() {
    local(async {
        for unit in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[])] {
            let (mut here, there) = tokio::io::duplex(4096);
            let _server = start(there, options(), never());
            here.write_all(&hello()).await.expect("hello");
            let taken = flood(&mut here, &unit, 100_000).await;
            assert!(taken < 200_000, "{taken} bytes were taken");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_takes_end_the_connection() {
    local(async {
        // A window of nothing, which no task waits for: the answers are small.
        let (mut here, there) = tokio::io::duplex(65_536);
        let server = start(there, options(), answer(|_| std::future::ready(ok(Bytes::from_static(b"small")))));
        here.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("preface");
        here.write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await.expect("settings");
        for stream in [1, 3, 5] {
            here.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST)).await.expect("headers");
        }
        sleep(Duration::from_secs(299)).await;
        assert!(!server.is_finished());
        assert_eq!(server.join().await, Some(Err(ServeError::Stalled)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_many_streams_lets_others_have_a_turn_before_each_next_one() {
    local(async {
        let begun = Rc::new(Cell::new(0_u32));
        let count = Rc::clone(&begun);
        let service = answer(move |_| {
            count.set(count.get() + 1);
            std::future::pending()
        });
        let (mut here, there) = tokio::io::duplex(65_536);
        let mut bytes = hello();
        (0..300).for_each(|number| bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, REQUEST)));
        here.write_all(&bytes).await.expect("room");
        let _server = start(there, Http2Options { max_concurrent_streams: 300, ..options() }, service);
        let (mut before, mut most) = (0, 0);
        while begun.get() < 300 {
            tokio::task::yield_now().await;
            if before > 150 {
                most = most.max(begun.get() - before);
            }
            before = begun.get();
        }
        assert_eq!(most, 1);
    })
    .await;
}

/// Frames that look like frames, with anything in them.
fn noise(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = if random.u8(..) < 230 { hello() } else { Vec::new() };
    for _ in 0..random.usize(1..60) {
        let stream = [0, 1, 2, 3, 5, 7, 0x7fff_ffff][random.usize(..7)];
        let payload = if random.u8(..) < 60 {
            REQUEST.to_vec()
        } else {
            let length = [0, 1, 4, 5, 6, 8, 30, 300][random.usize(..8)];
            std::iter::repeat_with(|| random.u8(..)).take(length).collect()
        };
        bytes.extend(frame(random.u8(..12), random.u8(..), stream, &payload));
    }
    if random.u8(..) < 60 {
        let at = random.usize(..bytes.len());
        bytes[at] = random.u8(..);
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn noise_ends_connections_and_nothing_else() {
    local(async {
        let mut random = fastrand::Rng::with_seed(20_260_101);
        for _ in 0..3000 {
            let bytes = noise(&mut random);
            let (mut here, there) = tokio::io::duplex(65_536);
            let server = start(there, options(), echo());
            let _ = here.write_all(&bytes).await;
            let _ = here.shutdown().await;
            let mut rest = Vec::new();
            let _ = timeout(LONG, here.read_to_end(&mut rest)).await.expect("the server hangs");
            let _: Result<(), ServeError> = server.join().await.expect("the server panicked");

            let (here, mut there) = tokio::io::duplex(65_536);
            let client = connect(here, Rc::new(options())).await.expect("connect");
            let _ = there.write_all(bytes.get(24..).unwrap_or_default()).await;
            let _ = there.shutdown().await;
            let request = post().map(|()| frames(3, None).0);
            let sent = timeout(LONG, client.send(request, Informational::default()));
            if let Ok(outgoing) = sent.await.expect("the client hangs") {
                let _ = outgoing.response.into_body().collect().await;
            }
        }
    })
    .await;
}
