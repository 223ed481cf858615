//! `RouteConfiguration` to [`crate::config::route::RouteTable`].
//!
//! Source of the rules: Envoy's API (`envoy.config.route.v3`), its validation rules, and what Envoy 1.40 refuses.

/// `RouteAction`: where a request goes and what becomes of it.
pub mod action;
/// `DirectResponseAction`.
pub mod direct;
/// One route: its match, its action, its headers.
pub mod entry;
/// Settings of HTTP filters on a route.
pub mod filters;
/// `HashPolicy`.
pub mod hash;
/// `RouteMatch`.
pub mod matches;
/// `RequestMirrorPolicy`.
pub mod mirror;
/// `RedirectAction`.
pub mod redirect;
/// `RetryPolicy`.
pub mod retry;
/// What becomes of the path and the host.
pub mod rewrite;
/// URI templates: to match, to rewrite.
pub mod template;
/// `WeightedCluster`.
pub mod weighted;

use std::collections::HashSet;
use std::sync::Arc;

use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::virtual_host::TlsRequirementType;

use crate::config::RouteTableName;
use crate::config::route::domains::DomainIndex;
use crate::config::route::{Domain, Mirror, RequireTls, RouteTable, VirtualHost};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;

/// Envoy's default for `max_direct_response_body_size_bytes`: such bodies are kept in memory for good.
const MAX_DIRECT_RESPONSE_BODY: usize = 4096;

/// A `RouteConfiguration`.
pub fn parse(table: &wire::RouteConfiguration, parser: &mut Parser) -> Option<RouteTable> {
    refuse_table_fields(table, parser);
    // Envoy: names of clusters are not checked where the operator says so.
    let unchecked = (table.validate_clusters == Some(false)).then(|| parser.forget_clusters());
    let context = Context {
        max_direct_response_body: size(table.max_direct_response_body_size_bytes).unwrap_or(MAX_DIRECT_RESPONSE_BODY),
        mirrors: mirror::mirrors(&table.request_mirror_policies, parser),
    };
    let virtual_hosts = virtual_hosts(&table.virtual_hosts, &context, parser);
    if let Some(clusters) = unchecked {
        parser.recall_clusters(clusters);
    }
    // Duplicates have been refused above, where it is known which one is the second.
    let domains = parser.accept(DomainIndex::new(&virtual_hosts));
    Some(RouteTable {
        name: RouteTableName::from(table.name.as_str()),
        virtual_hosts,
        domains: domains?,
        ignore_port: table.ignore_port_in_host_matching,
        request_headers: headers::request(&table.request_headers_to_add, &table.request_headers_to_remove, parser),
        response_headers: headers::response(&table.response_headers_to_add, &table.response_headers_to_remove, parser),
        most_specific_mutations_win: table.most_specific_header_mutations_wins,
        max_direct_response_body: context.max_direct_response_body,
        filters: filters::overrides(&table.typed_per_filter_config, parser),
    })
}

/// What a table says about all of its routes.
#[derive(Debug)]
pub struct Context {
    /// Bytes of a direct response's body, at most.
    pub max_direct_response_body: usize,
    /// Mirrors where neither route nor virtual host has any.
    pub mirrors: Vec<Mirror>,
}

fn refuse_table_fields(table: &wire::RouteConfiguration, parser: &mut Parser) {
    if table.vhds.is_some() {
        parser.refuse_at::<()>("vhds", "virtual hosts that are served on demand are not supported");
    }
    if !table.internal_only_headers.is_empty() {
        // To pass them on would let a client claim what only an internal one may.
        parser.refuse_at::<()>("internal_only_headers", "not supported: remove them with request_headers_to_remove");
    }
    parser.unsupported("cluster_specifier_plugins", !table.cluster_specifier_plugins.is_empty());
    parser.unsupported("vhost_header", !table.vhost_header.is_empty());
    parser.unsupported("ignore_path_parameters_in_path_matching", table.ignore_path_parameters_in_path_matching);
    parser.unsupported("route_specifiers", !table.route_specifiers.is_empty());
    parser.ignored("metadata", table.metadata.is_some(), METADATA);
}

/// Why metadata of routes is ignored.
const METADATA: &str = "only filters that are not supported read it";

fn virtual_hosts(hosts: &[wire::VirtualHost], context: &Context, parser: &mut Parser) -> Vec<Arc<VirtualHost>> {
    let mut seen = HashSet::new();
    parser.each("virtual_hosts", hosts, |host, parser| {
        let domains = domains(&host.domains, &mut seen, parser);
        virtual_host(host, domains, context, parser).map(Arc::new)
    })
}

/// Each host may be served only once in a table.
fn domains(written: &[String], seen: &mut HashSet<Domain>, parser: &mut Parser) -> Vec<Domain> {
    if written.is_empty() {
        parser.refuse_at::<()>("domains", "at least one is required");
    }
    parser.each("domains", written, |text, parser| {
        let parsed = domain(text, parser)?;
        if seen.insert(parsed.clone()) {
            return Some(parsed);
        }
        parser.refuse(format_args!("{text:?} is served already: each domain may be listed once"))
    })
}

fn domain(text: &str, parser: &mut Parser) -> Option<Domain> {
    if text.contains(['\0', '\r', '\n']) {
        return parser.refuse(format_args!("{text:?} cannot stand in a header"));
    }
    let lower = text.to_ascii_lowercase();
    Some(match lower.as_str() {
        "*" => Domain::Any,
        // Envoy: only the first or else the last character can be a wildcard; another `*` is an ordinary character.
        wildcard if wildcard.starts_with('*') => Domain::Suffix(wildcard.get(1..).unwrap_or_default().to_owned()),
        wildcard if wildcard.ends_with('*') => Domain::Prefix(wildcard.strip_suffix('*').unwrap_or_default().to_owned()),
        _ => Domain::Exact(lower),
    })
}

fn virtual_host(host: &wire::VirtualHost, domains: Vec<Domain>, context: &Context, parser: &mut Parser) -> Option<VirtualHost> {
    refuse_host_fields(host, parser);
    let name = not_empty("name", &host.name, parser);
    let require_tls = parser.choice::<TlsRequirementType>("require_tls", host.require_tls).map(|required| match required {
        TlsRequirementType::None => RequireTls::No,
        TlsRequirementType::ExternalOnly => RequireTls::ExternalOnly,
        TlsRequirementType::All => RequireTls::All,
    });
    let routes = parser.each("routes", &host.routes, |route, parser| entry::route(route, context, parser).map(Arc::new));
    let mirrors = mirror::mirrors(&host.request_mirror_policies, parser);
    Some(VirtualHost {
        name: name?,
        domains,
        routes,
        require_tls: require_tls?,
        request_headers: headers::request(&host.request_headers_to_add, &host.request_headers_to_remove, parser),
        response_headers: headers::response(&host.response_headers_to_add, &host.response_headers_to_remove, parser),
        retry: retry::at("retry_policy", host.retry_policy.as_ref(), parser).map(Arc::new),
        attempt_count_in_request: host.include_request_attempt_count,
        attempt_count_in_response: host.include_attempt_count_in_response,
        replay_limit: replay_limit(host.request_body_buffer_limit, host.per_request_buffer_limit_bytes),
        mirrors: if mirrors.is_empty() { context.mirrors.clone() } else { mirrors },
        filters: filters::overrides(&host.typed_per_filter_config, parser),
    })
}

fn refuse_host_fields(host: &wire::VirtualHost, parser: &mut Parser) {
    parser.ignored("virtual_clusters", !host.virtual_clusters.is_empty(), "requests are not counted by virtual cluster");
    parser.unsupported("rate_limits", !host.rate_limits.is_empty());
    parser.unsupported("cors", host.cors.is_some());
    parser.unsupported("retry_policy_typed_config", host.retry_policy_typed_config.is_some());
    parser.ignored("hedge_policy", host.hedge_policy.is_some(), NO_HEDGING);
    let announced = host.include_is_timeout_retry_header;
    parser.ignored("include_is_timeout_retry_header", announced, "x-envoy-is-timeout-retry is not added");
    parser.ignored("metadata", host.metadata.is_some(), METADATA);
    parser.unsupported("route_specifiers", !host.route_specifiers.is_empty());
}

/// Why hedging is ignored.
const NO_HEDGING: &str = "requests are not hedged, a slow attempt is only retried";

/// The newer field counts where both are set.
fn replay_limit(newer: Option<u64>, older: Option<u32>) -> Option<usize> {
    let limit = newer.or(older.map(u64::from))?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn size(bytes: Option<u32>) -> Option<usize> {
    bytes.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
