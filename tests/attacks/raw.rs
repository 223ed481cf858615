use crate::frames::{self, Frame};
use ninon_tests::wire::{Ended, Wire, latin1};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// Far above what any answer takes on a crowded machine.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Connects to the proxy.
pub(crate) async fn open(port: u16) -> Wire {
    Wire::new(stream(port).await)
}

/// Connects to the proxy, as a socket.
pub(crate) async fn stream(port: u16) -> TcpStream {
    let stream = timeout(LONG, TcpStream::connect(("127.0.0.1", port))).await.expect("connecting took too long");
    let stream = stream.expect("the proxy listens");
    let _ = stream.set_nodelay(true);
    stream
}

/// Sends and gives all that comes until the proxy closes, which it must.
pub(crate) async fn ask(port: u16, bytes: &[u8]) -> String {
    let mut wire = open(port).await;
    wire.send(bytes).await;
    let answer = timeout(LONG, wire.to_end()).await;
    let answer = answer.unwrap_or_else(|_| panic!("the proxy left the connection open after {:?}", latin1(&bytes[..bytes.len().min(300)])));
    latin1(&answer)
}

/// The statuses of the answers in `text`, interim ones left out.
pub(crate) fn statuses(text: &str) -> Vec<u16> {
    let lines = text.match_indices("HTTP/1.1 ").filter_map(|(at, mark)| text.get(at + mark.len()..at + mark.len() + 3));
    lines.filter_map(|status| status.parse().ok()).filter(|status| *status >= 200).collect()
}

/// Sends one HTTP/1 request and gives the status of the answer; the connection may stay open.
pub(crate) async fn status(wire: &mut Wire, bytes: &[u8]) -> Option<u16> {
    wire.send(bytes).await;
    let mut head = timeout(LONG, wire.head()).await.expect("no answer")?;
    timeout(LONG, wire.body(&mut head, true)).await.expect("the answer does not end");
    head.status()
}

/// Waits until the proxy ends the connection; how it did.
pub(crate) async fn end(wire: &mut Wire) -> Ended {
    timeout(LONG, wire.to_end()).await.expect("the proxy left the connection open");
    wire.ended().expect("the end was read")
}

/// How an HTTP/2 connection went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What the proxy said last.
    pub(crate) goaway: Option<u32>,
    /// Frames that came, without DATA's payload.
    pub(crate) frames: Vec<Frame>,
    /// Bytes that the proxy took.
    pub(crate) taken: usize,
    /// The proxy ended the connection.
    pub(crate) closed: bool,
}

impl Outcome {
    /// Codes of the streams that were reset.
    pub(crate) fn resets(&self) -> Vec<(u32, u32)> {
        let resets = self.frames.iter().filter(|frame| frame.kind == frames::RST_STREAM);
        resets.filter_map(|frame| frame.code().map(|code| (frame.stream, code))).collect()
    }
}

/// A PING that ends an attack, and how many of them.
const LAST: &[u8] = b"the last";
const LAST_PINGS: u32 = 3;

/// Most frames that are remembered.
const KEPT: usize = 10_000;

/// An HTTP/2 attack on a connection of its own: sends `unit` up to `times`, for at most `limit`, reading all the while, and
/// then waits a little for the end.
pub(crate) async fn flood(port: u16, opening: &[u8], unit: impl Fn(u32) -> Vec<u8>, times: u32, limit: Duration) -> Outcome {
    let (mut reader, mut writer) = stream(port).await.into_split();
    let end = Instant::now() + limit;
    let mut taken = 0;
    let ponged = Notify::new();
    let writing = async {
        if writer.write_all(opening).await.is_err() {
            return;
        }
        let (mut number, mut batch) = (0, Vec::new());
        while number < times && Instant::now() < end {
            while batch.len() < 16_384 && number < times {
                batch.extend(unit(number));
                number += 1;
            }
            match timeout(limit, writer.write_all(&batch)).await {
                Ok(Ok(())) => taken += batch.len(),
                _ => return,
            }
            batch.clear();
        }
        // The answers show that all before was read, and that what came of it at once was written.
        for _ in 0..LAST_PINGS {
            let _ = writer.write_all(&frames::frame(frames::PING, 0, 0, LAST)).await;
            ponged.notified().await;
        }
    };
    let mut outcome = Outcome::default();
    let mut pongs = 0;
    let reading = async {
        let mut head = [0; 9];
        while reader.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            if reader.read_exact(&mut payload).await.is_err() {
                break;
            }
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let frame = Frame { kind: head[3], flags: head[4], stream, payload };
            if frame.kind == frames::GOAWAY && frame.code() != Some(frames::NO_ERROR) {
                outcome.goaway = frame.code();
            }
            if frame.kind == frames::PING && frame.flags & frames::ACK != 0 && frame.payload == LAST {
                pongs += 1;
                ponged.notify_one();
                if pongs == LAST_PINGS {
                    return;
                }
            }
            if outcome.frames.len() < KEPT && frame.kind != frames::DATA {
                outcome.frames.push(frame);
            }
        }
        outcome.closed = true;
    };
    {
        tokio::pin!(reading);
        let both = async {
            tokio::select! {
                () = &mut reading => {}
                // The end may still be on its way.
                () = writing => reading.await,
            }
        };
        // A proxy that neither answers nor closes is found by what the outcome lacks.
        let _ = timeout(limit + LONG, both).await;
    }
    Outcome { taken, ..outcome }
}
