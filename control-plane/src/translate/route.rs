//! A rule's matches, one by one, to `Route`s.

use std::time::Duration;

use xds_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use xds_proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use xds_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use xds_proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use xds_proto::envoy::config::route::v3::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use xds_proto::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;
use xds_proto::envoy::config::route::v3::retry_policy::{RetryBackOff, RetryHostPredicate};
use xds_proto::envoy::config::route::v3::route::Action;
use xds_proto::envoy::config::route::v3::route_action::hash_policy::{ConnectionProperties, Cookie, Header, PolicySpecifier};
use xds_proto::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, HostRewriteSpecifier, MaxStreamDuration, RequestMirrorPolicy,
};
use xds_proto::envoy::config::route::v3::route_match::PathSpecifier;
use xds_proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use xds_proto::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, QueryParameterMatcher, RedirectAction, RetryPolicy, Route as WireRoute, RouteAction, RouteMatch,
    WeightedCluster,
};
use xds_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use xds_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

use crate::model::attach::{self, Entry};
use crate::model::kind::Kind;
use crate::model::mesh::Mesh;
use crate::model::policy::{Balancing, HashKey, TrafficPolicy};
use crate::model::route::{
    Backend, FieldMatch, Filters, HeaderChanges, Match, PathChange, PathMatch, Redirect, Retry, Rewrite, Rule, Text,
};
use crate::model::service::{Port, Service};
use crate::translate::view::Form;
use crate::translate::{names, wire};

/// What certainly has not reached a server, and may be tried again whatever the method.
const SAFE_TO_REPEAT: &str = "connect-failure,refused-stream,reset-before-request";
/// The longest wait between two attempts, as a multiple of the first (as in Envoy).
const BACKOFF_GROWS: u32 = 10;

/// For whom routes are made.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) mesh: &'a Mesh,
    pub(super) namespace: &'a str,
    pub(super) form: Form,
}

/// The routes of a service's port.
pub(super) fn routes(asking: Asking<'_>, service: &Service, port: &Port) -> Vec<WireRoute> {
    let policy = asking.mesh.policy(&service.name, port.number).map(AsRef::as_ref);
    let attached = attach::routes(asking.mesh, asking.namespace, service, port);
    if attached.is_empty() {
        let cluster = names::service(&service.name, port.number);
        return vec![plain(asking, cluster, policy)];
    }
    attach::entries(&attached).iter().flat_map(|entry| routes_of(asking, entry, policy)).collect()
}

/// Everything goes to one cluster.
pub(super) fn plain(asking: Asking<'_>, cluster: String, policy: Option<&TrafficPolicy>) -> WireRoute {
    let rule = Rule { request_timeout: policy.and_then(|policy| policy.request_timeout), ..Rule::default() };
    let action = RouteAction { cluster_specifier: Some(ClusterSpecifier::Cluster(cluster)), ..action(asking, &rule, policy) };
    WireRoute {
        r#match: Some(RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".to_owned())), ..RouteMatch::default() }),
        action: Some(Action::Route(action)),
        ..WireRoute::default()
    }
}

/// One match of a rule. It becomes several routes where a part of its requests cannot be served, and for gRPC, which has no prefixes
/// of whole segments.
fn routes_of(asking: Asking<'_>, entry: &Entry<'_>, policy: Option<&TrafficPolicy>) -> Vec<WireRoute> {
    let (rule, filters) = (entry.rule, &entry.rule.filters);
    let name = format!(
        "{}/{}/{}",
        entry.route.name,
        entry.route.kind,
        if rule.name.is_empty() { entry.at.to_string() } else { rule.name.clone() }
    );
    let base = WireRoute {
        name,
        request_headers_to_add: added(&filters.request_headers),
        request_headers_to_remove: removed(&filters.request_headers),
        response_headers_to_add: added(&filters.response_headers),
        response_headers_to_remove: removed(&filters.response_headers),
        ..WireRoute::default()
    };
    let mut routes = Vec::new();
    for path in paths(&entry.one.path, asking.form) {
        let matched = matched(entry.one, path);
        let with = |action: Action| WireRoute { r#match: Some(matched.clone()), action: Some(action), ..base.clone() };
        if !filters.unsupported.is_empty() {
            routes.push(with(failed(entry.route.kind)));
            continue;
        }
        if let Some(redirect) = &filters.redirect {
            routes.push(with(Action::Redirect(redirected(redirect, &entry.one.path))));
            continue;
        }
        let (good, bad) = backends(asking, entry);
        let total = good.iter().fold(bad, |sum, (_, backend)| sum.saturating_add(u64::from(backend.weight)));
        if bad > 0 || total == 0 {
            let fraction = (bad < total).then(|| wire::share(bad, total));
            let matched = RouteMatch { runtime_fraction: fraction, ..matched.clone() };
            routes.push(WireRoute { r#match: Some(matched), ..with(failed(entry.route.kind)) });
        }
        if total > bad {
            routes.push(with(Action::Route(forwarded(asking, rule, &good, &entry.one.path, policy, entry))));
        }
    }
    routes
}

/// As Gateway API says of what leads nowhere: 500, and for gRPC the status `UNAVAILABLE`, which is how gRPC reads 503.
fn failed(kind: Kind) -> Action {
    let status = if kind == Kind::GrpcRoute { 503 } else { 500 };
    Action::DirectResponse(DirectResponseAction { status, ..DirectResponseAction::default() })
}

/// Clusters of the backends that there are, and the weight of those that there are not.
fn backends<'a>(asking: Asking<'_>, entry: &Entry<'a>) -> (Vec<(String, &'a Backend)>, u64) {
    let (mut good, mut bad) = (Vec::new(), 0_u64);
    for backend in entry.rule.backends.iter().filter(|backend| backend.weight > 0) {
        let target = attach::resolve(asking.mesh, entry.route, &backend.target, asking.namespace);
        let usable = backend.filters.unsupported.is_empty() && attach::only_headers(&backend.filters);
        match target {
            Ok(target) if usable => good.push((names::target(&target), backend)),
            _ => bad = bad.saturating_add(u64::from(backend.weight)),
        }
    }
    (good, bad)
}

fn forwarded(
    asking: Asking<'_>,
    rule: &Rule,
    backends: &[(String, &Backend)],
    path: &PathMatch,
    policy: Option<&TrafficPolicy>,
    entry: &Entry<'_>,
) -> RouteAction {
    let mut forward = action(asking, rule, policy);
    forward.cluster_specifier = Some(match backends {
        [(cluster, backend)] if backend.filters == Filters::default() => ClusterSpecifier::Cluster(cluster.clone()),
        many => {
            let clusters = many.iter().map(|(cluster, backend)| weighted(cluster, backend)).collect();
            ClusterSpecifier::WeightedClusters(WeightedCluster { clusters, ..WeightedCluster::default() })
        }
    });
    forward.request_mirror_policies = rule
        .filters
        .mirrors
        .iter()
        .filter_map(|mirror| {
            let target = attach::resolve(asking.mesh, entry.route, &mirror.backend, asking.namespace).ok()?;
            let (numerator, denominator) = mirror.share;
            let fraction = wire::share(u64::from(numerator), u64::from(denominator));
            let cluster = names::target(&target);
            Some(RequestMirrorPolicy { cluster, runtime_fraction: Some(fraction), ..RequestMirrorPolicy::default() })
        })
        .collect();
    if let Some(rewrite) = &rule.filters.rewrite {
        rewritten(&mut forward, rewrite, path);
    }
    forward
}

fn weighted(cluster: &str, backend: &Backend) -> ClusterWeight {
    ClusterWeight {
        name: cluster.to_owned(),
        weight: Some(backend.weight),
        request_headers_to_add: added(&backend.filters.request_headers),
        request_headers_to_remove: removed(&backend.filters.request_headers),
        response_headers_to_add: added(&backend.filters.response_headers),
        response_headers_to_remove: removed(&backend.filters.response_headers),
        ..ClusterWeight::default()
    }
}

/// Times, repeats and stickiness: all but where it goes.
fn action(asking: Asking<'_>, rule: &Rule, policy: Option<&TrafficPolicy>) -> RouteAction {
    let timeout = rule.request_timeout.or_else(|| policy.and_then(|policy| policy.request_timeout));
    let timeout = timeout.filter(|timeout| !timeout.is_zero());
    let mut action = RouteAction {
        hash_policy: policy.and_then(|policy| hash_policy(&policy.balancing)).into_iter().collect(),
        ..RouteAction::default()
    };
    match asking.form {
        Form::Sidecar | Form::Identified | Form::Negotiating => {
            // Without a word of the user there is no limit: Envoy's own 15 s would end downloads.
            action.timeout = Some(timeout.map_or(wire::FOREVER, wire::duration));
            action.retry_policy = retry_policy(asking, rule);
        }
        Form::Grpc => {
            let duration = timeout.map(wire::duration);
            action.max_stream_duration =
                duration.map(|duration| MaxStreamDuration { max_stream_duration: Some(duration), ..MaxStreamDuration::default() });
        }
    }
    action
}

/// How often another endpoint is looked for that has not been tried: of two, one of which is dead, the live one is missed once in
/// hundreds of times.
const SELECTIONS: i64 = 20;

fn retry_policy(asking: Asking<'_>, rule: &Rule) -> Option<RetryPolicy> {
    let per_try = rule.backend_timeout.filter(|timeout| !timeout.is_zero()).map(wire::duration);
    let default = asking.mesh.settings().retries;
    let (retry_on, attempts, codes, backoff) = match &rule.retry {
        None => (SAFE_TO_REPEAT.to_owned(), default, Vec::new(), None),
        Some(Retry { codes, attempts, backoff }) => {
            let words = if codes.is_empty() { SAFE_TO_REPEAT.to_owned() } else { format!("{SAFE_TO_REPEAT},retriable-status-codes") };
            (words, attempts.unwrap_or(default), codes.iter().copied().map(u32::from).collect(), *backoff)
        }
    };
    if attempts == 0 && per_try.is_none() {
        return None;
    }
    let back_off = backoff.filter(|backoff| !backoff.is_zero()).map(|backoff| RetryBackOff {
        base_interval: Some(wire::duration(backoff)),
        max_interval: Some(wire::duration(backoff.saturating_mul(BACKOFF_GROWS).max(Duration::from_millis(1)))),
    });
    let elsewhere = (asking.form.is_sidecar()).then(|| RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(ConfigType::TypedConfig(wire::pack(&PreviousHostsPredicate::default()))),
    });
    Some(RetryPolicy {
        retry_on,
        // An endpoint that is dead has the fewest requests, and would be chosen again.
        host_selection_retry_max_attempts: elsewhere.as_ref().map_or(0, |_| SELECTIONS),
        retry_host_predicate: elsewhere.into_iter().collect(),
        num_retries: Some(attempts),
        per_try_timeout: per_try,
        retriable_status_codes: codes,
        retry_back_off: back_off,
        ..RetryPolicy::default()
    })
}

fn hash_policy(balancing: &Balancing) -> Option<HashPolicy> {
    let key = match balancing {
        Balancing::RingHash(key) | Balancing::Maglev(key) => key,
        Balancing::LeastRequest | Balancing::RoundRobin | Balancing::Random => return None,
    };
    let specifier = match key {
        HashKey::Header(name) => PolicySpecifier::Header(Header { header_name: name.to_string(), ..Header::default() }),
        HashKey::Cookie(name, ttl) => {
            PolicySpecifier::Cookie(Cookie { name: name.to_string(), ttl: ttl.map(wire::duration), ..Cookie::default() })
        }
        HashKey::SourceAddress => PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true }),
    };
    Some(HashPolicy { policy_specifier: Some(specifier), ..HashPolicy::default() })
}

fn paths(path: &PathMatch, form: Form) -> Vec<PathSpecifier> {
    match (path, form) {
        (PathMatch::Exact(path), _) => vec![PathSpecifier::Path(path.to_string())],
        (PathMatch::Regex(expression), _) => vec![PathSpecifier::SafeRegex(wire::regex(expression))],
        (PathMatch::Prefix(prefix), _) if **prefix == *"/" => vec![PathSpecifier::Prefix("/".to_owned())],
        (PathMatch::Prefix(prefix), Form::Sidecar | Form::Identified | Form::Negotiating) => {
            vec![PathSpecifier::PathSeparatedPrefix(prefix.to_string())]
        }
        (PathMatch::Prefix(prefix), Form::Grpc) => {
            vec![PathSpecifier::Path(prefix.to_string()), PathSpecifier::Prefix(format!("{prefix}/"))]
        }
    }
}

fn matched(one: &Match, path: PathSpecifier) -> RouteMatch {
    let method = one.method.as_deref().map(|method| header(":method", wire::exactly(method)));
    let text = |value: &Text| match value {
        Text::Exact(text) => wire::exactly(text),
        Text::Regex(expression) => wire::fits(expression),
    };
    let headers = one.headers.iter().map(|FieldMatch { name, value }| header(name, text(value)));
    let query = one.query.iter().map(|FieldMatch { name, value }| QueryParameterMatcher {
        name: name.to_string(),
        query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(text(value))),
    });
    RouteMatch {
        path_specifier: Some(path),
        headers: method.into_iter().chain(headers).collect(),
        query_parameters: query.collect(),
        ..RouteMatch::default()
    }
}

fn header(name: &str, text: xds_proto::envoy::r#type::matcher::v3::StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(text)),
        ..HeaderMatcher::default()
    }
}

fn redirected(redirect: &Redirect, path: &PathMatch) -> RedirectAction {
    let code = match redirect.status {
        301 => RedirectResponseCode::MovedPermanently,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::Found,
    };
    // As the definition says: without a port the scheme's own, and without a scheme the request's.
    let port = redirect.port.or(match redirect.scheme.as_deref() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    });
    let path = redirect.path.as_ref().map(|change| match change {
        PathChange::Full(full) => PathRewriteSpecifier::PathRedirect(full.to_string()),
        PathChange::Prefix(prefix) => match replaced(path, prefix) {
            Replaced::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix),
            Replaced::Regex(regex) => PathRewriteSpecifier::RegexRewrite(regex),
        },
    });
    RedirectAction {
        scheme_rewrite_specifier: redirect.scheme.as_ref().map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_string())),
        host_redirect: redirect.hostname.as_deref().unwrap_or_default().to_owned(),
        port_redirect: port.map(u32::from).unwrap_or_default(),
        path_rewrite_specifier: path,
        response_code: i32::from(code),
        ..RedirectAction::default()
    }
}

fn rewritten(forward: &mut RouteAction, rewrite: &Rewrite, path: &PathMatch) {
    forward.host_rewrite_specifier = rewrite.hostname.as_ref().map(|host| HostRewriteSpecifier::HostRewriteLiteral(host.to_string()));
    match &rewrite.path {
        None => {}
        Some(PathChange::Full(full)) => forward.regex_rewrite = Some(substitute("^/.*$", full)),
        Some(PathChange::Prefix(prefix)) => match replaced(path, prefix) {
            Replaced::Prefix(prefix) => forward.prefix_rewrite = prefix,
            Replaced::Regex(regex) => forward.regex_rewrite = Some(regex),
        },
    }
}

enum Replaced {
    Prefix(String),
    Regex(RegexMatchAndSubstitute),
}

/// What takes a prefix's place. `/a` to `/` leaves `/b` of `/a/b`, and not `//b`; and `/` to `/a` makes `/a/b` of `/b`, as the
/// definition's table of examples says.
fn replaced(path: &PathMatch, with: &str) -> Replaced {
    let with = with.trim_end_matches('/');
    match path {
        PathMatch::Prefix(prefix) if **prefix == *"/" => Replaced::Prefix(format!("{with}/")),
        PathMatch::Prefix(prefix) if with.is_empty() => Replaced::Regex(substitute(&format!("^{}/*", regex::escape(prefix)), "/")),
        PathMatch::Prefix(_) | PathMatch::Exact(_) | PathMatch::Regex(_) => Replaced::Prefix(with.to_owned()),
    }
}

/// `\` has a meaning in what is put in.
fn substitute(expression: &str, with: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute { pattern: Some(wire::regex(expression)), substitution: with.replace('\\', "\\\\") }
}

fn added(changes: &HeaderChanges) -> Vec<HeaderValueOption> {
    let of = |(name, value): &(std::sync::Arc<str>, std::sync::Arc<str>), append: HeaderAppendAction| HeaderValueOption {
        // `%` begins a variable in Envoy.
        header: Some(HeaderValue { key: name.to_string(), value: value.replace('%', "%%"), ..HeaderValue::default() }),
        append_action: i32::from(append),
        ..HeaderValueOption::default()
    };
    let set = changes.set.iter().map(|pair| of(pair, HeaderAppendAction::OverwriteIfExistsOrAdd));
    set.chain(changes.add.iter().map(|pair| of(pair, HeaderAppendAction::AppendIfExistsOrAdd))).collect()
}

fn removed(changes: &HeaderChanges) -> Vec<String> {
    changes.remove.iter().map(|name| name.to_string()).collect()
}
