use serde_json::{Value, json};
use xds_proto::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;

use super::*;
use crate::config::Fraction;
use crate::config::access_log::{Comparison, LogFilter};
use crate::xds::test_wire::{message, parsed};

fn read(log: &Value) -> Result<(AccessLog, Vec<String>), String> {
    parsed(|parser| parse(&message(log), parser))
}

fn to_file(config: Value) -> Value {
    let mut config = config;
    config["@type"] = json!("type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
    json!({"name": "file", "typed_config": config})
}

fn filtered(filter: Value) -> Result<LogFilter, String> {
    let mut log = to_file(json!({"path": "/var/log/x"}));
    log["filter"] = filter;
    read(&log).map(|(log, _)| log.filter.unwrap())
}

#[test]
fn a_log_without_a_format_has_envoys_line() {
    let (log, _) = read(&to_file(json!({"path": "/var/log/x"}))).unwrap();
    assert_eq!(log.sink, LogSink::File(PathBuf::from("/var/log/x")));
    assert!(matches!(log.format, LogFormat::Text { format, omit_empty: false } if format == Format::parse(DEFAULT_FORMAT).unwrap()));
}

#[test]
fn the_standard_streams_need_no_file() {
    assert_eq!(read(&to_file(json!({"path": "/dev/stdout"}))).unwrap().0.sink, LogSink::Stdout);
    let stderr = json!({"@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog"});
    assert_eq!(read(&json!({"typed_config": stderr})).unwrap().0.sink, LogSink::Stderr);
}

#[test]
fn a_text_is_read_from_any_of_its_fields() {
    for format in [
        json!({"log_format": {"text_format": "%PROTOCOL%\n"}}),
        json!({"log_format": {"text_format_source": {"inline_string": "%PROTOCOL%\n"}}}),
        json!({"format": "%PROTOCOL%\n"}),
    ] {
        let mut log = format;
        log["path"] = json!("x");
        let (log, _) = read(&to_file(log)).unwrap();
        assert!(matches!(log.format, LogFormat::Text { format, .. } if format == Format::parse("%PROTOCOL%\n").unwrap()));
    }
}

#[test]
fn a_json_line_keeps_its_shape() {
    let fields = json!({"b": "%DURATION%", "a": {"x": 1, "y": [true, null]}});
    let format = json!({"json_format": fields, "omit_empty_values": true});
    let (log, _) = read(&to_file(json!({"path": "x", "log_format": format}))).unwrap();
    let LogFormat::Json { fields, omit_empty: true } = log.format else { panic!("json") };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn a_bad_command_is_refused_where_it_stands() {
    let format = json!({"json_format": {"good": "%PROTOCOL%", "bad": {"x": "%NO_SUCH_COMMAND%"}}});
    let fault = read(&to_file(json!({"path": "x", "log_format": format}))).unwrap_err();
    assert!(fault.starts_with("typed_config.log_format.json_format[\"bad\"][\"x\"]: "), "{fault}");
}

#[test]
fn a_log_of_another_kind_is_refused() {
    let grpc = json!({"@type": "type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"});
    let fault = read(&json!({"name": "x", "typed_config": grpc})).unwrap_err();
    let expected = "typed_config: access log of type \"type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig\" \
                    is not available; there are: FileAccessLog, StdoutAccessLog, StderrAccessLog";
    assert_eq!(fault, expected);
    assert_eq!(read(&json!({"name": "x"})).unwrap_err(), "typed_config: required");
    assert_eq!(read(&to_file(json!({}))).unwrap_err(), "typed_config.path: required");
    let old = read(&to_file(json!({"path": "x", "json_format": {}}))).unwrap_err();
    assert_eq!(old, "typed_config.json_format: not supported: it makes every value a text; use log_format.json_format");
}

#[test]
fn filters_compare_numbers() {
    let comparison = json!({"op": "GE", "value": {"default_value": 500, "runtime_key": "k"}});
    let filter = filtered(json!({"status_code_filter": {"comparison": comparison}})).unwrap();
    assert!(matches!(filter, LogFilter::StatusCode(Comparison::AtLeast(500))));
    assert_eq!(filtered(json!({"duration_filter": {}})).unwrap_err(), "filter.duration_filter.comparison: required");
}

#[test]
fn an_enum_value_that_does_not_exist_is_refused() {
    let mut comparison: wire::AccessLogFilter = message(&json!({"duration_filter": {"comparison": {"value": {}}}}));
    if let Some(FilterSpecifier::DurationFilter(duration)) = &mut comparison.filter_specifier {
        duration.comparison.as_mut().unwrap().op = 9;
    }
    let fault = parsed(|parser| filter(&comparison, parser)).unwrap_err();
    assert_eq!(fault, "duration_filter.comparison.op: 9 is not a value of this enum");
    let statuses = wire::GrpcStatusFilter { statuses: vec![99], exclude: false };
    let statuses = wire::AccessLogFilter { filter_specifier: Some(FilterSpecifier::GrpcStatusFilter(statuses)) };
    let fault = parsed(|parser| filter(&statuses, parser)).unwrap_err();
    assert_eq!(fault, "grpc_status_filter.statuses[0]: 99 is no gRPC status");
}

#[test]
fn filters_combine() {
    let any = json!({"not_health_check_filter": {}});
    let filter = filtered(json!({"and_filter": {"filters": [any, {"or_filter": {"filters": [any, any]}}]}})).unwrap();
    assert!(matches!(filter, LogFilter::All(filters) if filters.len() == 2));
    assert_eq!(filtered(json!({"or_filter": {"filters": [any]}})).unwrap_err(), "filter.or_filter.filters: at least two are required");
    assert_eq!(filtered(json!({})).unwrap_err(), "filter: a filter is required");
}

#[test]
fn filters_know_flags_statuses_and_shares() {
    assert!(filtered(json!({"response_flag_filter": {"flags": ["UF", "UAEX"]}})).is_ok());
    let fault = filtered(json!({"response_flag_filter": {"flags": ["XX"]}})).unwrap_err();
    assert_eq!(fault, "filter.response_flag_filter.flags[0]: there is no response flag \"XX\"");
    let share = json!({"runtime_filter": {"runtime_key": "k", "percent_sampled": {"numerator": 5}}});
    assert!(matches!(filtered(share).unwrap(), LogFilter::Fraction(share) if share == Fraction::per_million(50_000)));
    let fault = filtered(json!({"metadata_filter": {}})).unwrap_err();
    assert_eq!(fault, "filter.metadata_filter: not supported: nothing here sets metadata");
}
