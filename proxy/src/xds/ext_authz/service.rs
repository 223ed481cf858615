use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use xds_proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use xds_proto::envoy::config::core::v3::http_uri::HttpUpstreamType;
use xds_proto::envoy::config::core::v3::{GrpcService as WireGrpc, HeaderValue as WireHeader, HttpUri};
use xds_proto::envoy::extensions::filters::http::ext_authz::v3 as wire;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ext_authz::Services;

use crate::config::ClusterName;
use crate::config::ext_authz::{GrpcService, HttpService, Service};
use crate::config::matcher::StringMatch;
use crate::xds::ext_authz::list;
use crate::xds::headers;
use crate::xds::invalid::Parser;

/// As Envoy, where a gRPC service has none.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The service, and how long it may take.
pub(super) fn parse(wire: &wire::ExtAuthz, parser: &mut Parser) -> Option<(Service, Duration)> {
    match &wire.services {
        None => parser.refuse("one of grpc_service, http_service is required"),
        Some(Services::GrpcService(wire)) => parser.at("grpc_service", |parser| grpc(wire, parser)),
        Some(Services::HttpService(wire)) => parser.at("http_service", |parser| http(wire, parser)),
    }
}

/// The older place for the headers that a service is told.
pub(super) fn allowed_headers(wire: &wire::ExtAuthz, parser: &mut Parser) -> Option<Option<Vec<StringMatch>>> {
    let Some(Services::HttpService(service)) = &wire.services else { return Some(None) };
    let Some(request) = &service.authorization_request else { return Some(None) };
    parser.at("http_service", |parser| {
        parser.at("authorization_request", |parser| list("allowed_headers", request.allowed_headers.as_ref(), parser))
    })
}

fn grpc(wire: &WireGrpc, parser: &mut Parser) -> Option<(Service, Duration)> {
    parser.unsupported("retry_policy", wire.retry_policy.is_some());
    let timeout = parser.limit("timeout", wire.timeout.as_ref(), Some(TIMEOUT)).unwrap_or(TIMEOUT);
    let metadata = fixed("initial_metadata", &wire.initial_metadata, parser);
    let target = match &wire.target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(target)) => parser.at("envoy_grpc", |parser| {
            parser.cluster("cluster_name", &target.cluster_name);
            parser.unsupported("retry_policy", target.retry_policy.is_some());
            parser.unsupported("max_receive_message_length", target.max_receive_message_length.is_some());
            parser.ignored("skip_envoy_headers", target.skip_envoy_headers, "they are sent");
            let authority = if target.authority.is_empty() { &target.cluster_name } else { &target.authority };
            let authority = headers::value_at("authority", authority, parser);
            Some((ClusterName::from(target.cluster_name.as_str()), authority?))
        }),
        Some(TargetSpecifier::GoogleGrpc(_)) => parser.refuse_at("google_grpc", "not supported; use envoy_grpc"),
        None => parser.refuse_at("envoy_grpc", "required"),
    };
    let (cluster, authority) = target?;
    Some((Service::Grpc(GrpcService { cluster, authority, metadata: metadata? }), timeout))
}

fn http(wire: &wire::HttpService, parser: &mut Parser) -> Option<(Service, Duration)> {
    let uri = parser.required("server_uri", wire.server_uri.as_ref());
    let uri = uri.and_then(|uri| parser.at("server_uri", |parser| server(uri, parser)));
    let path = |field: &'static str, path: &str, parser: &mut Parser| match path {
        path if path.is_empty() || path.starts_with('/') => Some(path.to_owned()),
        path => parser.refuse_at(field, format_args!("{path:?} does not begin with '/'")),
    };
    let prefix = path("path_prefix", &wire.path_prefix, parser);
    let replaced = path("path_override", &wire.path_override, parser);
    if !wire.path_prefix.is_empty() && !wire.path_override.is_empty() {
        parser.refuse_at::<()>("path_override", "cannot be set beside path_prefix");
    }
    let headers = match &wire.authorization_request {
        None => Some(Vec::new()),
        Some(request) => parser.at("authorization_request", |parser| fixed("headers_to_add", &request.headers_to_add, parser)),
    };
    let default = wire::AuthorizationResponse::default();
    let answer = wire.authorization_response.as_ref().unwrap_or(&default);
    let lists = parser.at("authorization_response", |parser| {
        let upstream = list("allowed_upstream_headers", answer.allowed_upstream_headers.as_ref(), parser);
        let append = list("allowed_upstream_headers_to_append", answer.allowed_upstream_headers_to_append.as_ref(), parser);
        let client = list("allowed_client_headers", answer.allowed_client_headers.as_ref(), parser);
        let success = list("allowed_client_headers_on_success", answer.allowed_client_headers_on_success.as_ref(), parser);
        let metadata = list("dynamic_metadata_from_headers", answer.dynamic_metadata_from_headers.as_ref(), parser);
        Some((upstream?, append?, client?, success?, metadata?))
    });
    let (cluster, timeout) = uri?;
    let (upstream, append, client, success, metadata) = lists?;
    let service = HttpService {
        cluster,
        path_prefix: prefix?,
        path_override: replaced.map(|path| Some(path).filter(|path| !path.is_empty()))?,
        headers: headers?,
        upstream: upstream.unwrap_or_default(),
        upstream_append: append.unwrap_or_default(),
        client,
        client_on_success: success.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
    };
    Some((Service::Http(Box::new(service)), timeout))
}

/// Where a request of the proxy's own goes, and how long it may take.
pub(in crate::xds) fn server(uri: &HttpUri, parser: &mut Parser) -> Option<(ClusterName, Duration)> {
    if uri.uri.is_empty() {
        parser.refuse_at::<()>("uri", "required");
    }
    let cluster = match &uri.http_upstream_type {
        None => parser.refuse_at("cluster", "required"),
        Some(HttpUpstreamType::Cluster(cluster)) => {
            parser.cluster("cluster", cluster);
            Some(ClusterName::from(cluster.as_str()))
        }
    };
    parser.required("timeout", uri.timeout.as_ref());
    let timeout = match parser.duration("timeout", uri.timeout.as_ref()) {
        Some(Duration::ZERO) => parser.refuse_at("timeout", "must be more than nothing: no wait is without an end"),
        timeout => timeout,
    };
    Some((cluster?, timeout?))
}

/// Headers with values that stay the same.
fn fixed(field: &'static str, wire: &[WireHeader], parser: &mut Parser) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let parsed = parser.each(field, wire, |header, parser| {
        if header.value.contains('%') {
            return parser.refuse_at("value", "commands in it are not supported");
        }
        if !header.raw_value.is_empty() {
            return parser.refuse_at("raw_value", "not supported; use value");
        }
        let name = headers::name_at("key", &header.key, parser);
        let value = headers::value_at("value", &header.value, parser);
        match name {
            Some(name) if is_framing(&name) => parser.refuse_at("key", format_args!("{name} is set by the codec")),
            name => Some((name?, value?)),
        }
    });
    (parsed.len() == wire.len()).then_some(parsed)
}

fn is_framing(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "content-length" | "host" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade"
    )
}
