use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::xds::stream::StreamError;

/// The head of a frame (RFC 9113, section 4.1).
const HEAD: usize = 9;
/// The first frame of a server (section 3.4).
const SETTINGS: u8 = 4;

/// A connection that tells whether the other side began as an HTTP/2 server does. Until it does, there may be nobody: a port that
/// accepts connections is no server yet.
pub(super) struct Greeted<T> {
    io: T,
    head: Vec<u8>,
    tells: Option<oneshot::Sender<bool>>,
}

/// What a connection began with.
pub(super) struct Greeting(oneshot::Receiver<bool>);

impl<T> Greeted<T> {
    pub(super) fn new(io: T) -> (Self, Greeting) {
        let (tells, told) = oneshot::channel();
        (Self { io, head: Vec::with_capacity(HEAD), tells: Some(tells) }, Greeting(told))
    }

    fn look(&mut self, bytes: &[u8]) {
        let missing = HEAD.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(missing));
        if self.head.len() == HEAD
            && let Some(tells) = self.tells.take()
        {
            let is_settings = self.head.get(3) == Some(&SETTINGS) && self.head.get(5..).is_some_and(|stream| stream == [0; 4]);
            // Nobody waits for it any more.
            let _told = tells.send(is_settings).is_ok();
        }
    }
}

impl Greeting {
    /// Waits for the server's first frame.
    pub(super) async fn heard(self) -> Result<(), StreamError> {
        match self.0.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StreamError::Failed("what answers does not speak HTTP/2".to_owned())),
            Err(_) => Err(StreamError::Failed("the connection ended before a word was said".to_owned())),
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Greeted<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.io).poll_read(cx, buf);
        if this.tells.is_some() {
            this.look(buf.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Greeted<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
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

    async fn heard(pieces: &[&[u8]]) -> Result<(), StreamError> {
        let (near, mut far) = tokio::io::duplex(64);
        let (mut greeted, greeting) = Greeted::new(near);
        let mut read = [0; 64];
        for piece in pieces {
            far.write_all(piece).await.unwrap();
            assert!(greeted.read(&mut read).await.unwrap() > 0);
        }
        drop(greeted);
        greeting.heard().await
    }

    #[tokio::test]
    async fn a_server_begins_with_settings() {
        assert_eq!(heard(&[&[0, 0, 0, 4, 0, 0, 0, 0, 0]]).await, Ok(()));
        assert_eq!(heard(&[&[0, 0], &[6, 4, 0, 0], &[0, 0, 0, 1, 2, 3]]).await, Ok(()));
    }

    #[tokio::test]
    async fn anything_else_is_not_http2() {
        let other = Err(StreamError::Failed("what answers does not speak HTTP/2".to_owned()));
        assert_eq!(heard(&[b"HTTP/1.1 400 Bad Request\r\n"]).await, other);
        assert_eq!(heard(&[&[0, 0, 0, 4, 0, 0, 0, 0, 1]]).await, other, "settings belong to no stream");
        assert_eq!(heard(&[&[0, 0, 8, 6, 0, 0, 0, 0, 0]]).await, other, "a ping comes later");
    }

    #[tokio::test]
    async fn an_end_is_not_a_word() {
        let silent = Err(StreamError::Failed("the connection ended before a word was said".to_owned()));
        assert_eq!(heard(&[]).await, silent);
        assert_eq!(heard(&[&[0, 0, 0, 4]]).await, silent);
    }
}
