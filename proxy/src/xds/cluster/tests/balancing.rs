use super::*;

#[test]
fn policies_are_read_the_older_way() {
    assert_eq!(accepted(&json!({"lb_policy": "RANDOM"})).policy, BalancingPolicy::Random);
    let least = |choice_count, active_request_bias| BalancingPolicy::LeastRequest { choice_count, active_request_bias };
    assert_eq!(accepted(&json!({"lb_policy": "LEAST_REQUEST"})).policy, least(2, 1.0));
    let config = json!({"choice_count": 3, "active_request_bias": {"default_value": 2.5, "runtime_key": "x"}});
    let changes = json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": config});
    assert_eq!(accepted(&changes).policy, least(3, 2.5));
    refused(&json!({"lb_policy": "RING_HASH"}), "lb_policy: RING_HASH is not supported yet");
    refused(&json!({"lb_policy": "MAGLEV"}), "lb_policy: MAGLEV is not supported yet");
    refused(&json!({"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"}), "load_balancing_policy: required by lb_policy");
}

#[test]
fn least_request_draws_at_least_two_with_a_sane_bias() {
    let least = |config: Value| json!({"lb_policy": "LEAST_REQUEST", "least_request_lb_config": config});
    refused(&least(json!({"choice_count": 1})), "least_request_lb_config.choice_count: 1 is below 2");
    refused(
        &least(json!({"active_request_bias": {"default_value": -1}})),
        "least_request_lb_config.active_request_bias.default_value: -1 is not a number from 0",
    );
}

#[test]
fn the_first_supported_policy_counts() {
    let policies = |policies: Value| json!({"lb_policy": "RANDOM", "load_balancing_policy": {"policies": policies}});
    let round_robin = typed_policy("round_robin.v3.RoundRobin");
    let changes = policies(json!([typed_policy("maglev.v3.Maglev"), round_robin]));
    assert_eq!(accepted(&changes).policy, BalancingPolicy::RoundRobin);
    told(&changes, "load_balancing_policy.policies[0]: skipped: not supported, and a later one is");
    assert_eq!(accepted(&policies(json!([typed_policy("random.v3.Random")]))).policy, BalancingPolicy::Random);
    let problem = "load_balancing_policy.policies: none of these is supported; there are: RoundRobin, LeastRequest, Random";
    refused(&policies(json!([])), problem);
    refused(&policies(json!([typed_policy("ring_hash.v3.RingHash")])), problem);
    let mut one = typed_policy("least_request.v3.LeastRequest");
    one["typed_extension_config"]["typed_config"]["choice_count"] = json!(1);
    refused(&policies(json!([one])), "load_balancing_policy.policies[0].typed_extension_config.typed_config.choice_count: 1 is below 2");
}

#[test]
fn the_panic_threshold_is_rounded_and_bounded() {
    let of = |value: f64| json!({"common_lb_config": {"healthy_panic_threshold": {"value": value}}});
    assert_eq!(accepted(&of(0.0)).panic_threshold, 0);
    assert_eq!(accepted(&of(33.5)).panic_threshold, 34);
    assert_eq!(accepted(&of(100.0)).panic_threshold, 100);
    refused(&of(101.0), "common_lb_config.healthy_panic_threshold.value: 101 is not between 0 and 100");
}

#[test]
fn limits_are_by_priority() {
    let thresholds = json!([
        {"max_connections": 1, "max_pending_requests": 2, "max_requests": 3, "max_retries": 4},
        {"max_connections": 9},
        {"priority": "HIGH", "retry_budget": {"budget_percent": {"value": 30.0}}},
    ]);
    let cluster = accepted(&json!({"circuit_breakers": {"thresholds": thresholds}}));
    let limits = Limits { connections: 1, pending_requests: 2, requests: 3, retries: 4, retry_budget: None };
    assert_eq!(cluster.limits, limits);
    let budget = cluster.high_priority_limits.retry_budget.unwrap();
    assert_eq!((budget.percent, budget.min_concurrency), (30.0, 3));
    refused(
        &json!({"circuit_breakers": {"thresholds": [{"retry_budget": {"budget_percent": {"value": 101}}}]}}),
        "circuit_breakers.thresholds[0].retry_budget.budget_percent.value: 101 is not between 0 and 100",
    );
}

#[test]
fn limits_of_endpoints_are_told_and_are_of_connections() {
    let of = |limits: Value| json!({"circuit_breakers": {"per_host_thresholds": [limits]}});
    told(
        &of(json!({"max_connections": 3})),
        "circuit_breakers.per_host_thresholds: ignored: connections are limited for the cluster, not for an endpoint",
    );
    refused(&of(json!({"max_requests": 3})), "circuit_breakers.per_host_thresholds[0]: only max_connections may be set");
}
