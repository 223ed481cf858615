//! Stage 2: which protocol is it. Looks at the first bytes without consuming them, within a limit of bytes and of time.

/// TLS ClientHello: server name and ALPN, without decrypting.
pub mod client_hello;
/// HTTP/1 request line or HTTP/2 preface.
pub mod http;
/// PROXY protocol, versions 1 and 2.
pub mod proxy_protocol;

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::{fmt, io};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

use crate::config::listener::Detection;

pub use client_hello::ClientHello;
pub use http::HttpVersion;

/// More than a ClientHello of 16 KiB with its framing, and than any request line we take.
const LOOK_AHEAD_LIMIT: usize = 64 * 1024;

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
    let steps = run_steps(io, seen, detection, &mut detected);
    let Some(limit) = detection.timeout else {
        steps.await?;
        return Ok(detected);
    };
    match tokio::time::timeout(limit, steps).await {
        Ok(outcome) => outcome?,
        Err(_) if detection.continue_on_timeout => detected.timed_out = true,
        Err(_) => return Err(DetectError::TimedOut),
    }
    Ok(detected)
}

async fn run_steps<IO: AsyncRead + Unpin>(
    io: &mut IO,
    seen: &mut BytesMut,
    detection: &Detection,
    detected: &mut Detected,
) -> Result<(), DetectError> {
    if let Some(settings) = detection.proxy_protocol {
        detected.proxied = proxy_protocol_step(io, seen, settings).await?;
    }
    if detection.tls {
        let mut parser = client_hello::Parser::default();
        detected.tls = step(io, seen, |bytes| parser.feed(bytes)).await?;
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
