use std::borrow::Cow;
use std::time::SystemTime;

use http::{HeaderMap, Version};
use tokio::time::Instant;

use crate::config::address::Address;
use crate::config::format::{AddressPart, CertificatePart, Command, DurationUnit, FieldChoice, FieldName, PathSource, TimePoint};
use crate::exchange::{Certificate, RequestHead, ResponseFlag, StreamInfo, TlsInfo};
use crate::telemetry::substitution::{Exchange, Value, grpc, time};

/// Where a rewrite leaves the path that was asked for.
const ORIGINAL_PATH: &str = "x-envoy-original-path";
/// The request's identifier.
const REQUEST_ID: &str = "x-request-id";

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    fn bytes(bytes: &'a [u8]) -> Self {
        Self::Text(Cow::Borrowed(bytes))
    }
}

/// The value of a command; `None` when it is not known.
#[expect(clippy::wildcard_enum_match_arm, reason = "`of_info` lists the rest")]
pub fn value<'a>(command: &'a Command, exchange: &Exchange<'a>) -> Option<Value<'a>> {
    match command {
        Command::StartTime(format) => Some(Value::text(time::format(format, exchange.info.started_at))),
        Command::EmitTime(format) => Some(Value::text(time::format(format, SystemTime::now()))),
        Command::Request(choice) => request_field(choice, exchange).map(Value::bytes),
        Command::RequestWithoutQuery(choice) => request_field(choice, exchange).map(|value| Value::bytes(without_query(value))),
        Command::Response(choice) => choose(choice, |name| response_field(name, exchange)),
        Command::Trailer(choice) => choose(choice, |name| field(name, exchange.trailers?).map(Value::bytes)),
        Command::Path { query, source } => {
            let path = path(*source, exchange)?;
            Some(Value::bytes(if *query { path } else { without_query(path) }))
        }
        Command::GrpcStatus(format) => grpc::value(*format, exchange),
        Command::Duration { from, to, unit } => duration(exchange.info, *from, *to, *unit),
        Command::Hostname => Some(Value::text(exchange.hostname)),
        Command::LocalReplyBody => Some(Value::text(exchange.local_reply_body.unwrap_or_default())),
        Command::RequestHeadersBytes => Some(Value::Number(exchange.request.map_or(0, request_size))),
        Command::ResponseHeadersBytes => Some(Value::Number(response_size(exchange))),
        Command::ResponseTrailersBytes => Some(Value::Number(exchange.trailers.map_or(0, fields_size))),
        Command::StreamId => exchange.request?.headers.get(REQUEST_ID).map(|id| Value::bytes(id.as_bytes())),
        Command::UniqueId => Some(Value::text(unique_id())),
        Command::Metadata { filter, path } => exchange.info.metadata.as_deref()?.find(filter, path).map(Value::Found),
        Command::Unset => None,
        Command::RequestedServerName
        | Command::DownstreamTlsVersion
        | Command::DownstreamTlsCipher
        | Command::DownstreamPeer(_)
        | Command::DownstreamPeerValidFrom(_)
        | Command::DownstreamPeerExpires(_)
        | Command::DownstreamLocalCertificate(_) => of_tls(command, exchange.info.connection.tls.as_ref()?),
        _ => of_info(command, exchange.info),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`value` lists the commands that are not here")]
fn of_info<'a>(command: &Command, info: &'a StreamInfo) -> Option<Value<'a>> {
    match command {
        Command::BytesReceived => Some(Value::Number(info.bytes_received)),
        Command::BytesSent => Some(Value::Number(info.bytes_sent)),
        Command::Protocol => info.protocol.and_then(protocol).map(Value::text),
        Command::UpstreamProtocol => info.upstream.protocol.and_then(protocol).map(Value::text),
        // Envoy: 0 as long as there is none.
        Command::ResponseCode => Some(Value::Number(info.status.map_or(0, |status| u64::from(status.as_u16())))),
        Command::ResponseCodeDetails { spaces } => not_empty(&info.details).map(|details| worded(details, *spaces)),
        Command::ResponseFlags => Some(Value::text(info.flags.to_string())),
        Command::ResponseFlagsLong => Some(Value::text(long_flags(info))),
        Command::UpstreamHost => info.upstream.host.as_ref().and_then(|host| address(host, AddressPart::Whole)),
        Command::UpstreamCluster => info.upstream.cluster.as_ref().map(|name| Value::text(name.as_str())),
        Command::UpstreamLocal(part) => match info.upstream.local.as_ref()? {
            // Our end of a Unix socket has no name.
            Address::Unix(_) => None,
            local @ Address::Ip(_) => address(local, *part),
        },
        // Envoy: an endpoint that could not be reached has no remote address.
        Command::UpstreamRemote(part) => {
            info.upstream.local.as_ref().and(info.upstream.host.as_ref()).and_then(|host| address(host, *part))
        }
        Command::UpstreamPeer(part) => of_certificate(*part, info.upstream.tls.as_ref()?.peer.as_ref()?),
        Command::UpstreamTlsVersion => info.upstream.tls.as_ref()?.version.map(Value::text),
        Command::UpstreamTlsCipher => info.upstream.tls.as_ref()?.cipher.as_deref().map(Value::text),
        Command::UpstreamFailure => info.upstream.failure.as_deref().and_then(not_empty).map(|reason| worded(reason, false)),
        Command::UpstreamAttempts => Some(Value::Number(u64::from(info.upstream.attempts))),
        Command::DownstreamRemote(part) => address(&info.remote, *part),
        Command::DownstreamDirectRemote(part) => address(&info.connection.peer, *part),
        Command::DownstreamLocal(part) => address(&info.connection.local, *part),
        Command::ConnectionTerminationDetails => info.connection.termination.get().map(Value::text),
        Command::ConnectionId => Some(Value::Number(info.connection.id)),
        Command::RouteName => info.route.as_ref().and_then(|route| not_empty(&route.name)).map(Value::text),
        Command::ListenerName => not_empty(info.connection.listener.as_str()).map(Value::text),
        Command::TraceId => info.trace_id.as_deref().map(Value::text),
        _ => None,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "`value` hands only these commands over")]
fn of_tls<'a>(command: &Command, tls: &'a TlsInfo) -> Option<Value<'a>> {
    match command {
        Command::RequestedServerName => tls.sni.as_deref().and_then(not_empty).map(Value::text),
        Command::DownstreamTlsVersion => tls.version.map(Value::text),
        Command::DownstreamTlsCipher => tls.cipher.as_deref().map(Value::text),
        Command::DownstreamPeer(part) => of_certificate(*part, tls.peer.as_ref()?),
        Command::DownstreamLocalCertificate(part) => of_certificate(*part, tls.local.as_ref()?),
        Command::DownstreamPeerValidFrom(format) => Some(Value::text(time::format(format, tls.peer.as_ref()?.valid_from?))),
        Command::DownstreamPeerExpires(format) => Some(Value::text(time::format(format, tls.peer.as_ref()?.expires?))),
        _ => None,
    }
}

fn of_certificate(part: CertificatePart, certificate: &Certificate) -> Option<Value<'_>> {
    let list = |names: &[String]| (!names.is_empty()).then(|| Value::text(names.join(",")));
    let one = |text| not_empty(text).map(Value::text);
    match part {
        CertificatePart::Uris => list(&certificate.uris),
        CertificatePart::Hosts => list(&certificate.hosts),
        CertificatePart::Addresses => list(&certificate.addresses),
        CertificatePart::Mails => list(&certificate.mails),
        CertificatePart::Subject => one(&certificate.subject),
        CertificatePart::Issuer => one(&certificate.issuer),
        CertificatePart::Serial => one(&certificate.serial),
        CertificatePart::Fingerprint256 => one(&certificate.fingerprint_256),
        CertificatePart::Fingerprint1 => one(&certificate.fingerprint_1),
    }
}

fn choose<'a>(choice: &FieldChoice, find: impl Fn(&FieldName) -> Option<Value<'a>>) -> Option<Value<'a>> {
    find(&choice.first).or_else(|| choice.second.as_ref().and_then(find))
}

fn request_field<'a>(choice: &FieldChoice, exchange: &Exchange<'a>) -> Option<&'a [u8]> {
    let request = exchange.request?;
    let find = |name: &FieldName| match name {
        FieldName::Method => Some(request.method.as_str().as_bytes()),
        FieldName::Path => request.path.as_ref().map(|path| path.as_str().as_bytes()),
        FieldName::Authority => Some(request.authority.as_bytes()),
        FieldName::Scheme => Some(request.scheme.as_bytes()),
        FieldName::Protocol if request.method == http::Method::CONNECT => request.upgrade.as_deref().map(str::as_bytes),
        FieldName::Field(_) => field(name, &request.headers),
        FieldName::Protocol | FieldName::Status | FieldName::Missing => None,
    };
    find(&choice.first).or_else(|| choice.second.as_ref().and_then(find))
}

fn response_field<'a>(name: &FieldName, exchange: &Exchange<'a>) -> Option<Value<'a>> {
    if *name == FieldName::Status {
        return exchange.info.status.map(|status| Value::text(status.as_u16().to_string()));
    }
    field(name, exchange.response?).map(Value::bytes)
}

/// The first value, as Envoy.
fn field<'a>(name: &FieldName, fields: &'a HeaderMap) -> Option<&'a [u8]> {
    let FieldName::Field(name) = name else { return None };
    fields.get(name).map(http::HeaderValue::as_bytes)
}

fn path<'a>(source: PathSource, exchange: &Exchange<'a>) -> Option<&'a [u8]> {
    let request = exchange.request?;
    let original = || request.headers.get(ORIGINAL_PATH).map(http::HeaderValue::as_bytes);
    let current = || request.path.as_ref().map(|path| path.as_str().as_bytes());
    match source {
        PathSource::Original => original(),
        PathSource::Current => current(),
        PathSource::OriginalOrCurrent => original().or_else(current),
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| *byte == b'?').next().unwrap_or(path)
}

fn protocol(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("HTTP/1.0"),
        Version::HTTP_11 => Some("HTTP/1.1"),
        Version::HTTP_2 => Some("HTTP/2"),
        _ => None,
    }
}

fn not_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Spaces would break logs that are read by columns.
fn worded(text: &str, spaces: bool) -> Value<'_> {
    if spaces || !text.contains(char::is_whitespace) {
        return Value::text(text);
    }
    Value::text(text.replace(char::is_whitespace, "_"))
}

fn long_flags(info: &StreamInfo) -> String {
    if info.flags.is_empty() {
        return "-".to_owned();
    }
    let names: Vec<&str> = info.flags.iter().map(ResponseFlag::name).collect();
    names.join(",")
}

fn address(address: &Address, part: AddressPart) -> Option<Value<'static>> {
    match (address, part) {
        (Address::Ip(socket), AddressPart::Host) => Some(Value::text(socket.ip().to_string())),
        (Address::Ip(socket), AddressPart::Port) => Some(Value::Number(u64::from(socket.port()))),
        (Address::Ip(_), AddressPart::Whole) | (Address::Unix(_), AddressPart::Whole | AddressPart::Host) => {
            Some(Value::text(address.to_string()))
        }
        (Address::Unix(_), AddressPart::Port) => Some(Value::text("")),
    }
}

fn duration(info: &StreamInfo, from: TimePoint, to: TimePoint, unit: DurationUnit) -> Option<Value<'static>> {
    let elapsed = moment(info, to)?.checked_duration_since(moment(info, from)?)?;
    let count = match unit {
        DurationUnit::Milliseconds => elapsed.as_millis(),
        DurationUnit::Microseconds => elapsed.as_micros(),
        DurationUnit::Nanoseconds => elapsed.as_nanos(),
    };
    Some(Value::Number(u64::try_from(count).unwrap_or(u64::MAX)))
}

fn moment(info: &StreamInfo, point: TimePoint) -> Option<Instant> {
    match point {
        TimePoint::RequestBegan => Some(info.started),
        TimePoint::RequestEnded => info.request_ended,
        TimePoint::UpstreamRequestBegan => info.upstream.request_began,
        TimePoint::UpstreamRequestEnded => info.upstream.request_ended,
        TimePoint::UpstreamResponseBegan => info.upstream.response_began,
        TimePoint::UpstreamResponseEnded => info.upstream.response_ended,
        TimePoint::ResponseBegan => info.response_began,
        TimePoint::ResponseEnded => info.ended,
        TimePoint::EndOrNow => Some(info.ended.unwrap_or_else(Instant::now)),
        TimePoint::Unset => None,
    }
}

/// Names and values, as Envoy counts them.
fn request_size(request: &RequestHead) -> u64 {
    let size = |name: &str, value: usize| name.len().saturating_add(value);
    let pseudo = size(":method", request.method.as_str().len())
        .saturating_add(size(":scheme", request.scheme.len()))
        .saturating_add(size(":authority", request.authority.len()))
        .saturating_add(request.path.as_ref().map_or(0, |path| size(":path", path.as_str().len())));
    u64::try_from(pseudo).unwrap_or(u64::MAX).saturating_add(fields_size(&request.headers))
}

fn response_size(exchange: &Exchange<'_>) -> u64 {
    let status = if exchange.info.status.is_some() { 10 } else { 0 };
    exchange.response.map_or(0, |fields| fields_size(fields).saturating_add(status))
}

fn fields_size(fields: &HeaderMap) -> u64 {
    let bytes = fields.iter().fold(0usize, |sum, (name, value)| sum.saturating_add(name.as_str().len()).saturating_add(value.len()));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A random UUID (RFC 9562, version 4).
fn unique_id() -> String {
    let random = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let digits = format!("{random:032x}");
    let mut out = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}
