//! `AccessLog` and its filters, and format strings, which local replies use as well.

use std::path::PathBuf;

use prost_types::Struct;
use prost_types::value::Kind;
use xds_proto::any;
use xds_proto::envoy::config::accesslog::v3 as wire;
use xds_proto::envoy::config::accesslog::v3::access_log::ConfigType;
use xds_proto::envoy::config::core::v3::SubstitutionFormatString;
use xds_proto::envoy::config::core::v3::substitution_format_string::Format as WireFormat;
use xds_proto::envoy::extensions::access_loggers::file::v3 as file;
use xds_proto::envoy::extensions::access_loggers::file::v3::file_access_log::AccessLogFormat;
use xds_proto::envoy::extensions::access_loggers::stream::v3 as stream;
use xds_proto::envoy::extensions::access_loggers::stream::v3::{stderr_access_log, stdout_access_log};
use xds_proto::envoy::extensions::formatter::req_without_query::v3::ReqWithoutQuery;

use crate::config::access_log::{AccessLog, JsonValue, LogFormat, LogSink};
use crate::config::format::Format;
use crate::xds::data_source;
use crate::xds::invalid::Parser;

mod filter;

pub use filter::filter;

/// Envoy's own line, for logs without a format.
const DEFAULT_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// Parses one access log.
pub fn parse(log: &wire::AccessLog, parser: &mut Parser) -> Option<AccessLog> {
    let filter = match &log.filter {
        None => Some(None),
        Some(wire) => parser.at("filter", |parser| filter(wire, parser)).map(Some),
    };
    let Some(ConfigType::TypedConfig(config)) = &log.config_type else {
        return parser.refuse_at("typed_config", "required");
    };
    let (sink, format) = parser.at("typed_config", |parser| {
        if any::is::<file::FileAccessLog>(config) {
            return to_file(&parser.unpack(config)?, parser);
        }
        if any::is::<stream::StdoutAccessLog>(config) {
            let log: stream::StdoutAccessLog = parser.unpack(config)?;
            let format = log.access_log_format.map(|stdout_access_log::AccessLogFormat::LogFormat(format)| format);
            return Some((LogSink::Stdout, log_format(format.as_ref(), parser)?));
        }
        if any::is::<stream::StderrAccessLog>(config) {
            let log: stream::StderrAccessLog = parser.unpack(config)?;
            let format = log.access_log_format.map(|stderr_access_log::AccessLogFormat::LogFormat(format)| format);
            return Some((LogSink::Stderr, log_format(format.as_ref(), parser)?));
        }
        parser.refuse_type("access log", config, "FileAccessLog, StdoutAccessLog, StderrAccessLog")
    })?;
    Some(AccessLog { sink, format, filter: filter? })
}

fn to_file(log: &file::FileAccessLog, parser: &mut Parser) -> Option<(LogSink, LogFormat)> {
    let format = match &log.access_log_format {
        None => log_format(None, parser),
        Some(AccessLogFormat::LogFormat(format)) => log_format(Some(format), parser),
        Some(AccessLogFormat::Format(format)) if format.is_empty() => log_format(None, parser),
        Some(AccessLogFormat::Format(format)) => parser.at("format", |parser| text(format, false, parser)),
        Some(AccessLogFormat::TypedJsonFormat(fields)) => parser.at("typed_json_format", |parser| json(fields, false, parser)),
        Some(AccessLogFormat::JsonFormat(_)) => {
            parser.refuse_at("json_format", "not supported: it makes every value a text; use log_format.json_format")
        }
    };
    if log.path.is_empty() {
        return parser.refuse_at("path", "required");
    }
    // Envoy opens them like any file; here they are the streams themselves, which need no file system.
    let sink = match log.path.as_str() {
        "/dev/stdout" => LogSink::Stdout,
        "/dev/stderr" => LogSink::Stderr,
        path => LogSink::File(PathBuf::from(path)),
    };
    Some((sink, format?))
}

fn log_format(format: Option<&SubstitutionFormatString>, parser: &mut Parser) -> Option<LogFormat> {
    match format {
        None => text(DEFAULT_FORMAT, false, parser),
        Some(wire) => parser.at("log_format", |parser| format_string(wire, parser)),
    }
}

/// Parses a format of a log line or of a local reply's body.
pub fn format_string(wire: &SubstitutionFormatString, parser: &mut Parser) -> Option<LogFormat> {
    parser.each::<_, ()>("formatters", &wire.formatters, |formatter, parser| {
        let config = parser.required("typed_config", formatter.typed_config.as_ref())?;
        if any::is::<ReqWithoutQuery>(config) {
            return None;
        }
        parser.at("typed_config", |parser| parser.refuse_type("formatter", config, "ReqWithoutQuery"))
    });
    let omit_empty = wire.omit_empty_values;
    match &wire.format {
        None => parser.refuse("one of text_format, text_format_source, json_format must be set"),
        Some(WireFormat::TextFormat(format)) => parser.at("text_format", |parser| text(format, omit_empty, parser)),
        Some(WireFormat::TextFormatSource(source)) => parser.at("text_format_source", |parser| {
            let format = data_source::text(source, parser)?;
            text(&format, omit_empty, parser)
        }),
        Some(WireFormat::JsonFormat(fields)) => parser.at("json_format", |parser| json(fields, omit_empty, parser)),
    }
}

fn text(format: &str, omit_empty: bool, parser: &mut Parser) -> Option<LogFormat> {
    Some(LogFormat::Text { format: parser.accept(Format::parse(format))?, omit_empty })
}

fn json(fields: &Struct, omit_empty: bool, parser: &mut Parser) -> Option<LogFormat> {
    Some(LogFormat::Json { fields: object(fields, parser), omit_empty })
}

fn object(fields: &Struct, parser: &mut Parser) -> Vec<(String, JsonValue)> {
    let fields = fields.fields.iter();
    let parsed = fields.filter_map(|(name, field)| {
        let value = parser.at_key(name, |parser| json_value(field.kind.as_ref(), parser))?;
        Some((name.clone(), value))
    });
    parsed.collect()
}

fn json_value(kind: Option<&Kind>, parser: &mut Parser) -> Option<JsonValue> {
    Some(match kind {
        None | Some(Kind::NullValue(_)) => JsonValue::Null,
        Some(Kind::NumberValue(number)) => JsonValue::Number(*number),
        Some(Kind::BoolValue(value)) => JsonValue::Bool(*value),
        Some(Kind::StringValue(format)) => JsonValue::Format(parser.accept(Format::parse(format))?),
        Some(Kind::StructValue(fields)) => JsonValue::Object(object(fields, parser)),
        Some(Kind::ListValue(list)) => {
            let values = list.values.iter().enumerate();
            let parsed = values.filter_map(|(index, value)| parser.at_index(index, |parser| json_value(value.kind.as_ref(), parser)));
            JsonValue::List(parsed.collect())
        }
    })
}

#[cfg(test)]
mod tests;
