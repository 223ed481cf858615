use xds_proto::envoy::config::core::v3::TypedExtensionConfig;
use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use xds_proto::envoy::r#type::matcher::v3::metadata_matcher::path_segment::Segment;
use xds_proto::envoy::r#type::matcher::v3::{FilterStateMatcher, MetadataMatcher};

use crate::config::route::{PathMatch, PathTemplate, RouteMatch, TlsMatch};
use crate::xds::invalid::Parser;
use crate::xds::matcher::{field, not_empty, regex, runtime_fraction_at};
use crate::xds::route::template;

/// A `RouteMatch`.
pub fn parse(wire: &wire::RouteMatch, parser: &mut Parser) -> Option<RouteMatch> {
    let path = path(wire.path_specifier.as_ref(), parser);
    let headers = field::headers("headers", &wire.headers, parser);
    let query = parser.each("query_parameters", &wire.query_parameters, field::query);
    let cookies = parser.each("cookies", &wire.cookies, field::cookie);
    let fraction = runtime_fraction_at("runtime_fraction", wire.runtime_fraction.as_ref(), parser);
    let without_metadata = fits_without_metadata(wire, parser);
    Some(RouteMatch {
        path: path?,
        case_sensitive: wire.case_sensitive.unwrap_or(true),
        headers,
        query,
        grpc: wire.grpc.is_some(),
        fraction,
        tls: wire.tls_context.map(|tls| TlsMatch { presented: tls.presented, validated: tls.validated }),
        cookies,
        without_metadata,
    })
}

fn path(specifier: Option<&wire::route_match::PathSpecifier>, parser: &mut Parser) -> Option<PathMatch> {
    use wire::route_match::PathSpecifier as Specifier;

    Some(match specifier {
        None => {
            return parser.refuse("one of prefix, path, safe_regex, connect_matcher, path_separated_prefix, path_match_policy is required");
        }
        Some(Specifier::Prefix(prefix)) => PathMatch::Prefix(prefix.clone()),
        Some(Specifier::Path(path)) => PathMatch::Exact(path.clone()),
        Some(Specifier::SafeRegex(matcher)) => PathMatch::Regex(parser.at("safe_regex", |parser| regex::full_match(matcher, parser))?),
        Some(Specifier::ConnectMatcher(_)) => PathMatch::Connect,
        Some(Specifier::PathSeparatedPrefix(prefix)) => PathMatch::SeparatedPrefix(separated_prefix(prefix, parser)?),
        Some(Specifier::PathMatchPolicy(policy)) => {
            PathMatch::Template(parser.at("path_match_policy", |parser| match_policy(policy, parser))?)
        }
    })
}

/// Envoy's rule is the pattern `^[^?#]+[^?#/]$`: what follows the prefix is `/`, `?`, `#` or the end, and it must be clear where.
fn separated_prefix(prefix: &str, parser: &mut Parser) -> Option<String> {
    if prefix.contains(['?', '#']) || prefix.ends_with('/') || prefix.chars().nth(1).is_none() {
        return parser.refuse_at(
            "path_separated_prefix",
            format_args!("{prefix:?} must be at least two characters, without '?' and '#', and not end with '/'"),
        );
    }
    Some(prefix.to_owned())
}

fn match_policy(policy: &TypedExtensionConfig, parser: &mut Parser) -> Option<PathTemplate> {
    let packed = parser.required("typed_config", policy.typed_config.as_ref())?;
    parser.at("typed_config", |parser| {
        let config = parser.unpack::<UriTemplateMatchConfig>(packed)?;
        parser.at("path_template", |parser| parser.accept(template::pattern(&config.path_template)))
    })
}

/// Routes do not look at what filters find out, so what decides is what a matcher says about a value that is not there.
fn fits_without_metadata(wire: &wire::RouteMatch, parser: &mut Parser) -> bool {
    let inverted = parser.each("dynamic_metadata", &wire.dynamic_metadata, |matcher, parser| {
        metadata(matcher, parser);
        if !matcher.invert {
            parser.warn("never fits: a route is chosen without a look at what filters find out");
        }
        Some(matcher.invert)
    });
    let states = parser.each("filter_state", &wire.filter_state, filter_state);
    inverted.into_iter().all(|inverted| inverted) && states.is_empty()
}

fn metadata(matcher: &MetadataMatcher, parser: &mut Parser) {
    not_empty("filter", &matcher.filter, parser);
    if matcher.path.is_empty() {
        parser.refuse_at::<()>("path", "at least one segment is required");
    }
    parser.each("path", &matcher.path, |segment, parser| match &segment.segment {
        Some(Segment::Key(key)) => not_empty("key", key, parser),
        None => parser.refuse_at("key", "required"),
    });
    parser.required("value", matcher.value.as_ref());
}

fn filter_state(matcher: &FilterStateMatcher, parser: &mut Parser) -> Option<()> {
    not_empty("key", &matcher.key, parser)?;
    if matcher.matcher.is_none() {
        return parser.refuse("one of string_match, address_match is required");
    }
    parser.warn("never fits: no supported filter sets filter state");
    Some(())
}
