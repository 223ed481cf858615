//! Whose tokens a workload believes: a filter in front of those that ask what tokens say, and where keys are fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::core::v3::data_source::Specifier;
use xds_proto::envoy::config::core::v3::http_uri::HttpUpstreamType;
use xds_proto::envoy::config::core::v3::{DataSource, HttpUri};
use xds_proto::envoy::config::route::v3::RouteMatch;
use xds_proto::envoy::config::route::v3::route_match::PathSpecifier;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::{JwksSourceSpecifier, NormalizePayload};
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::requirement_rule::RequirementType;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::{
    JwksAsyncFetch, JwtAuthentication, JwtClaimToHeader, JwtHeader, JwtProvider, JwtRequirement, RemoteJwks, RequirementRule,
};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter};

use crate::model::hosts;
use crate::model::mesh::Mesh;
use crate::model::token::{KeyServer, Keys, TokenRule};
use crate::model::workload::Workload;
use crate::translate::view::Form;
use crate::translate::{cluster, names, wire};

/// Whose metadata it is what tokens say.
pub(super) const KEPT_BY: &str = "envoy.filters.http.jwt_authn";
/// Under which name.
pub(super) const PAYLOAD: &str = "payload";
/// No token has such a claim.
const NO_CLAIM: &str = "ninon.dev/none";

/// The filter of a workload's requests. One that has no token passes, and each token there is has to be good.
pub(super) fn filter(mesh: &Mesh, workload: &Workload) -> Option<HttpFilter> {
    let rules = mesh.believed(workload).rules;
    if rules.is_empty() {
        return None;
    }
    let all = RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() };
    let good = JwtRequirement { requires_type: Some(RequiresType::AllowMissing(())) };
    let config = JwtAuthentication {
        providers: rules.iter().map(|rule| (rule.issuer.to_string(), provider(mesh, workload, rule))).collect(),
        rules: vec![RequirementRule { r#match: Some(all), requirement_type: Some(RequirementType::Requires(good)) }],
        ..JwtAuthentication::default()
    };
    Some(HttpFilter {
        name: KEPT_BY.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(wire::pack(&config))),
        ..HttpFilter::default()
    })
}

/// Clusters of servers that have keys, and are no services of the mesh.
pub(super) fn clusters(mesh: &Mesh, workload: &Workload, form: Form) -> Vec<Cluster> {
    let rules = mesh.believed(workload).rules;
    let servers = rules.iter().filter_map(|rule| match &rule.keys {
        Keys::Here(_) => None,
        Keys::At(server) => Some(server),
    });
    let servers = servers.filter(|server| service(mesh, workload, server).is_none());
    let by_name: BTreeMap<String, Cluster> =
        servers.map(|server| cluster::of_key_server(mesh, server, form)).map(|cluster| (cluster.name.clone(), cluster)).collect();
    by_name.into_values().collect()
}

/// The cluster of a service that has keys. Behind `https` is nobody of the mesh, where sidecars speak TLS.
fn service(mesh: &Mesh, workload: &Workload, server: &KeyServer) -> Option<String> {
    if server.tls {
        return None;
    }
    let (service, port) = hosts::service(mesh, &workload.name.namespace, &server.host, server.port)?;
    port.protocol.is_http().then(|| names::service(&service.name, port.number))
}

fn provider(mesh: &Mesh, workload: &Workload, rule: &TokenRule) -> JwtProvider {
    let texts = |texts: &BTreeSet<Arc<str>>| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let header = |name: &str, claim: &str| JwtClaimToHeader { header_name: name.to_owned(), claim_name: claim.to_owned() };
    let told = rule.claim_headers.iter().map(|(name, claim)| header(name, claim));
    // Of what a proxy may write it takes away what clients wrote.
    let taken = rule.taken_headers.iter().map(|name| header(name, NO_CLAIM));
    let from_headers = rule.headers.iter().map(|(name, prefix)| JwtHeader { name: name.to_string(), value_prefix: prefix.to_string() });
    JwtProvider {
        issuer: rule.issuer.to_string(),
        audiences: texts(&rule.audiences),
        jwks_source_specifier: Some(match &rule.keys {
            Keys::Here(set) => JwksSourceSpecifier::LocalJwks(DataSource {
                specifier: Some(Specifier::InlineString(set.to_string())),
                ..DataSource::default()
            }),
            Keys::At(server) => JwksSourceSpecifier::RemoteJwks(fetched(mesh, workload, server)),
        }),
        forward: rule.forward,
        from_headers: from_headers.collect(),
        from_params: texts(&rule.parameters),
        from_cookies: texts(&rule.cookies),
        forward_payload_header: rule.payload_header.as_deref().unwrap_or_default().to_owned(),
        payload_in_metadata: PAYLOAD.to_owned(),
        normalize_payload_in_metadata: Some(NormalizePayload { space_delimited_claims: texts(&rule.word_lists) }),
        claim_to_headers: told.chain(taken).collect(),
        ..JwtProvider::default()
    }
}

/// Before they are asked for, and again and again: then the last good ones stay when their server is gone. No listener waits for it.
fn fetched(mesh: &Mesh, workload: &Workload, server: &KeyServer) -> RemoteJwks {
    let cluster = service(mesh, workload, server).unwrap_or_else(|| names::key_server(server));
    let uri = HttpUri {
        uri: server.uri.to_string(),
        http_upstream_type: Some(HttpUpstreamType::Cluster(cluster)),
        timeout: Some(wire::duration(server.timeout)),
    };
    RemoteJwks {
        http_uri: Some(uri),
        cache_duration: Some(wire::duration(mesh.settings().keys_refresh)),
        async_fetch: Some(JwksAsyncFetch { fast_listener: true, ..JwksAsyncFetch::default() }),
    }
}
