//! HTTP/2 servers that storm: GOAWAY, resets, control frames, header blocks without end.

use crate::arena::{Setup, arena};
use crate::frames::{CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PING, SETTINGS, field, frame, indexed_field, reset};
use crate::raw::{ask, statuses};
use crate::servers::handler;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ASK: &[u8] = b"GET /hostile HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
/// `:status: 200`.
const OK: u8 = 0x88;

/// A server that answers any request with `opening`, then `unit` for as long as it is taken.
fn storm(opening: Vec<u8>, unit: Vec<u8>, expected: &'static [u16], bound: u64) {
    let server = handler(move |mut stream| {
        let (opening, unit) = (opening.clone(), unit.clone());
        async move {
            let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
            let mut bytes = Vec::new();
            while !has_headers(&bytes) {
                match stream.read_buf(&mut bytes).await {
                    Ok(count) if count > 0 => {}
                    _ => return,
                }
            }
            let mut sink = vec![0; 65_536];
            let (mut reader, mut writer) = stream.into_split();
            let reading = async { while matches!(reader.read(&mut sink).await, Ok(1..)) {} };
            let writing = async {
                if writer.write_all(&opening).await.is_err() {
                    return;
                }
                if unit.is_empty() {
                    std::future::pending::<()>().await;
                }
                let batch = unit.repeat(16_384 / unit.len() + 1);
                while writer.write_all(&batch).await.is_ok() {}
            };
            tokio::select! {
                () = reading => {}
                () = writing => {}
            }
        }
    });
    let config =
        "{routes: [{match: {prefix: /hostile}, route: {cluster: hostile, timeout: 1s}}, {match: {prefix: /}, route: {cluster: good}}]}";
    arena(Setup { config, hostile: Some(server), hostile_http2: true, ..Setup::default() }, async |arena| {
        let port = arena.port;
        arena
            .withstand(bound, async || {
                let answer = ask(port, ASK).await;
                assert!(statuses(&answer).iter().all(|status| expected.contains(status)), "{:?}", answer.get(..answer.len().min(300)));
            })
            .await;
        arena.logged(" U").await;
    });
}

/// Whether HEADERS are among the frames behind the preface.
fn has_headers(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(24..).unwrap_or_default();
    while rest.len() >= 9 {
        let length = usize::from(rest[0]) << 16 | usize::from(rest[1]) << 8 | usize::from(rest[2]);
        if rest[3] == HEADERS {
            return true;
        }
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    false
}

#[test]
fn goaways() {
    storm(frame(GOAWAY, 0, 0, &[0; 8]), frame(GOAWAY, 0, 0, &[0; 8]), &[502, 503, 504], 16);
}

#[test]
fn resets() {
    storm(reset(1, 2), reset(1, 2), &[502, 503], 16);
}

#[test]
fn pings() {
    storm(Vec::new(), frame(PING, 0, 0, &[0; 8]), &[502, 503, 504], 16);
}

#[test]
fn settings() {
    storm(Vec::new(), frame(SETTINGS, 0, 0, &[]), &[502, 503, 504], 16);
}

#[test]
fn continuations() {
    storm(frame(HEADERS, 0, 1, &[OK]), frame(CONTINUATION, 0, 1, &field("x", "y").repeat(100)), &[502, 503], 16);
}

#[test]
fn a_header_bomb() {
    let block = [vec![OK], indexed_field("x", &"y".repeat(3900)), vec![0xbe; 12_000]].concat();
    storm(frame(HEADERS, END_HEADERS, 1, &block), Vec::new(), &[502, 503], 16);
}

#[test]
fn interim_answers() {
    // `:status: 103`, for ever.
    storm(Vec::new(), frame(HEADERS, END_HEADERS, 1, &field(":status", "103")), &[502, 503, 504], 16);
}

#[test]
fn data_before_an_answer() {
    storm(frame(DATA, 0, 1, b"early"), Vec::new(), &[502, 503], 16);
}

#[test]
fn empty_data() {
    storm(frame(HEADERS, END_HEADERS, 1, &[OK]), frame(DATA, 0, 1, &[]), &[200], 16);
}
