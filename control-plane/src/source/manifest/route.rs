//! Routes of the four kinds, and `ReferenceGrant`.
//!
//! Source of the rules: Gateway API v1.6, the definitions' comments and validations.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::model::grant::ReferenceGrant;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::model::route::{Backend, FieldMatch, Match, Parent, PathChange, PathMatch, Reference, Retry, Route, Rule, Text};
use crate::source::manifest::core::Metadata;
use crate::source::manifest::filter::{self, Filter};
use crate::source::manifest::reader::Reader;
use crate::source::manifest::text;

/// As in the definition.
const HEAVIEST: i64 = 1_000_000;
/// As in the definition.
const LONGEST_PATH: usize = 1024;

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    parent_refs: Option<Vec<ParentRef>>,
    hostnames: Option<Vec<String>>,
    rules: Option<Vec<RuleShape>>,
    use_default_gateways: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ParentRef {
    group: Option<String>,
    kind: Option<String>,
    name: String,
    namespace: Option<String>,
    port: Option<i64>,
    section_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RuleShape {
    name: Option<String>,
    matches: Option<Vec<MatchShape>>,
    filters: Option<Vec<Filter>>,
    backend_refs: Option<Vec<BackendRef>>,
    timeouts: Option<Timeouts>,
    retry: Option<RetryShape>,
    session_persistence: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MatchShape {
    path: Option<Typed>,
    /// A text for HTTP, an object for gRPC.
    method: Option<Value>,
    headers: Option<Vec<Typed>>,
    query_params: Option<Vec<Typed>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Typed {
    r#type: Option<String>,
    name: String,
    value: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct GrpcMethod {
    r#type: Option<String>,
    service: Option<String>,
    method: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BackendRef {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) port: Option<i64>,
    weight: Option<i64>,
    filters: Option<Vec<Filter>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Timeouts {
    request: Option<String>,
    backend_request: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RetryShape {
    codes: Option<Vec<i64>>,
    attempts: Option<i64>,
    backoff: Option<String>,
}

/// A route.
pub(super) fn route(key: &Key, value: &Value, reader: &mut Reader) -> Option<Route> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let spec: Spec = reader.shape(value, "spec")?;
    let (kind, namespace) = (key.kind, &key.name.namespace);
    reader.at("spec", |reader| {
        let parents =
            reader.each("parentRefs", &spec.parent_refs.unwrap_or_default(), |parent, reader| self::parent(parent, namespace, reader));
        let hostnames = reader.each("hostnames", &spec.hostnames.unwrap_or_default(), hostname);
        if let Some(which) = spec.use_default_gateways.filter(|which| which != "None") {
            reader.refuse_at::<()>("useDefaultGateways", format_args!("{which:?} is not supported: there are no Gateways"));
        }
        if kind == Kind::TlsRoute && hostnames.is_empty() {
            reader.refuse_at::<()>("hostnames", "at least one is required");
        }
        let rules = match spec.rules {
            // As the definitions say: a rule for every path, which goes nowhere.
            None => vec![RuleShape::default()],
            Some(rules) => rules,
        };
        let rules = reader.each("rules", &rules, |rule, reader| self::rule(kind, rule, namespace, reader));
        let (created, generation) = (metadata.creation_timestamp.unwrap_or_default(), metadata.generation.unwrap_or_default());
        Some(Route { kind, name: key.name.clone(), created, generation, parents, hostnames, rules })
    })
}

fn parent(parent: &ParentRef, namespace: &Arc<str>, reader: &mut Reader) -> Option<Parent> {
    let port = match parent.port {
        None => None,
        Some(port) => Some(reader.at("port", |reader| text::port(port, reader))?),
    };
    Some(Parent {
        group: parent.group.clone().unwrap_or_else(|| "gateway.networking.k8s.io".to_owned()),
        kind: parent.kind.clone().unwrap_or_else(|| "Gateway".to_owned()),
        name: named(&parent.name, parent.namespace.as_deref(), namespace, reader)?,
        port,
        section: parent.section_name.clone(),
    })
}

fn named(name: &str, namespace: Option<&str>, own: &Arc<str>, reader: &mut Reader) -> Option<Name> {
    let name = reader.at("name", |reader| text::subdomain(name, reader));
    let namespace = match namespace {
        None => Some(Arc::clone(own)),
        Some(namespace) => reader.at("namespace", |reader| text::label(namespace, reader)),
    };
    Some(Name { namespace: namespace?, name: name? })
}

fn hostname(host: &String, reader: &mut Reader) -> Option<Arc<str>> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return reader.refuse(format_args!("{host:?} is an IP address, not a host name"));
    }
    text::subdomain(bare, reader).map(|_| host.as_str().into())
}

fn rule(kind: Kind, rule: &RuleShape, namespace: &Arc<str>, reader: &mut Reader) -> Option<Rule> {
    let matches = rule.matches.as_deref().unwrap_or_default();
    let mut matches = reader
        .each("matches", matches, |one, reader| if kind == Kind::GrpcRoute { grpc_match(one, reader) } else { http_match(one, reader) });
    if rule.matches.as_ref().is_none_or(Vec::is_empty) {
        matches.push(Match::default());
    }
    let mut filters = filter::filters("filters", rule.filters.as_deref().unwrap_or_default(), namespace, reader);
    if rule.session_persistence.is_some() {
        filters.unsupported.push("sessionPersistence".to_owned());
    }
    let backends = reader
        .each("backendRefs", rule.backend_refs.as_deref().unwrap_or_default(), |backend, reader| self::backend(backend, namespace, reader));
    if filters.redirect.is_some() && !backends.is_empty() {
        reader.refuse_at::<()>("backendRefs", "must be empty with a RequestRedirect filter");
    }
    prefixes(&filters, &matches, reader);
    let (request_timeout, backend_timeout) = match &rule.timeouts {
        None => (None, None),
        Some(timeouts) => reader.at("timeouts", |reader| self::timeouts(timeouts, reader)),
    };
    let retry = match &rule.retry {
        None => None,
        Some(retry) => Some(reader.at("retry", |reader| self::retry(retry, reader))?),
    };
    let name = rule.name.clone().unwrap_or_default();
    Some(Rule { name, matches, filters, backends, request_timeout, backend_timeout, retry })
}

/// A prefix can only be replaced where one has matched.
fn prefixes(filters: &crate::model::route::Filters, matches: &[Match], reader: &mut Reader) {
    let rewritten = filters.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
    let redirected = filters.redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
    let replaces = [rewritten, redirected].into_iter().flatten().any(|path| matches!(path, PathChange::Prefix(_)));
    if replaces && !matches.iter().all(|one| matches!(one.path, PathMatch::Prefix(_))) {
        reader.refuse_at::<()>("filters", "ReplacePrefixMatch needs matches of type PathPrefix");
    }
}

fn http_match(one: &MatchShape, reader: &mut Reader) -> Option<Match> {
    let path = match &one.path {
        None => Some(PathMatch::default()),
        Some(path) => reader.at("path", |reader| path_match(path, reader)),
    };
    let method = one.method.as_ref().and_then(Value::as_str).map(Arc::from);
    let headers = fields("headers", one.headers.as_deref().unwrap_or_default(), true, reader);
    let query = fields("queryParams", one.query_params.as_deref().unwrap_or_default(), false, reader);
    Some(Match { path: path?, method, headers, query })
}

fn path_match(path: &Typed, reader: &mut Reader) -> Option<PathMatch> {
    let value = path.value.as_deref().unwrap_or("/");
    let kind = path.r#type.as_deref().unwrap_or("PathPrefix");
    if kind == "RegularExpression" {
        return reader.at("value", |reader| text::regex(value, reader)).map(PathMatch::Regex);
    }
    let problem = if !value.starts_with('/') {
        Some("must begin with '/'")
    } else if value.contains("//") || value.contains("/./") || value.contains("/../") || value.ends_with("/.") || value.ends_with("/..") {
        Some("must not have '//', '/./' or '/../'")
    } else if value.contains(['#', '?']) || value.to_ascii_lowercase().contains("%2f") {
        Some("must not have '#', '?' or '%2F'")
    } else if value.len() > LONGEST_PATH {
        Some("must not be longer than 1024")
    } else {
        None
    };
    if let Some(problem) = problem {
        return reader.refuse_at("value", format_args!("{value:?} {problem}"));
    }
    match kind {
        "Exact" => Some(PathMatch::Exact(value.into())),
        "PathPrefix" => Some(PathMatch::Prefix(if value == "/" { value } else { value.trim_end_matches('/') }.into())),
        _ => reader.refuse_at("type", format_args!("{kind:?} is not Exact, PathPrefix or RegularExpression")),
    }
}

/// Of several with the same name only the first counts, as the definitions say; names of headers are alike in any case.
fn fields(field: &str, written: &[Typed], headers: bool, reader: &mut Reader) -> Vec<FieldMatch> {
    let mut read: Vec<FieldMatch> = Vec::new();
    for one in reader.each(field, written, |one, reader| field_match(one, headers, reader)) {
        if read.iter().all(|known| known.name != one.name) {
            read.push(one);
        }
    }
    read
}

fn field_match(one: &Typed, header: bool, reader: &mut Reader) -> Option<FieldMatch> {
    let name = match header {
        true => reader.at("name", |reader| text::header_name(&one.name, reader)),
        false if one.name.is_empty() => reader.refuse_at("name", "required"),
        false => Some(one.name.as_str().into()),
    };
    let value = one.value.as_deref().unwrap_or_default();
    let value = match one.r#type.as_deref() {
        None | Some("Exact") => Some(Text::Exact(value.into())),
        _ => reader.at("value", |reader| text::regex(value, reader)).map(Text::Regex),
    };
    Some(FieldMatch { name: name?, value: value? })
}

/// The path of a gRPC method is `/package.Service/Method`.
fn grpc_match(one: &MatchShape, reader: &mut Reader) -> Option<Match> {
    let headers = fields("headers", one.headers.as_deref().unwrap_or_default(), true, reader);
    let Some(method) = &one.method else { return Some(Match { headers, ..Match::default() }) };
    let method: GrpcMethod = serde_json::from_value(method.clone()).unwrap_or_default();
    let path = reader.at("method", |reader| {
        let service = method.service.as_deref().filter(|service| !service.is_empty());
        let name = method.method.as_deref().filter(|name| !name.is_empty());
        if service.is_none() && name.is_none() {
            return reader.refuse("at least one of service, method is required");
        }
        if method.r#type.as_deref() == Some("RegularExpression") {
            let whole = format!("/{}/{}", service.unwrap_or("[^/]+"), name.unwrap_or("[^/]+"));
            return text::regex(&whole, reader).map(PathMatch::Regex);
        }
        let wrong = |text: &str| text.contains(|letter: char| !(letter.is_ascii_alphanumeric() || "._".contains(letter)));
        if let Some(text) = service.filter(|text| wrong(text)).or(name.filter(|text| wrong(text))) {
            return reader.refuse(format_args!("{text:?} is not the name of a gRPC service or method"));
        }
        Some(match (service, name) {
            (Some(service), Some(name)) => PathMatch::Exact(format!("/{service}/{name}").into()),
            (Some(service), None) => PathMatch::Prefix(format!("/{service}").into()),
            (None, name) => PathMatch::Regex(format!("/[^/]+/{}", name.unwrap_or_default()).into()),
        })
    })?;
    Some(Match { path, headers, ..Match::default() })
}

fn backend(backend: &BackendRef, namespace: &Arc<str>, reader: &mut Reader) -> Option<Backend> {
    let weight = backend.weight.unwrap_or(1);
    if !(0..=HEAVIEST).contains(&weight) {
        reader.refuse_at::<()>("weight", format_args!("{weight} is not between 0 and {HEAVIEST}"));
    }
    let filters = filter::filters("filters", backend.filters.as_deref().unwrap_or_default(), namespace, reader);
    let target = reference(backend, namespace, reader)?;
    Some(Backend { target, weight: u32::try_from(weight).ok()?, filters })
}

/// A backend as it is named.
pub(super) fn reference(backend: &BackendRef, namespace: &Arc<str>, reader: &mut Reader) -> Option<Reference> {
    let port = match backend.port {
        None => None,
        Some(port) => Some(reader.at("port", |reader| text::port(port, reader))?),
    };
    Some(Reference {
        group: backend.group.clone().unwrap_or_default(),
        kind: backend.kind.clone().unwrap_or_else(|| "Service".to_owned()),
        name: named(&backend.name, backend.namespace.as_deref(), namespace, reader)?,
        port,
    })
}

fn timeouts(timeouts: &Timeouts, reader: &mut Reader) -> (Option<Duration>, Option<Duration>) {
    let mut read = |field: &str, written: &Option<String>| {
        let written = written.as_deref()?;
        reader.at(field, |reader| text::duration(written, reader))
    };
    let (request, backend) = (read("request", &timeouts.request), read("backendRequest", &timeouts.backend_request));
    if let (Some(request), Some(backend)) = (request, backend)
        && !request.is_zero()
        && (backend > request || backend.is_zero())
    {
        reader.refuse_at::<()>("backendRequest", "must not be longer than request");
    }
    (request, backend)
}

fn retry(retry: &RetryShape, reader: &mut Reader) -> Option<Retry> {
    let codes = reader.each("codes", retry.codes.as_deref().unwrap_or_default(), |code, reader| match u16::try_from(*code) {
        Ok(code @ 400..=599) => Some(code),
        _ => reader.refuse(format_args!("{code} is not between 400 and 599")),
    });
    let attempts = match retry.attempts.map(u32::try_from) {
        None => None,
        Some(Ok(attempts)) => Some(attempts),
        Some(Err(_)) => return reader.refuse_at("attempts", "less than 0"),
    };
    let backoff = match &retry.backoff {
        None => None,
        Some(backoff) => Some(reader.at("backoff", |reader| text::duration(backoff, reader))?),
    };
    Some(Retry { codes, attempts, backoff })
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct GrantSpec {
    from: Vec<GrantRef>,
    to: Vec<GrantRef>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct GrantRef {
    group: String,
    kind: String,
    namespace: String,
    name: Option<String>,
}

/// A `ReferenceGrant`. Kinds that Ninon does not have are left out: nothing can refer to or from them here.
pub(super) fn grant(name: &Name, value: &Value, reader: &mut Reader) -> Option<ReferenceGrant> {
    let spec: GrantSpec = reader.shape(value, "spec")?;
    let of = |written: &GrantRef| Kind::ALL.into_iter().find(|kind| kind.group() == written.group && kind.as_str() == written.kind);
    reader.at("spec", |reader| {
        let from = reader.each("from", &spec.from, |from, reader| {
            let namespace = reader.at("namespace", |reader| text::label(&from.namespace, reader))?;
            Some(of(from).map(|kind| (kind, namespace)))
        });
        let to = reader.each("to", &spec.to, |to, _| Some(of(to).map(|kind| (kind, to.name.as_deref().map(Arc::from)))));
        Some(ReferenceGrant { name: name.clone(), from: from.into_iter().flatten().collect(), to: to.into_iter().flatten().collect() })
    })
}
