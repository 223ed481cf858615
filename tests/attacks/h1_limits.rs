//! HTTP/1 without end: heads, fields, lines, chunk extensions, trailers, requests in a row, expectations.

use crate::arena::{arena, http};
use crate::raw::{LONG, ask, open, statuses, stream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

#[test]
fn heads_over_the_limits() {
    arena(http(), async |arena| {
        let port = arena.port;
        let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(70_000));
        let value = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(70_000));
        let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
        arena
            .withstand(16, async || {
                for head in [&long, &value, &many] {
                    let answer = ask(port, head.as_bytes()).await;
                    assert_eq!(statuses(&answer), [431], "{answer:?}");
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty());
        arena.logged("431 DPE ").await;
    });
}

/// Sends `opening` and then `unit` until the proxy takes no more; at most `bound` bytes may be taken.
async fn endless(port: u16, opening: &[u8], unit: &[u8], bound: usize) -> String {
    let (mut reader, mut writer) = stream(port).await.into_split();
    let mut answer = Vec::new();
    let reading = reader.read_to_end(&mut answer);
    let writing = async {
        let mut taken = 0;
        let mut sent = writer.write_all(opening).await;
        while sent.is_ok() && taken <= bound {
            sent = writer.write_all(unit).await;
            taken += unit.len();
        }
        assert!(taken <= bound, "{taken} bytes were taken");
    };
    let (_, ()) = timeout(LONG, async { tokio::join!(reading, writing) }).await.expect("the proxy hangs");
    ninon_tests::wire::latin1(&answer)
}

/// The kernel's buffers take some megabytes before the sender notices.
const KERNEL: usize = 12_000_000;

#[test]
fn heads_without_end() {
    arena(http(), async |arena| {
        let port = arena.port;
        let units =
            [("GET /", "x".repeat(4096)), ("GET / HTTP/1.1\r\nx: ", "y".repeat(4096)), ("GET / HTTP/1.1\r\n", "a: b\r\n".repeat(500))];
        arena
            .withstand(16, async || {
                for (opening, unit) in &units {
                    let answer = endless(port, opening.as_bytes(), unit.as_bytes(), KERNEL).await;
                    // The refusal may be lost when the connection is reset under a sender that goes on.
                    assert!(matches!(statuses(&answer)[..], [] | [431]), "{answer:?}");
                }
            })
            .await;
        arena.logged("431 DPE ").await;
    });
}

#[test]
fn chunk_extensions_and_trailers_without_end() {
    arena(http(), async |arena| {
        let port = arena.port;
        let head = "POST /endless HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let units = [("5;", "x".repeat(4096)), ("0\r\n", "a: b\r\n".repeat(500)), ("0\r\na: ", "y".repeat(4096)), ("", "0".repeat(4096))];
        arena
            .withstand(16, async || {
                for (opening, unit) in &units {
                    let answer = endless(port, format!("{head}{opening}").as_bytes(), unit.as_bytes(), KERNEL).await;
                    assert!(matches!(statuses(&answer)[..], [] | [400 | 431]), "{opening:?} got {answer:?}");
                }
            })
            .await;
        arena.logged(" DPE ").await;
    });
}

#[test]
fn extensions_of_a_byte_each() {
    arena(http(), async |arena| {
        let port = arena.port;
        let head = "POST /tiny HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let body = "1;x\r\ny\r\n".repeat(5_000);
        arena
            .withstand(16, async || {
                let end = "0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
                let answer = ask(port, format!("{head}{body}{end}").as_bytes()).await;
                assert!(matches!(statuses(&answer)[..], [200, 200] | [400]), "{answer:?}");
            })
            .await;
    });
}

#[test]
fn pipelined_requests_that_are_not_read() {
    arena(http(), async |arena| {
        let port = arena.port;
        let batch = "GET /bytes/1000 HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..10 {
                    let mut stream = stream(port).await;
                    for _ in 0..20 {
                        if timeout(Duration::from_millis(5), stream.write_all(batch.as_bytes())).await.is_err() {
                            break;
                        }
                    }
                    all.push(stream);
                }
            })
            .await;
    });
}

#[test]
fn empty_lines_before_a_request() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = endless(port, b"", "\r\n".repeat(2048).as_bytes(), KERNEL).await;
                assert!(matches!(statuses(&answer)[..], [] | [400 | 431]), "{answer:?}");
            })
            .await;
    });
}

#[test]
fn expectations_without_bodies() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..50 {
                    let mut wire = open(port).await;
                    wire.send(b"POST /expect HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n").await;
                    all.push(wire);
                }
                for wire in &mut all {
                    let head = timeout(LONG, wire.head()).await.expect("no 100");
                    assert_eq!(head.and_then(|head| head.status()), Some(100));
                }
            })
            .await;
        arena.logged("0 DC ").await;
    });
}
