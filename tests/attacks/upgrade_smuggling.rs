//! Upgrades used to get raw bytes to a server (CVE-2026-2833), or to speak HTTP/2 behind the proxy's back.

use crate::arena::{arena, configured, hostile, http};
use crate::raw::{LONG, ask, open, statuses};
use crate::servers::handler;
use ninon_tests::eventually::eventually;
use ninon_tests::wire::{Wire, latin1};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::timeout;

const WEBSOCKET: &str = "{hcm: {upgrade_configs: [{upgrade_type: websocket}]}}";
const UPGRADE: &str = "GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn h2c_is_not_passed_on() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for connection in ["Upgrade, HTTP2-Settings", "Upgrade", "upgrade,http2-settings, close"] {
                    let head = format!(
                        "GET /h2c HTTP/1.1\r\nhost: a\r\nconnection: {connection}\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n\r\n\
                         GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
                    );
                    let answer = ask(port, head.as_bytes()).await;
                    assert!(matches!(statuses(&answer).first(), Some(200 | 403)), "{answer:?}");
                    assert!(!answer.contains("101 "), "{answer:?}");
                }
            })
            .await;
        for request in arena.seen.requests() {
            let request = request.to_ascii_lowercase();
            assert!(!request.contains("upgrade") && !request.contains("http2-settings"), "{request}");
        }
    });
}

#[test]
fn bytes_behind_a_refused_upgrade_are_not_a_tunnel() {
    // The server refuses; it must never see what was sent ahead, as raw bytes or as a request on that connection.
    let got = Arc::new(Mutex::new(String::new()));
    let record = Arc::clone(&got);
    let refusing = handler(move |stream| {
        let record = Arc::clone(&record);
        async move {
            let mut wire = Wire::new(stream);
            if wire.head().await.is_some() {
                wire.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
            }
            let rest = timeout(LONG, wire.to_end()).await.unwrap_or_default();
            record.lock().expect("no panic while locked").push_str(&latin1(&rest));
        }
    });
    arena(hostile(WEBSOCKET, refusing), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, format!("{UPGRADE}{HIDDEN}").as_bytes()).await;
                assert!(matches!(statuses(&answer)[..], [403] | [403, 200]), "{answer:?}");
            })
            .await;
        assert!(!got.lock().expect("no panic while locked").contains("smuggled"));
    });
}

#[test]
fn bytes_before_the_101_wait_for_it() {
    let early = Arc::new(Mutex::new(false));
    let record = Arc::clone(&early);
    let slow = handler(move |stream| {
        let record = Arc::clone(&record);
        async move {
            let mut wire = Wire::new(stream);
            let _ = wire.head().await;
            let came = timeout(std::time::Duration::from_millis(50), wire.fill()).await;
            if came == Ok(true) {
                *record.lock().expect("no panic while locked") = true;
            }
            wire.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
            let bytes = wire.exactly(HIDDEN.len()).await;
            wire.send(&bytes).await;
        }
    });
    arena(hostile(WEBSOCKET, slow), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut wire = open(port).await;
                wire.send(format!("{UPGRADE}{HIDDEN}").as_bytes()).await;
                let answer = latin1(&timeout(LONG, wire.to_end()).await.expect("the tunnel does not end"));
                assert!(answer.contains(" 101 ") && answer.ends_with(HIDDEN), "{answer:?}");
            })
            .await;
        assert!(!*early.lock().expect("no panic while locked"), "raw bytes went ahead of the 101");
    });
}

#[test]
fn a_101_nobody_asked_for() {
    let unasked = handler(|stream| async move {
        let mut wire = Wire::new(stream);
        while wire.head().await.is_some() {
            wire.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw bytes").await;
        }
    });
    arena(hostile(WEBSOCKET, unasked), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
                assert!(matches!(statuses(&answer)[..], [502 | 503]), "{answer:?}");
                assert!(!answer.contains("raw bytes"), "{answer:?}");
            })
            .await;
        arena.logged("UPE").await;
    });
}

#[test]
fn websockets_without_permission() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let head = UPGRADE.replace("/hostile", "/ws");
                let answer = ask(port, format!("{head}{HIDDEN}").as_bytes()).await;
                assert_eq!(statuses(&answer), [403], "{answer:?}");
            })
            .await;
        assert!(arena.seen.requests().is_empty());
    });
}

#[test]
fn upgrades_with_a_body() {
    arena(configured(WEBSOCKET), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let body = "POST /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 4\r\n\r\nbody";
                let answer = ask(port, format!("{body}{HIDDEN}").as_bytes()).await;
                assert!(!answer.contains(" 101 "), "{answer:?}");
            })
            .await;
    });
}

#[test]
fn what_is_left_of_a_tunnel_does_not_wait_for_ever() {
    const IMPATIENT: &str = "{hcm: {stream_idle_timeout: 0.3s, upgrade_configs: [{upgrade_type: websocket}]}}";
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&begun), Arc::clone(&ended));
    // The server has nothing to say, and would hear what the client says.
    let half = handler(move |stream| {
        let (begun, ended) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
        async move {
            let mut wire = Wire::new(stream);
            if wire.head().await.is_some() {
                begun.fetch_add(1, Ordering::Relaxed);
                wire.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
                wire.finish().await;
                wire.to_end().await;
                ended.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    arena(hostile(IMPATIENT, half), async |arena| {
        let port = arena.port;
        let held = Mutex::new(Vec::new());
        arena
            .withstand(16, async || {
                let mut wire = open(port).await;
                wire.send(UPGRADE.as_bytes()).await;
                let head = timeout(LONG, wire.head()).await.expect("an answer").expect("a head");
                assert!(head.start.starts_with("HTTP/1.1 101 "), "{head:?}");
                // It stays, and says nothing.
                held.lock().expect("no panic while locked").push(wire);
            })
            .await;
        let over = || std::future::ready((begun.load(Ordering::Relaxed) == ended.load(Ordering::Relaxed)).then_some(()));
        assert!(eventually(LONG, over).await.is_some(), "{begun:?} tunnels, {ended:?} ended");
        assert!(begun.load(Ordering::Relaxed) > 0);
    });
}
