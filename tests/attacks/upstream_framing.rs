//! Servers whose answers could be read in two ways: response splitting, bad lengths, answers nobody asked for.

use crate::arena::{arena, hostile};
use crate::raw::{ask, open, status, statuses};
use crate::servers::handler;
use ninon_tests::wire::Wire;

const ASK: &[u8] = b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Every answer of `answers` makes a 502.
fn refused(answers: &'static [&'static str]) {
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = handler(move |stream| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            wire.send(answers[turn % answers.len()].as_bytes()).await;
            while wire.fill().await {}
        }
    });
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for _ in answers {
                    let answer = ask(port, ASK).await;
                    assert!(matches!(statuses(&answer)[..], [502]), "one of {answers:?} got {answer:?}");
                }
            })
            .await;
        arena.logged("502 UPE ").await;
    });
}

#[test]
fn heads_that_break_the_grammar() {
    refused(&[
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0x5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx y: z\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "\0\0\0\0",
    ]);
}

/// After the head has gone out, the client must see that the body is not whole.
fn cut_off(body: &'static str) {
    let server = handler(move |stream| async move {
        let mut wire = Wire::new(stream);
        let _ = wire.head().await;
        wire.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}").as_bytes()).await;
        while wire.fill().await {}
    });
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, ASK).await;
                assert!(!answer.ends_with("0\r\n\r\n"), "{answer:?}");
            })
            .await;
        arena.logged("UPE ").await;
    });
}

#[test]
fn chunk_sizes_that_lie() {
    cut_off("5\r\nhelloX\r\n0\r\n\r\n");
}

#[test]
fn chunk_sizes_over_64_bits() {
    cut_off("5\r\nhello\r\nfffffffffffffffff\r\n");
}

#[test]
fn chunk_sizes_that_are_none() {
    cut_off("5\r\nhello\r\nxyz\r\n");
}

#[test]
fn answers_nobody_asked_for() {
    // A second answer behind the first must not become the next client's.
    let server = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        while wire.head().await.is_some() {
            wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison").await;
        }
    });
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for _ in 0..5 {
                    let answer = ask(port, ASK).await;
                    assert!(!answer.contains("poison"), "{answer:?}");
                }
            })
            .await;
    });
}

#[test]
fn an_early_answer_leaves_no_body_behind() {
    // The server answers before the body came; the rest of the body must not be read as a request on that connection.
    let server = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        while let Some(head) = wire.head().await {
            let poison = if head.start.contains("smuggled") { "poison" } else { "early" };
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{poison}", poison.len()).as_bytes()).await;
        }
    });
    arena(hostile("{}", server), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let hidden = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
                let mut first = open(port).await;
                let head = format!("POST /hostile HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", hidden.len());
                assert_eq!(status(&mut first, head.as_bytes()).await, Some(200));
                first.send(hidden.as_bytes()).await;
                let answer = ask(port, ASK).await;
                assert!(answer.ends_with("early"), "{answer:?}");
            })
            .await;
    });
}
