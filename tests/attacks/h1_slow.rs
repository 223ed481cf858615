//! Clients that take their time: with heads, with bodies, with reading, with saying anything at all.

use crate::arena::{arena, configured, http};
use crate::raw::{LONG, ask, end, open, statuses};
use crate::sockets::established;
use ninon_tests::eventually::eventually;
use ninon_tests::wire::Wire;
use std::time::Duration;
use tokio::time::{interval, timeout};

/// Writes a byte at a time, and gives what comes until the proxy closes.
async fn trickle(port: u16, head: &[u8]) -> String {
    let mut wire = open(port).await;
    wire.send(head).await;
    let mut beat = interval(Duration::from_millis(20));
    let drip = async {
        loop {
            beat.tick().await;
            wire.send(b"x").await;
            if timeout(Duration::from_millis(1), wire.fill()).await == Ok(false) {
                break;
            }
        }
        ninon_tests::wire::latin1(&wire.take())
    };
    timeout(LONG, drip).await.expect("the proxy waits for ever")
}

#[test]
fn slow_heads_end_with_408() {
    arena(configured("{hcm: {request_headers_timeout: 0.2s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for _ in 0..20 {
                    all.push(trickle(port, b"GET / HTTP/1.1\r\nx-slow: "));
                }
                for answer in futures(all).await {
                    assert_eq!(statuses(&answer), [408], "{answer:?}");
                }
            })
            .await;
        arena.logged("408 DPE request_header_timeout").await;
    });
}

#[test]
fn slow_bodies_end_with_408() {
    arena(configured("{hcm: {request_timeout: 0.2s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let length = trickle(port, b"POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n");
                let chunked = trickle(port, b"POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n");
                for answer in futures(vec![length, chunked]).await {
                    assert_eq!(statuses(&answer), [408], "{answer:?}");
                }
            })
            .await;
        arena.logged("408 ").await;
    });
}

#[test]
fn bodies_that_stop_end_with_408() {
    arena(configured("{hcm: {stream_idle_timeout: 0.2s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, b"POST /stops HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nhalf").await;
                assert_eq!(statuses(&answer), [408], "{answer:?}");
            })
            .await;
        arena.logged("408 SI ").await;
    });
}

#[test]
fn answers_that_are_not_read_are_given_up() {
    arena(configured("{hcm: {stream_idle_timeout: 0.5s}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut deaf = Vec::new();
                for _ in 0..4 {
                    let mut wire = open(port).await;
                    wire.send(b"GET /bytes/10000000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
                    deaf.push(wire);
                }
                let before = deaf.len();
                let gone = eventually(LONG, || async { (established(port).len() < before).then_some(()) });
                assert!(gone.await.is_some(), "the proxy holds on to clients that do not read");
            })
            .await;
        arena.logged("200 SI ").await;
    });
}

#[test]
fn silence_before_and_between_requests_ends() {
    arena(configured("{hcm: {common_http_protocol_options: {idle_timeout: 0.2s}}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut silent: Vec<Wire> = Vec::new();
                for _ in 0..50 {
                    silent.push(open(port).await);
                }
                for wire in &mut silent {
                    end(wire).await;
                }
                let mut wire = open(port).await;
                wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                end(&mut wire).await;
            })
            .await;
    });
}

#[test]
fn a_thousand_half_heads_cost_little() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(24, async || {
                let mut half = Vec::new();
                for _ in 0..500 {
                    let mut wire = open(port).await;
                    wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nx: ").await;
                    half.push(wire);
                }
            })
            .await;
    });
}

/// All of them at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut all {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}
