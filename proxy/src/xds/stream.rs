//! The aggregated stream: opens it, sends, receives, opens it again with back-off. What is said on it is decided in
//! [`crate::xds::subscription`].
//!
//! Bytes come from outside: whoever starts this knows how to reach a cluster.

/// An HTTP/2 connection that gRPC runs on.
pub(super) mod channel;
/// Which protocol is spoken.
mod dialect;
/// The first word of a server.
mod greeting;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::config::ClusterName;
use crate::config::bootstrap::Server;

pub use dialect::{Answer, Dialect, Request};

use channel::Channel;

/// How long a connection may take.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// Waits between attempts: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// A stream that lived this long was a good one: the next begins at once.
const GOOD_STREAM: Duration = Duration::from_secs(30);

/// A way to a server.
pub trait Bytes: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Bytes for T {}

/// A connection to a server.
pub struct Way {
    /// What goes over it.
    pub bytes: Box<dyn Bytes>,
    /// How a server is noticed that is gone without a word.
    pub pings: Pings,
}

/// When a silent server is asked for a sign of life, and how long that may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Silence before one.
    pub interval: Duration,
    /// For its answer.
    pub timeout: Duration,
}

impl Default for Pings {
    /// gRPC's servers end connections that are pinged more often than every five minutes, unless they are told otherwise
    /// (gRFC A8); its clients wait 20 s for the answer.
    fn default() -> Self {
        Self { interval: Duration::from_secs(330), timeout: Duration::from_secs(20) }
    }
}

/// A way that is being made; nothing happens before it is polled.
pub type Opening = Pin<Box<dyn Future<Output = Result<Way, String>>>>;

/// A stream that is being opened.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Stream, (ClusterName, StreamError)>>>>;

/// Why a stream ended, or did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// What failed.
    Failed(String),
    /// The server says that the proxy's certificate was revoked.
    Revoked(String),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(problem) | Self::Revoked(problem)) = self;
        f.write_str(problem)
    }
}

impl std::error::Error for StreamError {}

/// An open stream.
#[derive(Debug)]
pub struct Stream {
    /// Which server it is.
    pub server: ClusterName,
    link: dialect::Link,
    since: Instant,
    /// Drives the connection; ends with it.
    _channel: Channel,
}

impl Stream {
    /// Sends a request.
    ///
    /// # Errors
    /// The server does not take any more: it has gone, or has read nothing for long.
    pub fn send(&mut self, request: Request) -> Result<(), StreamError> {
        self.link.send(request)
    }

    /// How long it has been open.
    pub fn lived(&self) -> Duration {
        self.since.elapsed()
    }

    /// Says that no more is asked, and returns when the server has nothing more to say either.
    pub async fn part(self) {
        self.link.part().await;
    }

    /// The next answer.
    ///
    /// # Errors
    /// The stream is over.
    pub async fn receive(&mut self) -> Result<Answer, StreamError> {
        self.link.receive().await
    }
}

/// Opens streams, one server after the other, less and less often while none can be reached.
#[derive(Debug)]
pub struct Opener {
    server: Server,
    next: usize,
    back_off: Duration,
    not_before: Instant,
}

impl Opener {
    /// The first attempt is made at once.
    pub fn new(server: Server) -> Self {
        Self { server, next: 0, back_off: BACK_OFF.0, not_before: Instant::now() }
    }

    /// A stream was lost after so long: how soon the next may be opened depends on it. Whether it was a good one, so that this is
    /// a new outage, even if the server had nothing to say.
    pub fn lost(&mut self, lived: Duration) -> bool {
        let was_good = lived >= GOOD_STREAM;
        if was_good {
            self.back_off = BACK_OFF.0;
        }
        self.wait();
        was_good
    }

    /// The stream was ended from here: the next begins at once.
    pub fn again(&mut self) {
        self.not_before = Instant::now();
    }

    fn wait(&mut self) {
        // Many proxies lose one server at the same moment: they do not come back at the same moment.
        let jittered = self.back_off.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.not_before = Instant::now().checked_add(jittered).unwrap_or(self.not_before);
        self.back_off = self.back_off.saturating_mul(2).min(BACK_OFF.1);
    }

    /// One attempt, when it is time for it; the next goes to the next server.
    ///
    /// # Errors
    /// Which server cannot be reached, and why.
    pub fn open(&mut self, dialect: Dialect, connect: impl Fn(ClusterName) -> Opening) -> Attempt {
        let servers = self.server.servers.len().max(1);
        let server = self.server.servers.get(self.next % servers).cloned().unwrap_or_else(|| ClusterName::from(""));
        self.next = self.next.wrapping_add(1);
        let (not_before, metadata) = (self.not_before, self.server.metadata.clone());
        let connecting = connect(server.clone());
        Box::pin(async move {
            tokio::time::sleep_until(not_before).await;
            let opening = async {
                let way = connecting.await.map_err(StreamError::Failed)?;
                let channel = Channel::open(way, &server).await?;
                let link = dialect::Link::open(dialect, &channel, &metadata);
                Ok(Stream { server: server.clone(), link, since: Instant::now(), _channel: channel })
            };
            let opened = tokio::time::timeout(OPEN_LIMIT, opening).await;
            let opened = opened.unwrap_or_else(|_| Err(StreamError::Failed(format!("no connection within {OPEN_LIMIT:?}"))));
            opened.map_err(|error| (server, error))
        })
    }

    /// Whether the server is shown a token with each stream.
    pub fn shows_token(&self) -> bool {
        self.server.metadata.iter().any(|(name, _)| name == "authorization")
    }

    /// An attempt failed.
    pub fn failed(&mut self) {
        self.wait();
    }
}

#[cfg(test)]
mod tests;
