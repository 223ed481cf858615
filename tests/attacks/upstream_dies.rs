//! Servers that go away in the middle, and servers that do not wait for the end.

use crate::arena::{arena, hostile};
use crate::raw::{LONG, ask, end, open, statuses, stream};
use crate::servers::{Handler, handler};
use ninon_tests::wire::{Ended, Wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const ASK: &[u8] = b"GET /hostile HTTP/1.1\r\nhost: a\r\n\r\n";

/// Answers with `text` and is gone, by FIN or by RST.
fn dying(text: &'static str, by_reset: bool) -> Handler {
    handler(move |stream| async move {
        let mut wire = Wire::new(stream);
        let _ = wire.head().await;
        wire.send(text.as_bytes()).await;
        if by_reset {
            // What was sent must have been read before, or the reset takes it along.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            wire.reset_on_drop();
        }
    })
}

/// The client sees half an answer and the end of the connection.
fn cut(text: &'static str) {
    for by_reset in [false, true] {
        arena(hostile("{}", dying(text, by_reset)), async |arena| {
            let port = arena.port;
            arena
                .withstand(16, async || {
                    let answer = ask(port, ASK).await;
                    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer:?}");
                })
                .await;
            arena.logged("200 UC ").await;
        });
    }
}

#[test]
fn in_the_middle_of_an_answer() {
    cut("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
}

#[test]
fn in_the_middle_of_chunks() {
    cut("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
}

#[test]
fn in_the_middle_of_a_head() {
    arena(hostile("{}", dying("HTTP/1.1 200 OK\r\ncontent-le", false)), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut wire = open(port).await;
                wire.send(ASK).await;
                let head = timeout(LONG, wire.head()).await.expect("no answer").expect("an answer");
                assert_eq!(head.status(), Some(503));
            })
            .await;
        arena.logged("503 UC ").await;
    });
}

#[test]
fn in_the_middle_of_a_request_body() {
    let reads_some = handler(|mut stream| async move {
        let _ = stream.read(&mut [0; 1000]).await;
    });
    arena(hostile("{}", reads_some), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut stream = stream(port).await;
                let head = b"POST /hostile HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n";
                let _ = stream.write_all(head).await;
                let (mut reader, mut writer) = stream.into_split();
                let mut answer = Vec::new();
                let body = vec![b'x'; 5_000_000];
                let both = async { tokio::join!(writer.write_all(&body), reader.read_to_end(&mut answer)) };
                let _ended = timeout(LONG, both).await.expect("the proxy hangs");
                let answer = ninon_tests::wire::latin1(&answer);
                assert!(matches!(statuses(&answer)[..], [] | [503]), "{answer:?}");
            })
            .await;
        arena.logged("503 UC ").await;
    });
}

#[test]
fn in_the_middle_of_a_tunnel() {
    let tunnel = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst";
    for by_reset in [false, true] {
        arena(hostile("{hcm: {upgrade_configs: [{upgrade_type: websocket}]}}", dying(tunnel, by_reset)), async |arena| {
            let port = arena.port;
            arena
                .withstand(16, async || {
                    let mut wire = open(port).await;
                    wire.send(b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
                    let head = timeout(LONG, wire.head()).await.expect("no answer").expect("an answer");
                    assert_eq!(head.status(), Some(101));
                    assert_eq!(timeout(LONG, wire.exactly(5)).await.expect("the tunnel is silent"), b"first");
                    if !by_reset {
                        // The client's direction ends as well, once it says so.
                        assert_eq!(timeout(LONG, wire.fill()).await, Ok(false));
                        wire.finish().await;
                    }
                    end(&mut wire).await;
                })
                .await;
        });
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_arrives_whole() {
    // The server answers at once and reads no further.
    let early = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        let _ = wire.head().await;
        wire.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n").await;
        wire.send(&[b'y'; 100_000]).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    });
    arena(hostile("{}", early), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut stream = stream(port).await;
                let _ = stream.write_all(b"POST /hostile HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n").await;
                let (mut reader, mut writer) = stream.into_split();
                let writing = async {
                    let _ = writer.write_all(&vec![b'x'; 2_000_000]).await;
                    std::future::pending::<()>().await;
                };
                let mut answer = Vec::new();
                let reading = async {
                    while !answer.ends_with(b"yyyyyyyyyy") || answer.len() < 100_000 {
                        match reader.read_buf(&mut answer).await {
                            Ok(count) if count > 0 => {}
                            ended => panic!(
                                "{ended:?} after {} bytes: {:?}",
                                answer.len(),
                                ninon_tests::wire::latin1(&answer[..answer.len().min(500)])
                            ),
                        }
                    }
                };
                let both = async {
                    tokio::select! {
                        () = reading => {}
                        () = writing => {}
                    }
                };
                timeout(LONG, both).await.expect("the proxy hangs");
            })
            .await;
    });
}

#[test]
fn clients_that_vanish_are_told_to_the_server() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let told = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&told);
    let listening = handler(move |stream| {
        let count = std::sync::Arc::clone(&count);
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            // The body is never whole: the end of the connection must say so.
            let body = wire.to_end().await;
            if body.len() < 1000 && matches!(wire.ended(), Some(Ended::Closed | Ended::Reset)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    arena(hostile("{}", listening), async |arena| {
        let port = arena.port;
        let asked = AtomicUsize::new(0);
        arena
            .withstand(16, async || {
                for by_reset in [false, true] {
                    let mut wire = open(port).await;
                    wire.send(b"POST /hostile HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf").await;
                    let before = told.load(Ordering::Relaxed);
                    // The server has the connection before the client goes.
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    if by_reset {
                        wire.reset_on_drop();
                    }
                    drop(wire);
                    asked.fetch_add(1, Ordering::Relaxed);
                    let heard =
                        ninon_tests::eventually::eventually(LONG, || async { (told.load(Ordering::Relaxed) > before).then_some(()) });
                    assert!(heard.await.is_some(), "the server was not told");
                }
            })
            .await;
        arena.logged("0 DC ").await;
    });
}
