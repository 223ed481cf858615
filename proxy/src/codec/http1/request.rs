//! A request's head: parsed, checked, and what it says of the exchange.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};

use super::decode::Decoder;
use super::head::{self, Coding, Fields};
use crate::codec::{Body, Http1Options, RequestFault, Spelling};

/// A request that may be served.
#[derive(Debug)]
pub(super) struct RequestHead {
    /// Its body is not yet attached.
    pub(super) request: Request<Body>,
    pub(super) spelling: Spelling,
    pub(super) decoder: Decoder,
    pub(super) facts: Facts,
}

/// What a request says of its exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) http_10: bool,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    /// It is CONNECT, or asks for another protocol.
    pub(super) tunnel: bool,
    pub(super) connect: bool,
    pub(super) head: bool,
}

/// Parses a complete head.
pub(super) fn parse(head: Bytes, options: &Http1Options) -> Result<RequestHead, RequestFault> {
    let parsed = head::with_slots(options.max_headers, |slots| {
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(&head, slots)?;
        Ok(match (status, request.method, request.path, request.version) {
            (httparse::Status::Complete(length), Some(method), Some(target), Some(version)) if length == head.len() => {
                Some(Method::from_bytes(method.as_bytes()).map_err(|_| "invalid method").and_then(|method| {
                    let target = head.slice_ref(target.as_bytes());
                    Ok((method, target, version, Fields::collect(&head, request.headers)?))
                }))
            }
            _ => None,
        })
    });
    match parsed {
        Ok(Some(Ok((method, target, version, fields)))) => check(method, target, version == 0, fields, options),
        Ok(Some(Err(rule))) => Err(RequestFault::Malformed(rule)),
        Ok(None) => Err(RequestFault::Malformed("the head ends early")),
        Err(error) => Err(fault(error)),
    }
}

/// Whether an unfinished head is wrong already.
pub(super) fn probe(head: &[u8], options: &Http1Options) -> Result<(), RequestFault> {
    head::with_slots(options.max_headers, |slots| httparse::Request::new(&mut []).parse_with_uninit_headers(head, slots).map(|_| ()))
        .map_err(fault)
}

const fn fault(error: httparse::Error) -> RequestFault {
    match error {
        httparse::Error::TooManyHeaders => RequestFault::HeadTooLarge("too many fields"),
        httparse::Error::Version => RequestFault::Version("the version is neither HTTP/1.0 nor HTTP/1.1"),
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token => RequestFault::Malformed(head::rule(error)),
    }
}

fn check(method: Method, target: Bytes, http_10: bool, mut fields: Fields, options: &Http1Options) -> Result<RequestHead, RequestFault> {
    if http_10 && !options.accept_http_10 {
        return Err(RequestFault::Version("HTTP/1.0 is not accepted"));
    }
    let connect = method == Method::CONNECT;
    let decoder = framing(&mut fields, http_10, connect, options).map_err(RequestFault::Malformed)?;
    let uri = parse_target(target, &method).map_err(RequestFault::Malformed)?;
    host(&mut fields, &uri, http_10, connect, options).map_err(RequestFault::Malformed)?;
    let upgrade = !http_10 && fields.upgrades() && !matches!(decoder, Decoder::Chunked(_));
    let facts = Facts {
        http_10,
        keep_alive: !fields.close && (!http_10 || fields.keep_alive),
        expects_continue: !http_10 && fields.expects_continue && !decoder.is_ended(),
        tunnel: connect || upgrade,
        connect,
        head: method == Method::HEAD,
    };
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = if http_10 { Version::HTTP_10 } else { Version::HTTP_11 };
    *request.headers_mut() = fields.headers;
    Ok(RequestHead { request, spelling: fields.spelling, decoder, facts })
}

/// The body's framing (RFC 9112, 6.3), refusing whatever two readers could take differently.
fn framing(fields: &mut Fields, http_10: bool, connect: bool, options: &Http1Options) -> Result<Decoder, &'static str> {
    match (fields.coding, fields.length) {
        (Coding::Unsupported, _) => Err(head::UNSUPPORTED_CODING),
        (Coding::Chunked, _) if http_10 => Err("Transfer-Encoding in HTTP/1.0"),
        (Coding::Chunked, _) if connect => Err(head::UNSUPPORTED_CODING),
        (Coding::Chunked, Some(_)) if !options.allow_chunked_length => Err("both Content-Length and Transfer-Encoding"),
        (Coding::Chunked, _) => {
            fields.headers.remove(header::CONTENT_LENGTH);
            Ok(Decoder::Chunked(super::chunked::Chunked::new()))
        }
        (Coding::Absent, Some(0)) if connect => {
            fields.headers.remove(header::CONTENT_LENGTH);
            Ok(Decoder::Ended)
        }
        (Coding::Absent, Some(_)) if connect => Err("CONNECT with a Content-Length"),
        (Coding::Absent, length) => Ok(Decoder::length(length.unwrap_or(0))),
    }
}

fn parse_target(target: Bytes, method: &Method) -> Result<Uri, &'static str> {
    if target.iter().any(|byte| !(0x21..0x7f).contains(byte)) {
        return Err("the target has a byte that must be encoded");
    }
    if target.contains(&b'#') {
        return Err("the target has a fragment");
    }
    let first = target.first().copied();
    let asterisk = target.as_ref() == b"*";
    let uri = Uri::from_maybe_shared(target).map_err(|_| "invalid target")?;
    let authority = uri.authority().map(Authority::as_str);
    if authority.is_some_and(|authority| authority.contains('@')) {
        return Err("the target has user information");
    }
    let fits = if *method == Method::CONNECT {
        authority.is_some() && uri.scheme().is_none()
    } else if asterisk {
        *method == Method::OPTIONS
    } else {
        first == Some(b'/') || matches!(uri.scheme_str(), Some("http" | "https")) && authority.is_some()
    };
    if fits { Ok(uri) } else { Err("the target does not suit the method") }
}

/// Exactly one host, from the field or from the target (RFC 9112, 3.2.2).
fn host(fields: &mut Fields, uri: &Uri, http_10: bool, connect: bool, options: &Http1Options) -> Result<(), &'static str> {
    if fields.hosts > 1 {
        return Err("more than one Host");
    }
    let from_target = uri.authority().filter(|_| connect || options.allow_absolute_url).map(Authority::as_str);
    let assumed = match (from_target, fields.hosts) {
        (Some(authority), _) => Some(authority),
        (None, 0) if http_10 => Some(options.default_host_for_http_10.as_deref().ok_or("no Host")?),
        (None, 0) => return Err("no Host"),
        (None, _) => None,
    };
    if let Some(assumed) = assumed {
        let value = HeaderValue::from_str(assumed).map_err(|_| "invalid host")?;
        fields.headers.insert(header::HOST, value);
    }
    Ok(())
}
