use serde_json::{Value, json};
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::{ExtAuthz, ExtAuthzPerRoute};

use super::*;
use crate::config::ext_authz::Service;
use crate::xds::test_wire::{message, parsed};

fn grpc() -> Value {
    json!({"grpc_service": {"envoy_grpc": {"cluster_name": "z"}}})
}

fn of(over: Value) -> Result<ExternalAuthorization, String> {
    let mut whole = grpc();
    for (name, value) in over.as_object().unwrap() {
        whole[name] = value.clone();
    }
    if whole.get("http_service").is_some() {
        whole.as_object_mut().unwrap().remove("grpc_service");
    }
    let wire: ExtAuthz = message(&whole);
    parsed(|parser| filter(&wire, parser)).map(|(filter, _)| filter)
}

#[test]
fn what_is_not_said_is_as_in_envoy() {
    let filter = of(json!({})).unwrap();
    assert_eq!((filter.status_on_error, filter.timeout.as_millis()), (StatusCode::FORBIDDEN, 200));
    assert!(!filter.failure_mode_allow && filter.body.is_none() && filter.allowed_headers.is_none() && filter.takes_metadata);
    assert!(matches!(filter.service, Service::Grpc(service) if service.authority == "z"));
}

#[test]
fn what_is_not_supported_is_refused_with_its_place() {
    let uri = json!({"uri": "http://z", "cluster": "z", "timeout": "1s"});
    let http = |over: Value| {
        let mut service = json!({"server_uri": uri});
        for (name, value) in over.as_object().unwrap() {
            service[name] = value.clone();
        }
        json!({"http_service": service})
    };
    let no_timeout = json!({"http_service": {"server_uri": {"uri": "http://z", "cluster": "z"}}});
    let endless = json!({"http_service": {"server_uri": {"uri": "http://z", "cluster": "z", "timeout": "0s"}}});
    for (over, fault) in [
        (
            json!({"grpc_service": {"google_grpc": {"target_uri": "z", "stat_prefix": "z"}}}),
            "grpc_service.google_grpc: not supported; use envoy_grpc",
        ),
        (json!({"status_on_error": {"code": 100}}), "status_on_error.code: 100 is not a status from 200 to 599"),
        (json!({"with_request_body": {}}), "with_request_body.max_request_bytes: 0 is not between 1 and 67108864"),
        (json!({"allowed_headers": {}}), "allowed_headers.patterns: at least one is required"),
        (json!({"transport_api_version": "V2"}), "transport_api_version: only V3 is spoken"),
        (json!({"deny_at_disable": {"runtime_key": "a"}}), "deny_at_disable.default_value: required"),
        (no_timeout, "http_service.server_uri.timeout: required"),
        (endless, "http_service.server_uri.timeout: must be more than nothing: no wait is without an end"),
        (http(json!({"path_prefix": "check"})), "http_service.path_prefix: \"check\" does not begin with '/'"),
        (http(json!({"path_prefix": "/a", "path_override": "/b"})), "http_service.path_override: cannot be set beside path_prefix"),
        (
            http(json!({"authorization_request": {"headers_to_add": [{"key": "a", "value": "%REQ(b)%"}]}})),
            "http_service.authorization_request.headers_to_add[0].value: commands in it are not supported",
        ),
        (
            http(json!({"authorization_request": {"headers_to_add": [{"key": "Transfer-Encoding", "value": "x"}]}})),
            "http_service.authorization_request.headers_to_add[0].key: transfer-encoding is set by the codec",
        ),
    ] {
        assert_eq!(of(over.clone()).unwrap_err(), fault, "{over}");
    }
    let none: ExtAuthz = message(&json!({}));
    assert_eq!(parsed(|parser| filter(&none, parser)).unwrap_err(), "one of grpc_service, http_service is required");
}

#[test]
fn a_route_says_one_thing() {
    let of = |wire: Value| {
        let wire: ExtAuthzPerRoute = message(&wire);
        parsed(|parser| of_route(&wire, parser)).map(|(said, _)| said)
    };
    assert_eq!(of(json!({"disabled": true})), Ok(CheckOverride::Disabled));
    assert_eq!(of(json!({"disabled": false})).unwrap_err(), "disabled: must be true");
    assert_eq!(of(json!({})).unwrap_err(), "one of disabled, check_settings is required");
    let both = json!({"check_settings": {"disable_request_body_buffering": true, "with_request_body": {"max_request_bytes": 1}}});
    assert_eq!(of(both).unwrap_err(), "check_settings.with_request_body: cannot be set beside disable_request_body_buffering");
    let off = of(json!({"check_settings": {"disable_request_body_buffering": true}}));
    assert_eq!(off, Ok(CheckOverride::Settings(CheckSettings { body: Some(None), ..CheckSettings::default() })));
}
