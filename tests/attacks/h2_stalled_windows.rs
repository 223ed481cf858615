//! Clients that ask for much and take nothing.

use crate::arena::{arena, configured, http};
use crate::frames::{get, hello, window};
use crate::raw::{LONG, flood, stream};
use crate::sockets::full;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Windows of nothing.
const SHUT: &[(u16, u32)] = &[(4, 0)];

async fn stalled(port: u16, settings: &[(u16, u32)], streams: u32, path: &str) -> TcpStream {
    let mut stream = stream(port).await;
    let requests: Vec<u8> = (0..streams).flat_map(|number| get(number * 2 + 1, path)).collect();
    let _ = timeout(LONG, stream.write_all(&[hello(settings), requests].concat())).await;
    stream
}

#[test]
fn shut_windows_end_with_the_stream_idle_timeout() {
    arena(configured("{hcm: {stream_idle_timeout: 0.3s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut client = stalled(port, SHUT, 10, "/bytes/200000").await;
                let resets = async {
                    let (mut count, mut bytes) = (0, Vec::new());
                    while count < 10 && client.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                        count = frames_of(&bytes, crate::frames::RST_STREAM);
                    }
                    count
                };
                assert_eq!(timeout(LONG, resets).await.expect("stalled streams are kept"), 10);
            })
            .await;
        arena.logged("200 SI ").await;
    });
}

/// Counts the frames of a kind in a stream of whole frames.
fn frames_of(mut bytes: &[u8], kind: u8) -> usize {
    let mut count = 0;
    while bytes.len() >= 9 {
        let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
        count += usize::from(bytes[3] == kind);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    count
}

#[test]
fn small_answers_behind_shut_windows_end_too() {
    arena(configured("{hcm: {stream_idle_timeout: 0.3s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut client = stalled(port, SHUT, 10, "/").await;
                let mut bytes = Vec::new();
                timeout(LONG, client.read_to_end(&mut bytes)).await.map(drop).expect("stalled answers are kept");
            })
            .await;
    });
}

#[test]
fn a_hundred_stalled_streams_cost_their_buffers_only() {
    arena(http(), async |arena| {
        let (port, upstream) = (arena.port, arena.upstream);
        // 64 KiB of each answer in the codec, as much in the socket's reader.
        arena
            .withstand(20, async || {
                let client = stalled(port, SHUT, 100, "/bytes/1000000").await;
                full(upstream, 100).await;
                drop(client);
            })
            .await;
    });
}

#[test]
fn stalled_connections_cost_their_buffers_only() {
    arena(http(), async |arena| {
        let (port, upstream) = (arena.port, arena.upstream);
        arena
            .withstand(64, async || {
                let mut all = Vec::new();
                for _ in 0..200 {
                    all.push(stalled(port, SHUT, 2, "/bytes/1000000").await);
                }
                full(upstream, 2 * all.len()).await;
            })
            .await;
    });
}

#[test]
fn windows_opened_a_byte_at_a_time() {
    arena(http(), async |arena| {
        let port = arena.port;
        let opening = [hello(SHUT), (0..50).flat_map(|number| get(number * 2 + 1, "/bytes/1000000")).collect()].concat();
        arena
            .withstand(24, async || {
                flood(port, &opening, |number| window(number % 50 * 2 + 1, 1), 20_000, Duration::from_millis(300)).await;
            })
            .await;
    });
}

#[test]
fn sockets_that_are_not_read() {
    arena(http(), async |arena| {
        let (port, upstream) = (arena.port, arena.upstream);
        arena
            .withstand(24, async || {
                let client = stalled(port, &[(4, 0x7fff_ffff)], 50, "/bytes/1000000").await;
                full(upstream, 50).await;
                drop(client);
            })
            .await;
    });
}
