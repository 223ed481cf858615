//! Stage 2: which protocol is it. Looks at the first bytes without consuming them, within a limit of bytes and of time.

/// TLS ClientHello: server name and ALPN, without decrypting.
pub mod client_hello;
/// HTTP/1 request line or HTTP/2 preface.
pub mod http;
/// PROXY protocol, versions 1 and 2.
pub mod proxy_protocol;

use std::cell::Cell;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use crate::config::listener::Detection;

pub use client_hello::ClientHello;
pub use http::HttpVersion;

/// More than a ClientHello of 16 KiB with its framing, and than any request line we take.
const LOOK_AHEAD_LIMIT: usize = 64 * 1024;

/// A ClientHello that has begun has so much more time, where silent clients are let through: as long as a handshake.
const HELLO_LIMIT: Duration = Duration::from_secs(15);

/// One read.
const SCRATCH: usize = 2 * 1024;

/// What the first bytes told.
#[derive(Debug, Default)]
pub struct Detected {
    /// Whom the PROXY protocol names: source and destination.
    pub proxied: Option<(SocketAddr, SocketAddr)>,
    /// A ClientHello was seen.
    pub tls: Option<ClientHello>,
    /// An HTTP request was seen.
    pub http: Option<HttpVersion>,
    /// Nothing was decided in time.
    pub timed_out: bool,
}

/// Why detection gave up.
#[derive(Debug, PartialEq, Eq)]
pub enum DetectError {
    /// The client closed, or failed, before anything was known.
    Closed,
    /// The PROXY protocol header is wrong or missing; the text names the rule.
    ProxyProtocol(&'static str),
    /// The limit in time was reached, and the listener closes then.
    TimedOut,
}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the client closed before its protocol was known"),
            Self::ProxyProtocol(rule) => write!(f, "PROXY protocol: {rule}"),
            Self::TimedOut => f.write_str("the client's protocol was not known in time"),
        }
    }
}

/// A step's verdict on the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It is this.
    Is(T),
    /// It is not.
    Not,
    /// More bytes are needed.
    NeedMore,
}

/// Reads into `seen` until everything that `detection` asks for is known. `seen` keeps all bytes but a PROXY protocol header.
///
/// # Errors
/// See [`DetectError`].
pub async fn detect<IO: AsyncRead + Unpin>(io: &mut IO, seen: &mut BytesMut, detection: &Detection) -> Result<Detected, DetectError> {
    let mut detected = Detected::default();
    if detection.proxy_protocol.is_none() && !detection.tls && !detection.http {
        return Ok(detected);
    }
    let begun = Cell::new(false);
    let outcome = {
        let mut steps = pin!(run_steps(io, seen, detection, &mut detected, &begun));
        let known = match detection.timeout {
            Some(limit) => tokio::time::timeout(limit, &mut steps).await.ok(),
            None => Some(steps.as_mut().await),
        };
        match known {
            Some(outcome) => outcome.map(|()| true),
            // Whoever has begun to speak TLS is not taken for one who says nothing: half a greeting is nobody's plain text.
            None if detection.continue_on_timeout && begun.get() => {
                tokio::time::timeout(HELLO_LIMIT, steps).await.unwrap_or(Err(DetectError::TimedOut)).map(|()| true)
            }
            None if detection.continue_on_timeout => Ok(false),
            None => Err(DetectError::TimedOut),
        }
    };
    detected.timed_out = !outcome?;
    Ok(detected)
}

async fn run_steps<IO: AsyncRead + Unpin>(
    io: &mut IO,
    seen: &mut BytesMut,
    detection: &Detection,
    detected: &mut Detected,
    begun: &Cell<bool>,
) -> Result<(), DetectError> {
    if let Some(settings) = detection.proxy_protocol {
        detected.proxied = proxy_protocol_step(io, seen, settings).await?;
    }
    if detection.tls {
        let mut parser = client_hello::Parser::default();
        let feed = |bytes: &[u8]| {
            let verdict = parser.feed(bytes);
            begun.set(!bytes.is_empty() && verdict == Verdict::NeedMore);
            verdict
        };
        detected.tls = step(io, seen, feed).await?;
    }
    if detection.http && detected.tls.is_none() {
        detected.http = step(io, seen, http::classify).await?;
    }
    Ok(())
}

async fn proxy_protocol_step<IO: AsyncRead + Unpin>(
    io: &mut IO,
    seen: &mut BytesMut,
    settings: crate::config::listener::ProxyProtocol,
) -> Result<Option<(SocketAddr, SocketAddr)>, DetectError> {
    loop {
        match proxy_protocol::parse(seen, settings).map_err(DetectError::ProxyProtocol)? {
            Verdict::Is(header) => {
                drop(seen.split_to(header.length));
                return Ok(header.addresses);
            }
            Verdict::Not => return Ok(None),
            Verdict::NeedMore => more(io, seen).await?,
        }
    }
}

/// Asks `classify` until it is sure. A client that closes early leaves it undecided.
async fn step<IO: AsyncRead + Unpin, T>(
    io: &mut IO,
    seen: &mut BytesMut,
    mut classify: impl FnMut(&[u8]) -> Verdict<T>,
) -> Result<Option<T>, DetectError> {
    loop {
        match classify(seen) {
            Verdict::Is(found) => return Ok(Some(found)),
            Verdict::Not => return Ok(None),
            Verdict::NeedMore if seen.len() >= LOOK_AHEAD_LIMIT => return Ok(None),
            Verdict::NeedMore => more(io, seen).await?,
        }
    }
}

async fn more<IO: AsyncRead + Unpin>(io: &mut IO, seen: &mut BytesMut) -> Result<(), DetectError> {
    let count = poll_fn(|cx| {
        // On the stack, so that a connection that says nothing holds no buffer.
        let mut storage = [const { MaybeUninit::<u8>::uninit() }; SCRATCH];
        let mut scratch = ReadBuf::uninit(&mut storage);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut scratch))?;
        seen.extend_from_slice(scratch.filled());
        Poll::Ready(io::Result::Ok(scratch.filled().len()))
    });
    if count.await.is_ok_and(|count| count > 0) { Ok(()) } else { Err(DetectError::Closed) }
}

/// Tells HTTP/2 (prior knowledge) from HTTP/1 where a connection is known to carry HTTP. A client that closes is HTTP/1.
pub async fn is_http2<IO: AsyncRead + Unpin>(io: &mut IO, seen: &mut BytesMut) -> bool {
    loop {
        match http::preface(seen) {
            Verdict::Is(()) => return true,
            Verdict::Not => return false,
            Verdict::NeedMore => {
                if more(io, seen).await.is_err() {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::time::Instant;

    use super::*;

    fn permissive() -> Detection {
        let timeout = Some(Duration::from_millis(500));
        Detection {
            proxy_protocol: None,
            original_dst: false,
            original_src: None,
            tls: true,
            http: false,
            timeout,
            continue_on_timeout: true,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_begun_to_speak_tls_is_not_taken_for_plain_text_and_not_waited_for_without_end() {
        let (mut client, mut server) = tokio::io::duplex(1024);
        let mut seen = BytesMut::new();
        client.write_all(&[0x16]).await.unwrap();
        let detection = permissive();
        let begun = Instant::now();
        let writes = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            client.write_all(&[3, 1]).await.unwrap();
            tokio::time::sleep(HELLO_LIMIT).await;
        };
        let (detected, ()) = tokio::join!(detect(&mut server, &mut seen, &detection), writes);
        assert_eq!(detected.map(|detected| detected.timed_out), Err(DetectError::TimedOut));
        assert!(begun.elapsed() >= HELLO_LIMIT, "it was given the time of a handshake");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_something_else_goes_on() {
        for said in [&[][..], b"\x16\x02", b"\x15", b"HELO"] {
            let (mut client, mut server) = tokio::io::duplex(1024);
            client.write_all(said).await.unwrap();
            let detected = detect(&mut server, &mut BytesMut::new(), &permissive()).await.unwrap();
            assert_eq!((detected.timed_out, detected.tls), (said.is_empty(), None), "{said:?}");
        }
    }
}
