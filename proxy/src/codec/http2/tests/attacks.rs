use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://a/` in HPACK.
const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("length").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field that is not indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).expect("length")];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).expect("length"));
    field.extend(value.as_bytes());
    field
}

/// The preface and SETTINGS.
fn hello() -> Vec<u8> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    hello
}

/// Writes while the server takes it; how much it took.
async fn flood(io: &mut DuplexStream, unit: &[u8], times: usize) -> usize {
    let mut taken = 0;
    for _ in 0..times {
        match timeout(Duration::from_secs(1), io.write_all(unit)).await {
            Ok(Ok(())) => taken += unit.len(),
            _ => break,
        }
    }
    taken
}

/// Sends frames to a server and tells how it ended; it must end.
async fn outcome(options: Http2Options, service: Answer, bytes: Vec<u8>) -> Result<(), ServeError> {
    let (here, there) = tokio::io::duplex(65_536);
    let server = start(there, options, service);
    let (mut reader, mut writer) = tokio::io::split(here);
    let reading = async {
        let mut sink = [0; 4096];
        while matches!(reader.read(&mut sink).await, Ok(1..)) {}
    };
    let writing = async {
        let _ = writer.write_all(&bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    server.join().await.expect("task")
}

fn never() -> Answer {
    answer(|_| std::future::pending())
}

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

/// Stream and error code of the first RST_STREAM or GOAWAY, unless HEADERS come first.
async fn refused(io: &mut DuplexStream) -> Option<(u8, u8)> {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.expect("frame");
        let mut payload = vec![0; usize::from(head[2]) + usize::from(head[1]) * 256];
        io.read_exact(&mut payload).await.expect("frame");
        match head[3] {
            HEADERS => return None,
            RST_STREAM => return payload.last().map(|code| (head[8], *code)),
            GOAWAY => return payload.get(7).map(|code| (head[8], *code)),
            _ => {}
        }
    }
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
