//! HTTP/2 requests that would become others when written as HTTP/1, or that break the rules of a message.

use crate::arena::{arena, configured};
use crate::frames::{self, END_HEADERS, END_STREAM, HEADERS, field, frame, hello, raw_field, request};
use crate::raw::{LONG, flood};

const EACH_STREAM: &str = "{hcm: {http2_protocol_options: {override_stream_error_on_invalid_http_message: true}}}";

/// Each header block is refused, by the stream or by the connection.
fn refused(blocks: Vec<Vec<u8>>) {
    arena(configured(EACH_STREAM), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for block in &blocks {
                    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
                    let outcome = flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
                    let was_reset = outcome.resets().iter().any(|(_, code)| *code == frames::PROTOCOL_ERROR);
                    let is_bad_request = outcome.frames.iter().any(|frame| frame.kind == HEADERS && frame.payload.contains(&0x8c));
                    assert!(was_reset || outcome.goaway.is_some() || is_bad_request, "{} got {outcome:?}", block.escape_ascii());
                }
            })
            .await;
        assert_eq!(arena.seen.requests(), Vec::<String>::new());
    });
}

#[test]
fn line_ends_in_fields() {
    let values = [&b"a\r\nx: y"[..], b"a\nb", b"a\rb", b"a\0b", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"];
    let mut blocks: Vec<_> = values.iter().map(|value| [request("GET", "/"), raw_field(0, b"x", value)].concat()).collect();
    blocks.extend(["a\r\nb", "a:b", "a b", "A", "", "a\0"].map(|name| [request("GET", "/"), raw_field(0, name.as_bytes(), b"v")].concat()));
    refused(blocks);
}

#[test]
fn line_ends_in_pseudo_fields() {
    let paths = ["/ HTTP/1.1\r\nhost: b\r\n\r\nGET /smuggled", "/a b", "/\r\n", "/\0", "", "x"];
    let mut blocks: Vec<_> = paths.map(|path| request("GET", path)).to_vec();
    blocks.extend(["GET / HTTP/1.1\r\n\r\nGET", "G T", "", "GET\0"].map(|method| request(method, "/")));
    let with_authority =
        |authority: &str| [field(":method", "GET"), field(":scheme", "http"), field(":path", "/"), field(":authority", authority)].concat();
    blocks.extend(["a\r\nx: y", "a b", "a\0"].map(with_authority));
    refused(blocks);
}

#[test]
fn connection_fields_and_wrong_order() {
    let fields = [
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("te", "gzip"),
        ("content-length", "40"),
        ("content-length", "x"),
        (":path", "/smuggled"),
        (":status", "200"),
        (":unknown", "1"),
    ];
    let mut blocks: Vec<_> = fields.map(|(name, value)| [request("GET", "/"), field(name, value)].concat()).to_vec();
    blocks.push([field("x", "y"), request("GET", "/")].concat());
    blocks.push([field(":method", "POST"), request("GET", "/")].concat());
    // CONNECT without an authority, and with a path (CVE-2026-73547).
    blocks.push(field(":method", "CONNECT"));
    blocks.push([field(":method", "CONNECT"), field(":path", "/"), field(":authority", "a")].concat());
    refused(blocks);
}

#[test]
fn lengths_that_lie() {
    arena(configured(EACH_STREAM), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for body in [&b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n"[..], b"12"] {
                    let head = [request("POST", "/"), field("content-length", "4")].concat();
                    let bytes = [frame(HEADERS, END_HEADERS, 1, &head), frame(frames::DATA, END_STREAM, 1, body)].concat();
                    let outcome = flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
                    let was_reset = outcome.resets().contains(&(1, frames::PROTOCOL_ERROR));
                    assert!(was_reset || outcome.goaway.is_some(), "{outcome:?}");
                }
            })
            .await;
        assert!(arena.seen.with("GET /smuggled").is_empty());
    });
}

#[test]
fn trailers_that_break_rules() {
    arena(configured(EACH_STREAM), async |arena| {
        let port = arena.port;
        // Trailers without END_STREAM (CVE-2026-73513), and with what belongs to a connection.
        let trailers = [(END_HEADERS, field("x", "y")), (END_HEADERS | END_STREAM, field("transfer-encoding", "chunked"))];
        arena
            .withstand(16, async || {
                for (flags, block) in &trailers {
                    let bytes = [frame(HEADERS, END_HEADERS, 1, &request("POST", "/")), frame(HEADERS, *flags, 1, block)].concat();
                    let outcome = flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
                    assert!(!outcome.resets().is_empty() || outcome.goaway.is_some(), "{} got {outcome:?}", block.escape_ascii());
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn data_behind_a_reset_in_one_packet() {
    arena(configured(EACH_STREAM), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let unit = |number: u32| {
                    let stream = number * 2 + 1;
                    let head = frame(HEADERS, END_HEADERS, stream, &request("POST", "/hang"));
                    [head, frames::reset(stream, frames::CANCEL), frame(frames::DATA, END_STREAM, stream, b"late")].concat()
                };
                let outcome = flood(port, &hello(&[]), unit, 50, LONG).await;
                assert!(outcome.goaway.is_none_or(|code| code != 2), "{outcome:?}");
            })
            .await;
    });
}
