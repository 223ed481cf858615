use std::time::Duration;

use xds_proto::any;
use xds_proto::envoy::config::cluster::v3 as wire;
use xds_proto::envoy::config::cluster::v3::cluster::ClusterProtocolSelection;
use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use xds_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use xds_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use xds_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;

use crate::config::cluster::UpstreamProtocol;
use crate::config::http::{Http1Settings, Http2Settings};
use crate::xds::http::protocol::{http1, http2};
use crate::xds::invalid::Parser;

/// Envoy's default for `idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

/// Envoy's default for `max_headers_count`.
const MAX_HEADERS_COUNT: u32 = 100;

/// Envoy's default for `max_response_headers_kb`.
const MAX_RESPONSE_HEADERS_KB: u32 = 80;

/// Envoy's bound for `max_response_headers_kb`.
const MOST_HEADERS_KB: u32 = 8192;

/// Where Envoy looks for a cluster's HTTP settings.
pub(super) const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What a cluster says about HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    /// Which version.
    pub protocol: UpstreamProtocol,
    /// HTTP/1.
    pub http1: Http1Settings,
    /// HTTP/2.
    pub http2: Http2Settings,
    /// Both versions.
    pub common: Common,
    /// The request's host is sent as the server name.
    pub auto_sni: bool,
}

/// Limits of both versions.
#[derive(Clone, Debug)]
pub struct Common {
    /// Header bytes of a response.
    pub max_response_headers_bytes: usize,
    /// Header fields of a response.
    pub max_headers_count: usize,
    /// A connection without requests.
    pub idle_timeout: Option<Duration>,
    /// A connection's life.
    pub max_connection_duration: Option<Duration>,
    /// A stream's life.
    pub max_stream_duration: Option<Duration>,
    /// Requests on a connection.
    pub max_requests_per_connection: Option<u32>,
}

/// The typed options, or the older fields of the cluster, which do not count beside them (as in Envoy).
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Http> {
    let typed = parser.at("typed_extension_protocol_options", |parser| typed_options(cluster, parser))?;
    let http = match typed {
        Some(options) => {
            parser.at("typed_extension_protocol_options", |parser| parser.at_key(HTTP_OPTIONS, |parser| newer(&options, parser)))?
        }
        None => older(cluster, parser)?,
    };
    // The field of the common options counts, and then the older one. 0 is no limit.
    let requests = http.common.max_requests_per_connection.or(cluster.max_requests_per_connection);
    let max_requests_per_connection = requests.filter(|requests| *requests > 0);
    Some(Http { common: Common { max_requests_per_connection, ..http.common }, ..http })
}

fn typed_options(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Option<HttpProtocolOptions>> {
    let mut found = None;
    let mut entries: Vec<_> = cluster.typed_extension_protocol_options.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    for (name, packed) in entries {
        found = parser.at_key(name, |parser| {
            if name != HTTP_OPTIONS {
                return parser.refuse(format_args!("there are no protocol options of this name, only {HTTP_OPTIONS:?}"));
            }
            if !any::is::<HttpProtocolOptions>(packed) {
                return parser.refuse_type("protocol options", packed, "HttpProtocolOptions");
            }
            parser.unpack::<HttpProtocolOptions>(packed)
        });
        found.as_ref()?;
    }
    Some(found)
}

fn newer(options: &HttpProtocolOptions, parser: &mut Parser) -> Option<Http> {
    parser.each("http_filters", &options.http_filters, upstream_filter);
    for (field, is_set, meaning) in [
        ("outlier_detection", options.outlier_detection.is_some(), "failing endpoints are not ejected"),
        ("request_mirror_policies", !options.request_mirror_policies.is_empty(), "routes say what is mirrored"),
        ("hash_policy", !options.hash_policy.is_empty(), "routes say what is hashed"),
        ("retry_policy", options.retry_policy.is_some(), "routes say what is retried"),
    ] {
        parser.ignored(field, is_set, meaning);
    }
    let common = common(options.common_http_protocol_options.as_ref(), parser);
    let auto_sni = auto_sni(options.upstream_http_protocol_options.as_ref(), parser);
    let (field, protocol, options1, options2) = match &options.upstream_protocol_options {
        None => {
            let ways = "explicit_http_config, use_downstream_protocol_config, auto_config";
            return parser.refuse(format_args!("one of {ways} is required"));
        }
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(config)) => match &config.protocol_config {
            None => {
                let problem = "one of http_protocol_options, http2_protocol_options is required";
                return parser.refuse_at("explicit_http_config", problem);
            }
            Some(ProtocolConfig::HttpProtocolOptions(options)) => ("explicit_http_config", UpstreamProtocol::Http1, Some(options), None),
            Some(ProtocolConfig::Http2ProtocolOptions(options)) => ("explicit_http_config", UpstreamProtocol::Http2, None, Some(options)),
        },
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(config)) => (
            "use_downstream_protocol_config",
            UpstreamProtocol::UseDownstream,
            config.http_protocol_options.as_ref(),
            config.http2_protocol_options.as_ref(),
        ),
        Some(UpstreamProtocolOptions::AutoConfig(config)) => {
            ("auto_config", UpstreamProtocol::Auto, config.http_protocol_options.as_ref(), config.http2_protocol_options.as_ref())
        }
    };
    let (http1, http2) = parser.at(field, |parser| versions(options1, options2, parser));
    Some(Http { protocol, http1, http2: http2?, common: common?, auto_sni })
}

fn older(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Http> {
    let common_options = cluster.common_http_protocol_options.as_ref();
    let common = common(common_options, parser);
    let upstream = cluster.upstream_http_protocol_options.as_ref();
    let auto_sni = auto_sni(upstream, parser);
    let (options1, options2) = (cluster.http_protocol_options.as_ref(), cluster.http2_protocol_options.as_ref());
    let (http1, http2) = versions(options1, options2, parser);
    let selection = parser.choice("protocol_selection", cluster.protocol_selection)?;
    let protocol = match (selection, options1, options2) {
        (ClusterProtocolSelection::UseDownstreamProtocol, _, _) => UpstreamProtocol::UseDownstream,
        (ClusterProtocolSelection::UseConfiguredProtocol, Some(_), Some(_)) => {
            let problem = "cannot stand beside http_protocol_options unless protocol_selection is USE_DOWNSTREAM_PROTOCOL";
            return parser.refuse_at("http2_protocol_options", problem);
        }
        (ClusterProtocolSelection::UseConfiguredProtocol, None, Some(_)) => UpstreamProtocol::Http2,
        (ClusterProtocolSelection::UseConfiguredProtocol, _, None) => UpstreamProtocol::Http1,
    };
    Some(Http { protocol, http1, http2: http2?, common: common?, auto_sni })
}

/// On a malformed answer, a connection to an endpoint is closed unless the options say otherwise, as in Envoy.
fn versions(
    options1: Option<&core::Http1ProtocolOptions>,
    options2: Option<&core::Http2ProtocolOptions>,
    parser: &mut Parser,
) -> (Http1Settings, Option<Http2Settings>) {
    let http1 = parser.at("http_protocol_options", |parser| http1(options1, false, parser));
    let http2 = parser.at("http2_protocol_options", |parser| http2(options2, false, parser));
    (http1, http2)
}

fn common(options: Option<&core::HttpProtocolOptions>, parser: &mut Parser) -> Option<Common> {
    let default = core::HttpProtocolOptions::default();
    let options = options.unwrap_or(&default);
    parser.at("common_http_protocol_options", |parser| common_limits(options, parser))
}

fn common_limits(options: &core::HttpProtocolOptions, parser: &mut Parser) -> Option<Common> {
    let jitter = options.max_connection_duration_jitter.is_some();
    parser.ignored("max_connection_duration_jitter", jitter, "a connection lives exactly as long as it may");
    let underscores = options.headers_with_underscores_action != 0;
    parser.ignored("headers_with_underscores_action", underscores, "it is for requests of clients");
    let kilobytes = options.max_response_headers_kb.unwrap_or(MAX_RESPONSE_HEADERS_KB);
    if !(1..=MOST_HEADERS_KB).contains(&kilobytes) {
        let problem = format_args!("{kilobytes} is not between 1 and {MOST_HEADERS_KB}");
        return parser.refuse_at("max_response_headers_kb", problem);
    }
    let count = options.max_headers_count.unwrap_or(MAX_HEADERS_COUNT);
    if count == 0 {
        return parser.refuse_at("max_headers_count", "must be above 0");
    }
    let max_connection = options.max_connection_duration.as_ref();
    Some(Common {
        max_response_headers_bytes: usize::try_from(kilobytes).unwrap_or(usize::MAX).saturating_mul(1024),
        max_headers_count: usize::try_from(count).unwrap_or(usize::MAX),
        idle_timeout: parser.limit("idle_timeout", options.idle_timeout.as_ref(), Some(IDLE_TIMEOUT)),
        max_connection_duration: parser.limit("max_connection_duration", max_connection, None),
        max_stream_duration: parser.limit("max_stream_duration", options.max_stream_duration.as_ref(), None),
        max_requests_per_connection: options.max_requests_per_connection,
    })
}

/// What decides whom we believe the server to be is refused if it is not done.
fn auto_sni(options: Option<&core::UpstreamHttpProtocolOptions>, parser: &mut Parser) -> bool {
    let Some(options) = options else { return false };
    parser.at("upstream_http_protocol_options", |parser| {
        parser.unsupported("auto_san_validation", options.auto_san_validation);
        parser.unsupported("override_auto_sni_header", !options.override_auto_sni_header.is_empty());
    });
    options.auto_sni
}

/// The codec is the only filter towards endpoints.
fn upstream_filter(filter: &HttpFilter, parser: &mut Parser) -> Option<()> {
    const CODEC: &str = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
    match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) if any::type_name(&config.type_url) == Some(CODEC) => {
            parser.warn("ignored: the codec is always there, and has no settings");
            Some(())
        }
        _ if filter.is_optional || filter.disabled => {
            parser.warn("ignored: there is no such filter");
            Some(())
        }
        _ => parser.refuse("there are no filters for clusters but UpstreamCodec"),
    }
}
