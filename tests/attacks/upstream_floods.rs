//! Servers that never stop, or never go on.

use crate::arena::{arena, hostile};
use crate::raw::{LONG, ask, open, status, statuses};
use crate::servers::{Handler, handler};
use crate::sockets::full;
use ninon_tests::wire::Wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const ASK: &[u8] = b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Answers a request with `opening`, then with `unit` for as long as it is taken.
fn endless(opening: &'static str, unit: String) -> Handler {
    handler(move |stream| {
        let unit = unit.clone();
        async move {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(opening.as_bytes()).await;
            while stream.write_all(unit.as_bytes()).await.is_ok() {}
        }
    })
}

/// The client is told that the server broke the protocol.
fn refused(server: Handler) {
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, ASK).await;
                assert!(matches!(statuses(&answer)[..], [502 | 503]), "{:?}", answer.get(..answer.len().min(300)));
            })
            .await;
        arena.logged(" UPE ").await;
    });
}

#[test]
fn fields_without_end() {
    refused(endless("HTTP/1.1 200 OK\r\n", "x: y\r\n".repeat(500)));
}

#[test]
fn a_field_without_end() {
    refused(endless("HTTP/1.1 200 OK\r\nx: ", "y".repeat(4096)));
}

#[test]
fn a_status_line_without_end() {
    refused(endless("HTTP/1.1 200 ", "y".repeat(4096)));
}

#[test]
fn interim_answers_without_end() {
    refused(endless("", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(100)));
}

#[test]
fn continues_without_end() {
    refused(endless("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100)));
}

/// The head is good, so the answer has begun: it is cut off.
fn cut_off(server: Handler, flag: &'static str) {
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let answer = ask(port, ASK).await;
                assert_eq!(statuses(&answer), [200], "{:?}", answer.get(..answer.len().min(300)));
                assert!(!answer.ends_with("0\r\n\r\n"), "the cut is not seen");
            })
            .await;
        arena.logged(flag).await;
    });
}

#[test]
fn chunk_extensions_without_end() {
    cut_off(endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;", "x".repeat(4096)), "200 UPE");
}

#[test]
fn trailers_without_end() {
    cut_off(endless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "x: y\r\n".repeat(500)), "200 UPE");
}

#[test]
fn a_body_without_end_for_a_client_that_does_not_read() {
    arena(hostile("{}", endless("HTTP/1.1 200 OK\r\n\r\n", "y".repeat(65_536))), async |arena| {
        let (port, upstream) = (arena.port, arena.upstream);
        arena
            .withstand(32, async || {
                let mut deaf = Vec::new();
                for _ in 0..20 {
                    let mut wire = open(port).await;
                    wire.send(ASK).await;
                    deaf.push(wire);
                }
                full(upstream, deaf.len()).await;
            })
            .await;
    });
}

#[test]
fn a_server_that_says_nothing() {
    let config =
        "{routes: [{match: {prefix: /hostile}, route: {cluster: hostile, timeout: 0.2s}}, {match: {prefix: /}, route: {cluster: good}}]}";
    let silent = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        while wire.fill().await {}
    });
    arena(hostile(config, silent), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, ASK).await;
                assert_eq!(statuses(&answer), [504], "{answer:?}");
            })
            .await;
        arena.logged("504 UT ").await;
    });
}

#[test]
fn a_body_that_stops() {
    let config = "{hcm: {stream_idle_timeout: 0.2s}}";
    let stops = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        let _ = wire.head().await;
        wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
        while wire.fill().await {}
    });
    arena(hostile(config, stops), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, ASK).await;
                assert!(answer.ends_with("half"), "{answer:?}");
            })
            .await;
        arena.logged("200 SI ").await;
    });
}

#[test]
fn connections_closed_at_once() {
    let closing = handler(|stream| async move {
        let wire = Wire::new(stream);
        wire.reset_on_drop();
    });
    arena(hostile("{}", closing), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut wire = open(port).await;
                for _ in 0..20 {
                    let got = timeout(LONG, status(&mut wire, b"GET /hostile HTTP/1.1\r\nhost: a\r\n\r\n")).await.expect("no answer");
                    assert_eq!(got, Some(503));
                }
            })
            .await;
        arena.logged("503 U").await;
    });
}
