//! The chunked coding (RFC 9112, 7.1), strictly: no whitespace, no bare LF, sizes without overflow.

use bytes::{Buf, Bytes, BytesMut};

use super::decode::{Decoded, Limits};
use super::head::{self, Scan};

/// Hexadecimal digits of a chunk's size: what fits 64 bits.
const SIZE_DIGITS: u8 = 16;
/// Bytes of chunk extensions in one body; they are read and forgotten.
const EXTENSION_BYTES: u16 = 16 * 1024;

/// Where in a chunked body we are.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    extension: u16,
    scan: Scan,
    padded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { value: u64, digits: u8 },
    Padding { value: u64 },
    Extension { value: u64 },
    SizeLf { value: u64 },
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Ended,
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self { state: State::Size { value: 0, digits: 0 }, extension: 0, scan: Scan::default(), padded: false }
    }

    /// Forgives blanks behind a size, which old servers write there.
    pub(super) fn padded() -> Self {
        Self { padded: true, ..Self::new() }
    }

    pub(super) fn decode(&mut self, read: &mut BytesMut, limits: &Limits) -> Result<Decoded, &'static str> {
        loop {
            match self.state {
                State::Ended => return Ok(Decoded::End),
                State::Trailers => return self.trailers(read, limits),
                State::Data(left) => {
                    if read.is_empty() {
                        return Ok(Decoded::More);
                    }
                    let data = take(read, left);
                    let left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                    return Ok(Decoded::Data(data));
                }
                State::Size { .. }
                | State::Padding { .. }
                | State::Extension { .. }
                | State::SizeLf { .. }
                | State::DataCr
                | State::DataLf => {
                    let mut used = 0_usize;
                    for byte in read.iter() {
                        self.state = self.step(*byte)?;
                        used = used.saturating_add(1);
                        if matches!(self.state, State::Data(_) | State::Trailers) {
                            break;
                        }
                    }
                    read.advance(used);
                    if read.is_empty() && !matches!(self.state, State::Data(_) | State::Trailers) {
                        return Ok(Decoded::More);
                    }
                }
            }
        }
    }

    fn step(&mut self, byte: u8) -> Result<State, &'static str> {
        match (self.state, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b';') => Err("a chunk has no size"),
            (State::Size { value, .. } | State::Padding { value }, b'\r') => Ok(State::SizeLf { value }),
            (State::Size { value, .. } | State::Padding { value }, b';') => Ok(State::Extension { value }),
            (State::Size { value, digits: 1.. } | State::Padding { value }, b' ' | b'\t') if self.padded => {
                self.lengthen()?;
                Ok(State::Padding { value })
            }
            (State::Padding { .. }, _) => Err("a chunk size is not hexadecimal"),
            (State::Size { value, digits }, byte) => {
                let digit = char::from(byte).to_digit(16).ok_or("a chunk size is not hexadecimal")?;
                if digits >= SIZE_DIGITS {
                    return Err("a chunk size has too many digits");
                }
                let value = value.checked_mul(16).and_then(|value| value.checked_add(u64::from(digit)));
                Ok(State::Size { value: value.ok_or("a chunk size is too large")?, digits: digits.saturating_add(1) })
            }
            (State::Extension { value }, b'\r') => Ok(State::SizeLf { value }),
            (State::Extension { value }, byte) => {
                if byte != b'\t' && (byte < b' ' || byte == 0x7f) {
                    return Err("a chunk extension has a control character");
                }
                self.lengthen()?;
                Ok(State::Extension { value })
            }
            (State::SizeLf { value: 0 }, b'\n') => Ok(State::Trailers),
            (State::SizeLf { value }, b'\n') => Ok(State::Data(value)),
            (State::SizeLf { .. }, _) => Err("a chunk size's line ends with a bare CR"),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size { value: 0, digits: 0 }),
            (State::DataCr | State::DataLf, _) => Err("a chunk is longer than its size"),
            (state @ (State::Data(_) | State::Trailers | State::Ended), _) => Ok(state),
        }
    }

    fn lengthen(&mut self) -> Result<(), &'static str> {
        self.extension = self.extension.saturating_add(1);
        if self.extension > EXTENSION_BYTES { Err("chunk extensions are too long") } else { Ok(()) }
    }

    fn trailers(&mut self, read: &mut BytesMut, limits: &Limits) -> Result<Decoded, &'static str> {
        if read.starts_with(b"\r\n") {
            read.advance(2);
            self.state = State::Ended;
            return Ok(Decoded::End);
        }
        match self.scan.scan(read)? {
            Some(length) if length <= limits.max_head_bytes => {
                let trailers = head::parse_trailers(&read.split_to(length).freeze(), limits.max_headers)?;
                self.state = State::Ended;
                Ok(if limits.enable_trailers && !trailers.is_empty() { Decoded::Trailers(trailers) } else { Decoded::End })
            }
            None if read.len() <= limits.max_head_bytes => Ok(Decoded::More),
            Some(_) | None => Err("trailers are too large"),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }
}

/// The next at most `left` bytes.
pub(super) fn take(read: &mut BytesMut, left: u64) -> Bytes {
    let count = usize::try_from(left).unwrap_or(usize::MAX).min(read.len());
    read.split_to(count).freeze()
}
