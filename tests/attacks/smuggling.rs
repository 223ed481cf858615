//! HTTP/1 requests that two parsers could read differently. Each must be refused, and what hides behind it never be served.

use crate::arena::{arena, configured, http};
use crate::raw::{ask, statuses};

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

/// Each of `heads`, with a request hidden behind it, gets one refusal and the end of the connection.
fn refused(heads: &'static [&'static str]) {
    arena(http(), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                for head in heads {
                    let answer = ask(port, format!("{head}{HIDDEN}").as_bytes()).await;
                    let statuses = statuses(&answer);
                    assert!(matches!(statuses[..], [400 | 426 | 431 | 501]), "{head:?} got {answer:?}");
                }
            })
            .await;
        assert_eq!(arena.seen.requests(), Vec::<String>::new(), "something reached the server");
        arena.logged(" DPE ").await;
    });
}

#[test]
fn both_lengths() {
    refused(&[
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nX",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

#[test]
fn ambiguous_lengths() {
    refused(&[
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0, 40\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0 0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 18446744073709551616\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1e0\r\n\r\n",
    ]);
}

#[test]
fn disguised_transfer_encodings() {
    refused(&[
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\n transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nx: y\rtransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ]);
}

#[test]
fn http_10_with_transfer_encoding() {
    arena(configured("{hcm: {http_protocol_options: {accept_http_10: true}}}"), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let head = "POST / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
                let answer = ask(port, format!("{head}{HIDDEN}").as_bytes()).await;
                // Taken as one request or refused: either way the connection ends behind it.
                let heads = answer.matches("HTTP/1.0 ").count() + answer.matches("HTTP/1.1 ").count();
                assert_eq!(heads, 1, "{answer:?}");
            })
            .await;
        assert!(arena.seen.with("smuggled").is_empty());
    });
}

#[test]
fn strange_heads() {
    refused(&[
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx\0y: b\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: folded\r\n line\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GE\tT / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1 HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET\r\n / HTTP/1.1\r\nhost: a\r\n\r\n",
    ]);
}

#[test]
fn chunks_that_lie() {
    arena(http(), async |arena| {
        let port = arena.port;
        let bodies = [
            "fffffffffffffffff\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "5 5\r\nhello\r\n0\r\n\r\n",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;\rx\r\nhello\r\n0\r\n\r\n",
            "5;x=\n5\r\nhello\r\n0\r\n\r\n",
            "g\r\n",
            "0\r\nbad trailer\r\n\r\n",
        ];
        arena
            .withstand(16, async || {
                for body in bodies {
                    let head = "POST /chunks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
                    let answer = ask(port, format!("{head}{body}{HIDDEN}").as_bytes()).await;
                    assert!(matches!(statuses(&answer)[..], [400]), "{body:?} got {answer:?}");
                }
            })
            .await;
        assert!(arena.seen.with("smuggled").is_empty());
        arena.logged("400 DPE ").await;
    });
}

#[test]
fn a_body_nobody_read_is_not_the_next_request() {
    let config = "{hcm: {}, routes: [{match: {prefix: /direct}, direct_response: {status: 403, body: {inline_string: never}}}, \
                  {match: {prefix: /}, route: {cluster: good}}]}";
    arena(configured(config), async |arena| {
        let port = arena.port;
        arena
            .withstand(16, async || {
                let length = HIDDEN.len() * 2;
                let head = format!("POST /direct HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{HIDDEN}");
                let answer = ask(port, head.as_bytes()).await;
                assert_eq!(statuses(&answer), [403], "{answer:?}");
                // All of it in one packet, with a request behind: either closed, or read to its end.
                let answer =
                    ask(port, format!("{head}{HIDDEN}GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await;
                assert!(matches!(statuses(&answer)[..], [403] | [403, 200]), "{answer:?}");
            })
            .await;
        assert!(arena.seen.with("smuggled").is_empty());
    });
}
