//! A request's head: parsed, checked, and what it says of the exchange.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Uri, Version};

use super::decode::Decoder;
use super::head::{self, Coding, Fields};
use crate::codec::{Body, Fragment, Http1Options, RequestFault, Spelling, UnencodedPath};

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
                Some(known_method(method.as_bytes(), options).and_then(|method| {
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
        Err(error) => Err(fault(error, &head, options)),
    }
}

/// Whether an unfinished head is wrong already.
pub(super) fn probe(head: &[u8], options: &Http1Options) -> Result<(), RequestFault> {
    let parsed =
        head::with_slots(options.max_headers, |slots| httparse::Request::new(&mut []).parse_with_uninit_headers(head, slots).map(|_| ()));
    match parsed {
        // The rest of the line decides which answer fits.
        Err(httparse::Error::Version) if !head.contains(&b'\n') => Ok(()),
        other => other.map_err(|error| fault(error, head, options)),
    }
}

fn fault(error: httparse::Error, head: &[u8], options: &Http1Options) -> RequestFault {
    match error {
        httparse::Error::TooManyHeaders => RequestFault::HeadTooLarge("too many fields"),
        httparse::Error::Version | httparse::Error::Token if has_other_version(head, options) => {
            RequestFault::Version("the version is neither HTTP/1.0 nor HTTP/1.1")
        }
        httparse::Error::HeaderName
        | httparse::Error::HeaderValue
        | httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Version
        | httparse::Error::Token => RequestFault::Malformed(head::rule(error)),
    }
}

/// Whether a request line is right but for its version, which is another one or, as in HTTP/0.9, not there.
fn has_other_version(head: &[u8], options: &Http1Options) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), version, None) = (words.next(), words.next(), words.next(), words.next()) else { return false };
    let version_fits = version.is_none_or(
        |version| matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit()),
    );
    let right = known_method(method, options).and_then(|method| parse_target(Bytes::copy_from_slice(target), &method));
    version_fits && line.len() < head.len() && right.is_ok()
}

/// Methods that are tokens but not among Ninon's own: those of WebDAV, UPnP and their relatives that Envoy knows.
const OTHER_METHODS: [&str; 24] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
];

fn known_method(method: &[u8], options: &Http1Options) -> Result<Method, &'static str> {
    let method = Method::from_bytes(method).map_err(|_| "invalid method")?;
    let usual = matches!(
        method,
        Method::GET
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::HEAD
            | Method::OPTIONS
            | Method::PATCH
            | Method::CONNECT
            | Method::TRACE
    );
    let known = usual || options.allow_custom_methods || OTHER_METHODS.contains(&method.as_str());
    if known { Ok(method) } else { Err("unknown method") }
}

fn check(method: Method, target: Bytes, http_10: bool, mut fields: Fields, options: &Http1Options) -> Result<RequestHead, RequestFault> {
    if http_10 && !options.accept_http_10 {
        return Err(RequestFault::Version("HTTP/1.0 is not accepted"));
    }
    let connect = method == Method::CONNECT;
    let decoder = framing(&mut fields, connect, options)?;
    let has_fragment = target.contains(&b'#');
    let unencoded = must_be_encoded(&target).then(|| target.clone());
    let target = if unencoded.is_some() { Bytes::from(percent_encoded(&target)) } else { target };
    let uri = parse_target(target, &method).map_err(RequestFault::Malformed)?;
    host(&mut fields, &uri, http_10, connect, options).map_err(RequestFault::Malformed)?;
    let upgrade = !http_10 && fields.upgrades() && !matches!(decoder, Decoder::Chunked(_));
    let facts = Facts {
        http_10,
        // RFC 9112, 6.1: HTTP/1.0 knows no transfer codings, so the connection ends behind one.
        keep_alive: !fields.close && (!http_10 || (fields.keep_alive && !matches!(decoder, Decoder::Chunked(_)))),
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
    if has_fragment {
        request.extensions_mut().insert(Fragment);
    }
    if let Some(path) = unencoded {
        request.extensions_mut().insert(UnencodedPath(path));
    }
    Ok(RequestHead { request, spelling: fields.spelling, decoder, facts })
}

/// The body's framing (RFC 9112, 6.3), refusing whatever two readers could take differently.
fn framing(fields: &mut Fields, connect: bool, options: &Http1Options) -> Result<Decoder, RequestFault> {
    let malformed = |rule| Err(RequestFault::Malformed(rule));
    match (fields.coding, fields.length) {
        (Coding::Unsupported, Some(_)) => malformed("both Content-Length and Transfer-Encoding"),
        (Coding::Chunked, Some(_)) if !options.allow_chunked_length => malformed("both Content-Length and Transfer-Encoding"),
        (Coding::Unsupported, None) => Err(RequestFault::Coding(head::UNSUPPORTED_CODING)),
        (Coding::Chunked, _) if connect => Err(RequestFault::Coding(head::UNSUPPORTED_CODING)),
        (Coding::Chunked, _) => {
            fields.headers.remove(header::CONTENT_LENGTH);
            Ok(Decoder::Chunked(super::chunked::Chunked::new()))
        }
        (Coding::Absent, Some(0)) if connect => {
            fields.headers.remove(header::CONTENT_LENGTH);
            Ok(Decoder::Ended)
        }
        (Coding::Absent, Some(_)) if connect => malformed("CONNECT with a Content-Length"),
        (Coding::Absent, length) => Ok(Decoder::length(length.unwrap_or(0))),
    }
}

/// Visible characters that a URI must encode and clients send all the same, in a path (as Envoy takes them).
const UNENCODED: [u8; 7] = [b'<', b'>', b'`', b'"', b'{', b'}', b'\\'];

fn must_be_encoded(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().any(|byte| matches!(byte, b'<' | b'>' | b'`')) && !target.contains(&b'#')
}

fn percent_encoded(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len().saturating_mul(3));
    for byte in target {
        if UNENCODED.contains(byte) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fn parse_target(target: Bytes, method: &Method) -> Result<Uri, &'static str> {
    if target.iter().any(|byte| !(0x21..0x7f).contains(byte)) {
        return Err("the target has a byte that must be encoded");
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

/// At most one host, from the field or from the target (RFC 9112, 3.2.2); the layer above refuses a request without.
fn host(fields: &mut Fields, uri: &Uri, http_10: bool, connect: bool, options: &Http1Options) -> Result<(), &'static str> {
    if fields.hosts > 1 {
        return Err("more than one Host");
    }
    let from_target = uri.authority().filter(|_| connect || options.allow_absolute_url).map(Authority::as_str);
    let assumed = match (from_target, fields.hosts) {
        (Some(authority), _) => Some(authority),
        (None, 0) if http_10 => options.default_host_for_http_10.as_deref(),
        (None, _) => None,
    };
    if let Some(assumed) = assumed {
        let value = HeaderValue::from_str(assumed).map_err(|_| "invalid host")?;
        fields.headers.insert(header::HOST, value);
    }
    match fields.headers.get(header::HOST) {
        Some(host) if !host.as_bytes().iter().copied().all(is_host_byte) => Err("invalid host"),
        _ => Ok(()),
    }
}

/// RFC 3986, 3.2: what an authority may be written with.
const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b'.' | b':' | b';' | b'=' | b'@' | b'[' | b']' | b'_' | b'~')
}
