//! Ways in for fuzzing: whole inputs, without a connection.

use bytes::{Bytes, BytesMut};

use super::chunked::Chunked;
use super::decode::{Decoded, Decoder, Limits};
use super::head::Scan;
use super::request;
use super::response::{self, Asked};
use crate::codec::{BodyError, Http1Options, RequestFault};

/// Parses the request head at the beginning of `bytes`: its length, or `None` when it is not complete.
pub fn parse_request_head(bytes: &[u8], options: &Http1Options) -> Result<Option<usize>, RequestFault> {
    let mut read = BytesMut::from(bytes);
    let mut scan = Scan::default();
    scan.skip_empty_lines(&mut read).map_err(RequestFault::Malformed)?;
    let skipped = bytes.len().saturating_sub(read.len());
    match scan.scan(&read).map_err(RequestFault::Malformed)? {
        Some(length) => {
            request::parse(read.split_to(length).freeze(), options)?;
            Ok(Some(length.saturating_add(skipped)))
        }
        None => request::probe(&read, options).map(|()| None),
    }
}

/// Parses the response head at the beginning of `bytes`: its length, or `None` when it is not complete.
pub fn parse_response_head(bytes: &[u8], max_fields: usize) -> Result<Option<usize>, &'static str> {
    match Scan::default().scan(bytes)? {
        Some(length) => {
            let head = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
            let asked = Asked { head: false, connect: false, upgrade: true };
            response::parse(head, max_fields, asked).map(|_| Some(length))
        }
        None => response::probe(bytes, max_fields).map(|()| None),
    }
}

/// Decodes a chunked body that arrives in pieces: its data, and whether it has ended.
pub fn decode_chunked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, bool), BodyError> {
    let limits = Limits { max_head_bytes: 1024, max_headers: 16, enable_trailers: true };
    let mut decoder = Decoder::Chunked(Chunked::new());
    let mut read = BytesMut::new();
    let mut data = Vec::new();
    for piece in pieces {
        read.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut read, false, &limits)? {
                Decoded::Data(piece) => data.extend_from_slice(&piece),
                Decoded::Trailers(_) => {}
                Decoded::More | Decoded::Undecided => break,
                Decoded::End => return Ok((data, true)),
            }
        }
    }
    Ok((data, false))
}
