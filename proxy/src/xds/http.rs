//! `HttpConnectionManager` to `HttpConnectionManager`.
//!
//! Source of rules and defaults: Envoy's API (`envoy.extensions.filters.network.http_connection_manager.v3`) and what
//! Envoy 1.40 refuses. Where a default is stricter than Envoy's, its constant says why.

/// HTTP filters and the router's settings.
pub mod filters;
/// Client address, request ID, scheme, path and host.
pub mod identity;
/// Local replies.
pub mod local_reply;
/// Settings of HTTP/1 and HTTP/2, either side.
pub mod protocol;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use xds_proto::envoy::config::core::v3::HttpProtocolOptions;
use xds_proto::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, RouteSpecifier, ServerHeaderTransformation, UpgradeConfig,
};

use crate::config::RouteTableName;
use crate::config::http::{CodecChoice, HttpConnectionManager, HttpTimeouts, RouteSource, ServerHeader, UnderscoreAction};
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;
use crate::xds::resource::Kind;
use crate::xds::{access_log, config_source, headers, route, scope, trace};

/// As Envoy.
const MAX_REQUEST_HEADERS_KB: u32 = 60;
/// As Envoy: more than this is refused in a configuration.
const LARGEST_MAX_REQUEST_HEADERS_KB: u32 = 8192;
/// As Envoy.
const MAX_HEADERS_COUNT: u32 = 100;
/// As Envoy: a connection without requests for an hour has most likely lost its peer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
/// As Envoy: long enough for any request that still lives, short enough to free what a lost peer holds.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Envoy has none, so that a client may hold a connection by sending a head a byte at a time. A whole minute is more than
/// any honest client needs. An explicit 0 turns it off.
const REQUEST_HEADERS_TIMEOUT: Duration = Duration::from_secs(60);
/// As Envoy: time for requests that are on their way when the first GOAWAY is sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// As Envoy: time for the peer to read the last answer before the connection is closed.
const DELAYED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// As Envoy, so that Ninon can take its place unseen.
const SERVER_NAME: &str = "envoy";

/// Parses a connection manager.
pub fn parse(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> Option<HttpConnectionManager> {
    refuse_unsupported(manager, parser);
    tell_ignored(manager, parser);
    if manager.stat_prefix.is_empty() {
        parser.refuse_at::<()>("stat_prefix", "required");
    }
    let codec = codec(manager.codec_type, parser);
    let routes = routes(manager.route_specifier.as_ref(), parser);
    let common = common(manager.common_http_protocol_options.as_ref(), parser);
    let stream_errors = manager.stream_error_on_invalid_http_message.unwrap_or(false);
    let http1 = parser.at("http_protocol_options", |parser| protocol::http1(manager.http_protocol_options.as_ref(), stream_errors, parser));
    let http2 =
        parser.at("http2_protocol_options", |parser| protocol::http2(manager.http2_protocol_options.as_ref(), stream_errors, parser));
    let tracing = manager.tracing.as_ref().map(|tracing| parser.at("tracing", |parser| trace::parse(tracing, parser)));
    let local_reply = manager.local_reply_config.as_ref();
    let local_reply = local_reply.map(|wire| parser.at("local_reply_config", |parser| local_reply::parse(wire, parser)));
    let server_name = if manager.server_name.is_empty() { SERVER_NAME } else { &manager.server_name };
    let timeouts = timeouts(manager, parser);
    let forwarded = identity::forwarded(manager, parser);
    let request_id = identity::request_id(manager, parser);
    let scheme = identity::scheme(manager.scheme_header_transformation.as_ref(), parser);
    let path = identity::path(manager, parser);
    let host = identity::host(manager, parser);
    let max_request_headers_bytes = max_request_headers_bytes(manager.max_request_headers_kb, parser);
    let server_header = server_header(manager.server_header_transformation, parser);
    let upgrades = upgrades(&manager.upgrade_configs, parser);
    let filters = filters::http_filters(&manager.http_filters, parser);
    let access_log = parser.each("access_log", &manager.access_log, access_log::parse);
    let client_cert = identity::client_cert(manager, parser);
    let filters = filters?;
    Some(HttpConnectionManager {
        stat_prefix: manager.stat_prefix.clone(),
        server_name: headers::value_at("server_name", server_name, parser)?,
        codec: codec?,
        routes: routes?,
        http1,
        http2: http2?,
        max_request_headers_bytes: max_request_headers_bytes?,
        max_headers_count: common.max_headers_count,
        underscores: common.underscores,
        timeouts,
        max_requests_per_connection: common.max_requests_per_connection,
        forwarded: forwarded?,
        request_id: request_id?,
        server_header: server_header?,
        scheme: scheme?,
        path: path?,
        host: host?,
        upgrades,
        add_user_agent: manager.add_user_agent.unwrap_or(false),
        proxy_100_continue: manager.proxy_100_continue,
        filters: filters.filters,
        router: filters.router,
        access_log,
        tracing: tracing.flatten().map(Arc::new),
        local_reply: local_reply.unwrap_or_default(),
        client_cert: client_cert?,
    })
}

fn refuse_unsupported(manager: &wire::HttpConnectionManager, parser: &mut Parser) {
    parser.unsupported("original_ip_detection_extensions", !manager.original_ip_detection_extensions.is_empty());
    parser.unsupported("early_header_mutation_extensions", !manager.early_header_mutation_extensions.is_empty());
    parser.unsupported("represent_ipv4_remote_address_as_ipv4_mapped_ipv6", manager.represent_ipv4_remote_address_as_ipv4_mapped_ipv6);
}

fn tell_ignored(manager: &wire::HttpConnectionManager, parser: &mut Parser) {
    let one_line = "one line is written when a request ends";
    parser.ignored("access_log_flush_interval", manager.access_log_flush_interval.is_some(), one_line);
    parser.ignored("flush_access_log_on_new_request", manager.flush_access_log_on_new_request, one_line);
    parser.ignored("access_log_options", manager.access_log_options.is_some(), one_line);
    parser.ignored(
        "http1_safe_max_connection_duration",
        manager.http1_safe_max_connection_duration,
        "a request in flight always finishes before the connection is closed",
    );
    parser.ignored(
        "stream_flush_timeout",
        manager.stream_flush_timeout.is_some(),
        "a response that the client does not read ends by stream_idle_timeout",
    );
    parser.ignored("drain_timeout_jitter", manager.drain_timeout_jitter.is_some(), "the time is kept exactly");
    parser.ignored("proxy_status_config", manager.proxy_status_config.is_some(), "proxy-status is always written, in its full form");
    parser.ignored("append_local_overload", manager.append_local_overload, "x-envoy-local-overloaded is not written");
    parser.ignored(
        "add_proxy_protocol_connection_state",
        manager.add_proxy_protocol_connection_state.is_some(),
        "the PROXY header adds nothing to requests",
    );
}

fn codec(codec: i32, parser: &mut Parser) -> Option<CodecChoice> {
    match parser.choice("codec_type", codec)? {
        CodecType::Auto => Some(CodecChoice::Auto),
        CodecType::Http1 => Some(CodecChoice::Http1),
        CodecType::Http2 => Some(CodecChoice::Http2),
        CodecType::Http3 => parser.refuse_at("codec_type", "HTTP3 is not supported"),
    }
}

fn routes(specifier: Option<&RouteSpecifier>, parser: &mut Parser) -> Option<RouteSource> {
    match specifier {
        None => parser.refuse("one of route_config, rds, scoped_routes must be set"),
        Some(RouteSpecifier::RouteConfig(table)) => {
            parser.at("route_config", |parser| route::parse(table, parser).map(|table| RouteSource::Inline(Arc::new(table))))
        }
        Some(RouteSpecifier::Rds(rds)) => parser.at("rds", |parser| {
            let name = not_empty("route_config_name", &rds.route_config_name, parser);
            let source = parser.required("config_source", rds.config_source.as_ref())?;
            let name = name?;
            let fetch_timeout = parser.at("config_source", |parser| config_source::of_one(source, Kind::Route, name.as_str(), parser))?;
            parser.served_table(name.as_str());
            Some(RouteSource::Named { name: RouteTableName::from(name.as_str()), fetch_timeout })
        }),
        Some(RouteSpecifier::ScopedRoutes(routes)) => {
            parser.at("scoped_routes", |parser| scope::scoped_routes(routes, parser)).map(|routes| RouteSource::Scoped(Arc::new(routes)))
        }
    }
}

/// What `common_http_protocol_options` says, timeouts apart.
struct Common {
    max_headers_count: usize,
    underscores: UnderscoreAction,
    max_requests_per_connection: Option<u32>,
}

fn common(options: Option<&HttpProtocolOptions>, parser: &mut Parser) -> Common {
    let default = HttpProtocolOptions::default();
    let options = options.unwrap_or(&default);
    parser.at("common_http_protocol_options", |parser| {
        let jitter = options.max_connection_duration_jitter.is_some();
        parser.ignored("max_connection_duration_jitter", jitter, "the duration is kept exactly");
        parser.unsupported("max_response_headers_kb", options.max_response_headers_kb.is_some());
        let count = options.max_headers_count.unwrap_or(MAX_HEADERS_COUNT);
        if count == 0 {
            parser.refuse_at::<()>("max_headers_count", "0 is not at least 1");
        }
        let underscores = match parser.choice("headers_with_underscores_action", options.headers_with_underscores_action) {
            None | Some(HeadersWithUnderscoresAction::Allow) => UnderscoreAction::Allow,
            Some(HeadersWithUnderscoresAction::RejectRequest) => UnderscoreAction::RejectRequest,
            Some(HeadersWithUnderscoresAction::DropHeader) => UnderscoreAction::DropHeader,
        };
        Common {
            max_headers_count: usize::try_from(count).unwrap_or(usize::MAX),
            underscores,
            max_requests_per_connection: options.max_requests_per_connection.filter(|requests| *requests > 0),
        }
    })
}

fn timeouts(manager: &wire::HttpConnectionManager, parser: &mut Parser) -> HttpTimeouts {
    let default = HttpProtocolOptions::default();
    let common = manager.common_http_protocol_options.as_ref().unwrap_or(&default);
    let (idle, max_connection, max_stream) = parser.at("common_http_protocol_options", |parser| {
        (
            parser.limit("idle_timeout", common.idle_timeout.as_ref(), Some(IDLE_TIMEOUT)),
            parser.limit("max_connection_duration", common.max_connection_duration.as_ref(), None),
            parser.limit("max_stream_duration", common.max_stream_duration.as_ref(), None),
        )
    });
    let request_headers = manager.request_headers_timeout.as_ref();
    let stream_idle = manager.stream_idle_timeout.as_ref();
    HttpTimeouts {
        idle,
        max_connection,
        request_headers: parser.limit("request_headers_timeout", request_headers, Some(REQUEST_HEADERS_TIMEOUT)),
        request: parser.limit("request_timeout", manager.request_timeout.as_ref(), None),
        stream_idle: parser.limit("stream_idle_timeout", stream_idle, Some(STREAM_IDLE_TIMEOUT)),
        max_stream,
        drain: parser.duration("drain_timeout", manager.drain_timeout.as_ref()).unwrap_or(DRAIN_TIMEOUT),
        delayed_close: parser.duration("delayed_close_timeout", manager.delayed_close_timeout.as_ref()).unwrap_or(DELAYED_CLOSE_TIMEOUT),
    }
}

fn max_request_headers_bytes(kilobytes: Option<u32>, parser: &mut Parser) -> Option<usize> {
    let kilobytes = kilobytes.unwrap_or(MAX_REQUEST_HEADERS_KB);
    if kilobytes == 0 || kilobytes > LARGEST_MAX_REQUEST_HEADERS_KB {
        let problem = format_args!("{kilobytes} is not between 1 and {LARGEST_MAX_REQUEST_HEADERS_KB}");
        return parser.refuse_at("max_request_headers_kb", problem);
    }
    usize::try_from(kilobytes).ok().map(|kilobytes| kilobytes.saturating_mul(1024))
}

fn server_header(transformation: i32, parser: &mut Parser) -> Option<ServerHeader> {
    Some(match parser.choice("server_header_transformation", transformation)? {
        ServerHeaderTransformation::Overwrite => ServerHeader::Overwrite,
        ServerHeaderTransformation::AppendIfAbsent => ServerHeader::AppendIfAbsent,
        ServerHeaderTransformation::PassThrough => ServerHeader::PassThrough,
    })
}

fn upgrades(configs: &[UpgradeConfig], parser: &mut Parser) -> Vec<(String, bool)> {
    let mut seen = Vec::new();
    parser.each("upgrade_configs", configs, |config, parser| {
        if !config.filters.is_empty() {
            parser.refuse_at::<()>("filters", "not supported: upgrades pass the listener's own filters");
        }
        let protocol = config.upgrade_type.to_ascii_lowercase();
        if protocol.is_empty() {
            return parser.refuse_at("upgrade_type", "required");
        }
        if seen.contains(&protocol) {
            return parser.refuse_at("upgrade_type", format_args!("{protocol:?} is listed twice"));
        }
        seen.push(protocol.clone());
        Some((protocol, config.enabled.unwrap_or(true)))
    })
}

/// A header value that the whole configuration shares.
pub(crate) fn optional_value(field: &'static str, text: &str, parser: &mut Parser) -> Option<Option<HeaderValue>> {
    if text.is_empty() { Some(None) } else { headers::value_at(field, text, parser).map(Some) }
}

#[cfg(test)]
mod tests;
