//! Frames that cost the sender nothing and ask for work or for answers.

use crate::arena::{arena, http};
use crate::frames::{DATA, END_HEADERS, ENHANCE_YOUR_CALM, HEADERS, PADDED, PING, PRIORITY, SETTINGS, frame, get, hello, request, window};
use crate::raw::{LONG, Outcome, flood, stream};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Floods with a connection that reads what it is sent; what is done to it, by `check`.
fn flooded(opening: Vec<u8>, unit: Vec<u8>, check: impl Fn(&Outcome)) {
    arena(http(), async |arena| {
        let port = arena.port;
        let opening = [hello(&[]), opening].concat();
        arena
            .withstand(16, async || {
                let outcome = flood(port, &opening, |_| unit.clone(), 20_000, Duration::from_millis(500)).await;
                check(&outcome);
            })
            .await;
    });
}

/// The same with a connection that reads nothing: the proxy stops reading, and its memory stays.
fn flooded_deaf(unit: &[u8]) {
    arena(http(), async |arena| {
        let port = arena.port;
        let batch = unit.repeat(1000);
        arena
            .withstand(16, async || {
                let mut stream = stream(port).await;
                let _ = stream.write_all(&hello(&[])).await;
                let mut taken = 0;
                while let Ok(Ok(())) = timeout(Duration::from_millis(50), stream.write_all(&batch)).await {
                    taken += batch.len();
                    assert!(taken < 40_000_000, "the proxy reads on although its answers are not read");
                }
            })
            .await;
    });
}

fn calmed(outcome: &Outcome) {
    assert_eq!(outcome.goaway, Some(ENHANCE_YOUR_CALM), "{} bytes taken", outcome.taken);
}

#[test]
fn pings() {
    flooded(Vec::new(), frame(PING, 0, 0, &[0; 8]), calmed);
}

#[test]
fn settings() {
    flooded(Vec::new(), frame(SETTINGS, 0, 0, &[]), calmed);
}

#[test]
fn settings_that_change_the_windows() {
    let big = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let small = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let streams: Vec<u8> = (0..100).flat_map(|number| get(number * 2 + 1, "/hang")).collect();
    flooded(streams, [big, small].concat(), |outcome| assert!(outcome.goaway.is_some(), "{} bytes taken", outcome.taken));
}

#[test]
fn pings_unread() {
    flooded_deaf(&frame(PING, 0, 0, &[0; 8]));
}

#[test]
fn settings_unread() {
    flooded_deaf(&frame(SETTINGS, 0, 0, &[]));
}

#[test]
fn priorities() {
    flooded(get(1, "/hang"), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]), calmed);
}

#[test]
fn priorities_of_idle_streams() {
    flooded(Vec::new(), frame(PRIORITY, 0, 1001, &[0, 0, 0, 3, 9]), calmed);
}

#[test]
fn window_updates_of_the_connection() {
    flooded(Vec::new(), window(0, 1), calmed);
}

#[test]
fn window_updates_of_a_stream() {
    flooded(get(1, "/hang"), window(1, 1), calmed);
}

#[test]
fn unknown_frames() {
    flooded(Vec::new(), frame(0xbe, 0, 0, b"grease"), calmed);
}

#[test]
fn empty_data() {
    flooded(frame(HEADERS, END_HEADERS, 1, &request("POST", "/")), frame(DATA, 0, 1, &[]), calmed);
}

#[test]
fn padding_without_data() {
    let unit = frame(DATA, PADDED, 1, &[&[255][..], &[0; 255]].concat());
    flooded(frame(HEADERS, END_HEADERS, 1, &request("POST", "/")), unit, |outcome| {
        assert!(outcome.goaway.is_some(), "{} bytes taken", outcome.taken);
    });
}

#[test]
fn single_bytes_of_data() {
    // A server that takes them lets them pass; one that does not must not make us keep them.
    flooded(frame(HEADERS, END_HEADERS, 1, &request("POST", "/")), frame(DATA, 0, 1, b"x"), |_| {});
}

#[test]
fn a_preface_and_nothing_more() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut all = Vec::new();
                for _ in 0..300 {
                    let mut stream = stream(port).await;
                    let _ = timeout(LONG, stream.write_all(&hello(&[]))).await;
                    all.push(stream);
                }
            })
            .await;
    });
}
