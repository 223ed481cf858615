use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use xds_proto::envoy::config::core::v3::RoutingPriority;
use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier, InternalRedirectAction, UpgradeConfig,
};

use crate::config::ClusterName;
use crate::config::route::{ClusterChoice, Forward, PathMatch, Priority, RouteTimeouts, RouteUpgrade};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;
use crate::xds::route::{NO_HEDGING, hash, mirror, retry, rewrite, weighted};

/// Envoy's default: a caller that waits longer has usually gone.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// Why metadata to choose endpoints by is ignored.
pub(super) const NO_SUBSETS: &str = "clusters have no subsets, any endpoint may be taken";

/// A `RouteAction`. `matched` is how the route matches the path, if that could be parsed.
pub fn forward(action: &wire::RouteAction, matched: Option<&PathMatch>, parser: &mut Parser) -> Option<Forward> {
    refuse_fields(action, parser);
    let cluster = cluster(action.cluster_specifier.as_ref(), parser);
    let mirrors = mirror::mirrors(&action.request_mirror_policies, parser);
    let code = parser.choice("cluster_not_found_response_code", action.cluster_not_found_response_code);
    let path_rewrite = rewrite::path(action, matched, parser);
    let host_rewrite = rewrite::host(action.host_rewrite_specifier.as_ref(), parser);
    let timeouts = timeouts(action, parser);
    let retry = retry::at("retry_policy", action.retry_policy.as_ref(), parser).map(Arc::new);
    let priority = parser.choice("priority", action.priority);
    let upgrades = upgrades(&action.upgrade_configs, parser);
    let hash = hash::policies(&action.hash_policy, parser);
    Some(Forward {
        cluster: cluster?,
        cluster_not_found: not_found(code?),
        path_rewrite: path_rewrite?,
        host_rewrite: host_rewrite?,
        append_x_forwarded_host: action.append_x_forwarded_host,
        timeouts,
        retry,
        priority: match priority? {
            RoutingPriority::Default => Priority::Default,
            RoutingPriority::High => Priority::High,
        },
        mirrors: (!mirrors.is_empty()).then_some(mirrors),
        upgrades,
        hash,
    })
}

fn refuse_fields(action: &wire::RouteAction, parser: &mut Parser) {
    parser.ignored("metadata_match", action.metadata_match.is_some(), NO_SUBSETS);
    parser.ignored("flush_timeout", action.flush_timeout.is_some(), "the idle timeout holds for the end of a stream too");
    parser.ignored("early_data_policy", action.early_data_policy.is_some(), "no request is sent as early data");
    parser.unsupported("retry_policy_typed_config", action.retry_policy_typed_config.is_some());
    parser.unsupported("rate_limits", !action.rate_limits.is_empty());
    parser.ignored("include_vh_rate_limits", action.include_vh_rate_limits.is_some(), "there are no rate limits");
    parser.unsupported("cors", action.cors.is_some());
    parser.ignored("hedge_policy", action.hedge_policy.is_some(), NO_HEDGING);
    let redirects = "redirects are answered to the client: following them is not supported";
    if action.internal_redirect_policy.is_some() {
        parser.refuse_at::<()>("internal_redirect_policy", redirects);
    }
    match parser.choice("internal_redirect_action", action.internal_redirect_action) {
        Some(InternalRedirectAction::HandleInternalRedirect) => {
            parser.refuse_at::<()>("internal_redirect_action", redirects);
        }
        Some(InternalRedirectAction::PassThroughInternalRedirect) | None => {}
    }
    let redirects = action.max_internal_redirects.is_some();
    parser.ignored("max_internal_redirects", redirects, "redirects are answered to the client");
}

fn cluster(specifier: Option<&ClusterSpecifier>, parser: &mut Parser) -> Option<ClusterChoice> {
    match specifier {
        None => parser.refuse("one of cluster, cluster_header, weighted_clusters is required"),
        Some(ClusterSpecifier::Cluster(name)) => {
            parser.cluster("cluster", name);
            Some(ClusterChoice::Cluster(ClusterName::from(name.as_str())))
        }
        Some(ClusterSpecifier::ClusterHeader(name)) => headers::read_name_at("cluster_header", name, parser).map(ClusterChoice::Header),
        Some(ClusterSpecifier::WeightedClusters(wire)) => {
            let clusters = parser.at("weighted_clusters", |parser| weighted::clusters(wire, parser))?;
            Some(ClusterChoice::Weighted(Box::new(clusters)))
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => parser.refuse_at("cluster_specifier_plugin", "not supported"),
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => parser.refuse_at("inline_cluster_specifier_plugin", "not supported"),
    }
}

fn not_found(code: ClusterNotFoundResponseCode) -> StatusCode {
    match code {
        ClusterNotFoundResponseCode::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        ClusterNotFoundResponseCode::NotFound => StatusCode::NOT_FOUND,
        ClusterNotFoundResponseCode::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn timeouts(action: &wire::RouteAction, parser: &mut Parser) -> RouteTimeouts {
    let older_max = parser.duration("max_grpc_timeout", action.max_grpc_timeout.as_ref());
    let older_offset = parser.duration("grpc_timeout_offset", action.grpc_timeout_offset.as_ref());
    let mut timeouts = RouteTimeouts {
        response: parser.limit("timeout", action.timeout.as_ref(), Some(RESPONSE_TIMEOUT)),
        idle: parser.duration("idle_timeout", action.idle_timeout.as_ref()).map(zero_is_off),
        max_stream: None,
        grpc_max: older_max,
        grpc_offset: older_offset.unwrap_or_default(),
        grpc_bounds_stream: false,
    };
    let Some(wire) = &action.max_stream_duration else { return timeouts };
    // Envoy: who bounds the stream bounds nothing else, and the older settings do not count.
    timeouts.response = None;
    timeouts.grpc_bounds_stream = true;
    parser.at("max_stream_duration", |parser| {
        timeouts.max_stream = parser.duration("max_stream_duration", wire.max_stream_duration.as_ref()).map(zero_is_off);
        timeouts.grpc_max = parser.duration("grpc_timeout_header_max", wire.grpc_timeout_header_max.as_ref());
        let offset = parser.duration("grpc_timeout_header_offset", wire.grpc_timeout_header_offset.as_ref());
        timeouts.grpc_offset = offset.unwrap_or_default();
    });
    timeouts
}

fn zero_is_off(limit: Duration) -> Option<Duration> {
    (!limit.is_zero()).then_some(limit)
}

fn upgrades(configs: &[UpgradeConfig], parser: &mut Parser) -> Vec<RouteUpgrade> {
    let mut seen = HashSet::new();
    parser.each("upgrade_configs", configs, |config, parser| {
        let protocol = not_empty("upgrade_type", &config.upgrade_type, parser)?.to_ascii_lowercase();
        if !seen.insert(protocol.clone()) {
            return parser.refuse_at("upgrade_type", format_args!("{protocol:?} is there already"));
        }
        if let Some(connect) = &config.connect_config {
            if protocol != "connect" {
                return parser.refuse_at("connect_config", format_args!("is for CONNECT, not for {protocol:?}"));
            }
            let proxied = connect.proxy_protocol_config.is_some();
            parser.at("connect_config", |parser| parser.unsupported("proxy_protocol_config", proxied));
        }
        Some(RouteUpgrade {
            protocol,
            enabled: config.enabled.unwrap_or(true),
            connect_terminate: config.connect_config.is_some(),
            allow_post: config.connect_config.as_ref().is_some_and(|connect| connect.allow_post),
        })
    })
}
