//! HTTP filters. An unknown one refuses the listener: leaving out a filter could let through what it was to stop.

use xds_proto::any;
use xds_proto::envoy::extensions::filters::http::router::v3::Router;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;

use crate::config::http::RouterSettings;
use crate::xds::invalid::Parser;

/// Parses the filters of a connection manager: there must be a router, and it must be the last.
pub fn http_filters(filters: &[HttpFilter], parser: &mut Parser) -> Option<RouterSettings> {
    let last = filters.len().checked_sub(1);
    let mut names = Vec::new();
    let mut router = None;
    parser.at("http_filters", |parser| {
        for (index, filter) in filters.iter().enumerate() {
            if names.contains(&filter.name.as_str()) {
                parser.at_index(index, |parser| parser.refuse_at::<()>("name", format_args!("{:?} is used twice", filter.name)));
            }
            names.push(filter.name.as_str());
            router = parser.at_index(index, |parser| http_filter(filter, Some(index) == last, parser));
        }
        let Some(last) = last else {
            return parser.refuse("the last filter must be envoy.filters.http.router");
        };
        match router {
            Some(Parsed::Router(router)) => Some(router),
            Some(Parsed::Skipped) => parser.at_index(last, |parser| parser.refuse("the last filter must be envoy.filters.http.router")),
            None => None,
        }
    })
}

enum Parsed {
    Router(RouterSettings),
    Skipped,
}

fn http_filter(filter: &HttpFilter, is_last: bool, parser: &mut Parser) -> Option<Parsed> {
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
    if filter.disabled {
        parser.warn("skipped: the filter is disabled, and is not available to be enabled on a route");
        return Some(Parsed::Skipped);
    }
    if filter.is_optional {
        parser.warn(format_args!("skipped: filter of type {:?} is not available, and is optional", config.type_url));
        return Some(Parsed::Skipped);
    }
    parser.at("typed_config", |parser| parser.refuse_type("HTTP filter", config, "Router"))
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
