//! Envoy's substitution format (`%REQ(X)%`), parsed.
//!
//! Source: envoyproxy.io, "Access logging", section "Command operators"; what is refused was asked of Envoy 1.40.

/// Names of commands, and which of them take parameters.
mod command;
/// From text to parts.
mod parse;
/// Formats of time (`%START_TIME(%Y-%m-%d)%`).
mod time;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use http::header::HeaderName;

pub use time::{TimeFormat, TimeItem};

/// Envoy's access-log format where none is configured.
pub const DEFAULT_ACCESS_LOG: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// A text with commands in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Parts in order. Literals are never empty, and two never follow each other.
    pub items: Vec<FormatItem>,
}

impl Format {
    /// Reads a format. `%%` is a percent sign.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        parse::format(text)
    }

    /// The only command, if there is nothing else; such a format keeps its type in JSON.
    pub fn single(&self) -> Option<(&Command, Option<usize>)> {
        match self.items.as_slice() {
            [FormatItem::Command(command, limit)] => Some((command, *limit)),
            _ => None,
        }
    }
}

/// A part of a [`Format`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatItem {
    /// As it is.
    Literal(String),
    /// A command, and the number of bytes its value is cut to.
    Command(Command, Option<usize>),
}

/// Why a text is not a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// Byte offset of the command.
    pub position: usize,
    /// The command as written, cut where it is long.
    pub text: String,
    /// The rule that it breaks.
    pub rule: Cow<'static, str>,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at position {}: {}", self.text, self.position, self.rule)
    }
}

impl std::error::Error for FormatError {}

/// What a command stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `%START_TIME%`: when the request began.
    StartTime(TimeFormat),
    /// `%EMIT_TIME%`: now.
    EmitTime(TimeFormat),
    /// `%REQ(X?Y)%`: a request header as it is now, rewrites included.
    Request(FieldChoice),
    /// `%REQ_WITHOUT_QUERY(X?Y)%`: a request header up to its `?`.
    RequestWithoutQuery(FieldChoice),
    /// `%RESP(X?Y)%`.
    Response(FieldChoice),
    /// `%TRAILER(X?Y)%`: of the response.
    Trailer(FieldChoice),
    /// `%PATH(WQ:ORIG)%`.
    Path {
        /// With the query.
        query: bool,
        /// Before or after a rewrite.
        source: PathSource,
    },
    /// `%REQUEST_HEADERS_BYTES%`.
    RequestHeadersBytes,
    /// `%RESPONSE_HEADERS_BYTES%`.
    ResponseHeadersBytes,
    /// `%RESPONSE_TRAILERS_BYTES%`.
    ResponseTrailersBytes,
    /// `%BYTES_RECEIVED%`.
    BytesReceived,
    /// `%BYTES_SENT%`.
    BytesSent,
    /// `%PROTOCOL%`.
    Protocol,
    /// `%UPSTREAM_PROTOCOL%`.
    UpstreamProtocol,
    /// `%RESPONSE_CODE%`.
    ResponseCode,
    /// `%RESPONSE_CODE_DETAILS%`.
    ResponseCodeDetails {
        /// `(ALLOW_WHITESPACES)`; else a space is written `_`.
        spaces: bool,
    },
    /// `%RESPONSE_FLAGS%`.
    ResponseFlags,
    /// `%RESPONSE_FLAGS_LONG%`.
    ResponseFlagsLong,
    /// `%GRPC_STATUS%`, `%GRPC_STATUS_NUMBER%`.
    GrpcStatus(GrpcStatusFormat),
    /// `%DURATION%`, `%REQUEST_DURATION%`, ..., `%COMMON_DURATION(a:b:unit)%`.
    Duration {
        /// From.
        from: TimePoint,
        /// To.
        to: TimePoint,
        /// Counted in.
        unit: DurationUnit,
    },
    /// `%UPSTREAM_HOST%`.
    UpstreamHost,
    /// `%UPSTREAM_CLUSTER%`, `%UPSTREAM_CLUSTER_RAW%`.
    UpstreamCluster,
    /// `%UPSTREAM_LOCAL_ADDRESS%` and its parts.
    UpstreamLocal(AddressPart),
    /// `%UPSTREAM_REMOTE_ADDRESS%` and its parts.
    UpstreamRemote(AddressPart),
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`.
    UpstreamFailure,
    /// `%UPSTREAM_REQUEST_ATTEMPT_COUNT%`.
    UpstreamAttempts,
    /// `%DOWNSTREAM_REMOTE_ADDRESS%` and its parts.
    DownstreamRemote(AddressPart),
    /// `%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%` and its parts.
    DownstreamDirectRemote(AddressPart),
    /// `%DOWNSTREAM_LOCAL_ADDRESS%` and its parts.
    DownstreamLocal(AddressPart),
    /// `%CONNECTION_ID%`.
    ConnectionId,
    /// `%CONNECTION_TERMINATION_DETAILS%`
    ConnectionTerminationDetails,
    /// `%STREAM_ID%`: the request's identifier.
    StreamId,
    /// `%UNIQUE_ID%`: another one each time.
    UniqueId,
    /// `%REQUESTED_SERVER_NAME%`.
    RequestedServerName,
    /// `%DOWNSTREAM_TLS_VERSION%`.
    DownstreamTlsVersion,
    /// `%DOWNSTREAM_TLS_CIPHER%`.
    DownstreamTlsCipher,
    /// `%DOWNSTREAM_PEER_URI_SAN%` and its like.
    DownstreamPeer(CertificatePart),
    /// What the endpoint's certificate says.
    UpstreamPeer(CertificatePart),
    /// Version of TLS to the endpoint.
    UpstreamTlsVersion,
    /// Cipher suite of it.
    UpstreamTlsCipher,
    /// `%DOWNSTREAM_LOCAL_URI_SAN%` and its like.
    DownstreamLocalCertificate(CertificatePart),
    /// `%DOWNSTREAM_PEER_CERT_V_START%`
    DownstreamPeerValidFrom(TimeFormat),
    /// `%DOWNSTREAM_PEER_CERT_V_END%`
    DownstreamPeerExpires(TimeFormat),
    /// `%ROUTE_NAME%`.
    RouteName,
    /// `%LISTENER_NAME%`.
    ListenerName,
    /// `%HOSTNAME%`.
    Hostname,
    /// `%TRACE_ID%`.
    TraceId,
    /// `%LOCAL_REPLY_BODY%`.
    LocalReplyBody,
    /// `%DYNAMIC_METADATA(filter:name:name)%`: what a filter has found out.
    Metadata {
        /// Which filter.
        filter: String,
        /// The names that lead to the value; none: all that it has found out.
        path: Vec<String>,
    },
    /// What nothing here sets, so that it is never known: filter state, ...
    Unset,
}

/// One header, or another where the first is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChoice {
    /// Looked at first.
    pub first: FieldName,
    /// Looked at where the first is missing.
    pub second: Option<FieldName>,
}

/// A header that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldName {
    /// An ordinary field.
    Field(HeaderName),
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:authority`, `host`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:protocol`.
    Protocol,
    /// `:status`.
    Status,
    /// Another pseudo-header, or no name at all: never there.
    Missing,
}

/// Which path is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSource {
    /// Before a rewrite; missing where there was none.
    Original,
    /// As it is now.
    Current,
    /// Before a rewrite, else as it is now.
    OriginalOrCurrent,
}

/// How a gRPC status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatusFormat {
    /// `NotFound`.
    Camel,
    /// `NOT_FOUND`.
    Snake,
    /// `5`.
    Number,
}

/// What is told of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificatePart {
    /// Its URI names.
    Uris,
    /// Its DNS names.
    Hosts,
    /// Its addresses.
    Addresses,
    /// Its mail addresses.
    Mails,
    /// Its owner.
    Subject,
    /// Who issued it.
    Issuer,
    /// Its number.
    Serial,
    /// SHA-256 of it.
    Fingerprint256,
    /// SHA-1 of it.
    Fingerprint1,
}

/// Which part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPart {
    /// All of it.
    Whole,
    /// Without the port.
    Host,
    /// The port.
    Port,
}

/// A moment in a request's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePoint {
    /// `DS_RX_BEG`: the request began.
    RequestBegan,
    /// `DS_RX_END`: its last byte was read.
    RequestEnded,
    /// `US_TX_BEG`: its first byte was sent upstream.
    UpstreamRequestBegan,
    /// `US_TX_END`: its last byte was sent upstream.
    UpstreamRequestEnded,
    /// `US_RX_BEG`: the response's first byte was read.
    UpstreamResponseBegan,
    /// `US_RX_END`: the response's last byte was read.
    UpstreamResponseEnded,
    /// `DS_TX_BEG`: the response's first byte was written.
    ResponseBegan,
    /// `DS_TX_END`: the response's last byte was written.
    ResponseEnded,
    /// The end; now, as long as it is not over.
    EndOrNow,
    /// One that nothing here sets.
    Unset,
}

/// What a duration is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationUnit {
    /// `ms`.
    Milliseconds,
    /// `us`.
    Microseconds,
    /// `ns`.
    Nanoseconds,
}
