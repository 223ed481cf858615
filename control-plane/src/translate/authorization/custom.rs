use std::collections::BTreeMap;

use xds_proto::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use xds_proto::envoy::config::core::v3::http_uri::HttpUpstreamType;
use xds_proto::envoy::config::core::v3::{ApiVersion, GrpcService, HeaderValue, HttpUri};
use xds_proto::envoy::config::rbac::v3::{Policy, Rbac, rbac};
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ext_authz::Services;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::{
    AuthorizationRequest, AuthorizationResponse, BufferSettings, ExtAuthz, HttpService,
};
use xds_proto::envoy::extensions::filters::http::rbac::v3::Rbac as Filter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use xds_proto::envoy::r#type::matcher::v3::metadata_matcher::{PathSegment, path_segment};
use xds_proto::envoy::r#type::matcher::v3::value_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{ListStringMatcher, MetadataMatcher, ValueMatcher};
use xds_proto::envoy::r#type::v3::HttpStatus;

use crate::model::authorization::Pattern;
use crate::model::provider::{Copied, Provider, Way};
use crate::translate::authorization::{demand, http_filter};
use crate::translate::{token, wire};

/// Whose metadata it is what rules say.
const RULES: &str = "envoy.filters.http.rbac";

/// Which requests a provider is asked about, and the question. The rules deny what fits: what cannot be told of a request fits, and so
/// is asked about, as is everything where nothing is known of what they say.
pub(super) fn filters(provider: &Provider, cluster: &str, rules: BTreeMap<String, Policy>) -> [HttpFilter; 2] {
    let prefix = format!("custom.{}.", provider.name);
    let shadow = Rbac { action: i32::from(rbac::Action::Deny), policies: rules, audit_logging_options: None };
    let which = Filter { shadow_rules: Some(shadow), shadow_rules_stat_prefix: prefix.clone(), ..Filter::default() };
    let is_not_allowed = MetadataMatcher {
        filter: RULES.to_owned(),
        path: vec![PathSegment { segment: Some(path_segment::Segment::Key(format!("{prefix}shadow_engine_result"))) }],
        value: Some(ValueMatcher { match_pattern: Some(MatchPattern::StringMatch(wire::exactly("allowed"))) }),
        invert: true,
    };
    let question =
        ExtAuthz { filter_enabled_metadata: Some(is_not_allowed), stat_prefix: provider.name.to_string(), ..question(provider, cluster) };
    [
        http_filter(format!("envoy.filters.http.rbac.custom.{}", provider.name), &which),
        http_filter(format!("envoy.filters.http.ext_authz.{}", provider.name), &question),
    ]
}

fn question(provider: &Provider, cluster: &str) -> ExtAuthz {
    let (services, allowed_headers) = match &provider.way {
        Way::Grpc => (grpc(provider, cluster), None),
        Way::Http(copied) => (http(provider, cluster, copied), headers(&copied.headers)),
    };
    let body = provider.body.map(|body| BufferSettings {
        max_request_bytes: body.most,
        allow_partial_message: body.partial,
        pack_as_bytes: body.bytes,
    });
    ExtAuthz {
        services: Some(services),
        transport_api_version: i32::from(ApiVersion::V3),
        failure_mode_allow: provider.fail_open,
        with_request_body: body,
        status_on_error: Some(HttpStatus { code: provider.status_on_error.into() }),
        // Where tokens are verified before, they are taken away, and what they say is not.
        metadata_context_namespaces: vec![token::KEPT_BY.to_owned()],
        include_peer_certificate: true,
        allowed_headers,
        ..ExtAuthz::default()
    }
}

fn grpc(provider: &Provider, cluster: &str) -> Services {
    let target = EnvoyGrpc { cluster_name: cluster.to_owned(), authority: provider.server.host.to_string(), ..EnvoyGrpc::default() };
    Services::GrpcService(GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)),
        timeout: Some(wire::duration(provider.timeout)),
        ..GrpcService::default()
    })
}

fn http(provider: &Provider, cluster: &str, copied: &Copied) -> Services {
    let server = HttpUri {
        uri: format!("http://{}", provider.server.host),
        http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.to_owned())),
        timeout: Some(wire::duration(provider.timeout)),
    };
    let added =
        copied.added.iter().map(|(name, value)| HeaderValue { key: name.to_string(), value: value.to_string(), ..HeaderValue::default() });
    Services::HttpService(HttpService {
        server_uri: Some(server),
        path_prefix: copied.path_prefix.to_string(),
        authorization_request: Some(AuthorizationRequest { headers_to_add: added.collect(), ..AuthorizationRequest::default() }),
        authorization_response: Some(AuthorizationResponse {
            allowed_upstream_headers: headers(&copied.to_application),
            allowed_client_headers: headers(&copied.to_denied),
            allowed_client_headers_on_success: headers(&copied.to_allowed),
            ..AuthorizationResponse::default()
        }),
        ..HttpService::default()
    })
}

fn headers(names: &[Pattern]) -> Option<ListStringMatcher> {
    (!names.is_empty()).then(|| ListStringMatcher { patterns: names.iter().map(demand::string).collect() })
}
