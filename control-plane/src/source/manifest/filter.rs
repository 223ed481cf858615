//! Filters of routes and of their backends: the same for all kinds of routes.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::model::route::{Filters, HeaderChanges, Mirror, PathChange, Redirect, Rewrite};
use crate::source::manifest::reader::Reader;
use crate::source::manifest::route::{self, BackendRef};
use crate::source::manifest::text;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Filter {
    r#type: String,
    request_header_modifier: Option<HeaderModifier>,
    response_header_modifier: Option<HeaderModifier>,
    request_mirror: Option<MirrorShape>,
    request_redirect: Option<RedirectShape>,
    #[serde(rename = "urlRewrite")]
    url_rewrite: Option<RewriteShape>,
    extension_ref: Option<Value>,
    cors: Option<Value>,
    external_auth: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HeaderModifier {
    set: Option<Vec<Pair>>,
    add: Option<Vec<Pair>>,
    remove: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MirrorShape {
    backend_ref: BackendRef,
    percent: Option<i64>,
    fraction: Option<Fraction>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fraction {
    numerator: i64,
    denominator: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RedirectShape {
    scheme: Option<String>,
    hostname: Option<String>,
    port: Option<i64>,
    path: Option<PathShape>,
    status_code: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RewriteShape {
    hostname: Option<String>,
    path: Option<PathShape>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PathShape {
    r#type: String,
    replace_full_path: Option<String>,
    replace_prefix_match: Option<String>,
}

/// Reads the filters of a rule or of a backend.
pub(super) fn filters(field: &str, written: &[Filter], namespace: &Arc<str>, reader: &mut Reader) -> Filters {
    let mut filters = Filters::default();
    let mut seen: Vec<&str> = Vec::new();
    reader.at(field, |reader| {
        for (at, filter) in written.iter().enumerate() {
            let kind = filter.r#type.as_str();
            reader.item(at, |reader| {
                if seen.contains(&kind) && !matches!(kind, "RequestMirror" | "ExtensionRef") {
                    reader.refuse_at::<()>("type", format_args!("{kind} is there twice"));
                }
                one(filter, &mut filters, namespace, reader);
            });
            seen.push(kind);
        }
        if filters.redirect.is_some() && filters.rewrite.is_some() {
            reader.refuse::<()>("RequestRedirect and URLRewrite exclude each other");
        }
    });
    filters
}

fn one(filter: &Filter, filters: &mut Filters, namespace: &Arc<str>, reader: &mut Reader) {
    match_fields(filter, reader);
    match filter.r#type.as_str() {
        "RequestHeaderModifier" => {
            let field = "requestHeaderModifier";
            filters.request_headers = reader.at(field, |reader| headers(filter.request_header_modifier.as_ref(), reader));
        }
        "ResponseHeaderModifier" => {
            let field = "responseHeaderModifier";
            filters.response_headers = reader.at(field, |reader| headers(filter.response_header_modifier.as_ref(), reader));
        }
        "RequestMirror" => {
            let mirror = filter.request_mirror.as_ref();
            let mirror = mirror.and_then(|mirror| reader.at("requestMirror", |reader| self::mirror(mirror, namespace, reader)));
            filters.mirrors.extend(mirror);
        }
        "RequestRedirect" => {
            let redirect = filter.request_redirect.as_ref();
            filters.redirect = redirect.and_then(|redirect| reader.at("requestRedirect", |reader| self::redirect(redirect, reader)));
        }
        "URLRewrite" => {
            let rewrite = filter.url_rewrite.as_ref();
            filters.rewrite = rewrite.and_then(|rewrite| reader.at("urlRewrite", |reader| self::rewrite(rewrite, reader)));
        }
        other => filters.unsupported.push(other.to_owned()),
    }
}

/// As the definitions say: the field of the type, and no other.
fn match_fields(filter: &Filter, reader: &mut Reader) {
    let fields = [
        ("RequestHeaderModifier", "requestHeaderModifier", filter.request_header_modifier.is_some()),
        ("ResponseHeaderModifier", "responseHeaderModifier", filter.response_header_modifier.is_some()),
        ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
        ("RequestRedirect", "requestRedirect", filter.request_redirect.is_some()),
        ("URLRewrite", "urlRewrite", filter.url_rewrite.is_some()),
        ("ExtensionRef", "extensionRef", filter.extension_ref.is_some()),
        ("CORS", "cors", filter.cors.is_some()),
        ("ExternalAuth", "externalAuth", filter.external_auth.is_some()),
    ];
    for (kind, field, given) in fields {
        if (kind == filter.r#type) != given {
            let problem = if given { "only with the filter's own type" } else { "required with this type" };
            reader.refuse_at::<()>(field, problem);
        }
    }
}

fn headers(modifier: Option<&HeaderModifier>, reader: &mut Reader) -> HeaderChanges {
    let Some(modifier) = modifier else { return HeaderChanges::default() };
    let mut pairs = |field: &str, pairs: Option<&Vec<Pair>>| {
        reader.each(field, pairs.map(Vec::as_slice).unwrap_or_default(), |pair, reader| {
            let name = reader.at("name", |reader| text::header_name(&pair.name, reader));
            let value = reader.at("value", |reader| text::header_value(&pair.value, reader));
            Some((name?, value?))
        })
    };
    let (set, add) = (pairs("set", modifier.set.as_ref()), pairs("add", modifier.add.as_ref()));
    let remove = reader.each("remove", modifier.remove.as_deref().unwrap_or_default(), |name, reader| text::header_name(name, reader));
    HeaderChanges { set, add, remove }
}

fn mirror(mirror: &MirrorShape, namespace: &Arc<str>, reader: &mut Reader) -> Option<Mirror> {
    let backend = reader.at("backendRef", |reader| route::reference(&mirror.backend_ref, namespace, reader));
    let share = match (mirror.percent, &mirror.fraction) {
        (None, None) => Some((1, 1)),
        (Some(percent @ 0..=100), None) => u32::try_from(percent).ok().map(|percent| (percent, 100)),
        (Some(percent), None) => reader.refuse_at("percent", format_args!("{percent} is not between 0 and 100")),
        (None, Some(fraction)) => {
            let denominator = fraction.denominator.unwrap_or(100);
            match (u32::try_from(fraction.numerator), u32::try_from(denominator)) {
                (Ok(numerator), Ok(denominator)) if numerator <= denominator && denominator > 0 => Some((numerator, denominator)),
                _ => reader.refuse_at("fraction", format_args!("{}/{denominator} is not between 0 and 1", fraction.numerator)),
            }
        }
        (Some(_), Some(_)) => reader.refuse("only one of percent, fraction"),
    };
    Some(Mirror { backend: backend?, share: share? })
}

fn redirect(redirect: &RedirectShape, reader: &mut Reader) -> Option<Redirect> {
    let scheme = match redirect.scheme.as_deref() {
        None => None,
        Some(scheme @ ("http" | "https")) => Some(scheme.into()),
        Some(scheme) => return reader.refuse_at("scheme", format_args!("{scheme:?} is not http or https")),
    };
    let hostname = host(redirect.hostname.as_deref(), reader)?;
    let port = match redirect.port {
        None => None,
        Some(port) => Some(reader.at("port", |reader| text::port(port, reader))?),
    };
    let path = path(redirect.path.as_ref(), reader)?;
    let status = match redirect.status_code {
        None => 302,
        Some(301) => 301,
        Some(302) => 302,
        Some(303) => 303,
        Some(307) => 307,
        Some(308) => 308,
        Some(other) => return reader.refuse_at("statusCode", format_args!("{other} is not one of 301, 302, 303, 307, 308")),
    };
    Some(Redirect { scheme, hostname, port, path, status })
}

fn rewrite(rewrite: &RewriteShape, reader: &mut Reader) -> Option<Rewrite> {
    Some(Rewrite { hostname: host(rewrite.hostname.as_deref(), reader)?, path: path(rewrite.path.as_ref(), reader)? })
}

fn host(host: Option<&str>, reader: &mut Reader) -> Option<Option<Arc<str>>> {
    match host {
        None => Some(None),
        Some(host) => reader.at("hostname", |reader| text::subdomain(host, reader)).map(Some),
    }
}

fn path(path: Option<&PathShape>, reader: &mut Reader) -> Option<Option<PathChange>> {
    let Some(path) = path else { return Some(None) };
    reader.at("path", |reader| match (path.r#type.as_str(), &path.replace_full_path, &path.replace_prefix_match) {
        ("ReplaceFullPath", Some(full), None) => Some(Some(PathChange::Full(full.as_str().into()))),
        ("ReplacePrefixMatch", None, Some(prefix)) => Some(Some(PathChange::Prefix(prefix.as_str().into()))),
        _ => reader.refuse("replaceFullPath with type ReplaceFullPath, or replacePrefixMatch with type ReplacePrefixMatch"),
    })
}
