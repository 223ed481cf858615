//! `ExtAuthz` to [`crate::config::ext_authz`]. This decides who may do what: what is not supported is refused, never left out.
//!
//! Source of the rules: Envoy's API (`envoy.extensions.filters.http.ext_authz.v3`) and what Envoy 1.40 refuses.

/// The service that is asked.
pub(in crate::xds) mod service;

use http::StatusCode;
use xds_proto::envoy::config::core::v3::ApiVersion;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3 as wire;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ext_authz_per_route::Override;
use xds_proto::envoy::r#type::matcher::v3::ListStringMatcher;
use xds_proto::envoy::r#type::v3::HttpStatus;

use crate::config::Fraction;
use crate::config::ext_authz::{BodySettings, CheckOverride, CheckSettings, ExternalAuthorization};
use crate::config::matcher::StringMatch;
use crate::xds::access::metadata;
use crate::xds::invalid::Parser;
use crate::xds::matcher;

/// More of a body is never kept for one request.
const MOST_BODY: u32 = 64 * 1024 * 1024;

/// The filter.
pub fn filter(wire: &wire::ExtAuthz, parser: &mut Parser) -> Option<ExternalAuthorization> {
    const HOW: &str = "requests to the service are counted as those of its cluster";
    parser.ignored("charge_cluster_response_stats", wire.charge_cluster_response_stats.is_some(), HOW);
    parser.ignored("emit_client_span", wire.emit_client_span.is_some(), "there is no span for the question");
    parser.ignored("validate_mutations", wire.validate_mutations, "answers are always looked at");
    match parser.choice::<ApiVersion>("transport_api_version", wire.transport_api_version) {
        Some(ApiVersion::Auto | ApiVersion::V3) | None => {}
        Some(_) => drop(parser.refuse_at::<()>("transport_api_version", "only V3 is spoken")),
    }
    let service = service::parse(wire, parser);
    let status = match &wire.status_on_error {
        None => Some(StatusCode::FORBIDDEN),
        Some(status) => parser.at("status_on_error", |parser| status_of(status, parser)),
    };
    let body = match &wire.with_request_body {
        None => Some(None),
        Some(settings) => parser.at("with_request_body", |parser| body_of(settings, parser)).map(Some),
    };
    let enabled_metadata = match &wire.filter_enabled_metadata {
        None => Some(None),
        Some(wire) => parser.at("filter_enabled_metadata", |parser| metadata::matcher(wire, parser)).map(Some),
    };
    let deny_at_disable = match &wire.deny_at_disable {
        None => Some(false),
        Some(flag) => parser.at("deny_at_disable", |parser| {
            parser.ignored("runtime_key", !flag.runtime_key.is_empty(), "there is no runtime, default_value always counts");
            parser.required("default_value", flag.default_value.as_ref()).copied()
        }),
    };
    let allowed = list("allowed_headers", wire.allowed_headers.as_ref(), parser)?;
    let of_service = service::allowed_headers(wire, parser)?;
    if allowed.is_some() && of_service.is_some() {
        return parser.refuse_at("allowed_headers", "is in authorization_request, too");
    }
    let disallowed = list("disallowed_headers", wire.disallowed_headers.as_ref(), parser)?;
    let (service, timeout) = service?;
    Some(ExternalAuthorization {
        service,
        timeout,
        failure_mode_allow: wire.failure_mode_allow,
        failure_mode_header: wire.failure_mode_allow_header_add,
        status_on_error: status?,
        body: body?,
        clear_route_cache: wire.clear_route_cache,
        enabled: enabled(wire, parser)?,
        enabled_metadata: enabled_metadata?,
        deny_at_disable: deny_at_disable?,
        include_peer_certificate: wire.include_peer_certificate,
        include_tls_session: wire.include_tls_session,
        allowed_headers: allowed.or(of_service),
        disallowed_headers: disallowed.unwrap_or_default(),
        metadata: wire.metadata_context_namespaces.clone(),
        takes_metadata: wire.enable_dynamic_metadata_ingestion.unwrap_or(true),
        stat_prefix: wire.stat_prefix.clone(),
    })
}

/// What a route changes.
pub fn of_route(wire: &wire::ExtAuthzPerRoute, parser: &mut Parser) -> Option<CheckOverride> {
    match &wire.r#override {
        None => parser.refuse("one of disabled, check_settings is required"),
        Some(Override::Disabled(true)) => Some(CheckOverride::Disabled),
        Some(Override::Disabled(false)) => parser.refuse_at("disabled", "must be true"),
        Some(Override::CheckSettings(wire)) => parser.at("check_settings", |parser| {
            parser.ignored("emit_client_span", wire.emit_client_span.is_some(), "there is no span for the question");
            let body = match &wire.with_request_body {
                Some(_) if wire.disable_request_body_buffering => {
                    parser.refuse_at("with_request_body", "cannot be set beside disable_request_body_buffering")
                }
                Some(settings) => parser.at("with_request_body", |parser| body_of(settings, parser)).map(|body| Some(Some(body))),
                None => Some(wire.disable_request_body_buffering.then_some(None)),
            };
            let extensions = wire.context_extensions.clone();
            Some(CheckOverride::Settings(CheckSettings { extensions, body: body? }))
        }),
    }
}

/// Inner `None`: the field is not set.
fn list(field: &'static str, wire: Option<&ListStringMatcher>, parser: &mut Parser) -> Option<Option<Vec<StringMatch>>> {
    let Some(wire) = wire else { return Some(None) };
    parser.at(field, |parser| {
        if wire.patterns.is_empty() {
            return parser.refuse_at("patterns", "at least one is required");
        }
        let patterns = parser.each("patterns", &wire.patterns, matcher::string);
        (patterns.len() == wire.patterns.len()).then_some(Some(patterns))
    })
}

fn enabled(wire: &wire::ExtAuthz, parser: &mut Parser) -> Option<Fraction> {
    match &wire.filter_enabled {
        None => Some(Fraction::ALL),
        share => matcher::runtime_fraction_at("filter_enabled", share.as_ref(), parser),
    }
}

fn status_of(wire: &HttpStatus, parser: &mut Parser) -> Option<StatusCode> {
    let code = u16::try_from(wire.code).ok().and_then(|code| StatusCode::from_u16(code).ok());
    match code.filter(|code| (200..600).contains(&code.as_u16())) {
        Some(code) => Some(code),
        None => parser.refuse_at("code", format_args!("{} is not a status from 200 to 599", wire.code)),
    }
}

fn body_of(wire: &wire::BufferSettings, parser: &mut Parser) -> Option<BodySettings> {
    if wire.max_request_bytes == 0 || wire.max_request_bytes > MOST_BODY {
        return parser.refuse_at("max_request_bytes", format_args!("{} is not between 1 and {MOST_BODY}", wire.max_request_bytes));
    }
    let most = usize::try_from(wire.max_request_bytes).unwrap_or(usize::MAX);
    Some(BodySettings { most, partial: wire.allow_partial_message, bytes: wire.pack_as_bytes })
}

#[cfg(test)]
mod tests;
