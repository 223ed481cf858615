//! A body as it is read: where it ends, and what of it is there.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::SizeHint;

use super::chunked::{self, Chunked};
use crate::codec::BodyError;

/// What bounds a body's framing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_head_bytes: usize,
    pub(super) max_headers: usize,
    pub(super) enable_trailers: bool,
}

/// How far a body is.
#[derive(Debug)]
pub(super) enum Decoder {
    /// Nothing more.
    Ended,
    /// That many bytes more.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// Until the connection ends: a response without length, or a tunnel.
    UntilClose,
    /// A request that asks for a tunnel: its bytes wait for the answer.
    Undecided,
    /// Framing lost.
    Broken(BodyError),
}

/// A step of decoding.
#[derive(Debug)]
pub(super) enum Decoded {
    Data(Bytes),
    Trailers(HeaderMap),
    /// Nothing to give before more is read.
    More,
    /// Nothing to give before the answer is known.
    Undecided,
    End,
}

impl Decoder {
    pub(super) const fn length(length: u64) -> Self {
        if length == 0 { Self::Ended } else { Self::Length(length) }
    }

    pub(super) fn decode(&mut self, read: &mut BytesMut, eof: bool, limits: &Limits) -> Result<Decoded, BodyError> {
        let decoded = match self {
            Self::Ended => Ok(Decoded::End),
            Self::Undecided => Ok(Decoded::Undecided),
            Self::Broken(error) => return Err(*error),
            Self::Length(_) | Self::UntilClose if read.is_empty() => Ok(Decoded::More),
            Self::Length(left) => {
                let data = chunked::take(read, *left);
                *self = Self::length(left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX)));
                Ok(Decoded::Data(data))
            }
            Self::Chunked(chunked) => {
                let decoded = chunked.decode(read, limits).map_err(BodyError::Malformed);
                if chunked.is_ended() {
                    *self = Self::Ended;
                }
                decoded
            }
            Self::UntilClose => Ok(Decoded::Data(read.split().freeze())),
        };
        let decoded = match decoded {
            Ok(Decoded::More) if eof && matches!(self, Self::UntilClose) => {
                *self = Self::Ended;
                Ok(Decoded::End)
            }
            Ok(Decoded::More) if eof => Err(BodyError::Disconnected),
            other => other,
        };
        if let Err(error) = &decoded {
            *self = Self::Broken(*error);
        }
        decoded
    }

    /// Whether the rest, of known length, has arrived.
    pub(super) fn is_whole(&self, read: usize) -> bool {
        matches!(self, Self::Length(length) if usize::try_from(*length).is_ok_and(|length| length <= read))
    }

    /// Takes what is there and forgets it; whether that was all.
    pub(super) fn discard(&mut self, read: &mut BytesMut, limits: &Limits) -> bool {
        loop {
            match self.decode(read, false, limits) {
                Ok(Decoded::Data(_) | Decoded::Trailers(_)) => {}
                Ok(Decoded::End) => return true,
                Ok(Decoded::More | Decoded::Undecided) | Err(_) => return false,
            }
        }
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Whether a large part is still to come, so that it is worth reading without a copy.
    pub(super) const fn is_bulk(&self) -> bool {
        match self {
            Self::Length(left) => *left > 4096,
            Self::Chunked(_) | Self::UntilClose => true,
            Self::Ended | Self::Undecided | Self::Broken(_) => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ended => SizeHint::with_exact(0),
            Self::Length(left) => SizeHint::with_exact(*left),
            Self::Chunked(_) | Self::UntilClose | Self::Undecided | Self::Broken(_) => SizeHint::default(),
        }
    }
}
