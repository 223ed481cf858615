//! One connection's bytes: what was read and not yet parsed, what is written and not yet sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// A head and a small body fit; read on the stack, so that an idle connection holds no buffer.
const SCRATCH: usize = 8 * 1024;
/// One read of a large body.
const BULK: usize = 32 * 1024;
/// Pieces up to this size are copied behind the head rather than sent by their own vector entry.
const COPY_LIMIT: usize = 4 * 1024;
/// Entries of one vectored write.
const VECTORS: usize = 16;
/// What an idle connection may keep of its write buffer.
const KEPT_CAPACITY: usize = 8 * 1024;

/// A connection with its buffers.
pub(super) struct Wire<IO> {
    io: IO,
    /// Read, not yet parsed.
    pub(super) read: BytesMut,
    /// To be sent.
    pub(super) out: Output,
    /// The peer has ended its direction.
    pub(super) eof: bool,
    /// The read buffer is one for bodies.
    large: bool,
}

impl<IO> Wire<IO> {
    pub(super) fn new(io: IO, prefix: &[u8]) -> Self {
        Self { io, read: BytesMut::from(prefix), out: Output::default(), eof: false, large: false }
    }

    /// Gives a body's buffer back, once everything in it was taken.
    pub(super) fn settle(&mut self) {
        if self.large && self.read.is_empty() {
            self.read = BytesMut::new();
            self.large = false;
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Wire<IO> {
    /// Reads once; `false` at the end of the stream. `bulk` reads without a copy, into a buffer made for bodies.
    pub(super) fn poll_fill(&mut self, bulk: bool, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.eof {
            return Poll::Ready(Ok(false));
        }
        let count = if self.read.is_empty() && !bulk {
            ready!(self.poll_scratch(cx))?
        } else {
            let wanted = if bulk { BULK } else { SCRATCH };
            if self.read.capacity().saturating_sub(self.read.len()) < wanted / 4 {
                self.read.reserve(wanted);
                self.large = true;
            }
            ready!(pin!(self.io.read_buf(&mut self.read)).poll(cx))?
        };
        self.eof = count == 0;
        Poll::Ready(Ok(count != 0))
    }

    fn poll_scratch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut storage = [const { MaybeUninit::<u8>::uninit() }; SCRATCH];
        let mut scratch = ReadBuf::uninit(&mut storage);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut scratch))?;
        self.read.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    }

    /// Reads and forgets; `None` at the end of the stream.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        self.read.clear();
        let mut storage = [const { MaybeUninit::<u8>::uninit() }; SCRATCH];
        let mut scratch = ReadBuf::uninit(&mut storage);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut scratch))?;
        Poll::Ready(Ok(Some(scratch.filled().len()).filter(|count| *count > 0)))
    }

    /// Sends everything that is waiting.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.out.unflushed {
            return Poll::Ready(Ok(()));
        }
        while self.out.len() > 0 {
            let count = ready!(self.out.poll_write(Pin::new(&mut self.io), cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(count);
        }
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.out.unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Ends our direction, after everything was sent.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Bytes to send: heads and small pieces in one flat buffer, larger pieces as they are.
#[derive(Default)]
pub(super) struct Output {
    flat: Vec<u8>,
    sent: usize,
    queue: VecDeque<Bytes>,
    queued: usize,
    unflushed: bool,
    /// Bytes sent, ever.
    total: usize,
}

impl Output {
    /// Bytes not yet sent.
    pub(super) fn len(&self) -> usize {
        self.flat.len().saturating_sub(self.sent).saturating_add(self.queued)
    }

    /// Bytes sent, ever (wrapping).
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Appends by writing into the flat buffer.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.unflushed = true;
        if self.queue.is_empty() {
            write(&mut self.flat);
        } else {
            let mut piece = Vec::new();
            write(&mut piece);
            self.enqueue(Bytes::from(piece));
        }
    }

    /// Appends a piece of a body.
    pub(super) fn push(&mut self, data: Bytes) {
        self.unflushed = true;
        if self.queue.is_empty() && data.len() <= COPY_LIMIT {
            self.flat.extend_from_slice(&data);
        } else if !data.is_empty() {
            self.enqueue(data);
        }
    }

    fn enqueue(&mut self, data: Bytes) {
        self.queued = self.queued.saturating_add(data.len());
        self.queue.push_back(data);
    }

    /// Forgets what was not sent.
    pub(super) fn clear(&mut self) {
        *self = Self { total: self.total, ..Self::default() };
    }

    fn poll_write<IO: AsyncWrite>(&self, io: Pin<&mut IO>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let flat = self.flat.get(self.sent..).unwrap_or_default();
        if self.queue.is_empty() {
            return io.poll_write(cx, flat);
        }
        if !io.is_write_vectored() {
            let first = if flat.is_empty() { self.queue.front().map_or(flat, |data| data) } else { flat };
            return io.poll_write(cx, first);
        }
        let mut vectors = [IoSlice::new(&[]); VECTORS];
        let pieces = std::iter::once(flat).chain(self.queue.iter().map(Bytes::as_ref)).filter(|piece| !piece.is_empty());
        let mut used = 0_usize;
        for (vector, piece) in vectors.iter_mut().zip(pieces) {
            *vector = IoSlice::new(piece);
            used = used.saturating_add(1);
        }
        io.poll_write_vectored(cx, vectors.get(..used).unwrap_or_default())
    }

    fn advance(&mut self, mut count: usize) {
        self.total = self.total.wrapping_add(count);
        let flat = count.min(self.flat.len().saturating_sub(self.sent));
        self.sent = self.sent.saturating_add(flat);
        count = count.saturating_sub(flat);
        if self.sent == self.flat.len() {
            self.sent = 0;
            self.flat.clear();
            self.flat.shrink_to(KEPT_CAPACITY);
        }
        self.queued = self.queued.saturating_sub(count);
        while let Some(front) = self.queue.front_mut() {
            if front.len() > count {
                front.advance(count);
                return;
            }
            count = count.saturating_sub(front.len());
            self.queue.pop_front();
        }
    }
}
