use std::time::Duration;

use serde_json::{Value, json};

use super::{read_route, route_refused, route_told};
use crate::config::route::{RetryOn, RetryPolicy, RouteAction};

fn read(policy: Value) -> RetryPolicy {
    let (route, _) = read_route(&with(policy)).unwrap();
    let RouteAction::Forward(forward) = &route.action else { panic!("of another kind") };
    RetryPolicy::clone(forward.retry.as_ref().unwrap())
}

fn with(policy: Value) -> Value {
    json!({"route": {"cluster": "web", "retry_policy": policy}})
}

fn refused(policy: Value, problem: &str) {
    route_refused(&with(policy), &format!("route.retry_policy.{problem}"));
}

#[test]
fn a_retry_policy_has_envoys_defaults() {
    let policy = read(json!({}));
    assert!(policy.on.is_empty());
    assert_eq!((policy.retries, policy.host_selection_attempts), (1, 1));
    assert_eq!((policy.per_try_timeout, policy.per_try_idle_timeout), (None, None));
    assert_eq!((policy.base_interval, policy.max_interval), (Duration::from_millis(25), Duration::from_millis(250)));
    assert!(policy.rate_limited.is_none() && !policy.avoid_previous_hosts);
}

#[test]
fn everything_about_retries_is_read() {
    let previous = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    let policy = read(json!({
        "retry_on": "5xx, retriable-headers", "num_retries": 0, "per_try_timeout": "2s", "per_try_idle_timeout": "0s",
        "retriable_status_codes": [418], "retriable_headers": [{"name": "x-a"}], "retriable_request_headers": [{"name": "x-b"}],
        "retry_back_off": {"base_interval": "0.0001s"},
        "rate_limited_retry_back_off": {"reset_headers": [{"name": "Retry-After"}, {"name": "x", "format": "UNIX_TIMESTAMP"}]},
        "retry_host_predicate": [{"name": "p", "typed_config": {"@type": previous}}], "host_selection_retry_max_attempts": 5,
    }));
    assert!(policy.on.has(RetryOn::SERVER_ERROR) && policy.on.has(RetryOn::RETRIABLE_HEADERS));
    assert_eq!((policy.retries, policy.host_selection_attempts), (0, 5));
    assert_eq!((policy.per_try_timeout, policy.per_try_idle_timeout), (Some(Duration::from_secs(2)), None));
    assert_eq!(policy.status_codes, [418]);
    assert_eq!((policy.response_headers.len(), policy.request_headers.len()), (1, 1));
    assert_eq!((policy.base_interval, policy.max_interval), (Duration::from_millis(1), Duration::from_millis(10)));
    let rate_limited = policy.rate_limited.unwrap();
    assert_eq!(rate_limited.max_interval, Duration::from_secs(300));
    let headers: Vec<_> = rate_limited.headers.iter().map(|(name, is_seconds)| (name.as_str(), *is_seconds)).collect();
    assert_eq!(headers, [("retry-after", true), ("x", false)]);
    assert!(policy.avoid_previous_hosts);
}

#[test]
fn intervals_are_positive_and_in_order() {
    refused(json!({"retry_back_off": {}}), "retry_back_off.base_interval: required");
    refused(json!({"retry_back_off": {"base_interval": "0s"}}), "retry_back_off.base_interval: must be above 0");
    let of = |base: &str, max: &str| json!({"retry_back_off": {"base_interval": base, "max_interval": max}});
    refused(of("1s", "0s"), "retry_back_off.max_interval: must be above 0");
    refused(of("1s", "0.5s"), "retry_back_off.max_interval: must not be shorter than base_interval");
}

#[test]
fn back_off_by_the_response_needs_headers() {
    let place = "rate_limited_retry_back_off";
    refused(json!({place: {}}), "rate_limited_retry_back_off.reset_headers: at least one is required");
    refused(json!({place: {"reset_headers": [{"name": ""}]}}), "rate_limited_retry_back_off.reset_headers[0].name: must not be empty");
    refused(
        json!({place: {"reset_headers": [{"name": "a"}], "max_interval": "0s"}}),
        "rate_limited_retry_back_off.max_interval: must be above 0",
    );
}

#[test]
fn other_ways_to_choose_hosts_are_refused() {
    refused(json!({"retry_host_predicate": [{"name": "p"}]}), "retry_host_predicate[0].typed_config: required");
    let canary = "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";
    refused(
        json!({"retry_host_predicate": [{"name": "p", "typed_config": {"@type": canary}}]}),
        &format!(
            "retry_host_predicate[0].typed_config: retry host predicate of type {canary:?} is not available; there are: \
             PreviousHostsPredicate"
        ),
    );
    refused(json!({"retry_priority": {"name": "p"}}), "retry_priority: not supported");
    refused(json!({"retry_options_predicates": [{}]}), "retry_options_predicates: not supported");
    refused(json!({"host_selection_retry_max_attempts": -1}), "host_selection_retry_max_attempts: -1 is not between 0 and 4294967295");
}

#[test]
fn conditions_that_do_not_exist_are_told() {
    route_told(&with(json!({"retry_on": "foo,5xx"})), "route.retry_policy.retry_on: ignored: \"foo\" is not a condition");
    route_told(
        &with(json!({"retriable_status_codes": [70000]})),
        "route.retry_policy.retriable_status_codes[0]: ignored: 70000 is not a status",
    );
}
