//! CONNECT where nobody allows it, and what hides behind it.

use crate::arena::{arena, configured, http};
use crate::frames::{END_HEADERS, HEADERS, field, frame, hello};
use crate::raw::{LONG, ask, flood, statuses};

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn connect_is_refused_and_opens_nothing() {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for target in ["127.0.0.1:22", "a:80", "a", "/admin", "http://a/", "[::1]:15000", "a:99999"] {
                    let answer = ask(port, format!("CONNECT {target} HTTP/1.1\r\nhost: a\r\n\r\n{HIDDEN}").as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [400 | 403 | 404 | 405]), "{target} got {answer:?}");
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty(), "{:?}", arena.seen.requests());
    });
}

#[test]
fn connect_on_http2_is_refused() {
    arena(http(), async |arena| {
        let port = arena.port;
        let plain = [field(":method", "CONNECT"), field(":authority", "a:80")].concat();
        let extended = [
            field(":method", "CONNECT"),
            field(":protocol", "websocket"),
            field(":scheme", "http"),
            field(":path", "/ws"),
            field(":authority", "a"),
        ]
        .concat();
        arena
            .withstand(16, async || {
                for block in [&plain, &extended] {
                    let bytes = frame(HEADERS, END_HEADERS, 1, block);
                    let outcome = flood(port, &hello(&[]), |_| bytes.clone(), 1, LONG).await;
                    let opened = outcome.frames.iter().any(|frame| frame.kind == HEADERS && frame.payload.contains(&0x88));
                    assert!(!opened, "{outcome:?}");
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty(), "{:?}", arena.seen.requests());
    });
}

#[test]
fn the_target_does_not_choose_the_server() {
    // Where CONNECT is allowed, it goes to the route's cluster, not to where the client says.
    let config = "{hcm: {upgrade_configs: [{upgrade_type: CONNECT}]}, \
        routes: [{match: {connect_matcher: {}}, route: {cluster: good, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}}]}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let inner = "GET /inner HTTP/1.1\r\nhost: b\r\n\r\n";
                let mut wire = crate::raw::open(port).await;
                wire.send(format!("CONNECT 192.0.2.1:22 HTTP/1.1\r\nhost: 192.0.2.1:22\r\n\r\n{inner}").as_bytes()).await;
                let head = tokio::time::timeout(LONG, wire.head()).await.expect("no answer").expect("an answer");
                assert_eq!(head.status(), Some(200));
                let inner = tokio::time::timeout(LONG, wire.head()).await.expect("no answer").expect("an answer");
                assert_eq!(inner.status(), Some(200));
            })
            .await;
        assert!(!arena.seen.with("/inner").is_empty());
    });
}
