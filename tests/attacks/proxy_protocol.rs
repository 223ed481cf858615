//! PROXY protocol headers that lie about themselves (CVE-2026-47692), or never end.

use crate::arena::{arena, configured};
use crate::raw::{LONG, ask, stream};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const CONFIG: &str = "{listener_filters: [proxy_protocol], listener: {listener_filters_timeout: 0.3s}}";
const REQUEST: &[u8] = b"GET /through HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[test]
fn garbage_is_closed() {
    arena(configured(CONFIG), async |arena| {
        let port = arena.port;
        let v2 = |rest: &[u8]| [SIGNATURE, rest].concat();
        let headers = [
            b"".to_vec(),
            b"PROXY\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n".to_vec(),
            b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n".to_vec(),
            b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n".to_vec(),
            format!("PROXY UNKNOWN {}\r\n", "x".repeat(200)).into_bytes(),
            // Version 1 and 3; command 2; addresses longer than the header says.
            v2(&[0x11, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]),
            v2(&[0x31, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]),
            v2(&[0x22, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]),
            v2(&[0x21, 0x11, 0, 4, 1, 2, 3, 4]),
            v2(&[0x21, 0x21, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2]),
            b"\r\n\r\n\0\r\nQUIX\n".to_vec(),
        ];
        arena
            .withstand(16, async || {
                for header in &headers {
                    let answer = ask(port, &[header, REQUEST].concat()).await;
                    assert_eq!(answer, "", "{:?}", header.escape_ascii().to_string());
                }
            })
            .await;
        assert!(arena.seen.requests().is_empty(), "{:?}", arena.seen.requests());
    });
}

#[test]
fn values_hide_no_request() {
    arena(configured(CONFIG), async |arena| {
        let port = arena.port;
        let hidden = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        // A value of the header holds the request: it belongs to the header, however long it says to be.
        for claimed in [hidden.len(), 0, 0xffff] {
            let claimed = u16::try_from(claimed).expect("short").to_be_bytes();
            let body = [&[1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2][..], &[4], &claimed, hidden].concat();
            let length = u16::try_from(body.len()).expect("short").to_be_bytes();
            let bytes = [SIGNATURE, &[0x21, 0x11], &length, &body, REQUEST].concat();
            arena
                .withstand(16, async || {
                    let answer = ask(port, &bytes).await;
                    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer:?}");
                })
                .await;
        }
        assert!(arena.seen.with("smuggled").is_empty());
        assert!(!arena.seen.with("/through").is_empty(), "a header with a good value is taken");
    });
}

#[test]
fn headers_that_do_not_come() {
    arena(configured(CONFIG), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let mut all = Vec::new();
                for start in [&b""[..], b"PROX", SIGNATURE, b"PROXY TCP4 1.2.3.4"].repeat(20) {
                    let mut stream = stream(port).await;
                    stream.write_all(start).await.expect("the proxy reads");
                    all.push(ninon_tests::wire::Wire::new(stream));
                }
                for wire in &mut all {
                    assert_eq!(timeout(LONG, wire.to_end()).await.expect("waited for without end"), b"");
                }
            })
            .await;
    });
}
