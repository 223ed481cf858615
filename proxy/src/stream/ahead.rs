use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Lent;

/// What is read ahead at once, unless more is asked for: four records of TLS. After a read of so much, the next is expected to be large.
const AHEAD: usize = 64 * 1024;

/// A stream under TLS. The library reads a record in two or more pieces; where one read was not all that there was, the next takes what
/// more there is at once and keeps it.
#[derive(Debug)]
pub struct ReadAhead<IO> {
    io: IO,
    /// None while nothing is kept, so that an idle connection costs nothing.
    kept: Option<Lent>,
    from: usize,
    to: usize,
    /// The last read was filled to the end.
    more: bool,
    /// The last read ahead was large: not even the first piece of the next is read alone.
    bulk: bool,
    /// What is read ahead at once.
    most: usize,
}

impl<IO> ReadAhead<IO> {
    /// Nothing is read yet.
    pub fn new(io: IO) -> Self {
        Self { io, kept: None, from: 0, to: 0, more: false, bulk: false, most: AHEAD }
    }

    /// From now on so much is read ahead at once.
    pub fn read_ahead(&mut self, most: usize) {
        self.most = most;
    }
}

impl<IO: AsyncRead + Unpin> ReadAhead<IO> {
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let kept = self.kept.as_deref().and_then(|kept| kept.get(self.from..self.to)).unwrap_or_default();
        let given = kept.get(..buf.remaining()).unwrap_or(kept);
        buf.put_slice(given);
        self.from = self.from.saturating_add(given.len());
        if self.from == self.to && !self.more {
            self.kept = None;
        }
    }

    fn poll_directly(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.more = polled.is_ready() && buf.remaining() == 0;
        polled
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = self.kept.get_or_insert_with(|| Lent::take(self.most));
        let mut ahead = ReadBuf::new(kept);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut ahead);
        (self.from, self.to) = (0, ahead.filled().len());
        self.more = polled.is_ready() && ahead.remaining() == 0;
        if polled.is_ready() {
            self.bulk = self.to >= AHEAD;
        }
        if self.to == 0 {
            self.kept = None;
        }
        polled
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for ReadAhead<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.from == this.to {
            if buf.remaining() == 0 || !(this.more || this.bulk) {
                return this.poll_directly(cx, buf);
            }
            ready!(this.poll_ahead(cx))?;
        }
        this.give(buf);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for ReadAhead<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn all(sizes: &[usize], read: usize) -> (Vec<u8>, usize) {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let mut near = ReadAhead::new(near);
        let (mut got, mut piece, mut most) = (Vec::new(), vec![0; read], 0);
        for size in sizes {
            let sent: Vec<u8> = (0..*size).map(|number| u8::try_from(number % 251).unwrap()).collect();
            far.write_all(&sent).await.unwrap();
            let until = got.len() + size;
            while got.len() < until {
                let count = near.read(&mut piece).await.unwrap();
                assert_ne!(count, 0);
                most = most.max(near.kept.as_ref().map_or(0, |kept| kept.len()));
                got.extend_from_slice(&piece[..count]);
            }
        }
        drop(far);
        assert_eq!(near.read(&mut piece).await.unwrap(), 0, "the end is told");
        assert!(near.kept.is_none(), "nothing is kept at the end");
        (got, most)
    }

    #[tokio::test]
    async fn what_comes_is_given_in_order_whatever_the_sizes() {
        for sizes in [&[1][..], &[4096], &[4097], &[AHEAD], &[AHEAD + 4096], &[AHEAD + 4097, 3, 200_000, 5]] {
            for read in [1, 4096, 16_000, 100_000] {
                let (got, _) = all(sizes, read).await;
                let expected: Vec<u8> =
                    sizes.iter().flat_map(|size| (0..*size).map(|number| u8::try_from(number % 251).unwrap())).collect();
                assert!(got == expected, "{sizes:?} {read}");
            }
        }
    }

    #[tokio::test]
    async fn small_messages_cost_no_memory() {
        assert_eq!(all(&[100, 4000, 4095], 4096).await.1, 0);
        assert_eq!(all(&[5000], 100).await.1, AHEAD, "of a large one, what is not asked for yet is kept");
    }
}
