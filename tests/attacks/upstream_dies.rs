//! Servers that go away in the middle, and servers that do not wait for the end.

use crate::arena::{arena, hostile};
use crate::raw::{LONG, end, open, statuses, stream};
use crate::servers::{Handler, handler};
use ninon_tests::eventually::eventually;
use ninon_tests::wire::{Ended, Wire, latin1};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

const ASK: &[u8] = b"GET /hostile HTTP/1.1\r\nhost: a\r\n\r\n";

/// Answers with `text` and is gone, by FIN, or by RST once it is told to: a reset would take along what was not read before.
fn dying(text: &'static str, reset: Option<Arc<Notify>>) -> Handler {
    handler(move |stream| {
        let reset = reset.clone();
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            wire.send(text.as_bytes()).await;
            if let Some(told) = reset {
                told.notified().await;
                wire.reset_on_drop();
            }
        }
    })
}

/// The client sees half an answer and the end of the connection.
fn cut(text: &'static str) {
    for reset in [None, Some(Arc::new(Notify::new()))] {
        arena(hostile("{}", dying(text, reset.clone())), async |arena| {
            let port = arena.port;
            arena
                .withstand(16, async || {
                    let mut wire = open(port).await;
                    wire.send(ASK).await;
                    let mut answer = String::new();
                    let half = async {
                        while !answer.contains("half") && wire.fill().await {
                            answer += &latin1(&wire.take());
                        }
                    };
                    timeout(LONG, half).await.expect("half an answer does not arrive");
                    if let Some(reset) = &reset {
                        reset.notify_one();
                    }
                    let rest = timeout(LONG, wire.to_end()).await.expect("the proxy left the connection open");
                    answer += &latin1(&rest);
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
    arena(hostile("{}", dying("HTTP/1.1 200 OK\r\ncontent-le", None)), async |arena| {
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
                let answer = latin1(&answer);
                assert!(matches!(statuses(&answer)[..], [] | [503]), "{answer:?}");
            })
            .await;
        arena.logged("503 UC ").await;
    });
}

#[test]
fn in_the_middle_of_a_tunnel() {
    let tunnel = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst";
    for reset in [None, Some(Arc::new(Notify::new()))] {
        arena(hostile("{hcm: {upgrade_configs: [{upgrade_type: websocket}]}}", dying(tunnel, reset.clone())), async |arena| {
            let port = arena.port;
            arena
                .withstand(16, async || {
                    let mut wire = open(port).await;
                    wire.send(b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
                    let head = timeout(LONG, wire.head()).await.expect("no answer").expect("an answer");
                    assert_eq!(head.status(), Some(101));
                    assert_eq!(timeout(LONG, wire.exactly(5)).await.expect("the tunnel is silent"), b"first");
                    if let Some(reset) = &reset {
                        reset.notify_one();
                    } else {
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
    // The server answers at once and reads no further; it stays until the answer has arrived.
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let early = handler(move |stream| {
        let told = Arc::clone(&told);
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            wire.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n").await;
            wire.send(&[b'y'; 100_000]).await;
            told.notified().await;
        }
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
                            ended => panic!("{ended:?} after {} bytes: {:?}", answer.len(), latin1(&answer[..answer.len().min(500)])),
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
                arrived.notify_one();
            })
            .await;
    });
}

#[test]
fn clients_that_vanish_are_told_to_the_server() {
    let (begun, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&begun), Arc::clone(&told));
    let listening = handler(move |stream| {
        let (begun, count) = counts.clone();
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            begun.fetch_add(1, Ordering::Relaxed);
            // The body is never whole: the end of the connection must say so.
            let body = wire.to_end().await;
            if body.len() < 1000 && matches!(wire.ended(), Some(Ended::Closed | Ended::Reset)) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    arena(hostile("{}", listening), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for by_reset in [false, true] {
                    let before = (begun.load(Ordering::Relaxed), told.load(Ordering::Relaxed));
                    let mut wire = open(port).await;
                    wire.send(b"POST /hostile HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nhalf").await;
                    assert!(grows(&begun, before.0).await, "the server has no request");
                    if by_reset {
                        wire.reset_on_drop();
                    }
                    drop(wire);
                    assert!(grows(&told, before.1).await, "the server was not told");
                }
            })
            .await;
        arena.logged("0 DC ").await;
    });
}

/// Waits until `count` is above `before`.
async fn grows(count: &AtomicUsize, before: usize) -> bool {
    eventually(LONG, || async { (count.load(Ordering::Relaxed) > before).then_some(()) }).await.is_some()
}
