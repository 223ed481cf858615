//! Bytes both ways, with backpressure; ends and resets of one side are passed on to the other. Between plain TCP sockets
//! long transfers stay in the kernel (splice(2)).

mod pipe;
mod streams;

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio::time::Instant;

use self::pipe::Pipe;
use self::streams::streams;
use crate::forward::timeout::{Activity, Deadlines, Expired, within};
use crate::stream::LARGE;

/// One read in user space. Interactive protocols need no more; a transfer that fills it is spliced.
const COPY_BUFFER: usize = 16 * 1024;
/// The same for a transfer that is long but gets no pipe.
const LONG_COPY_BUFFER: usize = 64 * 1024;
/// Connections that may be idle for so long have large pieces.
const PATIENT: Duration = Duration::from_secs(300);
/// Full reads in a row before a transfer counts as long.
const FULL_READS: u32 = 3;

/// Bytes of both directions, readable while they move.
#[derive(Debug, Default)]
pub struct Moved {
    /// From the client.
    pub received: Cell<u64>,
    /// To the client.
    pub sent: Cell<u64>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides closed.
    Finished,
    /// The client reset it, or could not be written to.
    Client(io::ErrorKind),
    /// The upstream reset it, or could not be written to.
    Upstream(io::ErrorKind),
    /// Nothing moved for too long.
    Idle,
    /// It lived too long.
    MaxDuration,
}

/// One side of a proxied connection.
pub enum Leg {
    /// Plain TCP.
    Tcp(TcpStream),
    /// Anything else, and what may be kept for one direction of it.
    Other(Box<dyn ByteStream>, usize),
}

/// A stream of bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

/// Limits in time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Nothing moves.
    pub idle: Option<Duration>,
    /// All of it.
    pub max: Option<Duration>,
}

/// Passes bytes until both sides have ended, or one failed. `ahead` was read from the client already.
pub async fn forward(client: Leg, upstream: Leg, ahead: Bytes, limits: Limits, moved: &Moved) -> End {
    let activity = Activity::new();
    let mut deadlines = Deadlines::new(activity.clone());
    deadlines.idle = limits.idle;
    deadlines.max_stream = limits.max.and_then(|max| Instant::now().checked_add(max));
    let ended = match (client, upstream) {
        (Leg::Tcp(client), Leg::Tcp(upstream)) => {
            let end = within(&mut deadlines, sockets(&client, &upstream, ahead, moved, &activity)).await;
            if matches!(end, Ok(End::Client(io::ErrorKind::ConnectionReset))) {
                reset(&upstream);
            } else if matches!(end, Ok(End::Upstream(io::ErrorKind::ConnectionReset))) {
                reset(&client);
            }
            end
        }
        (client, upstream) => {
            let piece = piece(limits.idle).min(client.most()).min(upstream.most());
            within(&mut deadlines, streams((client.boxed(), upstream.boxed()), ahead, piece, (moved, &activity))).await
        }
    };
    match ended {
        Ok(end) => end,
        Err(Expired::MaxStream) => End::MaxDuration,
        Err(_) => End::Idle,
    }
}

impl Leg {
    fn boxed(self) -> Box<dyn ByteStream> {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Other(stream, _) => stream,
        }
    }

    const fn most(&self) -> usize {
        match self {
            Self::Tcp(_) => LARGE,
            Self::Other(_, most) => *most,
        }
    }
}

/// What is passed on at once at most. It counts as moved once all of it is passed on: a slow peer takes a piece in less time than a
/// connection may be idle.
fn piece(idle: Option<Duration>) -> usize {
    if idle.is_some_and(|idle| idle < PATIENT) { LONG_COPY_BUFFER } else { LARGE }
}

/// Makes the close that follows a reset rather than an orderly end.
fn reset(stream: &TcpStream) {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a reset is passed on as an orderly end");
    }
}

async fn sockets(client: &TcpStream, upstream: &TcpStream, ahead: Bytes, moved: &Moved, activity: &Activity) -> End {
    let received = Meter { count: &moved.received, activity };
    let sent = Meter { count: &moved.sent, activity };
    let there = async {
        write_all(upstream, ahead, received).await.map_err(Fault::Write)?;
        pass(client, upstream, received).await
    };
    let back = pass(upstream, client, sent);
    match tokio::try_join!(async { there.await.map_err(|fault| fault.end(End::Client, End::Upstream)) }, async {
        back.await.map_err(|fault| fault.end(End::Upstream, End::Client))
    },)
    {
        Ok(((), ())) => End::Finished,
        Err(end) => end,
    }
}

/// Counts what moves.
#[derive(Clone, Copy)]
struct Meter<'a> {
    count: &'a Cell<u64>,
    activity: &'a Activity,
}

impl Meter<'_> {
    fn add(self, bytes: usize) {
        self.count.set(self.count.get().saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)));
        self.activity.touch();
    }
}

/// Which side of one direction failed.
enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Fault {
    fn end(self, source: fn(io::ErrorKind) -> End, sink: fn(io::ErrorKind) -> End) -> End {
        match self {
            Self::Read(error) => source(error.kind()),
            Self::Write(error) => sink(error.kind()),
        }
    }
}

/// One direction: copied while messages are small; once they are not, spliced, or copied in larger pieces.
async fn pass(from: &TcpStream, to: &TcpStream, meter: Meter<'_>) -> Result<(), Fault> {
    if copy_until_long(from, to, meter, COPY_BUFFER).await? == Flow::Ended {
        return Ok(());
    }
    match Pipe::open() {
        Some(pipe) => splice_all(from, to, &pipe, meter).await,
        None => {
            while copy_until_long(from, to, meter, LONG_COPY_BUFFER).await? == Flow::Long {}
            Ok(())
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// The source ended, and so was the sink.
    Ended,
    /// Several reads in a row filled the buffer.
    Long,
}

async fn copy_until_long(from: &TcpStream, to: &TcpStream, meter: Meter<'_>, size: usize) -> Result<Flow, Fault> {
    let mut buffer = vec![0_u8; size];
    let mut full_reads = 0_u32;
    while full_reads < FULL_READS {
        from.readable().await.map_err(Fault::Read)?;
        let read = match from.try_read(&mut buffer) {
            Ok(0) => return finish(to).map(|()| Flow::Ended),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(Fault::Read(error)),
        };
        full_reads = if read == buffer.len() { full_reads.saturating_add(1) } else { 0 };
        write_slice(to, buffer.get(..read).unwrap_or_default()).await.map_err(Fault::Write)?;
        meter.add(read);
    }
    Ok(Flow::Long)
}

fn finish(to: &TcpStream) -> Result<(), Fault> {
    match socket2::SockRef::from(to).shutdown(std::net::Shutdown::Write) {
        Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(Fault::Write(error)),
        _ => Ok(()),
    }
}

async fn write_slice(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes.advance(written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn write_all(to: &TcpStream, bytes: Bytes, meter: Meter<'_>) -> io::Result<()> {
    write_slice(to, &bytes).await?;
    if !bytes.is_empty() {
        meter.add(bytes.len());
    }
    Ok(())
}

async fn splice_all(from: &TcpStream, to: &TcpStream, pipe: &Pipe, meter: Meter<'_>) -> Result<(), Fault> {
    loop {
        from.readable().await.map_err(Fault::Read)?;
        let mut held = match from.try_io(Interest::READABLE, || pipe.fill(from)) {
            Ok(0) => return finish(to),
            Ok(moved) => moved,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(Fault::Read(error)),
        };
        while held > 0 {
            to.writable().await.map_err(Fault::Write)?;
            match to.try_io(Interest::WRITABLE, || pipe.empty(to, held)) {
                Ok(moved) => {
                    held = held.saturating_sub(moved);
                    meter.add(moved);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Fault::Write(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn a_long_transfer_arrives_whole_and_half_closes_are_passed_on() {
        let (mut client, proxy_client) = pair().await;
        let (proxy_upstream, mut upstream) = pair().await;
        let moved = Moved::default();
        let forwarded = forward(Leg::Tcp(proxy_client), Leg::Tcp(proxy_upstream), Bytes::from_static(b"ahead"), Limits::default(), &moved);
        let talk = async {
            let body = vec![7_u8; 3_000_000];
            let (sent, got) = tokio::join!(
                async {
                    client.write_all(&body).await.unwrap();
                    client.shutdown().await.unwrap();
                    let mut answer = Vec::new();
                    client.read_to_end(&mut answer).await.unwrap();
                    answer
                },
                async {
                    let mut got = Vec::new();
                    upstream.read_to_end(&mut got).await.unwrap();
                    upstream.write_all(b"thanks").await.unwrap();
                    upstream.shutdown().await.unwrap();
                    got
                }
            );
            assert_eq!(sent, b"thanks");
            assert_eq!(got.len(), 3_000_005);
        };
        let (end, ()) = tokio::join!(forwarded, talk);
        assert_eq!(end, End::Finished);
        assert_eq!((moved.received.get(), moved.sent.get()), (3_000_005, 6));
    }

    #[tokio::test]
    async fn a_reset_is_passed_on_as_a_reset() {
        let (client, proxy_client) = pair().await;
        let (proxy_upstream, mut upstream) = pair().await;
        let moved = Moved::default();
        let forwarded = forward(Leg::Tcp(proxy_client), Leg::Tcp(proxy_upstream), Bytes::new(), Limits::default(), &moved);
        let talk = async {
            client.set_zero_linger().unwrap();
            drop(client);
            upstream.read_u8().await.unwrap_err().kind()
        };
        let (end, seen) = tokio::join!(forwarded, talk);
        assert_eq!(end, End::Client(io::ErrorKind::ConnectionReset));
        assert_eq!(seen, io::ErrorKind::ConnectionReset);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed_after_the_limit() {
        let (_client, proxy_client) = tokio::io::duplex(64);
        let (proxy_upstream, _upstream) = tokio::io::duplex(64);
        let limits = Limits { idle: Some(Duration::from_secs(3600)), max: None };
        let moved = Moved::default();
        let end =
            forward(Leg::Other(Box::new(proxy_client), LARGE), Leg::Other(Box::new(proxy_upstream), LARGE), Bytes::new(), limits, &moved)
                .await;
        assert_eq!(end, End::Idle);
    }
}
