//! `JwtAuthentication` to [`crate::config::jwt`]. This decides who may do what: what is not supported is refused, never left out.
//!
//! Source of the rules: Envoy's API (`envoy.extensions.filters.http.jwt_authn.v3`) and what Envoy 1.40 refuses.

/// Keys that are fetched.
mod remote;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName};
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3 as wire;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_provider::JwksSourceSpecifier;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::jwt_requirement::RequiresType;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::per_route_config::RequirementSpecifier;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::requirement_rule::RequirementType;

use crate::config::jwt::keys::{self, Key};
use crate::config::jwt::{JwtAuthentication, JwtOverride, KeySource, Provider, Requirement};
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;
use crate::xds::{data_source, headers, matcher, route};

/// As Envoy.
const CLOCK_SKEW: u32 = 60;

/// The filter.
pub fn filter(wire: &wire::JwtAuthentication, parser: &mut Parser) -> Option<JwtAuthentication> {
    parser.ignored("stat_prefix", !wire.stat_prefix.is_empty(), "requests are not counted by this filter");
    let names: Vec<&str> = wire.providers.keys().map(String::as_str).collect();
    let providers = parser.at("providers", |parser| {
        let parsed = wire.providers.iter().map(|(name, wire)| parser.at_key(name, |parser| provider(name, wire, parser)));
        parsed.collect::<Vec<_>>()
    });
    let named = parser.at("requirement_map", |parser| {
        let parsed = wire.requirement_map.iter().map(|(name, wire)| {
            let requirement = parser.at_key(name, |parser| requirement(wire, &names, parser));
            requirement.map(|requirement| (name.clone(), requirement))
        });
        parsed.collect::<Vec<_>>()
    });
    let known: Vec<&str> = wire.requirement_map.keys().map(String::as_str).collect();
    let named: Option<BTreeMap<String, Requirement>> = named.into_iter().collect();
    let rules = parser.each("rules", &wire.rules, |rule, parser| {
        let matched = parser.required("match", rule.r#match.as_ref());
        let matched = matched.and_then(|wire| parser.at("match", |parser| route::matches::parse(wire, parser)));
        let needed = match &rule.requirement_type {
            None => Some(None),
            Some(RequirementType::Requires(wire)) => parser.at("requires", |parser| requirement(wire, &names, parser)).map(Some),
            Some(RequirementType::RequirementName(name)) if known.contains(&name.as_str()) => {
                named.as_ref().and_then(|named| named.get(name)).cloned().map(Some)
            }
            Some(RequirementType::RequirementName(name)) => {
                parser.refuse_at("requirement_name", format_args!("there is no requirement {name:?}"))
            }
        };
        Some((matched?, needed?))
    });
    if rules.len() < wire.rules.len() {
        return None;
    }
    Some(JwtAuthentication {
        providers: providers.into_iter().collect::<Option<_>>()?,
        rules,
        named: named?,
        bypass_cors_preflight: wire.bypass_cors_preflight,
        strip_failure_response: wire.strip_failure_response,
    })
}

/// What a route says in place of the rules.
pub fn of_route(wire: &wire::PerRouteConfig, parser: &mut Parser) -> Option<JwtOverride> {
    match &wire.requirement_specifier {
        None => parser.refuse("one of disabled, requirement_name is required"),
        Some(RequirementSpecifier::Disabled(true)) => Some(JwtOverride::Disabled),
        Some(RequirementSpecifier::Disabled(false)) => parser.refuse_at("disabled", "must be true"),
        Some(RequirementSpecifier::RequirementName(name)) => not_empty("requirement_name", name, parser).map(JwtOverride::Named),
    }
}

fn requirement(wire: &wire::JwtRequirement, names: &[&str], parser: &mut Parser) -> Option<Requirement> {
    let place = |field: &'static str, name: &str, parser: &mut Parser| match names.iter().position(|known| *known == name) {
        Some(place) => Some(place),
        None => parser.refuse_at(field, format_args!("there is no provider {name:?}")),
    };
    let list = |wire: &[wire::JwtRequirement], parser: &mut Parser| {
        if wire.len() < 2 {
            return parser.refuse_at("requirements", "at least two are required");
        }
        let all = parser.each("requirements", wire, |wire, parser| requirement(wire, names, parser));
        (all.len() == wire.len()).then_some(all)
    };
    match &wire.requires_type {
        None => parser.refuse("a requirement is required"),
        Some(RequiresType::ProviderName(name)) => place("provider_name", name, parser).map(|place| Requirement::Provider(place, None)),
        Some(RequiresType::ProviderAndAudiences(wire)) => parser.at("provider_and_audiences", |parser| {
            let place = place("provider_name", &wire.provider_name, parser)?;
            let audiences = wire.audiences.clone();
            Some(Requirement::Provider(place, Some(audiences)))
        }),
        Some(RequiresType::RequiresAny(any)) => parser.at("requires_any", |parser| list(&any.requirements, parser)).map(Requirement::Any),
        Some(RequiresType::RequiresAll(all)) => parser.at("requires_all", |parser| list(&all.requirements, parser)).map(Requirement::All),
        Some(RequiresType::AllowMissing(())) => Some(Requirement::AllowMissing),
        Some(RequiresType::AllowMissingOrFailed(())) => Some(Requirement::AllowMissingOrFailed),
    }
}

fn local_keys(bytes: &[u8], parser: &mut Parser) -> Option<Arc<[Key]>> {
    let (keys, left_out) = parser.accept(keys::parse(bytes))?;
    left_out.iter().for_each(|reason| parser.warn(reason));
    Some(keys.into())
}

fn provider(name: &str, wire: &wire::JwtProvider, parser: &mut Parser) -> Option<Provider> {
    parser.ignored("jwt_cache_config", wire.jwt_cache_config.is_some(), "each token is verified");
    let keys = match &wire.jwks_source_specifier {
        None => parser.refuse("one of remote_jwks, local_jwks is required"),
        Some(JwksSourceSpecifier::RemoteJwks(wire)) => {
            parser.at("remote_jwks", |parser| remote::parse(wire, parser)).map(|remote| KeySource::Remote(Arc::new(remote)))
        }
        Some(JwksSourceSpecifier::LocalJwks(source)) => parser.at("local_jwks", |parser| {
            let bytes = data_source::bytes(source, parser)?;
            local_keys(&bytes, parser).map(KeySource::Local)
        }),
    };
    let header = |field, name: &str, parser: &mut Parser| parser.at(field, |parser| headers::name(name, parser));
    let nowhere = wire.from_headers.is_empty() && wire.from_params.is_empty() && wire.from_cookies.is_empty();
    let from_headers = parser.each("from_headers", &wire.from_headers, |wire, parser| {
        let name = header("name", &wire.name, parser)?;
        Some((name, wire.value_prefix.clone()))
    });
    let usual = |text: &str| (nowhere).then(|| text.to_owned());
    let claim_headers = parser.each("claim_to_headers", &wire.claim_to_headers, |wire, parser| {
        let name = header("header_name", &wire.header_name, parser);
        let claim = not_empty("claim_name", &wire.claim_name, parser);
        Some((name?, claim?.split('.').map(str::to_owned).collect()))
    });
    let payload = match wire.forward_payload_header.as_str() {
        "" => Some(None),
        name => header("forward_payload_header", name, parser).map(|name| Some((name, wire.pad_forward_payload_header))),
    };
    let subjects = wire.subjects.as_ref().map(|wire| parser.at("subjects", |parser| matcher::string(wire, parser)));
    let max_lifetime = parser.duration("max_lifetime", wire.max_lifetime.as_ref());
    let complete = from_headers.len() == wire.from_headers.len() && claim_headers.len() == wire.claim_to_headers.len();
    let skew = if wire.clock_skew_seconds == 0 { CLOCK_SKEW } else { wire.clock_skew_seconds };
    let usual_headers: Vec<(HeaderName, String)> = usual("Bearer ").map(|prefix| (AUTHORIZATION, prefix)).into_iter().collect();
    Some(Provider {
        name: name.to_owned(),
        issuer: (!wire.issuer.is_empty()).then(|| wire.issuer.clone()),
        audiences: wire.audiences.clone(),
        subjects: match subjects {
            None => None,
            Some(subjects) => Some(subjects?),
        },
        require_expiration: wire.require_expiration,
        max_lifetime,
        keys: keys?,
        forward: wire.forward,
        headers: if nowhere { usual_headers } else { from_headers },
        parameters: usual("access_token").into_iter().chain(wire.from_params.iter().cloned()).collect(),
        cookies: wire.from_cookies.clone(),
        forward_payload: payload?,
        payload_in_metadata: (!wire.payload_in_metadata.is_empty()).then(|| wire.payload_in_metadata.clone()),
        word_lists: wire.normalize_payload_in_metadata.iter().flat_map(|wire| wire.space_delimited_claims.iter().cloned()).collect(),
        clock_skew: Duration::from_secs(u64::from(skew)),
        claim_headers,
        clear_route_cache: wire.clear_route_cache,
    })
    .filter(|_| complete)
}

#[cfg(test)]
mod tests;
