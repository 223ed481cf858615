//! What a client connection knows of its exchange.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use super::{ClientOptions, Reuse, SendError};
use crate::codec::http1::decode::{Decoded, Decoder, Limits};
use crate::codec::http1::encode::Encoder;
use crate::codec::http1::head::Scan;
use crate::codec::http1::response::{self, Asked, ResponseHead};
use crate::codec::http1::wire::Wire;
use crate::codec::{Body, BodyError, Spelling};

/// Answers before the final one: more is an attack.
const INFORMATIONAL: u8 = 16;

pub(super) struct State<IO> {
    pub(super) wire: Wire<IO>,
    pub(super) options: Rc<ClientOptions>,
    pub(super) asked: Asked,
    /// The rest of the request.
    pub(super) body: Body,
    /// What was taken from the body before a byte was written.
    pub(super) early: Vec<Bytes>,
    /// More was taken than `early` has.
    pub(super) early_lost: bool,
    /// What had been sent before this request.
    pub(super) sent_before: usize,
    pub(super) encoder: Encoder,
    pub(super) spelling: Spelling,
    /// The body waits for 100, until then.
    pub(super) hold: Option<Pin<Box<Sleep>>>,
    /// The request cannot be completed; its answer may still come.
    pub(super) write_failed: Option<SendError>,
    /// Our direction of a tunnel.
    shut: Shut,
    scan: Scan,
    /// Bytes of an answer were seen.
    pub(super) seen: bool,
    informational: u8,
    /// The request asked for 100.
    pub(super) expects: bool,
    pub(super) decoder: Decoder,
    pub(super) tunnel: bool,
    keep_alive: bool,
    /// The request asks the server to close.
    pub(super) closes: bool,
    pub(super) reuse: Option<Rc<dyn Reuse<IO>>>,
}

/// The end of our direction of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shut {
    Open,
    Due,
    Done,
}

impl<IO> State<IO> {
    pub(super) fn new(io: IO, options: Rc<ClientOptions>) -> Self {
        Self {
            wire: Wire::new(io, &[]),
            options,
            asked: Asked { head: false, connect: false, upgrade: false },
            body: Body::Empty,
            early: Vec::new(),
            early_lost: false,
            sent_before: 0,
            closes: false,
            encoder: Encoder::Ended,
            spelling: Spelling::Lower,
            hold: None,
            write_failed: None,
            shut: Shut::Open,
            scan: Scan::default(),
            seen: false,
            informational: 0,
            expects: false,
            decoder: Decoder::Ended,
            tunnel: false,
            keep_alive: false,
            reuse: None,
        }
    }

    /// Ready for the next request.
    pub(super) fn reset(&mut self) {
        self.wire.settle();
        self.body = Body::Empty;
        self.hold = None;
        self.scan = Scan::default();
        self.seen = false;
        self.informational = 0;
        self.spelling = Spelling::Lower;
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            max_head_bytes: self.options.max_head_bytes,
            max_headers: self.options.max_headers,
            enable_trailers: self.options.enable_trailers,
        }
    }

    /// Whether a byte of the request has been sent.
    pub(super) fn is_touched(&self) -> bool {
        self.wire.out.total() != self.sent_before
    }

    /// Takes a head from what was read, once it is complete.
    pub(super) fn parse(&mut self) -> Result<Option<ResponseHead>, SendError> {
        let read = &mut self.wire.read;
        let limit = self.options.max_head_bytes;
        match self.scan.scan(read).map_err(SendError::Malformed)? {
            Some(length) if length > limit => Err(SendError::HeadTooLarge),
            None if read.len() > limit => Err(SendError::HeadTooLarge),
            Some(length) => {
                self.scan = Scan::default();
                let head = read.split_to(length).freeze();
                response::parse(head, self.options.max_headers, self.asked).map(Some).map_err(SendError::Malformed)
            }
            None => {
                if self.scan.probe(read.len()) {
                    response::probe(read, self.options.max_headers).map_err(SendError::Malformed)?;
                }
                Ok(None)
            }
        }
    }

    pub(super) fn count_informational(&mut self) -> Result<(), SendError> {
        self.informational = self.informational.saturating_add(1);
        if self.informational > INFORMATIONAL {
            return Err(SendError::Malformed("too many informational answers"));
        }
        Ok(())
    }

    /// Why there is no answer, when the server has ended its direction.
    pub(super) fn ended(&mut self) -> SendError {
        let otherwise = if self.seen { SendError::Reset } else { SendError::Closed };
        self.write_failed.take().unwrap_or(otherwise)
    }

    /// The connection takes no more.
    pub(super) fn give_up(&mut self, error: SendError) {
        self.wire.out.clear();
        self.write_failed = Some(error);
    }

    /// Whether nothing can be taken from the request's body now.
    pub(super) fn waits(&mut self, cx: &mut Context<'_>) -> bool {
        if self.encoder.is_ended() || self.encoder == Encoder::Undecided || self.write_failed.is_some() {
            return true;
        }
        if self.hold.as_mut().is_some_and(|hold| hold.as_mut().poll(cx).is_pending()) {
            return true;
        }
        self.hold = None;
        false
    }

    /// Writes a part of the request's body, or its end.
    pub(super) fn encode(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), SendError> {
        let trailing = self.options.enable_trailers;
        let touched = self.is_touched();
        let out = &mut self.wire.out;
        let written = match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                if !touched {
                    self.early.push(data.clone());
                }
                self.encoder.data(out, data)
            }
            Some(Err(frame)) => {
                self.early_lost = true;
                let trailers = frame.into_trailers().unwrap_or_default();
                self.encoder.end(out, Some((&trailers, &self.spelling)).filter(|_| trailing))
            }
            None => self.encoder.end(out, None),
        };
        if self.encoder.is_ended() && self.tunnel {
            self.shut = Shut::Due;
        }
        written.map_err(|rule| SendError::RequestBody(BodyError::Malformed(rule)))
    }

    /// What the answer's head decides.
    pub(super) fn answered(&mut self, decoder: Decoder, keep_alive: bool, tunnel: bool) {
        // A body that still waits for 100 is not wanted.
        let unwanted = self.hold.take().is_some();
        self.decoder = decoder;
        // A server that was asked for a tunnel may take what follows for the tunnel's.
        let refused = !tunnel && (self.asked.upgrade || self.asked.connect);
        self.keep_alive = keep_alive && !unwanted && !self.closes && !refused;
        self.tunnel = tunnel;
        if tunnel {
            self.encoder = Encoder::Raw;
        } else if unwanted || self.encoder == Encoder::Undecided {
            self.encoder = Encoder::Ended;
            self.body = Body::Empty;
        }
    }

    /// Whether both messages have ended so that another can follow.
    pub(super) fn is_reusable(&self) -> bool {
        let sent = matches!(self.encoder, Encoder::Ended | Encoder::Length(0)) && self.wire.out.len() == 0;
        let clean = self.wire.read.is_empty() && !self.wire.eof && self.write_failed.is_none();
        sent && clean && self.keep_alive && !self.tunnel && self.decoder.is_ended()
    }

    /// Whether our direction of a tunnel is still open.
    pub(super) fn still_sends(&self) -> bool {
        self.shut != Shut::Done && self.write_failed.is_none()
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> State<IO> {
    /// Ends our direction of a tunnel, when its time has come.
    pub(super) fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.shut == Shut::Due {
            match ready!(self.wire.poll_shutdown(cx)) {
                Ok(()) => self.shut = Shut::Done,
                Err(error) => self.give_up(error.into()),
            }
        }
        Poll::Ready(())
    }

    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let limits = self.limits();
        loop {
            match self.decoder.decode(&mut self.wire.read, self.wire.eof, &limits) {
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(Decoded::Undecided) => return Poll::Pending,
                Ok(Decoded::More) => match self.wire.poll_fill(self.decoder.is_bulk(), cx) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(_)) => self.decoder = Decoder::Broken(BodyError::Disconnected),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }
}
