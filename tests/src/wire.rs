//! HTTP/1 messages as they stand on the wire.
//!
//! A reader of its own rather than a library's: a suite about bytes must not have them tidied up before it looks.

use crate::observe::Message;
use crate::socket::Socket;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How the other side ended its half of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// FIN.
    Closed,
    /// RST or another error.
    Reset,
}

/// Longer than any answer takes.
const LIMIT: Duration = Duration::from_secs(20);

/// One request on a connection of its own: status and body.
///
/// # Errors
/// Why there is no whole answer.
pub async fn get(port: u16, path: &str) -> Result<(u16, String), String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| format!("connecting: {error}"))?;
    let mut wire = Wire::new(stream);
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await;
    let reading = async {
        let mut answer = wire.head().await?;
        wire.body(&mut answer, true).await;
        answer.complete.then_some(answer)
    };
    let answer = timeout(LIMIT, reading).await.map_err(|_| "no answer in time".to_owned())?;
    let answer = answer.ok_or_else(|| format!("no whole answer, the connection ended: {:?}", wire.ended))?;
    Ok((answer.status().unwrap_or_default(), String::from_utf8_lossy(&answer.body).into_owned()))
}

/// A connection with what was read and not yet used.
pub struct Wire {
    stream: Socket,
    buffer: Vec<u8>,
    ended: Option<Ended>,
}

impl Wire {
    /// Takes over a connected socket.
    pub fn new(stream: impl Into<Socket>) -> Self {
        Self { stream: stream.into(), buffer: Vec::new(), ended: None }
    }

    /// Sends; that the other side may be gone is seen by the reads.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends FIN.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Makes the coming drop send RST.
    pub fn reset_on_drop(&self) {
        self.stream.reset_on_drop();
    }

    /// Waits for more bytes; false at the end of the stream.
    pub async fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => self.ended = Some(Ended::Closed),
            Ok(_) => return true,
            Err(_) => self.ended = Some(Ended::Reset),
        }
        false
    }

    /// Whether and how the other side ended.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Everything read and not used yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The next `count` bytes, or what came before the end.
    pub async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill().await {}
        let count = count.min(self.buffer.len());
        self.buffer.drain(..count).collect()
    }

    /// All bytes to the end of the stream.
    pub async fn to_end(&mut self) -> Vec<u8> {
        while self.fill().await {}
        self.take()
    }

    /// Bytes up to and with `mark`; `None` if the stream ends before.
    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, mark) {
                return Some(self.buffer.drain(..at + mark.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Start line and header fields; `None` if the stream ends before.
    pub async fn head(&mut self) -> Option<Message> {
        let head = self.until(b"\r\n\r\n").await?;
        let text = latin1(&head);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let headers = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Some(Message { start, headers, ..Message::default() })
    }

    /// Reads the body that `message`'s header announces; `to_end` when none does and the end of the stream is the end.
    pub async fn body(&mut self, message: &mut Message, ends_with_stream: bool) {
        if message.header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked")) {
            "chunked".clone_into(&mut message.framing);
            message.complete = self.chunks(message).await.is_some();
        } else if let Some(length) = message.header("content-length").and_then(|value| value.parse().ok()) {
            "content-length".clone_into(&mut message.framing);
            message.body = self.exactly(length).await;
            message.complete = message.body.len() == length;
        } else if ends_with_stream {
            "until close".clone_into(&mut message.framing);
            message.body = self.to_end().await;
            message.complete = self.ended == Some(Ended::Closed);
        } else {
            message.complete = true;
        }
    }

    async fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = latin1(&self.until(b"\r\n").await?);
            let size = line.trim_end().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            let data = self.exactly(size).await;
            let whole = data.len() == size;
            message.body.extend_from_slice(&data);
            if !whole || self.exactly(2).await != b"\r\n" {
                return None;
            }
        }
        loop {
            let line = latin1(&self.until(b"\r\n").await?);
            if line == "\r\n" {
                return Some(());
            }
            message.trailers.push(line.trim_end().to_owned());
        }
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Each byte as the character of the same number, so that no byte is lost.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The way back: what a case spells as `"\xff"` is the byte 255; characters above that are written in UTF-8.
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(character.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}
