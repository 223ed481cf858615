//! Header blocks without end (CVE-2024-27316 and its family).

use crate::arena::{Arena, arena, http};
use crate::frames::{CONTINUATION, END_STREAM, HEADERS, field, frame, hello, request};
use crate::raw::{LONG, flood};

async fn refused(arena: &mut Arena, first: u8, unit: Vec<u8>) {
    let port = arena.port;
    let opening = [hello(&[]), frame(HEADERS, first, 1, &request("GET", "/"))].concat();
    arena
        .withstand(16, async || {
            let outcome = flood(port, &opening, |_| unit.clone(), 100_000, LONG).await;
            assert!(outcome.goaway.is_some() && outcome.closed, "{} bytes taken", outcome.taken);
        })
        .await;
    assert!(arena.seen.requests().is_empty());
}

#[test]
fn continuations_with_fields() {
    arena(http(), async |arena| refused(arena, 0, frame(CONTINUATION, 0, 1, &field("x", &"y".repeat(90)).repeat(100))).await);
}

#[test]
fn continuations_with_the_stream_ended() {
    arena(http(), async |arena| refused(arena, END_STREAM, frame(CONTINUATION, 0, 1, &field("x", "y").repeat(10))).await);
}

#[test]
fn empty_continuations() {
    arena(http(), async |arena| refused(arena, 0, frame(CONTINUATION, 0, 1, &[])).await);
}

#[test]
fn continuations_of_a_byte() {
    // The first byte of a literal whose name never ends.
    arena(http(), async |arena| refused(arena, 0, frame(CONTINUATION, 0, 1, &[0x82])).await);
}
