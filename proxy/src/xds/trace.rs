//! `HttpConnectionManager.Tracing` to `Tracing`.

use http::HeaderName;
use xds_proto::any;
use xds_proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use xds_proto::envoy::config::trace::v3 as provider;
use xds_proto::envoy::config::trace::v3::tracing::http::ConfigType;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager as wire;
use xds_proto::envoy::r#type::tracing::v3::CustomTag;
use xds_proto::envoy::r#type::tracing::v3::custom_tag::Type;
use xds_proto::envoy::r#type::v3::Percent;

use crate::config::trace::{OpenTelemetry, TraceTag, TraceTagValue, Tracing};
use crate::config::{ClusterName, Fraction};
use crate::xds::invalid::Parser;
use crate::xds::matcher;

/// As Envoy: long enough for most paths, short enough for a span attribute.
const MAX_PATH_TAG_LENGTH: u32 = 256;
/// As Envoy names a service whose operator gave no name.
const UNKNOWN_SERVICE: &str = "unknown_service:envoy";

/// Parses the tracing settings of a connection manager.
pub fn parse(tracing: &wire::Tracing, parser: &mut Parser) -> Option<Tracing> {
    parser.ignored("verbose", tracing.verbose, "spans have no events");
    parser.unsupported("operation", !tracing.operation.is_empty());
    parser.unsupported("upstream_operation", !tracing.upstream_operation.is_empty());
    parser.unsupported("no_context_propagation", tracing.no_context_propagation);
    let provider = match &tracing.provider {
        None => Some(None),
        Some(provider) => parser.at("provider", |parser| open_telemetry(provider, parser)).map(Some),
    };
    let length = tracing.max_path_tag_length.unwrap_or(MAX_PATH_TAG_LENGTH);
    Some(Tracing {
        client_sampling: sampling("client_sampling", tracing.client_sampling.as_ref(), parser),
        random_sampling: sampling("random_sampling", tracing.random_sampling.as_ref(), parser),
        overall_sampling: sampling("overall_sampling", tracing.overall_sampling.as_ref(), parser),
        max_path_tag_length: usize::try_from(length).unwrap_or(usize::MAX),
        spawn_upstream_span: tracing.spawn_upstream_span.unwrap_or(false),
        tags: parser.each("custom_tags", &tracing.custom_tags, tag),
        provider: provider?,
    })
}

/// As Envoy: everything, where nothing is said.
fn sampling(field: &'static str, percent: Option<&Percent>, parser: &mut Parser) -> Fraction {
    matcher::percent_at(field, percent, parser).and_then(Fraction::percent).unwrap_or(Fraction::ALL)
}

fn tag(tag: &CustomTag, parser: &mut Parser) -> Option<TraceTag> {
    if tag.tag.is_empty() {
        parser.refuse_at::<()>("tag", "required");
    }
    let value = match tag.r#type.as_ref() {
        None => parser.refuse("one of literal, request_header must be set"),
        Some(Type::Literal(literal)) if literal.value.is_empty() => parser.refuse_at("literal", "value is required"),
        Some(Type::Literal(literal)) => Some(TraceTagValue::Literal(literal.value.clone())),
        Some(Type::RequestHeader(header)) => parser.at("request_header", |parser| {
            let Ok(name) = HeaderName::from_bytes(header.name.as_bytes()) else {
                return parser.refuse_at("name", format_args!("{:?} is not a header name", header.name));
            };
            Some(TraceTagValue::RequestHeader { name, default: header.default_value.clone() })
        }),
        Some(Type::Environment(_)) => parser.refuse_at("environment", "not supported"),
        Some(Type::Metadata(_)) => parser.refuse_at("metadata", "not supported: nothing here sets metadata"),
        Some(Type::Value(_)) => parser.refuse_at("value", "not supported; there are literal and request_header"),
    };
    Some(TraceTag { name: tag.tag.clone(), value: value? })
}

fn open_telemetry(provider: &provider::tracing::Http, parser: &mut Parser) -> Option<OpenTelemetry> {
    let Some(ConfigType::TypedConfig(config)) = &provider.config_type else {
        return parser.refuse_at("typed_config", "required");
    };
    parser.at("typed_config", |parser| {
        if !any::is::<provider::OpenTelemetryConfig>(config) {
            return parser.refuse_type("tracer", config, "OpenTelemetryConfig");
        }
        let config: provider::OpenTelemetryConfig = parser.unpack(config)?;
        parser.unsupported("http_service", config.http_service.is_some());
        parser.unsupported("exporter", config.exporter.is_some());
        parser.unsupported("sampler", config.sampler.is_some());
        parser.ignored("resource_detectors", !config.resource_detectors.is_empty(), "the resource has service.name only");
        parser.ignored("max_cache_size", config.max_cache_size.is_some(), "the queue of spans has a fixed bound");
        let service = if config.service_name.is_empty() { UNKNOWN_SERVICE } else { &config.service_name };
        let grpc = parser.required("grpc_service", config.grpc_service.as_ref())?;
        let cluster = parser.at("grpc_service", |parser| {
            parser.ignored("timeout", grpc.timeout.is_some(), "the exporter has its own time limit");
            parser.unsupported("initial_metadata", !grpc.initial_metadata.is_empty());
            match &grpc.target_specifier {
                Some(TargetSpecifier::EnvoyGrpc(target)) => parser.at("envoy_grpc", |parser| {
                    parser.cluster("cluster_name", &target.cluster_name);
                    parser.unsupported("authority", !target.authority.is_empty());
                    Some(ClusterName::from(target.cluster_name.as_str()))
                }),
                Some(TargetSpecifier::GoogleGrpc(_)) => parser.refuse_at("google_grpc", "not supported; use envoy_grpc"),
                None => parser.refuse_at("envoy_grpc", "required"),
            }
        });
        Some(OpenTelemetry { cluster: cluster?, service_name: service.to_owned() })
    })
}

#[cfg(test)]
mod tests;
