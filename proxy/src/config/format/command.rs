use std::borrow::Cow;

use http::header::HeaderName;

use super::time::TimeFormat;
use super::{AddressPart, CertificatePart, Command, DurationUnit, FieldChoice, FieldName, GrpcStatusFormat, PathSource, TimePoint};

/// A command as it was written.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    /// `REQ`.
    pub(super) name: &'a str,
    /// What stands in parentheses.
    pub(super) text: &'a str,
    /// What stands after the colon.
    pub(super) length: Option<usize>,
}

type Rule = Cow<'static, str>;

/// The command, or the rule that it breaks.
pub(super) fn command(written: &Parameters<'_>) -> Result<Command, Rule> {
    if let Some((_, command)) = PLAIN.iter().find(|(name, _)| *name == written.name) {
        written.nothing()?;
        return Ok(command.clone());
    }
    if UNSET.contains(&written.name) {
        written.required()?;
        return Ok(Command::Unset);
    }
    match written.name {
        "REQ" | "REQUEST_HEADER" | "STREAM_INFO_REQ" => written.field().map(Command::Request),
        "REQ_WITHOUT_QUERY" => written.field().map(Command::RequestWithoutQuery),
        "RESP" | "RESPONSE_HEADER" => written.field().map(Command::Response),
        "TRAILER" | "RESPONSE_TRAILER" => written.field().map(Command::Trailer),
        "PATH" => path(written.text),
        "START_TIME" => written.time().map(Command::StartTime),
        "EMIT_TIME" => written.time().map(Command::EmitTime),
        "DOWNSTREAM_PEER_CERT_V_START" => written.time().map(Command::DownstreamPeerValidFrom),
        "DOWNSTREAM_PEER_CERT_V_END" => written.time().map(Command::DownstreamPeerExpires),
        "DYNAMIC_METADATA" => written.metadata(),
        "GRPC_STATUS" => written.no_length().and_then(|()| grpc_status(written.text)),
        "RESPONSE_CODE_DETAILS" => {
            written.no_length().map(|()| Command::ResponseCodeDetails { spaces: written.text == "ALLOW_WHITESPACES" })
        }
        "REQUESTED_SERVER_NAME" => server_name(written),
        "COMMON_DURATION" => written.no_length().and_then(|()| written.required()).and_then(|()| duration(written.text)),
        "ENVIRONMENT" => Err("the environment is not read here: write the value itself".into()),
        "START_TIME_LOCAL" | "EMIT_TIME_LOCAL" => Err("local time is not supported: use START_TIME, which is UTC".into()),
        known if UNSUPPORTED.iter().any(|family| known.starts_with(family)) => Err(format!("{known} is not supported").into()),
        unknown => Err(format!("there is no command {unknown}").into()),
    }
}

impl Parameters<'_> {
    fn nothing(&self) -> Result<(), Rule> {
        if self.text.is_empty() && self.length.is_none() {
            return Ok(());
        }
        Err(format!("{} does not take any parameters or length", self.name).into())
    }

    fn required(&self) -> Result<(), Rule> {
        if self.text.is_empty() { Err(format!("{} requires parameters", self.name).into()) } else { Ok(()) }
    }

    fn no_length(&self) -> Result<(), Rule> {
        match self.length {
            None => Ok(()),
            Some(_) => Err(format!("{} does not allow length to be specified", self.name).into()),
        }
    }

    fn time(&self) -> Result<TimeFormat, Rule> {
        self.no_length()?;
        TimeFormat::parse(self.text)
    }

    fn metadata(&self) -> Result<Command, Rule> {
        self.required()?;
        let mut names = self.text.split(':').map(str::to_owned);
        Ok(Command::Metadata { filter: names.next().unwrap_or_default(), path: names.collect() })
    }

    fn field(&self) -> Result<FieldChoice, Rule> {
        self.required()?;
        let mut names = self.text.split('?');
        let first = field_name(names.next().unwrap_or_default())?;
        let second = names.next().filter(|name| !name.is_empty()).map(field_name).transpose()?;
        match names.next() {
            None => Ok(FieldChoice { first, second }),
            Some(_) => Err(format!("more than one alternative header in {:?}", self.text).into()),
        }
    }
}

fn field_name(name: &str) -> Result<FieldName, Rule> {
    let lower = name.to_ascii_lowercase();
    Ok(match lower.as_str() {
        "" => FieldName::Missing,
        ":method" => FieldName::Method,
        ":path" => FieldName::Path,
        ":authority" | "host" => FieldName::Authority,
        ":scheme" => FieldName::Scheme,
        ":protocol" => FieldName::Protocol,
        ":status" => FieldName::Status,
        other => match HeaderName::try_from(other.strip_prefix(':').unwrap_or(other)) {
            Ok(_) if other.starts_with(':') => FieldName::Missing,
            Ok(field) => FieldName::Field(field),
            Err(_) => return Err(format!("{name:?} is not the name of a header").into()),
        },
    })
}

fn path(text: &str) -> Result<Command, Rule> {
    let (query, source) = text.split_once(':').unwrap_or((text, ""));
    let query = match query {
        "" | "WQ" => true,
        "NQ" => false,
        other => return Err(format!("{other:?} is not WQ or NQ").into()),
    };
    // Envoy: what follows a second colon is not looked at.
    let source = match source.split(':').next().unwrap_or_default() {
        "" | "ORIG_OR_PATH" => PathSource::OriginalOrCurrent,
        "ORIG" => PathSource::Original,
        "PATH" => PathSource::Current,
        other => return Err(format!("{other:?} is not ORIG, PATH or ORIG_OR_PATH").into()),
    };
    Ok(Command::Path { query, source })
}

fn grpc_status(text: &str) -> Result<Command, Rule> {
    match text {
        "" | "CAMEL_STRING" => Ok(Command::GrpcStatus(GrpcStatusFormat::Camel)),
        "SNAKE_STRING" => Ok(Command::GrpcStatus(GrpcStatusFormat::Snake)),
        "NUMBER" => Ok(Command::GrpcStatus(GrpcStatusFormat::Number)),
        other => Err(format!("{other:?} is not CAMEL_STRING, SNAKE_STRING or NUMBER").into()),
    }
}

fn server_name(written: &Parameters<'_>) -> Result<Command, Rule> {
    written.no_length()?;
    match written.text {
        "" | "SNI_ONLY" => Ok(Command::RequestedServerName),
        other => Err(format!("{other:?} is not supported: only SNI_ONLY is").into()),
    }
}

fn duration(text: &str) -> Result<Command, Rule> {
    let parts: Vec<&str> = text.split(':').collect();
    let (from, to, unit) = match parts.as_slice() {
        [from, to] => (from, to, "ms"),
        [from, to, unit] => (from, to, *unit),
        _ => return Err(format!("{text:?} is not begin:end or begin:end:unit").into()),
    };
    let unit = match unit {
        "ms" => DurationUnit::Milliseconds,
        "us" => DurationUnit::Microseconds,
        "ns" => DurationUnit::Nanoseconds,
        other => return Err(format!("{other:?} is not ms, us or ns").into()),
    };
    Ok(Command::Duration { from: time_point(from), to: time_point(to), unit })
}

fn time_point(name: &str) -> TimePoint {
    match name {
        "DS_RX_BEG" => TimePoint::RequestBegan,
        "DS_RX_END" => TimePoint::RequestEnded,
        "US_TX_BEG" => TimePoint::UpstreamRequestBegan,
        "US_TX_END" => TimePoint::UpstreamRequestEnded,
        "US_RX_BEG" => TimePoint::UpstreamResponseBegan,
        "US_RX_END" => TimePoint::UpstreamResponseEnded,
        "DS_TX_BEG" => TimePoint::ResponseBegan,
        "DS_TX_END" => TimePoint::ResponseEnded,
        // Envoy: other names are points that a filter may set.
        _ => TimePoint::Unset,
    }
}

const fn milliseconds(from: TimePoint, to: TimePoint) -> Command {
    Command::Duration { from, to, unit: DurationUnit::Milliseconds }
}

/// Commands without parameters.
static PLAIN: [(&str, Command); 69] = [
    ("PROTOCOL", Command::Protocol),
    ("RESPONSE_CODE", Command::ResponseCode),
    ("RESPONSE_FLAGS", Command::ResponseFlags),
    ("RESPONSE_FLAGS_LONG", Command::ResponseFlagsLong),
    ("BYTES_RECEIVED", Command::BytesReceived),
    ("BYTES_SENT", Command::BytesSent),
    ("DURATION", milliseconds(TimePoint::RequestBegan, TimePoint::EndOrNow)),
    ("REQUEST_DURATION", milliseconds(TimePoint::RequestBegan, TimePoint::RequestEnded)),
    ("REQUEST_TX_DURATION", milliseconds(TimePoint::RequestBegan, TimePoint::UpstreamRequestEnded)),
    ("RESPONSE_DURATION", milliseconds(TimePoint::RequestBegan, TimePoint::UpstreamResponseBegan)),
    ("RESPONSE_TX_DURATION", milliseconds(TimePoint::UpstreamResponseBegan, TimePoint::ResponseEnded)),
    ("REQUEST_HEADERS_BYTES", Command::RequestHeadersBytes),
    ("RESPONSE_HEADERS_BYTES", Command::ResponseHeadersBytes),
    ("RESPONSE_TRAILERS_BYTES", Command::ResponseTrailersBytes),
    ("GRPC_STATUS_NUMBER", Command::GrpcStatus(GrpcStatusFormat::Number)),
    ("UPSTREAM_PROTOCOL", Command::UpstreamProtocol),
    ("UPSTREAM_HOST", Command::UpstreamHost),
    ("UPSTREAM_CLUSTER", Command::UpstreamCluster),
    ("UPSTREAM_CLUSTER_RAW", Command::UpstreamCluster),
    ("UPSTREAM_LOCAL_ADDRESS", Command::UpstreamLocal(AddressPart::Whole)),
    ("UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Command::UpstreamLocal(AddressPart::Host)),
    ("UPSTREAM_LOCAL_PORT", Command::UpstreamLocal(AddressPart::Port)),
    ("UPSTREAM_REMOTE_ADDRESS", Command::UpstreamRemote(AddressPart::Whole)),
    ("UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Command::UpstreamRemote(AddressPart::Host)),
    ("UPSTREAM_REMOTE_PORT", Command::UpstreamRemote(AddressPart::Port)),
    ("UPSTREAM_TLS_VERSION", Command::UpstreamTlsVersion),
    ("UPSTREAM_TLS_CIPHER", Command::UpstreamTlsCipher),
    ("UPSTREAM_PEER_URI_SAN", Command::UpstreamPeer(CertificatePart::Uris)),
    ("UPSTREAM_PEER_DNS_SAN", Command::UpstreamPeer(CertificatePart::Hosts)),
    ("UPSTREAM_PEER_IP_SAN", Command::UpstreamPeer(CertificatePart::Addresses)),
    ("UPSTREAM_PEER_SUBJECT", Command::UpstreamPeer(CertificatePart::Subject)),
    ("UPSTREAM_PEER_ISSUER", Command::UpstreamPeer(CertificatePart::Issuer)),
    ("UPSTREAM_TRANSPORT_FAILURE_REASON", Command::UpstreamFailure),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", Command::UpstreamAttempts),
    ("DOWNSTREAM_REMOTE_ADDRESS", Command::DownstreamRemote(AddressPart::Whole)),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Command::DownstreamRemote(AddressPart::Host)),
    ("DOWNSTREAM_REMOTE_PORT", Command::DownstreamRemote(AddressPart::Port)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Command::DownstreamDirectRemote(AddressPart::Whole)),
    ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Command::DownstreamDirectRemote(AddressPart::Host)),
    ("DOWNSTREAM_DIRECT_REMOTE_PORT", Command::DownstreamDirectRemote(AddressPart::Port)),
    ("DOWNSTREAM_LOCAL_ADDRESS", Command::DownstreamLocal(AddressPart::Whole)),
    ("DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Command::DownstreamLocal(AddressPart::Host)),
    ("DOWNSTREAM_LOCAL_PORT", Command::DownstreamLocal(AddressPart::Port)),
    ("CONNECTION_ID", Command::ConnectionId),
    ("CONNECTION_TERMINATION_DETAILS", Command::ConnectionTerminationDetails),
    ("STREAM_ID", Command::StreamId),
    ("UNIQUE_ID", Command::UniqueId),
    ("DOWNSTREAM_TLS_VERSION", Command::DownstreamTlsVersion),
    ("DOWNSTREAM_TLS_CIPHER", Command::DownstreamTlsCipher),
    ("DOWNSTREAM_PEER_URI_SAN", Command::DownstreamPeer(CertificatePart::Uris)),
    ("DOWNSTREAM_PEER_DNS_SAN", Command::DownstreamPeer(CertificatePart::Hosts)),
    ("DOWNSTREAM_PEER_IP_SAN", Command::DownstreamPeer(CertificatePart::Addresses)),
    ("DOWNSTREAM_PEER_EMAIL_SAN", Command::DownstreamPeer(CertificatePart::Mails)),
    ("DOWNSTREAM_PEER_SUBJECT", Command::DownstreamPeer(CertificatePart::Subject)),
    ("DOWNSTREAM_PEER_ISSUER", Command::DownstreamPeer(CertificatePart::Issuer)),
    ("DOWNSTREAM_PEER_SERIAL", Command::DownstreamPeer(CertificatePart::Serial)),
    ("DOWNSTREAM_PEER_FINGERPRINT_256", Command::DownstreamPeer(CertificatePart::Fingerprint256)),
    ("DOWNSTREAM_PEER_FINGERPRINT_1", Command::DownstreamPeer(CertificatePart::Fingerprint1)),
    ("DOWNSTREAM_LOCAL_URI_SAN", Command::DownstreamLocalCertificate(CertificatePart::Uris)),
    ("DOWNSTREAM_LOCAL_DNS_SAN", Command::DownstreamLocalCertificate(CertificatePart::Hosts)),
    ("DOWNSTREAM_LOCAL_IP_SAN", Command::DownstreamLocalCertificate(CertificatePart::Addresses)),
    ("DOWNSTREAM_LOCAL_SUBJECT", Command::DownstreamLocalCertificate(CertificatePart::Subject)),
    ("ROUTE_NAME", Command::RouteName),
    ("LISTENER_NAME", Command::ListenerName),
    ("HOSTNAME", Command::Hostname),
    ("TRACE_ID", Command::TraceId),
    ("LOCAL_REPLY_BODY", Command::LocalReplyBody),
    // What they tell is not kept, so they are as unknown as they mostly are with Envoy.
    ("FILTER_CHAIN_NAME", Command::Unset),
    ("VIRTUAL_CLUSTER_NAME", Command::Unset),
];

/// Commands that tell what nothing here sets.
const UNSET: &[&str] = &["CLUSTER_METADATA", "UPSTREAM_METADATA", "FILTER_STATE", "UPSTREAM_FILTER_STATE"];

/// Beginnings of commands that Envoy has and we do not.
const UNSUPPORTED: &[&str] = &[
    "ACCESS_LOG_TYPE",
    "BYTES_RETRANSMITTED",
    "CEL",
    "COALESCE",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_",
    "METADATA",
    "PACKETS_RETRANSMITTED",
    "QUERY_PARAM",
    "ROUNDTRIP_DURATION",
    "SPAN_ID",
    "TLS_JA",
    "UPSTREAM_",
];
