use xds_proto::envoy::config::core::v3::TypedExtensionConfig;
use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use xds_proto::envoy::extensions::path::rewrite::uri_template::v3::UriTemplateRewriteConfig;

use crate::config::route::{HostRewrite, PathMatch, PathRewrite, TemplatePart};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::regex;
use crate::xds::route::template;

/// What becomes of the path. `matched` is how the route matches it, if that could be parsed.
pub fn path(action: &wire::RouteAction, matched: Option<&PathMatch>, parser: &mut Parser) -> Option<PathRewrite> {
    parser.unsupported("path_rewrite", !action.path_rewrite.is_empty());
    let ways = [!action.prefix_rewrite.is_empty(), action.regex_rewrite.is_some(), action.path_rewrite_policy.is_some()];
    if ways.iter().filter(|set| **set).count() > 1 {
        return parser.refuse("only one of prefix_rewrite, regex_rewrite, path_rewrite_policy may be set");
    }
    if let Some(rewrite) = &action.regex_rewrite {
        return parser.at("regex_rewrite", |parser| regex::rewrite(rewrite, parser)).map(PathRewrite::Regex);
    }
    if let Some(policy) = &action.path_rewrite_policy {
        let parts = parser.at("path_rewrite_policy", |parser| rewrite_policy(policy, matched, parser))?;
        return Some(PathRewrite::Template(parts));
    }
    if action.prefix_rewrite.is_empty() {
        return Some(PathRewrite::Keep);
    }
    headers::value_at("prefix_rewrite", &action.prefix_rewrite, parser)?;
    Some(PathRewrite::Prefix(action.prefix_rewrite.clone()))
}

fn rewrite_policy(policy: &TypedExtensionConfig, matched: Option<&PathMatch>, parser: &mut Parser) -> Option<Vec<TemplatePart>> {
    let packed = parser.required("typed_config", policy.typed_config.as_ref())?;
    parser.at("typed_config", |parser| {
        let config = parser.unpack::<UriTemplateRewriteConfig>(packed)?;
        let PathMatch::Template(matched) = matched? else {
            return parser.refuse("needs a route that matches by a path_match_policy with a URI template");
        };
        parser.at("path_template_rewrite", |parser| parser.accept(template::rewrite(&config.path_template_rewrite, matched)))
    })
}

/// What becomes of the host.
pub fn host(specifier: Option<&HostRewriteSpecifier>, parser: &mut Parser) -> Option<HostRewrite> {
    match specifier {
        None | Some(HostRewriteSpecifier::AutoHostRewrite(false)) => Some(HostRewrite::Keep),
        Some(HostRewriteSpecifier::AutoHostRewrite(true)) => Some(HostRewrite::Auto),
        // Envoy: an empty name or host leaves the host as it is.
        Some(HostRewriteSpecifier::HostRewriteLiteral(text) | HostRewriteSpecifier::HostRewriteHeader(text)) if text.is_empty() => {
            Some(HostRewrite::Keep)
        }
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => {
            headers::value_at("host_rewrite_literal", host, parser).map(HostRewrite::Literal)
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
            headers::read_name_at("host_rewrite_header", name, parser).map(HostRewrite::Header)
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(rewrite)) => {
            let rewrite = parser.at("host_rewrite_path_regex", |parser| regex::rewrite(rewrite, parser));
            rewrite.map(HostRewrite::PathRegex)
        }
        Some(HostRewriteSpecifier::HostRewrite(_)) => parser.refuse_at("host_rewrite", "not supported"),
    }
}
