//! A response's head: parsed, checked, and how its body is framed.

use bytes::Bytes;
use http::{Response, StatusCode, Version, header};

use super::chunked::Chunked;
use super::decode::Decoder;
use super::head::{self, Coding, Fields};
use crate::codec::{Body, Spelling};

/// What the request makes of its response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The request was HEAD.
    pub(super) head: bool,
    /// The request was CONNECT.
    pub(super) connect: bool,
    /// The request asked for another protocol.
    pub(super) upgrade: bool,
}

/// A response as it came.
#[derive(Debug)]
pub(super) struct ResponseHead {
    /// Its body is not yet attached.
    pub(super) response: Response<Body>,
    pub(super) spelling: Spelling,
    pub(super) decoder: Decoder,
    pub(super) keep_alive: bool,
    /// From here on both directions are raw.
    pub(super) tunnel: bool,
}

/// Parses a complete head.
pub(super) fn parse(head: Bytes, max_fields: usize, asked: Asked) -> Result<ResponseHead, &'static str> {
    let parsed = head::with_slots(max_fields, |slots| {
        let mut response = httparse::Response::new(&mut []);
        let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, &head, slots)?;
        Ok(match (status, response.code, response.version) {
            (httparse::Status::Complete(length), Some(code), Some(version)) if length == head.len() => {
                let fields = Fields::collect(&head, response.headers);
                Some(fields.and_then(|fields| Ok((StatusCode::from_u16(code).map_err(|_| "invalid status code")?, version == 0, fields))))
            }
            _ => None,
        })
    });
    match parsed {
        Ok(Some(Ok((status, http_10, fields)))) => check(status, http_10, fields, asked),
        Ok(Some(Err(rule))) => Err(rule),
        Ok(None) => Err("the head ends early"),
        Err(error) => Err(head::rule(error)),
    }
}

/// Whether an unfinished head is wrong already.
pub(super) fn probe(head: &[u8], max_fields: usize) -> Result<(), &'static str> {
    head::with_slots(max_fields, |slots| {
        let mut response = httparse::Response::new(&mut []);
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, head, slots).map(|_| ())
    })
    .map_err(head::rule)
}

fn check(status: StatusCode, http_10: bool, mut fields: Fields, asked: Asked) -> Result<ResponseHead, &'static str> {
    let tunnel = match status {
        StatusCode::SWITCHING_PROTOCOLS if asked.upgrade && fields.upgrades() => true,
        StatusCode::SWITCHING_PROTOCOLS => return Err("101 without an upgrade"),
        _ => asked.connect && status.is_success(),
    };
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        // RFC 9110, 8.6: no length at all; Envoy forgives 0.
        if fields.length.is_some_and(|length| length > 0) || fields.coding != Coding::Absent {
            return Err("an answer without a body has a length");
        }
        fields.headers.remove(header::CONTENT_LENGTH);
    }
    let decoder = framing(status, http_10, &fields, asked, tunnel)?;
    let mut keep_alive = !fields.close && (!http_10 || fields.keep_alive);
    keep_alive &= !matches!(decoder, Decoder::UntilClose);
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    *response.version_mut() = if http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    *response.headers_mut() = fields.headers;
    Ok(ResponseHead { response, spelling: fields.spelling, decoder, keep_alive, tunnel })
}

fn framing(status: StatusCode, http_10: bool, fields: &Fields, asked: Asked, tunnel: bool) -> Result<Decoder, &'static str> {
    if fields.coding == Coding::Unsupported {
        return Err(head::UNSUPPORTED_CODING);
    }
    if fields.coding == Coding::Chunked && fields.length.is_some() {
        return Err("both Content-Length and Transfer-Encoding");
    }
    if fields.coding == Coding::Chunked && http_10 {
        return Err("Transfer-Encoding in HTTP/1.0");
    }
    if tunnel {
        return Ok(Decoder::UntilClose);
    }
    if asked.head || is_bodiless(status) {
        return Ok(Decoder::Ended);
    }
    Ok(match (fields.coding, fields.length) {
        (Coding::Chunked, _) => Decoder::Chunked(Chunked::padded()),
        (_, Some(length)) => Decoder::length(length),
        (_, None) => Decoder::UntilClose,
    })
}

/// Answers that end with their head.
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}
