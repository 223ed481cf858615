use super::*;

#[tokio::test(start_paused = true)]
async fn resets_of_accepted_streams_end_the_connection() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let server = start(there, options(), never());
        let (mut sender, _connection) = peer(here).await;
        let mut opened = 0;
        while let Ok((_response, mut body)) = sender.send_request(post(), false) {
            opened += 1;
            assert!(opened < 100, "the flood goes on");
            sleep(Duration::from_millis(1)).await;
            body.send_reset(Reason::CANCEL);
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.join().await, Some(Err(ServeError::ResetFlood)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn resets_in_one_packet_end_the_connection() {
    local(async {
        let mut bytes = hello();
        for stream in (1..1000).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST));
            bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        let ended = outcome(options(), never(), bytes).await;
        assert_eq!(ended, Err(ServeError::Protocol(Reason::ENHANCE_YOUR_CALM)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cancels_old_streams_is_welcome() {
    local(async {
        let (here, there) = tokio::io::duplex(65_536);
        let server = start(there, options(), never());
        let (mut sender, _connection) = peer(here).await;
        for _ in 0..100 {
            let (_response, mut body) = sender.send_request(post(), false).expect("send");
            sleep(Duration::from_secs(2)).await;
            body.send_reset(Reason::CANCEL);
        }
        sleep(Duration::from_secs(1)).await;
        assert!(!server.is_finished());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn resets_provoked_from_the_server_end_the_connection() {
    local(async {
        let mut bytes = hello();
        for stream in (1..200).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS, stream, REQUEST));
            // A window over its maximum is an error of the stream.
            bytes.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
        }
        let ended = outcome(options(), never(), bytes).await;
        assert_eq!(ended, Err(ServeError::Protocol(Reason::ENHANCE_YOUR_CALM)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_over_the_limit_are_refused() {
    local(async {
        let (mut here, there) = tokio::io::duplex(65_536);
        let _server = start(there, Http2Options { max_concurrent_streams: 2, ..options() }, never());
        here.write_all(&hello()).await.expect("hello");
        for stream in [1, 3, 5] {
            here.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST)).await.expect("headers");
        }
        assert_eq!(refused(&mut here).await, Some((5, 7)));
    })
    .await;
}
