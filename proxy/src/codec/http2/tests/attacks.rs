mod floods;
mod heads;
mod resets;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET http://a/` in HPACK.
const REQUEST: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("length").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A literal field that is not indexed.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).expect("length")];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).expect("length"));
    field.extend(value.as_bytes());
    field
}

/// The preface and SETTINGS.
fn hello() -> Vec<u8> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    hello
}

/// Writes while the server takes it; how much it took.
async fn flood(io: &mut DuplexStream, unit: &[u8], times: usize) -> usize {
    let mut taken = 0;
    for _ in 0..times {
        match timeout(Duration::from_secs(1), io.write_all(unit)).await {
            Ok(Ok(())) => taken += unit.len(),
            _ => break,
        }
    }
    taken
}

/// Sends frames to a server and tells how it ended; it must end.
async fn outcome(options: Http2Options, service: Answer, bytes: Vec<u8>) -> Result<(), ServeError> {
    let (here, there) = tokio::io::duplex(65_536);
    let server = start(there, options, service);
    let (mut reader, mut writer) = tokio::io::split(here);
    let reading = async {
        let mut sink = [0; 4096];
        while matches!(reader.read(&mut sink).await, Ok(1..)) {}
    };
    let writing = async {
        let _ = writer.write_all(&bytes).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
    server.join().await.expect("task")
}

fn never() -> Answer {
    answer(|_| std::future::pending())
}

/// Stream and error code of the first RST_STREAM or GOAWAY, unless HEADERS come first.
async fn refused(io: &mut DuplexStream) -> Option<(u8, u8)> {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.expect("frame");
        let mut payload = vec![0; usize::from(head[2]) + usize::from(head[1]) * 256];
        io.read_exact(&mut payload).await.expect("frame");
        match head[3] {
            HEADERS => return None,
            RST_STREAM => return payload.last().map(|code| (head[8], *code)),
            GOAWAY => return payload.get(7).map(|code| (head[8], *code)),
            _ => {}
        }
    }
}
