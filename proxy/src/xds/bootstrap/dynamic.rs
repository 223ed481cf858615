//! `dynamic_resources`: which control plane to follow, and for what.

use xds_proto::envoy::config::bootstrap::v3::bootstrap::DynamicResources;
use xds_proto::envoy::config::core::v3::api_config_source::ApiType;
use xds_proto::envoy::config::core::v3::grpc_service::TargetSpecifier;
use xds_proto::envoy::config::core::v3::{ApiConfigSource, ApiVersion, ConfigSource, GrpcService, HeaderValue};

use crate::config::ClusterName;
use crate::config::bootstrap::{Dynamic, Server};
use crate::config::source::Whole;
use crate::xds::config_source;
use crate::xds::invalid::Parser;

/// `None` inside: all there is stands in the file.
pub(super) fn parse(dynamic: Option<&DynamicResources>, parser: &mut Parser) -> Option<Option<Dynamic>> {
    let more = dynamic.map_or(Some(Dynamic::default()), |dynamic| resources(dynamic, parser))?;
    Some((more != Dynamic::default() || parser.has_files()).then_some(more))
}

fn resources(dynamic: &DynamicResources, parser: &mut Parser) -> Option<Dynamic> {
    parser.at("dynamic_resources", |parser| {
        parser.unsupported("lds_resources_locator", !dynamic.lds_resources_locator.is_empty());
        parser.unsupported("cds_resources_locator", !dynamic.cds_resources_locator.is_empty());
        let clusters = whole("cds_config", dynamic.cds_config.as_ref(), parser);
        let listeners = whole("lds_config", dynamic.lds_config.as_ref(), parser);
        let server = dynamic.ads_config.as_ref().map(|source| parser.at("ads_config", |parser| ads(source, parser)));
        let server = server.map_or(Some(None), |server| server.map(Some));
        Some(Dynamic { server: server?, clusters: clusters?, listeners: listeners? })
    })
}

/// All resources of a type.
fn whole(field: &'static str, source: Option<&ConfigSource>, parser: &mut Parser) -> Option<Option<Whole>> {
    match source {
        None => Some(None),
        Some(source) => parser.at(field, |parser| config_source::of_all(source, parser)).map(Some),
    }
}

fn ads(source: &ApiConfigSource, parser: &mut Parser) -> Option<Server> {
    let delta = match parser.choice("api_type", source.api_type)? {
        ApiType::Grpc | ApiType::AggregatedGrpc => false,
        ApiType::DeltaGrpc | ApiType::AggregatedDeltaGrpc => true,
        ApiType::DeprecatedAndUnavailableDoNotUse | ApiType::Rest => {
            return parser.refuse_at("api_type", "only GRPC and DELTA_GRPC are supported");
        }
    };
    if source.transport_api_version != i32::from(ApiVersion::V3) {
        // As Envoy: V2 is gone, and AUTO meant V2.
        parser.refuse_at::<()>("transport_api_version", "must be V3");
    }
    parser.unsupported("cluster_names", !source.cluster_names.is_empty());
    parser.unsupported("config_validators", !source.config_validators.is_empty());
    let limits = source.rate_limit_settings.is_some();
    parser.ignored("rate_limit_settings", limits, "a request is sent when something is to be said, no oftener");
    parser.ignored("refresh_delay", source.refresh_delay.is_some(), "for REST only");
    parser.ignored("request_timeout", source.request_timeout.is_some(), "for REST only");
    if source.grpc_services.is_empty() {
        return parser.refuse_at("grpc_services", "at least one is required");
    }
    let mut metadata = Vec::new();
    let servers = parser.each("grpc_services", &source.grpc_services, |service, parser| {
        metadata.extend(parser.each("initial_metadata", &service.initial_metadata, header));
        server(service, parser)
    });
    (servers.len() == source.grpc_services.len()).then_some(Server { delta, servers, metadata })
}

fn server(service: &GrpcService, parser: &mut Parser) -> Option<ClusterName> {
    parser.ignored("timeout", service.timeout.is_some(), "a stream lives as long as its connection");
    parser.ignored("retry_policy", service.retry_policy.is_some(), "it is tried again for ever, less and less often");
    match &service.target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(grpc)) => parser.at("envoy_grpc", |parser| {
            parser.ignored("authority", !grpc.authority.is_empty(), "it is the cluster's name");
            parser.cluster("cluster_name", &grpc.cluster_name);
            Some(ClusterName::from(grpc.cluster_name.as_str()))
        }),
        Some(TargetSpecifier::GoogleGrpc(_)) => parser.refuse_at("google_grpc", "not supported: use envoy_grpc"),
        None => parser.refuse("envoy_grpc must be set"),
    }
}

fn header(header: &HeaderValue, parser: &mut Parser) -> Option<(String, String)> {
    let name = header.key.to_ascii_lowercase();
    let fits = http::HeaderName::try_from(name.as_str()).is_ok() && http::HeaderValue::try_from(header.value.as_str()).is_ok();
    if !fits || name.ends_with("-bin") || name.starts_with("grpc-") {
        return parser.refuse_at("key", "not a name and a value that can be sent");
    }
    Some((name, header.value.clone()))
}
