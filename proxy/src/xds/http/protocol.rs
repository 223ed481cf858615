//! Settings of HTTP/1 and HTTP/2, of listeners and of clusters.

use std::time::Duration;

use xds_proto::any;
use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::http1_protocol_options::HeaderKeyFormat;
use xds_proto::envoy::config::core::v3::http1_protocol_options::header_key_format::HeaderFormat;
use xds_proto::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;

use crate::config::http::{HeaderCase, Http1Settings, Http2Settings};
use crate::xds::invalid::Parser;

/// As Envoy 1.40 on a listener; a client that needs more opens another connection.
const MAX_CONCURRENT_STREAMS: u32 = 1024;
/// Envoy: 16 MiB. What a stream may send before we read it, so what one slow stream may cost us: smaller here. At 10 ms of
/// round trip this is still 25 MB/s for each stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Envoy: 24 MiB. Bounds the memory of a connection, whatever the number of its streams.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// RFC 9113, 6.5.2 and 6.9.2: the protocol's default, below which Envoy does not go either.
const SMALLEST_WINDOW: u32 = 65_535;
/// RFC 9113, 6.9.1.
const LARGEST: u32 = 2_147_483_647;
/// Envoy requires the field; this stands where no keep-alive is asked for.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// HTTP/1 settings; `stream_errors` holds where the options do not say.
pub fn http1(options: Option<&wire::Http1ProtocolOptions>, stream_errors: bool, parser: &mut Parser) -> Http1Settings {
    let default = wire::Http1ProtocolOptions::default();
    let options = options.unwrap_or(&default);
    parser.unsupported("send_fully_qualified_url", options.send_fully_qualified_url);
    parser.unsupported("ignore_http_11_upgrade", !options.ignore_http_11_upgrade.is_empty());
    let default_host = &options.default_host_for_http_10;
    Http1Settings {
        allow_custom_methods: options.allow_custom_methods,
        accept_http_10: options.accept_http_10,
        default_host_for_http_10: (!default_host.is_empty()).then(|| default_host.clone()),
        allow_absolute_url: options.allow_absolute_url.unwrap_or(true),
        allow_chunked_length: options.allow_chunked_length,
        enable_trailers: options.enable_trailers,
        header_case: header_case(options.header_key_format.as_ref(), parser),
        override_stream_error: options.override_stream_error_on_invalid_http_message.unwrap_or(stream_errors),
    }
}

fn header_case(format: Option<&HeaderKeyFormat>, parser: &mut Parser) -> HeaderCase {
    let Some(format) = format else { return HeaderCase::default() };
    parser
        .at("header_key_format", |parser| match &format.header_format {
            None => parser.refuse("one of proper_case_words, stateful_formatter must be set"),
            Some(HeaderFormat::ProperCaseWords(_)) => Some(HeaderCase::ProperCase),
            Some(HeaderFormat::StatefulFormatter(formatter)) => parser.at("stateful_formatter", |parser| {
                let config = parser.required("typed_config", formatter.typed_config.as_ref())?;
                parser.at("typed_config", |parser| {
                    if !any::is::<PreserveCaseFormatterConfig>(config) {
                        return parser.refuse_type("header formatter", config, "PreserveCaseFormatterConfig");
                    }
                    let config: PreserveCaseFormatterConfig = parser.unpack(config)?;
                    parser.unsupported("forward_reason_phrase", config.forward_reason_phrase);
                    parser.ignored(
                        "formatter_type_on_envoy_headers",
                        config.formatter_type_on_envoy_headers != 0,
                        "headers that are added here are in lower case",
                    );
                    Some(HeaderCase::AsReceived)
                })
            }),
        })
        .unwrap_or_default()
}

/// HTTP/2 settings; `stream_errors` holds where the options do not say.
pub fn http2(options: Option<&wire::Http2ProtocolOptions>, stream_errors: bool, parser: &mut Parser) -> Option<Http2Settings> {
    let default = wire::Http2ProtocolOptions::default();
    let options = options.unwrap_or(&default);
    parser.unsupported("allow_metadata", options.allow_metadata);
    parser.unsupported("custom_settings_parameters", !options.custom_settings_parameters.is_empty());
    tell_ignored(options, parser);
    let streams = Range { smallest: 1, default: MAX_CONCURRENT_STREAMS };
    let stream_window = Range { smallest: SMALLEST_WINDOW, default: STREAM_WINDOW };
    let connection_window = Range { smallest: SMALLEST_WINDOW, default: CONNECTION_WINDOW };
    let streams = streams.value("max_concurrent_streams", options.max_concurrent_streams, parser);
    let stream = stream_window.value("initial_stream_window_size", options.initial_stream_window_size, parser);
    let connection = options.initial_connection_window_size;
    let connection = connection_window.value("initial_connection_window_size", connection, parser);
    let (interval, timeout) = keepalive(options.connection_keepalive.as_ref(), parser)?;
    Some(Http2Settings {
        max_concurrent_streams: streams?,
        initial_stream_window: stream?,
        initial_connection_window: connection?,
        allow_connect: options.allow_connect,
        keepalive_interval: interval,
        keepalive_timeout: timeout,
        override_stream_error: options
            .override_stream_error_on_invalid_http_message
            .unwrap_or(stream_errors || options.stream_error_on_invalid_http_messaging),
    })
}

struct Range {
    smallest: u32,
    default: u32,
}

impl Range {
    fn value(&self, field: &'static str, value: Option<u32>, parser: &mut Parser) -> Option<u32> {
        let value = value.unwrap_or(self.default);
        if (self.smallest..=LARGEST).contains(&value) {
            return Some(value);
        }
        parser.refuse_at(field, format_args!("{value} is not between {} and {LARGEST}", self.smallest))
    }
}

fn tell_ignored(options: &wire::Http2ProtocolOptions, parser: &mut Parser) {
    let budget = "the codec has budgets of its own for this";
    for (field, is_set) in [
        ("max_outbound_frames", options.max_outbound_frames.is_some()),
        ("max_outbound_control_frames", options.max_outbound_control_frames.is_some()),
        ("max_consecutive_inbound_frames_with_empty_payload", options.max_consecutive_inbound_frames_with_empty_payload.is_some()),
        ("max_inbound_priority_frames_per_stream", options.max_inbound_priority_frames_per_stream.is_some()),
        ("max_inbound_window_update_frames_per_data_frame_sent", options.max_inbound_window_update_frames_per_data_frame_sent.is_some()),
        ("stream_reset_burst", options.stream_reset_burst.is_some()),
        ("stream_reset_rate", options.stream_reset_rate.is_some()),
        ("max_header_field_size_kb", options.max_header_field_size_kb.is_some()),
        ("max_metadata_size", options.max_metadata_size.is_some()),
    ] {
        parser.ignored(field, is_set, budget);
    }
    parser.ignored("hpack_table_size", options.hpack_table_size.is_some(), "the table has 4096 bytes, the protocol's default");
    parser.ignored("enable_huffman_encoding", options.enable_huffman_encoding.is_some(), "the codec chooses");
    parser.ignored("disallow_obs_text", options.disallow_obs_text.is_some(), "bytes above 127 are passed on in values");
}

fn keepalive(settings: Option<&wire::KeepaliveSettings>, parser: &mut Parser) -> Option<(Option<Duration>, Duration)> {
    let Some(settings) = settings else { return Some((None, KEEPALIVE_TIMEOUT)) };
    parser.at("connection_keepalive", |parser| {
        let jitter = settings.interval_jitter.is_some();
        parser.ignored("interval_jitter", jitter, "the interval is kept exactly");
        let idle = settings.connection_idle_interval.is_some();
        parser.ignored("connection_idle_interval", idle, "a connection is probed by interval only");
        let interval = parser.duration("interval", settings.interval.as_ref());
        let timeout = parser.required("timeout", settings.timeout.as_ref())?;
        let timeout = parser.duration("timeout", Some(timeout))?;
        for (field, value) in [("interval", interval), ("timeout", Some(timeout))] {
            if value.is_some_and(|value| value < Duration::from_millis(1)) {
                parser.refuse_at::<()>(field, "less than 1 ms");
            }
        }
        Some((interval, timeout))
    })
}
