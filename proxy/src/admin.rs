//! The admin page: `/ready` for now.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};

use crate::config::address::Address;
use crate::drain::{Phase, Watcher};

/// One exchange takes no longer.
const LIMIT: Duration = Duration::from_secs(5);

/// Opens the page's address.
///
/// # Errors
/// What the system said; Unix sockets are not supported.
pub async fn open(address: &Address) -> io::Result<TcpListener> {
    match address {
        Address::Ip(address) => TcpListener::bind(address).await,
        Address::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "the admin page needs an IP address")),
    }
}

/// Answers one request after the other, so that it never takes more than one connection's memory.
pub async fn serve(listener: TcpListener, watcher: Watcher) {
    loop {
        let Ok((stream, _peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let answered = timeout(LIMIT, answer(stream, &watcher)).await;
        tracing::trace!(in_time = answered.is_ok(), "admin");
    }
}

async fn answer(mut stream: TcpStream, watcher: &Watcher) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let (status, text) = match (head.starts_with(b"GET /ready "), watcher.phase()) {
        (true, Phase::Serving) => ("200 OK", "LIVE\n"),
        (true, Phase::Draining | Phase::Stopping) => ("503 Service Unavailable", "DRAINING\n"),
        (false, _) => ("404 Not Found", "only /ready is here\n"),
    };
    let length = text.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
