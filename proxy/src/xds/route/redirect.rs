use http::StatusCode;
use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};

use crate::config::route::{Redirect, RedirectPath};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::regex;

/// A `RedirectAction`.
pub fn parse(action: &wire::RedirectAction, parser: &mut Parser) -> Option<Redirect> {
    let status = parser.choice::<RedirectResponseCode>("response_code", action.response_code).map(status);
    let scheme = match &action.scheme_rewrite_specifier {
        None | Some(SchemeRewriteSpecifier::HttpsRedirect(false)) => None,
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".to_owned()),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => text("scheme_redirect", scheme, parser),
    };
    let path = path(action.path_rewrite_specifier.as_ref(), parser);
    Some(Redirect {
        scheme,
        host: text("host_redirect", &action.host_redirect, parser),
        port: port(action.port_redirect, parser),
        status: status?,
        path: path?,
        strip_query: action.strip_query,
    })
}

fn status(code: RedirectResponseCode) -> StatusCode {
    match code {
        RedirectResponseCode::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
        RedirectResponseCode::Found => StatusCode::FOUND,
        RedirectResponseCode::SeeOther => StatusCode::SEE_OTHER,
        RedirectResponseCode::TemporaryRedirect => StatusCode::TEMPORARY_REDIRECT,
        RedirectResponseCode::PermanentRedirect => StatusCode::PERMANENT_REDIRECT,
    }
}

/// 0 is not set, as in Envoy.
fn port(port: u32, parser: &mut Parser) -> Option<u16> {
    match u16::try_from(port) {
        Ok(0) => None,
        Ok(port) => Some(port),
        Err(_) => parser.refuse_at("port_redirect", format_args!("{port} is not between 1 and 65535")),
    }
}

fn path(specifier: Option<&PathRewriteSpecifier>, parser: &mut Parser) -> Option<RedirectPath> {
    match specifier {
        None => Some(RedirectPath::Keep),
        // Envoy: an empty path or prefix leaves the path as it is.
        Some(PathRewriteSpecifier::PathRedirect(text) | PathRewriteSpecifier::PrefixRewrite(text)) if text.is_empty() => {
            Some(RedirectPath::Keep)
        }
        Some(PathRewriteSpecifier::PathRedirect(path)) => text("path_redirect", path, parser).map(RedirectPath::Replace),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => text("prefix_rewrite", prefix, parser).map(RedirectPath::Prefix),
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => {
            parser.at("regex_rewrite", |parser| regex::rewrite(rewrite, parser)).map(RedirectPath::Regex)
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => parser.refuse_at("path_rewrite", "not supported"),
    }
}

/// A text that becomes part of `location`, if it is set.
fn text(field: &'static str, text: &str, parser: &mut Parser) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    headers::value_at(field, text, parser).map(|_| text.to_owned())
}
