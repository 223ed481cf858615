//! Few bytes that decompress to many (CVE-2026-47774).

use crate::arena::{arena, http};
use crate::frames::{END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, field, frame, hello, indexed_field, request};
use crate::raw::{LONG, flood};

/// The newest entry of the dynamic table.
const NEWEST: u8 = 0xbe;

#[test]
fn one_large_field_repeated_by_index() {
    arena(http(), async |arena| {
        let port = arena.port;
        let block = [request("GET", "/"), indexed_field("cookie", &"c".repeat(3900)), vec![NEWEST; 12_000]].concat();
        arena
            .withstand(16, async || {
                let outcome = flood(port, &hello(&[]), |_| frame(HEADERS, END_HEADERS | END_STREAM, 1, &block), 1, LONG).await;
                assert_eq!(outcome.goaway, Some(ENHANCE_YOUR_CALM));
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn cookies_of_a_byte_below_the_size_limit() {
    arena(http(), async |arena| {
        let port = arena.port;
        // 1,000 crumbs of 40 counted bytes: within the size, over the number.
        let block = [request("GET", "/"), indexed_field("cookie", "c"), vec![NEWEST; 1000]].concat();
        arena
            .withstand(24, async || {
                let unit = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &block);
                let outcome = flood(port, &hello(&[]), unit, 200, LONG).await;
                let refused = outcome.frames.iter().any(|frame| frame.kind == HEADERS) || !outcome.resets().is_empty();
                assert!(refused || outcome.goaway.is_some(), "{outcome:?}");
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn many_streams_of_heads_just_below_the_limit() {
    arena(http(), async |arena| {
        let port = arena.port;
        let first = [request("GET", "/hang"), indexed_field("x", &"y".repeat(3900))].concat();
        // Twelve of 3,933 counted bytes each, for twelve bytes on the wire.
        let next = [request("GET", "/hang"), vec![NEWEST; 12]].concat();
        arena
            .withstand(160, async || {
                let opening = [hello(&[]), frame(HEADERS, END_HEADERS | END_STREAM, 1, &first)].concat();
                let unit = |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 3, &next);
                flood(port, &opening, unit, 1000, LONG).await;
            })
            .await;
    });
}

#[test]
fn table_size_updates_without_end() {
    arena(http(), async |arena| {
        let port = arena.port;
        let block = [vec![0x20; 8000], request("GET", "/")].concat();
        let huge = [vec![0x3f, 0xff, 0xff, 0xff, 0xff, 0x0f], request("GET", "/")].concat();
        let endless = [vec![0x7f], vec![0xff; 8000]].concat();
        arena
            .withstand(16, async || {
                for block in [&huge, &endless] {
                    let outcome = flood(port, &hello(&[]), |_| frame(HEADERS, END_HEADERS | END_STREAM, 1, block), 1, LONG).await;
                    assert!(outcome.goaway.is_some(), "{outcome:?}");
                }
                flood(port, &hello(&[]), |number| frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &block), 100, LONG).await;
            })
            .await;
    });
}

#[test]
fn fields_that_are_not_hpack() {
    arena(http(), async |arena| {
        let port = arena.port;
        let blocks = [vec![0x80], vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff], vec![0x00, 0x85], [field("x", "y"), vec![0xc8]].concat()];
        arena
            .withstand(16, async || {
                for block in &blocks {
                    let outcome = flood(port, &hello(&[]), |_| frame(HEADERS, END_HEADERS | END_STREAM, 1, block), 1, LONG).await;
                    assert!(outcome.goaway.is_some(), "{block:x?} got {outcome:?}");
                }
            })
            .await;
    });
}
