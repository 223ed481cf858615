//! HTTP on the wire: bytes to messages and back, for both sides of the proxy.
//!
//! A codec frames messages and knows nothing of routes, clusters or policy. The server sides drive a `Service`; the
//! client sides send one request over one connection. After a 101, or a 2xx to CONNECT, both bodies of an exchange
//! carry the tunnel's bytes, so an upgraded stream is forwarded like any other body.

/// A message body, wherever it comes from.
pub mod body;
/// The end of service, as connections see it.
mod drain;
/// HTTP/1.0 and HTTP/1.1 (RFC 9112).
pub mod http1;
/// HTTP/2 (RFC 9113).
pub mod http2;

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::header::HeaderName;
use http::{Request, Response};

pub use body::{Body, BodyError, Message};
pub use drain::Drain;

/// What a server-side codec asks of the layer above.
pub trait Service {
    /// The body of an answer.
    type ResponseBody: Message + 'static;

    /// Answers one request. Dropped when the client goes away; `Err` ends the stream (HTTP/2 reset) or the connection
    /// (HTTP/1) without an answer.
    fn call(&self, incoming: Incoming) -> impl Future<Output = Result<Outgoing<Self::ResponseBody>, Abort>>;

    /// The answer to a request that could not be parsed, or did not arrive in time.
    fn reject(&self, fault: RequestFault) -> Outgoing<Self::ResponseBody>;
}

/// A request as the client sent it.
#[derive(Debug)]
pub struct Incoming {
    /// Head and body. HTTP/1 requests have the target as sent (origin, absolute, authority or asterisk form).
    pub request: Request<Body>,
    /// How header names were written.
    pub spelling: Spelling,
    /// Carries 1xx answers back before the final one.
    pub informational: Informational,
}

/// An answer, from the upstream or made here.
#[derive(Debug)]
pub struct Outgoing<B> {
    /// Head and body.
    pub response: Response<B>,
    /// How header names were written; HTTP/2 ignores it.
    pub spelling: Spelling,
}

impl<B> From<Response<B>> for Outgoing<B> {
    fn from(response: Response<B>) -> Self {
        Self { response, spelling: Spelling::Lower }
    }
}

/// How the header names of an HTTP/1 message were written, so that they go on as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spelling {
    /// All lower case, as in HTTP/2.
    #[default]
    Lower,
    /// `Each-Word` begins with a capital.
    Title,
    /// Anything else: the names that differ from lower case, as written.
    AsWritten(Vec<(HeaderName, Bytes)>),
}

/// Sends 1xx answers to the client; does nothing where the client cannot take them (HTTP/1.0).
#[derive(Clone, Default)]
pub struct Informational(pub Option<Rc<dyn Fn(Response<()>)>>);

impl Informational {
    /// Sends one 1xx answer.
    pub fn send(&self, response: Response<()>) {
        if let Some(send) = &self.0 {
            send(response);
        }
    }
}

impl fmt::Debug for Informational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Informational").field(&self.0.is_some()).finish()
    }
}

/// Ends an exchange without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The HTTP/2 error code to reset the stream with; HTTP/1 closes the connection.
    pub reason: h2::Reason,
}

/// Why a request could not be taken. The codec has closed, or will close, the connection where framing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFault {
    /// The head does not follow the grammar; the text names the rule, without quoting the peer's bytes. 400.
    Malformed(&'static str),
    /// The version is neither 1.0 nor 1.1, or 1.0 is switched off. 426, as Envoy.
    Version(&'static str),
    /// The body is in a transfer coding other than one chunked. 501.
    Coding(&'static str),
    /// Head larger than `max_head_bytes`, or more fields than `max_headers`. 431.
    HeadTooLarge(&'static str),
    /// The head was not complete in time. 408.
    HeadTimeout,
}

/// Marks a request whose target had a fragment, which `Uri` drops.
#[derive(Clone, Copy, Debug)]
pub struct Fragment;

/// The path of an HTTP/1 request where it has characters that a [`http::Uri`] must encode; the request's URI has them encoded.
#[derive(Clone, Debug)]
pub struct UnencodedPath(pub Bytes);

/// A peer's limits and habits on an HTTP/1 server connection.
#[derive(Clone, Debug)]
pub struct Http1Options {
    /// Bytes of request line and fields together.
    pub max_head_bytes: usize,
    /// Number of fields in a head, or in trailers.
    pub max_headers: usize,
    /// From the first byte of a head to its end.
    pub head_timeout: Option<std::time::Duration>,
    /// Without any request in progress.
    pub idle_timeout: Option<std::time::Duration>,
    /// Take every method that is a token (else the registered ones and WebDAV's).
    pub allow_custom_methods: bool,
    /// Answer HTTP/1.0 requests (else 426).
    pub accept_http_10: bool,
    /// Host to assume for an HTTP/1.0 request without one.
    pub default_host_for_http_10: Option<String>,
    /// Take `GET http://host/path` as a request for `host` (else it is passed on as it is).
    pub allow_absolute_url: bool,
    /// Take a request that has both Content-Length and `Transfer-Encoding: chunked` (else 400): Content-Length is removed.
    pub allow_chunked_length: bool,
    /// Keep trailers (else they are read and dropped).
    pub enable_trailers: bool,
    /// Requests served before the connection is closed.
    pub max_requests: Option<u32>,
    /// Bytes read ahead of, or waiting for, a slow side.
    pub buffer_limit: usize,
    /// How long a client may take nothing of an answer that waits for it.
    pub stall_timeout: Option<std::time::Duration>,
}

/// Limits of an HTTP/2 connection, either side.
#[derive(Clone, Debug)]
pub struct Http2Options {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub max_concurrent_streams: u32,
    /// SETTINGS_INITIAL_WINDOW_SIZE, bytes.
    pub initial_stream_window: u32,
    /// The connection's window, bytes.
    pub initial_connection_window: u32,
    /// SETTINGS_MAX_HEADER_LIST_SIZE, bytes.
    pub max_header_list_bytes: u32,
    /// Fields in one header block.
    pub max_headers: usize,
    /// Take extended CONNECT (RFC 8441).
    pub allow_connect: bool,
    /// Server only: without any stream open.
    pub idle_timeout: Option<std::time::Duration>,
    /// How long a peer may keep a stream's window, or its socket, shut before what waits for it.
    pub stall_timeout: Option<std::time::Duration>,
    /// PING when the connection was silent for this long.
    pub keepalive_interval: Option<std::time::Duration>,
    /// How long the answer to a PING may take.
    pub keepalive_timeout: std::time::Duration,
    /// Streams that a peer may reset before the connection is ended with ENHANCE_YOUR_CALM (CVE-2023-44487).
    pub max_reset_streams: usize,
    /// Requests served before GOAWAY.
    pub max_requests: Option<u32>,
}
