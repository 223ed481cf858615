use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::{ByteStream, COPY_BUFFER, End, FULL_READS, Fault, Meter, Moved};
use crate::forward::timeout::Activity;
use crate::stream::Lent;

/// Passes bytes between two streams of which one at least is no plain socket.
pub(super) async fn streams(
    (client, upstream): (Box<dyn ByteStream>, Box<dyn ByteStream>),
    ahead: Bytes,
    piece: usize,
    (moved, activity): (&Moved, &Activity),
) -> End {
    let received = Meter { count: &moved.received, activity };
    let sent = Meter { count: &moved.sent, activity };
    let (client_reads, client_writes) = tokio::io::split(client);
    let (upstream_reads, mut upstream_writes) = tokio::io::split(upstream);
    let there = async {
        upstream_writes.write_all(&ahead).await.map_err(Fault::Write)?;
        if !ahead.is_empty() {
            received.add(ahead.len());
        }
        copy(client_reads, upstream_writes, piece, received).await
    };
    let back = copy(upstream_reads, client_writes, piece, sent);
    match tokio::try_join!(async { there.await.map_err(|fault| fault.end(End::Client, End::Upstream)) }, async {
        back.await.map_err(|fault| fault.end(End::Upstream, End::Client))
    },)
    {
        Ok(((), ())) => End::Finished,
        Err(end) => end,
    }
}

/// One direction, in large pieces once it proves long. All that is there is passed on at once: TLS gives a record at a time, and a write
/// for each would wake the other side for each.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, piece: usize, meter: Meter<'_>) -> Result<(), Fault> {
    let mut buffer = vec![0_u8; COPY_BUFFER];
    let mut full_reads = 0_u32;
    while full_reads < FULL_READS {
        let (read, error) = poll_fn(|cx| poll_ready(&mut from, &mut buffer, cx)).await;
        if pass_on(&mut to, buffer.get(..read).unwrap_or_default(), error, meter).await?.is_break() {
            return Ok(());
        }
        full_reads = if read == buffer.len() { full_reads.saturating_add(1) } else { 0 };
    }
    drop(buffer);
    loop {
        let (buffer, read, error) = read_large(&mut from, piece).await;
        if pass_on(&mut to, buffer.get(..read).unwrap_or_default(), error, meter).await?.is_break() {
            return Ok(());
        }
    }
}

/// Passes on what was read before this error, or before the end. Breaks when that was all.
async fn pass_on(
    to: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    error: Option<io::Error>,
    meter: Meter<'_>,
) -> Result<ControlFlow<()>, Fault> {
    if !bytes.is_empty() {
        to.write_all(bytes).await.map_err(Fault::Write)?;
        to.flush().await.map_err(Fault::Write)?;
        meter.add(bytes.len());
    }
    match error {
        Some(error) => Err(Fault::Read(error)),
        None if bytes.is_empty() => to.shutdown().await.map(ControlFlow::Break).map_err(Fault::Write),
        None => Ok(ControlFlow::Continue(())),
    }
}

/// Into a buffer that is held from the first byte until it is dropped.
async fn read_large(from: &mut (impl AsyncRead + Unpin), piece: usize) -> (Lent, usize, Option<io::Error>) {
    poll_fn(|cx| {
        let mut buffer = Lent::take(piece);
        let (read, error) = ready!(poll_ready(from, &mut buffer, cx));
        Poll::Ready((buffer, read, error))
    })
    .await
}

/// Something, and what more there is without waiting, with the error that came after it. Nothing: the end.
fn poll_ready(from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8], cx: &mut Context<'_>) -> Poll<(usize, Option<io::Error>)> {
    let mut read = ReadBuf::new(buffer);
    loop {
        let before = read.filled().len();
        let polled = Pin::new(&mut *from).poll_read(cx, &mut read);
        let after = read.filled().len();
        match polled {
            Poll::Ready(Ok(())) if after > before && read.remaining() > 0 => {}
            Poll::Ready(Ok(())) => return Poll::Ready((after, None)),
            Poll::Ready(Err(error)) => return Poll::Ready((after, Some(error))),
            Poll::Pending if after > 0 => return Poll::Ready((after, None)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Leg, Limits, forward};
    use super::*;
    use crate::stream::LARGE;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_long_transfer_arrives_whole_and_half_closes_are_passed_on() {
        let (mut client, proxy_client) = tokio::io::duplex(1 << 20);
        let (proxy_upstream, mut upstream) = tokio::io::duplex(100_000);
        let (moved, sent) = (Moved::default(), (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>());
        let legs = (Leg::Other(Box::new(proxy_client), LARGE), Leg::Other(Box::new(proxy_upstream), LARGE));
        let forwarded = forward(legs.0, legs.1, Bytes::from_static(b"ahead"), Limits::default(), &moved);
        let ask = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let answer = async {
            let mut got = Vec::new();
            upstream.read_to_end(&mut got).await.unwrap();
            upstream.write_all(b"thanks").await.unwrap();
            upstream.shutdown().await.unwrap();
            got
        };
        let (end, answered, got) = tokio::join!(forwarded, ask, answer);
        assert_eq!((end, answered.as_slice()), (End::Finished, &b"thanks"[..]));
        assert!(got.starts_with(b"ahead") && got[5..] == sent, "in order and whole");
        assert_eq!((moved.received.get(), moved.sent.get()), (3_000_005, 6));
    }
}
