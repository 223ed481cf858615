//! HTTP filters. An unknown one refuses the listener: leaving out a filter could let through what it was to stop.

use std::sync::Arc;

use xds_proto::any;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ExtAuthz;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication;
use xds_proto::envoy::extensions::filters::http::rbac::v3::Rbac;
use xds_proto::envoy::extensions::filters::http::router::v3::Router;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter as WireFilter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;

use crate::config::filter::{FilterKind, HttpFilter};
use crate::config::http::RouterSettings;
use crate::xds::invalid::Parser;
use crate::xds::{access, ext_authz, jwt};

/// What a connection manager does with requests.
#[derive(Debug)]
pub struct HttpFilters {
    /// What may stop them, in the order written.
    pub filters: Vec<Arc<HttpFilter>>,
    /// What sends them on.
    pub router: RouterSettings,
}

/// Parses the filters of a connection manager: there must be a router, and it must be the last.
pub fn http_filters(filters: &[WireFilter], parser: &mut Parser) -> Option<HttpFilters> {
    let last = filters.len().checked_sub(1);
    let mut names = Vec::new();
    let mut parsed = Vec::new();
    parser.at("http_filters", |parser| {
        for (index, filter) in filters.iter().enumerate() {
            if names.contains(&filter.name.as_str()) {
                parser.at_index(index, |parser| parser.refuse_at::<()>("name", format_args!("{:?} is used twice", filter.name)));
            }
            names.push(filter.name.as_str());
            parsed.push(parser.at_index(index, |parser| http_filter(filter, Some(index) == last, parser)));
        }
        let Some(last) = last else {
            return parser.refuse("the last filter must be envoy.filters.http.router");
        };
        match parsed.pop() {
            Some(Some(Parsed::Router(router))) => {
                let filters = parsed.into_iter().filter_map(|parsed| match parsed {
                    Some(Parsed::Filter(filter)) => Some(Some(filter)),
                    Some(Parsed::Skipped) => None,
                    Some(Parsed::Router(_)) | None => Some(None),
                });
                Some(HttpFilters { filters: filters.collect::<Option<_>>()?, router })
            }
            Some(Some(Parsed::Filter(_) | Parsed::Skipped)) => {
                parser.at_index(last, |parser| parser.refuse("the last filter must be envoy.filters.http.router"))
            }
            Some(None) | None => None,
        }
    })
}

enum Parsed {
    Router(RouterSettings),
    Filter(Arc<HttpFilter>),
    Skipped,
}

fn http_filter(filter: &WireFilter, is_last: bool, parser: &mut Parser) -> Option<Parsed> {
    if filter.name.is_empty() {
        parser.refuse_at::<()>("name", "required");
    }
    let config = match filter.config_type.as_ref() {
        None => return parser.refuse_at("typed_config", "required"),
        Some(ConfigType::ConfigDiscovery(_)) => return parser.refuse_at("config_discovery", "not supported"),
        Some(ConfigType::TypedConfig(config)) => config,
    };
    if any::is::<Router>(config) {
        if filter.disabled {
            return parser.refuse_at("disabled", "the router cannot be disabled");
        }
        if !is_last {
            return parser.refuse("the router must be the last filter");
        }
        return parser.at("typed_config", |parser| {
            let config = parser.unpack(config)?;
            Some(Parsed::Router(router(&config, parser)))
        });
    }
    if any::is::<Rbac>(config) {
        let access = parser.at("typed_config", |parser| {
            let config = parser.unpack(config)?;
            access::http(&config, parser)
        })?;
        let kind = FilterKind::Access(access);
        return Some(Parsed::Filter(Arc::new(HttpFilter { name: filter.name.clone(), disabled: filter.disabled, kind })));
    }
    if any::is::<JwtAuthentication>(config) {
        let tokens = parser.at("typed_config", |parser| {
            let config = parser.unpack(config)?;
            jwt::filter(&config, parser)
        })?;
        let kind = FilterKind::Jwt(Box::new(tokens));
        return Some(Parsed::Filter(Arc::new(HttpFilter { name: filter.name.clone(), disabled: filter.disabled, kind })));
    }
    if any::is::<ExtAuthz>(config) {
        let external = parser.at("typed_config", |parser| {
            let config = parser.unpack(config)?;
            ext_authz::filter(&config, parser)
        })?;
        let kind = FilterKind::External(Box::new(external));
        return Some(Parsed::Filter(Arc::new(HttpFilter { name: filter.name.clone(), disabled: filter.disabled, kind })));
    }
    if filter.is_optional {
        parser.warn(format_args!("skipped: filter of type {:?} is not available, and is optional", config.type_url));
        return Some(Parsed::Skipped);
    }
    parser.at("typed_config", |parser| parser.refuse_type("HTTP filter", config, "Router, RBAC, JwtAuthentication, ExtAuthz"))
}

fn router(router: &Router, parser: &mut Parser) -> RouterSettings {
    parser.unsupported("upstream_http_filters", !router.upstream_http_filters.is_empty());
    parser.unsupported("strict_check_headers", !router.strict_check_headers.is_empty());
    parser.unsupported("upstream_log", !router.upstream_log.is_empty());
    parser.ignored("upstream_log_options", router.upstream_log_options.is_some(), "there is no upstream log");
    parser.ignored("dynamic_stats", router.dynamic_stats.is_some(), "series are made when first touched");
    parser.ignored("start_child_span", router.start_child_span, "use tracing.spawn_upstream_span");
    parser.ignored(
        "suppress_grpc_request_failure_code_stats",
        router.suppress_grpc_request_failure_code_stats,
        "gRPC statuses are counted as they are",
    );
    parser.ignored(
        "reject_connect_request_early_data",
        router.reject_connect_request_early_data.is_some(),
        "data sent before a CONNECT is answered waits",
    );
    RouterSettings { suppress_envoy_headers: router.suppress_envoy_headers, respect_expected_timeout: router.respect_expected_rq_timeout }
}
