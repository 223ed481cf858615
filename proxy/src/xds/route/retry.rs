use std::time::Duration;

use xds_proto::any;
use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::retry_policy::retry_host_predicate::ConfigType;
use xds_proto::envoy::config::route::v3::retry_policy::{RateLimitedRetryBackOff, ResetHeaderFormat, RetryBackOff, RetryHostPredicate};
use xds_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use crate::config::route::{RateLimitedBackoff, RetryOn, RetryPolicy};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::field;

/// Envoy's default for `num_retries`.
const RETRIES: u32 = 1;

/// Envoy's default for `retry_back_off.base_interval`: shorter than a person notices, long enough to spread a burst.
const BASE_INTERVAL: Duration = Duration::from_millis(25);

/// Envoy rounds shorter intervals up to this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// Envoy's default for `retry_back_off.max_interval`, in first intervals.
const MAX_INTERVAL_FACTOR: u32 = 10;

/// Envoy's default for `rate_limited_retry_back_off.max_interval`.
const RATE_LIMITED_MAX: Duration = Duration::from_secs(300);

/// Envoy's default for `host_selection_retry_max_attempts`.
const HOST_SELECTION_ATTEMPTS: u32 = 1;

/// A `RetryPolicy` in a field, if it is set.
pub fn at(field: &'static str, policy: Option<&wire::RetryPolicy>, parser: &mut Parser) -> Option<RetryPolicy> {
    policy.and_then(|policy| parser.at(field, |parser| parse(policy, parser)))
}

/// A `RetryPolicy`.
pub fn parse(policy: &wire::RetryPolicy, parser: &mut Parser) -> Option<RetryPolicy> {
    parser.unsupported("retry_priority", policy.retry_priority.is_some());
    parser.unsupported("retry_options_predicates", !policy.retry_options_predicates.is_empty());
    let refresh = policy.refresh_cluster_on_retry;
    parser.ignored("refresh_cluster_on_retry", refresh, "a retry goes to the cluster of the first attempt");
    let (base_interval, max_interval) = back_off(policy.retry_back_off.as_ref(), parser)?;
    let rate_limited = match &policy.rate_limited_retry_back_off {
        None => None,
        Some(wire) => Some(parser.at("rate_limited_retry_back_off", |parser| rate_limited(wire, parser))?),
    };
    let predicates = parser.each("retry_host_predicate", &policy.retry_host_predicate, previous_hosts);
    Some(RetryPolicy {
        on: conditions(&policy.retry_on, parser),
        retries: policy.num_retries.unwrap_or(RETRIES),
        per_try_timeout: parser.limit("per_try_timeout", policy.per_try_timeout.as_ref(), None),
        per_try_idle_timeout: parser.limit("per_try_idle_timeout", policy.per_try_idle_timeout.as_ref(), None),
        status_codes: parser.each("retriable_status_codes", &policy.retriable_status_codes, status_code),
        response_headers: field::headers("retriable_headers", &policy.retriable_headers, parser),
        request_headers: field::headers("retriable_request_headers", &policy.retriable_request_headers, parser),
        base_interval,
        max_interval,
        rate_limited,
        avoid_previous_hosts: !predicates.is_empty(),
        host_selection_attempts: attempts(policy.host_selection_retry_max_attempts, parser)?,
    })
}

fn conditions(list: &str, parser: &mut Parser) -> RetryOn {
    let (on, unknown) = RetryOn::parse(list);
    for word in unknown {
        parser.at("retry_on", |parser| parser.warn(format_args!("ignored: {word:?} is not a condition")));
    }
    on
}

fn status_code(code: &u32, parser: &mut Parser) -> Option<u16> {
    let number = u16::try_from(*code).ok();
    if number.is_none() {
        parser.warn(format_args!("ignored: {code} is not a status"));
    }
    number
}

fn attempts(attempts: i64, parser: &mut Parser) -> Option<u32> {
    match u32::try_from(attempts) {
        Ok(0) => Some(HOST_SELECTION_ATTEMPTS),
        Ok(attempts) => Some(attempts),
        Err(_) => parser.refuse_at("host_selection_retry_max_attempts", format_args!("{attempts} is not between 0 and 4294967295")),
    }
}

fn back_off(wire: Option<&RetryBackOff>, parser: &mut Parser) -> Option<(Duration, Duration)> {
    let Some(wire) = wire else { return Some((BASE_INTERVAL, BASE_INTERVAL.saturating_mul(MAX_INTERVAL_FACTOR))) };
    parser.at("retry_back_off", |parser| {
        parser.required("base_interval", wire.base_interval.as_ref())?;
        let base = positive("base_interval", wire.base_interval.as_ref(), parser);
        let max = match &wire.max_interval {
            None => Some(None),
            set => positive("max_interval", set.as_ref(), parser).map(Some),
        };
        let base = base?.max(SHORTEST_INTERVAL);
        let max = max?.unwrap_or(base.saturating_mul(MAX_INTERVAL_FACTOR)).max(SHORTEST_INTERVAL);
        if max < base {
            return parser.refuse_at("max_interval", "must not be shorter than base_interval");
        }
        Some((base, max))
    })
}

fn positive(field: &'static str, wire: Option<&prost_types::Duration>, parser: &mut Parser) -> Option<Duration> {
    match parser.duration(field, wire) {
        Some(Duration::ZERO) => parser.refuse_at(field, "must be above 0"),
        duration => duration,
    }
}

fn rate_limited(wire: &RateLimitedRetryBackOff, parser: &mut Parser) -> Option<RateLimitedBackoff> {
    if wire.reset_headers.is_empty() {
        parser.refuse_at::<()>("reset_headers", "at least one is required");
    }
    let headers = parser.each("reset_headers", &wire.reset_headers, |header, parser| {
        let name = headers::name_at("name", &header.name, parser);
        let is_seconds = match parser.choice("format", header.format)? {
            ResetHeaderFormat::Seconds => true,
            ResetHeaderFormat::UnixTimestamp => false,
        };
        Some((name?, is_seconds))
    });
    let max_interval = match &wire.max_interval {
        None => RATE_LIMITED_MAX,
        set => positive("max_interval", set.as_ref(), parser)?,
    };
    Some(RateLimitedBackoff { headers, max_interval })
}

/// The only predicate there is.
fn previous_hosts(predicate: &RetryHostPredicate, parser: &mut Parser) -> Option<()> {
    let Some(ConfigType::TypedConfig(config)) = &predicate.config_type else {
        return parser.refuse_at("typed_config", "required");
    };
    if any::is::<PreviousHostsPredicate>(config) {
        return Some(());
    }
    parser.at("typed_config", |parser| parser.refuse_type("retry host predicate", config, "PreviousHostsPredicate"))
}
