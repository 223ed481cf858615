//! Streams opened to be reset: by the client (CVE-2023-44487), or by the proxy at the client's provocation (CVE-2025-8671).

use crate::arena::{arena, http};
use crate::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FRAME_SIZE_ERROR, HEADERS, PRIORITY, PROTOCOL_ERROR, STREAM_CLOSED, frame,
    get, hello, request, reset, window,
};
use crate::raw::{LONG, flood};

/// A flood of such units ends with ENHANCE_YOUR_CALM.
fn calmed(unit: impl Fn(u32) -> Vec<u8>) {
    ended(unit, &[ENHANCE_YOUR_CALM]);
}

/// What is an error of the stream at first may be one of the connection later.
fn either(unit: impl Fn(u32) -> Vec<u8>) {
    ended(unit, &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR]);
}

/// A flood of such units ends with one of these codes.
fn ended(unit: impl Fn(u32) -> Vec<u8>, codes: &[u32]) {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let outcome = flood(port, &hello(&[]), |number| unit(number * 2 + 1), 20_000, LONG).await;
                assert!(outcome.goaway.is_some_and(|code| codes.contains(&code)), "{:?}, {} bytes taken", outcome.goaway, outcome.taken);
                assert!(outcome.closed);
            })
            .await;
        let requests = arena.seen.requests().len();
        assert!(requests < 2000, "{requests} requests reached the server");
    });
}

#[test]
fn rapid_reset() {
    calmed(|stream| [get(stream, "/hang"), reset(stream, CANCEL)].concat());
}

#[test]
fn rapid_reset_of_requests_with_bodies() {
    calmed(|stream| {
        let head = frame(HEADERS, END_HEADERS, stream, &request("POST", "/hang"));
        [head, frame(DATA, 0, stream, b"some"), reset(stream, CANCEL)].concat()
    });
}

#[test]
fn made_you_reset_by_window_overflow() {
    calmed(|stream| [get(stream, "/hang"), window(stream, 0x7fff_ffff)].concat());
}

#[test]
fn made_you_reset_by_empty_window_updates() {
    either(|stream| [get(stream, "/hang"), window(stream, 0)].concat());
}

#[test]
fn made_you_reset_by_data_after_the_end() {
    either(|stream| [get(stream, "/hang"), frame(DATA, END_STREAM, stream, b"more")].concat());
}

#[test]
fn made_you_reset_by_headers_after_the_end() {
    either(|stream| [get(stream, "/hang"), get(stream, "/again")].concat());
}

#[test]
fn made_you_reset_by_depending_on_itself() {
    calmed(|stream| [get(stream, "/hang"), frame(PRIORITY, 0, stream, &[stream.to_be_bytes().to_vec(), vec![1]].concat())].concat());
}

#[test]
fn made_you_reset_by_priorities_of_wrong_length() {
    either(|stream| [get(stream, "/hang"), frame(PRIORITY, 0, stream, &[0; 4])].concat());
}

#[test]
fn made_you_reset_by_malformed_requests() {
    calmed(|stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "no slash")));
}

#[test]
fn streams_over_the_limit() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(48, async || {
                // Nothing is reset by the client: the surplus is refused, and a client that goes on is let go.
                let outcome = flood(port, &hello(&[]), |number| get(number * 2 + 1, "/hang"), 10_000, LONG).await;
                let was_refused = outcome.resets().iter().any(|(_, code)| *code == 7);
                assert!(was_refused || outcome.goaway == Some(ENHANCE_YOUR_CALM), "{:?}", outcome.goaway);
            })
            .await;
    });
}
