use super::*;

#[tokio::test(start_paused = true)]
async fn an_endless_header_block_is_not_taken() {
    local(async {
        let (mut here, there) = tokio::io::duplex(65_536);
        let server = start(there, options(), never());
        here.write_all(&hello()).await.expect("hello");
        here.write_all(&frame(HEADERS, 0, 1, REQUEST)).await.expect("headers");
        let block = field("x", &"y".repeat(100)).repeat(100);
        let taken = flood(&mut here, &frame(CONTINUATION, 0, 1, &block), 1000).await;
        assert!(taken < 1_000_000, "{taken} bytes were taken");
        assert!(matches!(server.join().await, Some(Err(ServeError::Protocol(_)))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn empty_continuations_end_the_connection() {
    local(async {
        let mut bytes = hello();
        bytes.extend(frame(HEADERS, 0, 1, REQUEST));
        bytes.extend(frame(CONTINUATION, 0, 1, &[]).repeat(10_000));
        assert!(matches!(outcome(options(), never(), bytes).await, Err(ServeError::Protocol(_))));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_field_repeated_by_index_is_counted_in_full() {
    local(async {
        // One cookie of 4,000 bytes, put into the dynamic table, then one byte for each repetition.
        let mut block = REQUEST.to_vec();
        block.extend([0x60, 0x7f, 0xa1, 0x1e]);
        block.extend([b'c'; 4000]);
        block.extend([0xbe; 12_000]);
        let mut bytes = hello();
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
        let ended = outcome(options(), never(), bytes).await;
        assert_eq!(ended, Err(ServeError::Protocol(Reason::ENHANCE_YOUR_CALM)));
    })
    .await;
}

async fn status_of(request: Request<()>) -> StatusCode {
    answer_to(request).await.expect("response")
}

async fn answer_to(request: Request<()>) -> Result<StatusCode, h2::Error> {
    let (here, there) = tokio::io::duplex(65_536);
    let _server = start(there, options(), echo());
    let (mut sender, _connection) = peer(here).await;
    let (response, _) = sender.send_request(request, true).expect("send");
    response.await.map(|response| response.status())
}

#[tokio::test(start_paused = true)]
async fn a_head_over_the_limit_is_answered_with_431_and_too_many_fields_with_a_reset() {
    local(async {
        let mut long = get();
        long.headers_mut().insert("x-long", HeaderValue::from_str(&"y".repeat(61_440)).expect("value"));
        assert_eq!(status_of(long).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        let mut many = get();
        for _ in 0..101 {
            many.headers_mut().append("x", HeaderValue::from_static("y"));
        }
        assert_eq!(answer_to(many).await.expect_err("a reset").reason(), Some(Reason::INTERNAL_ERROR));
        let mut most = get();
        for _ in 0..100 {
            most.headers_mut().append("x", HeaderValue::from_static("y"));
        }
        assert_eq!(status_of(most).await, StatusCode::OK);
    })
    .await;
}

/// The error code of the RST_STREAM or GOAWAY that answers one header block.
async fn refusal(block: &[u8]) -> Option<u8> {
    let (mut here, there) = tokio::io::duplex(65_536);
    let _server = start(there, options(), echo());
    here.write_all(&hello()).await.expect("hello");
    here.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, block)).await.expect("headers");
    refused(&mut here).await.map(|(_, code)| code)
}

#[tokio::test(start_paused = true)]
async fn malformed_requests_are_reset() {
    local(async {
        assert_eq!(refusal(REQUEST).await, None);
        let with = |name, value| [REQUEST.to_vec(), field(name, value)].concat();
        assert_eq!(refusal(&with("te", "trailers")).await, None);
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("content-length", "5"),
            ("content-length", "x"),
            (":path", "/late"),
            (":status", "200"),
        ] {
            assert_eq!(refusal(&with(name, value)).await, Some(1), "{name}: {value}");
        }
        let alone: [&[u8]; 5] = [
            &[0x86, 0x84],
            &[0x82, 0x84],
            &[0x82, 0x82, 0x86, 0x84],
            // A scheme in a plain CONNECT.
            &[0x02, 7, b'C', b'O', b'N', b'N', b'E', b'C', b'T', 0x86, 0x01, 1, b'a'],
            // An empty path.
            &[0x82, 0x86, 0x04, 0],
        ];
        for block in alone {
            assert_eq!(refusal(block).await, Some(1), "{block:x?}");
        }
        for value in ["a\rb", "a\nb", "a\0b"] {
            assert!(refusal(&with("x", value)).await.is_some(), "{value:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_the_limits_fails() {
    local(async {
        for (name, size, count) in [("x-long", 61_440, 1), ("x", 1, 101)] {
            let (here, there) = tokio::io::duplex(65_536);
            let _server = start(
                there,
                options(),
                answer(move |_| async move {
                    let mut response = Response::new(Body::Empty);
                    for _ in 0..count {
                        let value = HeaderValue::from_str(&"y".repeat(size)).expect("value");
                        response.headers_mut().append(name, value);
                    }
                    Ok(response.into())
                }),
            );
            let client = connect(here, Rc::new(options())).await.expect("connect");
            let request = get().map(|()| Body::Empty);
            let failed = client.send(request, Informational::default()).await.expect_err("too large");
            assert!(matches!(failed.error, SendError::Malformed(_)), "{failed:?}");
        }
    })
    .await;
}
