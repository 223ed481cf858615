//! What is done to every request, in and out.

use std::time::Duration;

use xds_proto::envoy::config::accesslog::v3::{AccessLog, access_log};
use xds_proto::envoy::config::core::v3::data_source::Specifier;
use xds_proto::envoy::config::core::v3::substitution_format_string::Format;
use xds_proto::envoy::config::core::v3::{DataSource, SubstitutionFormatString};
use xds_proto::envoy::config::listener::v3::{Filter, filter};
use xds_proto::envoy::config::route::v3::RouteConfiguration;
use xds_proto::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
use xds_proto::envoy::extensions::access_loggers::stream::v3::stdout_access_log::AccessLogFormat;
use xds_proto::envoy::extensions::filters::http::router::v3::Router;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, HttpFilter, Rds, http_filter};

use crate::model::settings::{MeshSettings, PathNormalization};
use crate::translate::wire;

/// A stream on which nothing moves for so long has lost its peer. Envoy's five minutes end quiet watches.
const STREAM_IDLE: Duration = Duration::from_secs(3600);

/// What a line of the access log says: as Istio's, which says why and whose name was asked for, and who the client has shown that he is.
/// <https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format>
const LINE: &str = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% \
                    %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% \
                    %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \
                    \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% \
                    %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME% \
                    \"%DOWNSTREAM_PEER_URI_SAN%\"\n";

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
    let text = DataSource { specifier: Some(Specifier::InlineString(LINE.to_owned())), ..DataSource::default() };
    let format = SubstitutionFormatString { format: Some(Format::TextFormatSource(text)), ..SubstitutionFormatString::default() };
    let log = StdoutAccessLog { access_log_format: Some(AccessLogFormat::LogFormat(format)) };
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(wire::pack(&log))),
        ..AccessLog::default()
    }
}
