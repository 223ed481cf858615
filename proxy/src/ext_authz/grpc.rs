use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use http::{Method, Response, StatusCode, Version};
use prost::Message as _;
use serde_json::{Map, Value};
use xds_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use xds_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use xds_proto::envoy::config::core::v3::{self as core, HeaderValueOption, Metadata, address};
use xds_proto::envoy::service::auth::v3 as wire;
use xds_proto::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request, TlsSession};
use xds_proto::envoy::service::auth::v3::check_response::HttpResponse;

use crate::config::address::Address;
use crate::config::ext_authz::GrpcService;
use crate::exchange::{Certificate, RequestPath, certificate};
use crate::ext_authz::answer::{self, Allowed, Answer, Denied, Fault, Field, ResponseChanges};
use crate::ext_authz::{Subject, ToldBody, attributes};

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
const CALLER: &str = "x-envoy-downstream-service-cluster";

/// Flag and length.
const FRAME_HEAD: usize = 5;

pub(super) fn question(service: &GrpcService, subject: &Subject<'_>) -> (crate::exchange::RequestHead, Bytes) {
    let message = wire::CheckRequest { attributes: Some(attributes_of(subject)) };
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(length.saturating_add(FRAME_HEAD));
    body.put_u8(0);
    body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    body.extend_from_slice(&message.encode_to_vec());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    let millis = subject.filter.timeout.as_millis().clamp(1, 99_999_999);
    if let Ok(limit) = HeaderValue::try_from(format!("{millis}m")) {
        headers.insert("grpc-timeout", limit);
    }
    for (name, value) in &service.metadata {
        headers.append(name, value.clone());
    }
    let head = crate::exchange::RequestHead {
        method: Method::POST,
        scheme: HeaderValue::from_static("http"),
        authority: service.authority.clone(),
        path: METHOD.parse().ok(),
        version: Version::HTTP_2,
        upgrade: None,
        headers,
    };
    (head, body.freeze())
}

fn attributes_of(subject: &Subject<'_>) -> wire::AttributeContext {
    let Subject { filter, extensions, info, request, .. } = *subject;
    let connection = &info.connection;
    let tls = connection.tls.as_ref().filter(|tls| tls.terminated);
    let peer = tls.filter(|tls| tls.peer_validated).and_then(|tls| tls.peer.as_deref());
    let shown = tls.filter(|_| filter.include_peer_certificate).map(|tls| certificate::encoded_pem(tls.peer_chain.iter().take(1)));
    let service = request.headers.get(CALLER).map(|caller| attributes::text(caller.as_bytes()));
    let sni = tls.and_then(|tls| tls.sni.clone()).unwrap_or_default();
    let session = filter.include_tls_session.then_some(TlsSession { sni });
    let since = info.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    wire::AttributeContext {
        source: Some(Peer {
            address: Some(address_of(&connection.client)),
            service: service.unwrap_or_default(),
            principal: peer.map_or_else(String::new, principal),
            certificate: shown.unwrap_or_default(),
            ..Peer::default()
        }),
        destination: Some(Peer {
            address: Some(address_of(&connection.local)),
            principal: tls.and_then(|tls| tls.local.as_deref()).map_or_else(String::new, principal),
            ..Peer::default()
        }),
        request: Some(Request {
            time: Some(prost_types::Timestamp {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
            }),
            http: Some(http_of(subject)),
        }),
        context_extensions: extensions.clone(),
        metadata_context: Some(metadata_of(subject)),
        route_metadata_context: Some(Metadata::default()),
        tls_session: session,
    }
}

/// As Envoy: its first name.
fn principal(certificate: &Certificate) -> String {
    certificate.uris.first().or(certificate.hosts.first()).unwrap_or(&certificate.subject).clone()
}

fn http_of(subject: &Subject<'_>) -> HttpRequest {
    let Subject { filter, info, request, body, .. } = *subject;
    let told = attributes::headers(filter, request, None);
    let mut headers: BTreeMap<String, String> = told.iter().map(|(name, value)| (name.clone(), attributes::text(value))).collect();
    let mut http = HttpRequest {
        id: fastrand::u64(..).to_string(),
        method: request.method.as_str().to_owned(),
        path: request.path.as_ref().map_or("", RequestPath::as_str).to_owned(),
        host: attributes::text(request.authority.as_bytes()),
        scheme: attributes::text(request.scheme.as_bytes()),
        size: i64::try_from(info.bytes_received).unwrap_or(i64::MAX),
        protocol: info.protocol.map_or("", version).to_owned(),
        ..HttpRequest::default()
    };
    if let Some(ToldBody { bytes, partial }) = body {
        headers.insert(attributes::PARTIAL_BODY.to_owned(), partial.to_string());
        if filter.body.is_some_and(|settings| settings.bytes) {
            http.raw_body = bytes.clone();
        } else {
            http.body = attributes::text(bytes);
        }
    }
    http.headers = headers;
    http
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn address_of(address: &Address) -> core::Address {
    let inner = match address {
        Address::Ip(ip) => address::Address::SocketAddress(core::SocketAddress {
            address: ip.ip().to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(ip.port()))),
            ..core::SocketAddress::default()
        }),
        Address::Unix(path) => address::Address::Pipe(core::Pipe { path: path.display().to_string(), mode: 0 }),
    };
    core::Address { address: Some(inner) }
}

fn metadata_of(subject: &Subject<'_>) -> Metadata {
    let known = subject.info.metadata.as_deref();
    let told = subject.filter.metadata.iter().filter_map(|name| {
        let fields = known?.of(name)?.iter().map(|(key, value)| (key.clone(), to_wire(value))).collect();
        Some((name.clone(), prost_types::Struct { fields }))
    });
    Metadata { filter_metadata: told.collect(), ..Metadata::default() }
}

fn to_wire(value: &Value) -> prost_types::Value {
    use prost_types::value::Kind;

    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(list) => Kind::ListValue(prost_types::ListValue { values: list.iter().map(to_wire).collect() }),
        Value::Object(object) => {
            Kind::StructValue(prost_types::Struct { fields: object.iter().map(|(name, value)| (name.clone(), to_wire(value))).collect() })
        }
    };
    prost_types::Value { kind: Some(kind) }
}

fn from_wire(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;

    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(number)) => serde_json::Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(from_wire).collect(),
        Some(Kind::StructValue(object)) => Value::Object(object_of(object)),
    }
}

fn object_of(object: &prost_types::Struct) -> Map<String, Value> {
    object.fields.iter().map(|(name, value)| (name.clone(), from_wire(value))).collect()
}

pub(super) fn read(head: &Response<()>, body: &Bytes, trailers: Option<&HeaderMap>) -> Result<Answer, Fault> {
    if head.status() != StatusCode::OK {
        return Err(Fault::NoAnswer(format!("the service answered with status {}", head.status().as_u16())));
    }
    let status = trailers.and_then(|trailers| trailers.get("grpc-status")).or_else(|| head.headers().get("grpc-status"));
    match status.map(HeaderValue::as_bytes) {
        Some(b"0") => {}
        Some(other) => {
            let code = attributes::text(other);
            return Err(Fault::NoAnswer(format!("the service answered with gRPC status {code}")));
        }
        None => return Err(Fault::NoAnswer("the service's answer has no gRPC status".to_owned())),
    }
    let (flag, length, message) = match body.split_first_chunk::<FRAME_HEAD>() {
        Some(([flag, length @ ..], message)) => (*flag, u32::from_be_bytes(*length), message),
        None => return Err(Fault::NoAnswer("the service's answer has no message".to_owned())),
    };
    if flag != 0 || usize::try_from(length).ok() != Some(message.len()) {
        return Err(Fault::NoAnswer("the service's answer is not one message".to_owned()));
    }
    match wire::CheckResponse::decode(message) {
        Ok(response) => meaning(&response),
        Err(_) => Err(Fault::NoAnswer("the service's answer is not a CheckResponse".to_owned())),
    }
}

fn meaning(response: &wire::CheckResponse) -> Result<Answer, Fault> {
    let metadata = response.dynamic_metadata.as_ref().map(object_of).unwrap_or_default();
    let is_ok = response.status.as_ref().is_none_or(|status| status.code == 0);
    match &response.http_response {
        Some(HttpResponse::ErrorResponse(error)) => {
            let told = denied(error)?;
            Err(Fault::Error { status: error.status.is_some().then_some(told.status), told: Box::new(told) })
        }
        _ if !is_ok => {
            let denial = match &response.http_response {
                Some(HttpResponse::DeniedResponse(wire)) => denied(wire)?,
                _ => Denied { status: StatusCode::FORBIDDEN, ..Denied::default() },
            };
            Ok(Answer::Denied(Box::new(Denied { metadata, ..denial })))
        }
        Some(HttpResponse::OkResponse(ok)) => {
            let mut allowed = allowed(ok)?;
            allowed.metadata = ok.dynamic_metadata.as_ref().map(object_of).unwrap_or_default();
            allowed.metadata.extend(metadata);
            Ok(Answer::Allowed(Box::new(allowed)))
        }
        Some(HttpResponse::DeniedResponse(_)) | None => Ok(Answer::Allowed(Box::new(Allowed { metadata, ..Allowed::default() }))),
    }
}

fn denied(wire: &wire::DeniedHttpResponse) -> Result<Denied, Fault> {
    let status = match &wire.status {
        None => StatusCode::FORBIDDEN,
        Some(status) if status.code == 0 => StatusCode::FORBIDDEN,
        Some(status) => answer::status(i64::from(status.code))?,
    };
    let mut headers = HeaderMap::new();
    for option in &wire.headers {
        let ((name, value), _) = of_option(option)?;
        headers.append(name, value);
    }
    Ok(Denied { status, headers, body: Bytes::from(wire.body.clone()), metadata: Map::new() })
}

fn allowed(wire: &wire::OkHttpResponse) -> Result<Allowed, Fault> {
    let mut allowed = Allowed::default();
    for option in &wire.headers {
        let (field, action) = of_option(option)?;
        match action {
            Action::Set => allowed.set.push(field),
            Action::Append => allowed.append.push(field),
            Action::AddIfAbsent => allowed.add_if_absent.push(field),
            Action::Overwrite => allowed.overwrite.push(field),
        }
    }
    allowed.remove = wire.headers_to_remove.iter().map(|name| answer::name(name)).collect::<Result<_, _>>()?;
    allowed.response = response_changes(&wire.response_headers_to_add)?;
    allowed.query_set = wire.query_parameters_to_set.iter().map(|parameter| (parameter.key.clone(), parameter.value.clone())).collect();
    allowed.query_remove.clone_from(&wire.query_parameters_to_remove);
    Ok(allowed)
}

fn response_changes(options: &[HeaderValueOption]) -> Result<ResponseChanges, Fault> {
    let mut changes = ResponseChanges::default();
    for option in options {
        let (field, action) = of_option(option)?;
        match action {
            Action::Append => changes.add.push(field),
            Action::Set => changes.set.push(field),
            Action::AddIfAbsent => changes.add_if_absent.push(field),
            Action::Overwrite => changes.overwrite.push(field),
        }
    }
    Ok(changes)
}

enum Action {
    Set,
    Append,
    AddIfAbsent,
    Overwrite,
}

/// As Envoy: `append` is off where it is not set.
fn of_option(option: &HeaderValueOption) -> Result<(Field, Action), Fault> {
    let header = option.header.as_ref().ok_or_else(|| Fault::Invalid("a header without a name".to_owned()))?;
    let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    let field = answer::field(&header.key, value)?;
    let action = match HeaderAppendAction::try_from(option.append_action) {
        Ok(HeaderAppendAction::AppendIfExistsOrAdd) if option.append == Some(true) => Action::Append,
        Ok(HeaderAppendAction::AppendIfExistsOrAdd | HeaderAppendAction::OverwriteIfExistsOrAdd) => Action::Set,
        Ok(HeaderAppendAction::AddIfAbsent) => Action::AddIfAbsent,
        Ok(HeaderAppendAction::OverwriteIfExists) => Action::Overwrite,
        Err(_) => return Err(Fault::Invalid(format!("{} is no way to set a header", option.append_action))),
    };
    Ok((field, action))
}
