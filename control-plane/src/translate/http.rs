//! What is done to every request, in and out.

use std::time::Duration;

use xds_proto::envoy::config::accesslog::v3::{AccessLog, access_log};
use xds_proto::envoy::config::listener::v3::{Filter, filter};
use xds_proto::envoy::config::route::v3::RouteConfiguration;
use xds_proto::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
use xds_proto::envoy::extensions::filters::http::router::v3::Router;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter, Rds, http_filter};

use crate::model::settings::{MeshSettings, PathNormalization};
use crate::translate::wire;

/// A stream on which nothing moves for so long has lost its peer. Envoy's five minutes end quiet watches.
const STREAM_IDLE: Duration = Duration::from_secs(3600);

/// Where routes are.
pub(super) enum Routes {
    /// Asked for by this name.
    Named(String),
    /// Here.
    Inline(Box<RouteConfiguration>),
}

/// What a listener does to requests.
pub(super) fn manager(stat_prefix: &str, routes: Routes, settings: &MeshSettings) -> HttpConnectionManager {
    let specifier = match routes {
        Routes::Named(name) => RouteSpecifier::Rds(Rds { config_source: Some(wire::ads()), route_config_name: name }),
        Routes::Inline(table) => RouteSpecifier::RouteConfig(*table),
    };
    HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        route_specifier: Some(specifier),
        http_filters: vec![router()],
        server_header_transformation: i32::from(ServerHeaderTransformation::PassThrough),
        stream_idle_timeout: Some(wire::duration(STREAM_IDLE)),
        // Routes, policies and the application see one spelling of a path.
        normalize_path: Some(true),
        merge_slashes: settings.paths != PathNormalization::Base,
        path_with_escaped_slashes_action: i32::from(match settings.paths {
            PathNormalization::Base | PathNormalization::MergeSlashes => PathWithEscapedSlashesAction::KeepUnchanged,
            PathNormalization::DecodeAndMergeSlashes => PathWithEscapedSlashesAction::UnescapeAndForward,
        }),
        upgrade_configs: vec![UpgradeConfig { upgrade_type: "websocket".to_owned(), ..UpgradeConfig::default() }],
        access_log: settings.access_log.then(line).into_iter().collect(),
        ..HttpConnectionManager::default()
    }
}

/// The filter that all others end in.
pub(super) fn router() -> HttpFilter {
    HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(wire::pack(&Router::default()))),
        ..HttpFilter::default()
    }
}

/// As a filter of a listener.
pub(super) fn filter(manager: &HttpConnectionManager) -> Filter {
    Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(wire::pack(manager))),
    }
}

/// A line for each request or connection, on standard output.
pub(super) fn line() -> AccessLog {
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(wire::pack(&StdoutAccessLog::default()))),
        ..AccessLog::default()
    }
}
