use serde_json::{Value, json};

use super::*;
use crate::xds::test_wire::{message, parsed};

fn read(tracing: Value) -> Result<(Tracing, Vec<String>), String> {
    parsed(|parser| parse(&message(&tracing), parser))
}

fn provider(config: Value) -> Value {
    let mut config = config;
    config["@type"] = json!("type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig");
    json!({"provider": {"name": "otel", "typed_config": config}})
}

#[test]
fn all_requests_are_sampled_by_default() {
    let (tracing, _) = read(json!({})).unwrap();
    assert_eq!(tracing.overall_sampling, Fraction::ALL);
    assert_eq!(tracing.max_path_tag_length, 256);
    assert!(tracing.provider.is_none());
}

#[test]
fn spans_go_to_a_cluster() {
    let config = json!({"grpc_service": {"envoy_grpc": {"cluster_name": "otel"}}, "service_name": "shop"});
    let (tracing, _) = read(provider(config)).unwrap();
    let expected = OpenTelemetry { cluster: ClusterName::from("otel"), service_name: "shop".to_owned() };
    assert_eq!(tracing.provider, Some(expected));
}

#[test]
fn a_share_is_a_percentage() {
    let (tracing, _) = read(json!({"random_sampling": {"value": 0.5}})).unwrap();
    assert_eq!(tracing.random_sampling, Fraction::per_million(5000));
    let fault = read(json!({"random_sampling": {"value": 101}})).unwrap_err();
    assert_eq!(fault, "random_sampling.value: 101 is not between 0 and 100");
}

#[test]
fn tags_are_literals_or_headers() {
    let tags = json!([
        {"tag": "a", "literal": {"value": "b"}},
        {"tag": "c", "request_header": {"name": "x-c", "default_value": "d"}},
    ]);
    assert_eq!(read(json!({"custom_tags": tags})).unwrap().0.tags.len(), 2);
    let tags = json!([{"tag": "", "environment": {"name": "HOME"}}, {"tag": "m", "metadata": {}}, {"tag": "n"}]);
    let expected = [
        "custom_tags[0].tag: required",
        "custom_tags[0].environment: not supported",
        "custom_tags[1].metadata: not supported: nothing here sets metadata",
        "custom_tags[2]: one of literal, request_header must be set",
    ];
    assert_eq!(read(json!({"custom_tags": tags})).unwrap_err(), expected.join("\n"));
}

#[test]
fn another_way_to_a_collector_is_refused() {
    let google = json!({"grpc_service": {"google_grpc": {"target_uri": "otel:4317", "stat_prefix": "x"}}});
    let fault = read(provider(google)).unwrap_err();
    assert_eq!(fault, "provider.typed_config.grpc_service.google_grpc: not supported; use envoy_grpc");
    assert_eq!(read(provider(json!({}))).unwrap_err(), "provider.typed_config.grpc_service: required");
    let zipkin =
        json!({"provider": {"name": "zipkin", "typed_config": {"@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig"}}});
    let fault = read(zipkin).unwrap_err();
    let expected = "provider.typed_config: tracer of type \"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig\" is not available; \
                    there are: OpenTelemetryConfig";
    assert_eq!(fault, expected);
}
