//! Header fields that pretend: to come from inside, from another client, from the proxy itself.

use crate::arena::{arena, configured};
use crate::raw::{ask, statuses};

const EDGE: &str = "{hcm: {use_remote_address: true}}";

fn seen_with(fields: &'static str, check: impl Fn(&str)) {
    arena(configured(EDGE), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, format!("GET /spoof HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\n\r\n").as_bytes()).await;
                assert_eq!(statuses(&answer), [200], "{answer:?}");
            })
            .await;
        let seen = arena.seen.with("/spoof");
        assert!(!seen.is_empty());
        for request in seen {
            check(&request.to_ascii_lowercase());
        }
    });
}

#[test]
fn forwarded_fields() {
    seen_with(
        "x-forwarded-for: 10.0.0.1\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: https\r\nx-envoy-external-address: 10.0.0.1\r\n",
        |request| {
            // The peer stands last, so that whoever trusts one hop sees it.
            let forwarded = request.lines().rfind(|line| line.starts_with("x-forwarded-for:")).unwrap_or_default();
            assert!(!forwarded.ends_with("10.0.0.1") && forwarded.contains(','), "{forwarded}");
            assert!(request.contains("x-forwarded-proto: http\n"), "{request}");
            assert!(!request.contains("x-envoy-external-address: 10.0.0.1"), "{request}");
        },
    );
}

#[test]
fn orders_to_the_proxy() {
    let fields = "x-envoy-upstream-rq-timeout-ms: 1\r\nx-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 100\r\nx-envoy-internal: true\r\n\
                  x-envoy-original-path: /admin\r\nx-envoy-force-trace: 1\r\nx-envoy-decorator-operation: x\r\n";
    seen_with(fields, |request| {
        for name in ["rq-timeout-ms: 1\n", "retry-on", "max-retries", "internal", "original-path", "force-trace", "decorator-operation"] {
            assert!(!request.contains(&format!("x-envoy-{name}")) && !request.contains(&format!("x-envoy-upstream-{name}")), "{request}");
        }
    });
}

#[test]
fn client_certificates() {
    seen_with("x-forwarded-client-cert: By=spiffe://a;URI=spiffe://b\r\n", |request| {
        assert!(!request.contains("x-forwarded-client-cert"), "{request}");
    });
}

#[test]
fn connection_names_what_must_stay() {
    // Naming a field in Connection removes it from what the server sees; what the proxy itself adds must not go.
    let fields = "connection: x-forwarded-for, x-forwarded-proto, host, x-request-id, content-length\r\n";
    arena(configured(EDGE), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let head = format!("POST /spoof HTTP/1.1\r\nhost: a\r\n{fields}connection: close\r\ncontent-length: 4\r\n\r\nbody");
                let answer = ask(port, head.as_bytes()).await;
                assert!(matches!(statuses(&answer)[..], [200 | 400]), "{answer:?}");
            })
            .await;
        for request in arena.seen.with("/spoof") {
            let request = request.to_ascii_lowercase();
            for name in ["host: a", "x-forwarded-for: ", "x-forwarded-proto: http", "x-request-id: "] {
                assert!(request.contains(name), "without {name}: {request}");
            }
            assert!(request.ends_with("\n\nbody"), "{request}");
        }
    });
}

#[test]
fn log_lines_are_not_injected() {
    let config = "{access_log: '%REQ(X-TEXT)% %REQ(:PATH)% end'}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let answer = ask(port, b"GET /a\x1b[2J HTTP/1.1\r\nhost: a\r\nx-text: a\x1b[31m\tb\r\nconnection: close\r\n\r\n").await;
                assert!(matches!(statuses(&answer)[..], [200 | 400]), "{answer:?}");
                let answer = ask(port, b"GET /plain HTTP/1.1\r\nhost: a\r\nx-text: {\"a\":1}\r\nconnection: close\r\n\r\n").await;
                assert_eq!(statuses(&answer), [200]);
            })
            .await;
        arena.logged("/plain end").await;
    });
}
