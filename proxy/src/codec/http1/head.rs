//! Heads as bytes: where one ends, and its fields with the rules that both sides share. `httparse` checks the grammar;
//! here is what it leaves open: line ends, repeated framing fields, what they mean together.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use memchr::memchr_iter;

use super::recycle;
use super::spelling::Seen;
use crate::codec::Spelling;

/// Fields parsed without an allocation.
pub(super) const STACK_FIELDS: usize = 100;
/// Fields parsed at all: the map cannot hold many more.
const MAX_FIELDS: usize = 8192;
/// Empty lines before a head that are forgiven (RFC 9112, 2.2).
const EMPTY_LINES: u8 = 4;

/// The rule that a line without CR breaks.
pub(super) const BARE_LF: &str = "a line ends with a bare LF";
/// A message whose body cannot be read.
pub const UNSUPPORTED_CODING: &str = "unsupported transfer encoding";

/// Searches a head's end without looking at a byte twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    from: usize,
    skipped: u8,
    probed: usize,
}

impl Scan {
    /// The length of the head at the beginning of `bytes`, once it is complete.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(fresh) = bytes.get(self.from..) else { return Ok(None) };
        for at in memchr_iter(b'\n', fresh) {
            let at = at.saturating_add(self.from);
            if at.checked_sub(1).and_then(|before| bytes.get(before)) != Some(&b'\r') {
                return Err(BARE_LF);
            }
            let after = bytes.get(at.saturating_add(1)..).unwrap_or_default();
            match after {
                [b'\r', b'\n', ..] => return Ok(Some(at.saturating_add(3))),
                [b'\n', ..] => return Err(BARE_LF),
                [] | [b'\r'] => {
                    self.from = at;
                    return Ok(None);
                }
                _ => {}
            }
        }
        self.from = bytes.len();
        Ok(None)
    }

    /// Whether an unfinished head of this length should be checked for faults: at each doubling, so that the cost stays
    /// linear however slowly it arrives.
    pub(super) fn probe(&mut self, length: usize) -> bool {
        let due = length > self.probed.saturating_mul(2);
        if due {
            self.probed = length;
        }
        due
    }

    /// Drops empty lines before a head.
    pub(super) fn skip_empty_lines(&mut self, read: &mut BytesMut) -> Result<(), &'static str> {
        while read.starts_with(b"\r\n") {
            self.from = 0;
            self.skipped = self.skipped.saturating_add(1);
            if self.skipped > EMPTY_LINES {
                return Err("too many empty lines before the head");
            }
            read.advance(2);
        }
        Ok(())
    }
}

/// The transfer coding that a head names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Absent,
    Chunked,
    Unsupported,
}

/// The fields of a head and what they say of the connection.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) headers: HeaderMap,
    pub(super) spelling: Spelling,
    pub(super) length: Option<u64>,
    pub(super) coding: Coding,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) hosts: usize,
    pub(super) expects_continue: bool,
    connection_upgrade: bool,
    upgrade: bool,
}

impl Fields {
    /// Whether the message asks for, or grants, another protocol.
    pub(super) const fn upgrades(&self) -> bool {
        self.connection_upgrade && self.upgrade
    }

    /// Takes the parsed fields; values are slices of `head`.
    pub(super) fn collect(head: &Bytes, parsed: &[httparse::Header<'_>]) -> Result<Self, &'static str> {
        let mut fields = Self {
            headers: recycle::take(parsed.len()),
            spelling: Spelling::Lower,
            length: None,
            coding: Coding::Absent,
            close: false,
            keep_alive: false,
            hosts: 0,
            expects_continue: false,
            connection_upgrade: false,
            upgrade: false,
        };
        let mut seen = Seen::new();
        for field in parsed {
            seen.name(field.name);
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "invalid field name")?;
            let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| "invalid field value")?;
            if fields.note(&name, field.value)? {
                fields.headers.append(name, value);
            }
        }
        fields.spelling = seen.finish(parsed.iter().filter_map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, head.slice_ref(field.name.as_bytes())))
        }));
        Ok(fields)
    }

    /// Notes what a field says of framing and connection; whether the field stays in the map.
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<bool, &'static str> {
        if *name == header::CONTENT_LENGTH {
            if self.length.is_some() {
                return Err("more than one Content-Length");
            }
            self.length = Some(content_length(value)?);
        } else if *name == header::TRANSFER_ENCODING {
            let chunked = self.coding == Coding::Absent && value.eq_ignore_ascii_case(b"chunked");
            self.coding = if chunked { Coding::Chunked } else { Coding::Unsupported };
            return Ok(false);
        } else if *name == header::CONNECTION {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                self.connection_upgrade |= token.eq_ignore_ascii_case(b"upgrade");
            }
        } else if *name == header::HOST {
            self.hosts = self.hosts.saturating_add(1);
        } else if *name == header::UPGRADE {
            // RFC 9113 removed the upgrade to HTTP/2; the message goes on without asking for it.
            let obsolete = value.eq_ignore_ascii_case(b"h2c");
            self.upgrade |= !obsolete;
            return Ok(!obsolete);
        } else if *name == header::EXPECT {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(true)
    }
}

fn content_length(value: &[u8]) -> Result<u64, &'static str> {
    const RULE: &str = "Content-Length is not a number";
    if value.is_empty() {
        return Err(RULE);
    }
    value.iter().try_fold(0_u64, |length, byte| {
        let digit = char::from(*byte).to_digit(10).ok_or(RULE)?;
        length.checked_mul(10).and_then(|length| length.checked_add(u64::from(digit))).ok_or("Content-Length is too large")
    })
}

/// The fields after a chunked body; those that would change the message's framing or routing are dropped.
pub(super) fn parse_trailers(block: &Bytes, max_fields: usize) -> Result<HeaderMap, &'static str> {
    let mut slots = vec![httparse::EMPTY_HEADER; max_fields.min(MAX_FIELDS)];
    let (length, parsed) = match httparse::parse_headers(block, &mut slots) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) => return Err("trailers are cut off"),
        Err(httparse::Error::TooManyHeaders) => return Err("too many trailers"),
        Err(error) => return Err(rule(error)),
    };
    if length != block.len() {
        return Err("trailers end early");
    }
    let mut trailers = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| "invalid trailer name")?;
        let value = HeaderValue::from_maybe_shared(block.slice_ref(field.value)).map_err(|_| "invalid trailer value")?;
        if !is_framing(&name) {
            trailers.append(name, value);
        }
    }
    Ok(trailers)
}

/// Fields that mean nothing, or harm, behind a body (RFC 9110, 6.5.1).
pub(super) fn is_framing(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::HOST, header::TRAILER, header::UPGRADE].contains(name)
}

/// Runs `parse` with room for `max` fields, on the stack where that is enough.
pub(super) fn with_slots<'b, T>(
    max: usize,
    mut parse: impl FnMut(&mut [MaybeUninit<httparse::Header<'b>>]) -> Result<T, httparse::Error>,
) -> Result<T, httparse::Error> {
    let mut stack = [const { MaybeUninit::uninit() }; STACK_FIELDS];
    let parsed = parse(stack.get_mut(..max.min(STACK_FIELDS)).unwrap_or_default());
    match parsed {
        Err(httparse::Error::TooManyHeaders) if max > STACK_FIELDS => parse(&mut vec![MaybeUninit::uninit(); max.min(MAX_FIELDS)]),
        other => other,
    }
}

/// The rule that a head breaks.
pub(super) const fn rule(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "invalid field name",
        httparse::Error::HeaderValue => "invalid field value",
        httparse::Error::NewLine => "a line ends with a bare CR",
        httparse::Error::Status => "invalid status line",
        httparse::Error::Token => "invalid request line",
        httparse::Error::TooManyHeaders => "too many fields",
        httparse::Error::Version => "unsupported HTTP version",
    }
}
