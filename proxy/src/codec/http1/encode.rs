//! Messages as bytes. Framing fields and `connection` are written here, whatever the maps say.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, StatusCode};
use http_body::SizeHint;

use super::head::is_framing;
use super::response::is_bodiless;
use super::spelling::write_name;
use super::wire::Output;
use crate::codec::{Body, Spelling, UnencodedPath};

/// A body as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    /// Nothing more.
    Ended,
    /// That many bytes more.
    Length(u64),
    /// Chunks.
    Chunked,
    /// As it is, until the end of the connection.
    Raw,
    /// A request that asks for a tunnel: its bytes wait for the answer.
    Undecided,
}

impl Encoder {
    pub(super) fn is_ended(self) -> bool {
        self == Self::Ended
    }

    /// Writes a piece of the body; refuses one that is longer than announced.
    pub(super) fn data(&mut self, out: &mut Output, data: Bytes) -> Result<(), &'static str> {
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        match *self {
            Self::Length(left) => {
                *self = Self::Length(left.checked_sub(size).ok_or("the body is longer than its Content-Length")?);
                out.push(data);
            }
            Self::Chunked if size > 0 => {
                out.write(|flat| {
                    push_hexadecimal(flat, size);
                    flat.extend_from_slice(b"\r\n");
                });
                out.push(data);
                out.push(Bytes::from_static(b"\r\n"));
            }
            Self::Raw => out.push(data),
            Self::Ended if size > 0 => return Err("the body is longer than its Content-Length"),
            Self::Chunked | Self::Ended | Self::Undecided => {}
        }
        Ok(())
    }

    /// Ends the body; refuses one that is shorter than announced.
    pub(super) fn end(&mut self, out: &mut Output, trailers: Option<(&HeaderMap, &Spelling)>) -> Result<(), &'static str> {
        let before = std::mem::replace(self, Self::Ended);
        match before {
            Self::Length(1..) => return Err("the body is shorter than its Content-Length"),
            Self::Chunked => out.write(|flat| {
                flat.extend_from_slice(b"0\r\n");
                if let Some((trailers, spelling)) = trailers {
                    let trailers = trailers.iter().filter(|(name, _)| !is_framing(name));
                    trailers.for_each(|(name, value)| push_field(flat, name, value.as_bytes(), spelling));
                }
                flat.extend_from_slice(b"\r\n");
            }),
            Self::Length(0) | Self::Ended | Self::Raw | Self::Undecided => {}
        }
        Ok(())
    }
}

/// What a request makes of the head of its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answering {
    pub(super) http_10: bool,
    pub(super) head: bool,
    /// Both directions turn raw.
    pub(super) tunnel: bool,
    /// The connection stays open, unless the answer's framing needs its end.
    pub(super) keep_alive: bool,
}

/// Writes a response's head. Gives its body's framing and whether the connection stays open.
pub(super) fn response<B>(
    out: &mut Output,
    response: &Response<B>,
    hint: &SizeHint,
    spelling: &Spelling,
    answering: Answering,
) -> (Encoder, bool) {
    let headers = response.headers();
    let status = response.status();
    let announced = announced_length(headers);
    let bodiless = answering.head || is_bodiless(status);
    let (encoder, framing) = if answering.tunnel {
        (Encoder::Raw, Framing::Absent)
    } else if let Some(length) = hint.exact().filter(|_| !bodiless) {
        (Encoder::Length(length), Framing::Length(length))
    } else if bodiless {
        (Encoder::Ended, bodiless_framing(status, announced, hint, answering))
    } else if let Some(length) = announced {
        (Encoder::Length(length), Framing::Length(length))
    } else if answering.http_10 {
        (Encoder::Raw, Framing::Absent)
    } else {
        (Encoder::Chunked, Framing::Chunked)
    };
    let keep_alive = answering.keep_alive && (answering.tunnel || encoder != Encoder::Raw) && !asks_close(headers);
    out.write(|flat| {
        flat.extend_from_slice(if answering.http_10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
        push_status(flat, status);
        push_fields(flat, headers, spelling, answering.tunnel);
        push_framing(flat, framing, spelling);
        if answering.tunnel {
            push_tunnel_connection(flat, headers, spelling);
        } else if !keep_alive {
            push_field(flat, &header::CONNECTION, b"close", spelling);
        } else if answering.http_10 {
            push_field(flat, &header::CONNECTION, b"keep-alive", spelling);
        }
        flat.extend_from_slice(b"\r\n");
    });
    (encoder, keep_alive)
}

/// HEAD and 304 may say what GET would have; 1xx and 204 have no length to speak of.
fn bodiless_framing(status: StatusCode, announced: Option<u64>, hint: &SizeHint, answering: Answering) -> Framing {
    match (announced, hint.exact()) {
        (Some(length), _) => Framing::Length(length),
        (None, Some(length)) if length > 0 && answering.head && !is_bodiless(status) => Framing::Length(length),
        (None, _) if answering.head && !answering.http_10 && !is_bodiless(status) => Framing::Chunked,
        (None, _) => Framing::Absent,
    }
}

/// Writes an informational answer.
pub(super) fn informational(out: &mut Output, response: &Response<()>, spelling: &Spelling) {
    out.write(|flat| {
        flat.extend_from_slice(b"HTTP/1.1 ");
        push_status(flat, response.status());
        push_fields(flat, response.headers(), spelling, false);
        flat.extend_from_slice(b"\r\n");
    });
}

/// Writes a request's head; gives its body's framing.
pub(super) fn request(out: &mut Output, request: &Request<Body>, hint: &SizeHint, spelling: &Spelling, tunnel: bool) -> Encoder {
    let headers = request.headers();
    let method = request.method();
    let announced = announced_length(headers);
    // These usually have no body, so that nothing needs to say so (as Envoy).
    let usual = ![Method::GET, Method::HEAD, Method::DELETE, Method::TRACE].contains(method);
    let (encoder, framing) = match (hint.exact().or(announced), announced) {
        _ if *method == Method::CONNECT => (Encoder::Undecided, Framing::Absent),
        (None, _) if tunnel => (Encoder::Undecided, Framing::Absent),
        (Some(0), None) if tunnel || !usual => (if tunnel { Encoder::Undecided } else { Encoder::Ended }, Framing::Absent),
        (Some(length), _) => (Encoder::Length(length), Framing::Length(length)),
        (None, _) => (Encoder::Chunked, Framing::Chunked),
    };
    out.write(|flat| {
        flat.extend_from_slice(method.as_str().as_bytes());
        flat.push(b' ');
        match request.extensions().get::<UnencodedPath>() {
            Some(path) => flat.extend_from_slice(&path.0),
            None => push_target(flat, request.uri()),
        }
        flat.extend_from_slice(b" HTTP/1.1\r\n");
        if let Some(authority) = request.uri().authority().filter(|_| !headers.contains_key(header::HOST)) {
            push_field(flat, &header::HOST, authority.as_str().as_bytes(), spelling);
        }
        push_fields(flat, headers, spelling, tunnel);
        push_framing(flat, framing, spelling);
        if tunnel && headers.contains_key(header::UPGRADE) {
            push_tunnel_connection(flat, headers, spelling);
        } else if asks_close(headers) {
            push_field(flat, &header::CONNECTION, b"close", spelling);
        }
        flat.extend_from_slice(b"\r\n");
    });
    encoder
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Absent,
    Length(u64),
    Chunked,
}

fn push_framing(flat: &mut Vec<u8>, framing: Framing, spelling: &Spelling) {
    match framing {
        Framing::Absent => {}
        Framing::Length(length) => {
            write_name(flat, &header::CONTENT_LENGTH, spelling);
            flat.extend_from_slice(b": ");
            push_decimal(flat, length);
            flat.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => push_field(flat, &header::TRANSFER_ENCODING, b"chunked", spelling),
    }
}

fn push_tunnel_connection(flat: &mut Vec<u8>, headers: &HeaderMap, spelling: &Spelling) {
    if headers.contains_key(header::UPGRADE) {
        let given = headers.get(header::CONNECTION).filter(|given| mentions(given.as_bytes(), b"upgrade"));
        push_field(flat, &header::CONNECTION, given.map_or(b"upgrade".as_slice(), |given| given.as_bytes()), spelling);
    }
}

fn push_status(flat: &mut Vec<u8>, status: StatusCode) {
    flat.extend_from_slice(status.as_str().as_bytes());
    flat.push(b' ');
    flat.extend_from_slice(reason(status).as_bytes());
    flat.extend_from_slice(b"\r\n");
}

/// Envoy's words, which differ from the `http` crate's in a few.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        203 => "Non-Authoritative Information",
        418 | 451 => "Unknown",
        599 => "Last Unassigned Server Error Code",
        _ => status.canonical_reason().unwrap_or("Unknown"),
    }
}

fn push_fields(flat: &mut Vec<u8>, headers: &HeaderMap, spelling: &Spelling, with_upgrade: bool) {
    for (name, value) in headers {
        let ours = *name == header::CONNECTION
            || *name == header::CONTENT_LENGTH
            || *name == header::TRANSFER_ENCODING
            || (*name == header::UPGRADE && !with_upgrade);
        if !ours {
            push_field(flat, name, value.as_bytes(), spelling);
        }
    }
}

fn push_field(flat: &mut Vec<u8>, name: &HeaderName, value: &[u8], spelling: &Spelling) {
    write_name(flat, name, spelling);
    flat.extend_from_slice(b": ");
    flat.extend_from_slice(value);
    flat.extend_from_slice(b"\r\n");
}

fn push_target(flat: &mut Vec<u8>, uri: &http::Uri) {
    if let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) {
        flat.extend_from_slice(scheme.as_bytes());
        flat.extend_from_slice(b"://");
        flat.extend_from_slice(authority.as_str().as_bytes());
    } else if let Some(authority) = uri.authority().filter(|_| uri.path_and_query().is_none()) {
        flat.extend_from_slice(authority.as_str().as_bytes());
        return;
    }
    flat.extend_from_slice(uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).as_bytes());
}

/// The length that the layer above announces; a repeated or odd one is no length.
fn announced_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok().filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// Whether the connection is to end behind this message.
pub(super) fn asks_close(headers: &HeaderMap) -> bool {
    // Not `get_all`: to look at a few names is cheaper than to hash one.
    headers.iter().any(|(name, value)| *name == header::CONNECTION && mentions(value.as_bytes(), b"close"))
}

/// Whether a list has this token.
pub(super) fn mentions(list: &[u8], token: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token))
}

fn push_decimal(flat: &mut Vec<u8>, number: u64) {
    push_number(flat, number, 10);
}

fn push_hexadecimal(flat: &mut Vec<u8>, number: u64) {
    push_number(flat, number, 16);
}

fn push_number(flat: &mut Vec<u8>, mut number: u64, base: u32) {
    let start = flat.len();
    loop {
        let digit = u32::try_from(number % u64::from(base)).ok().and_then(|digit| char::from_digit(digit, base));
        flat.push(digit.and_then(|digit| u8::try_from(digit).ok()).unwrap_or(b'0'));
        number /= u64::from(base);
        if number == 0 {
            break;
        }
    }
    flat.get_mut(start..).unwrap_or_default().reverse();
}
