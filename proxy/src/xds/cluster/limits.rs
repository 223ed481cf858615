use xds_proto::envoy::config::cluster::v3::CircuitBreakers;
use xds_proto::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use xds_proto::envoy::config::cluster::v3::circuit_breakers::thresholds::RetryBudget as WireBudget;
use xds_proto::envoy::config::core::v3::RoutingPriority;

use crate::config::cluster::{Limits, RetryBudget};
use crate::xds::invalid::Parser;
use crate::xds::matcher::percent_at;

/// Envoy's default for `budget_percent`.
const BUDGET_PERCENT: f64 = 20.0;

/// Envoy's default for `min_retry_concurrency`.
const MIN_RETRY_CONCURRENCY: u32 = 3;

/// The field `circuit_breakers`: limits of default and of high priority.
pub fn parse(breakers: Option<&CircuitBreakers>, parser: &mut Parser) -> (Limits, Limits) {
    let Some(breakers) = breakers else { return (Limits::default(), Limits::default()) };
    parser.at("circuit_breakers", |parser| {
        let per_host = !breakers.per_host_thresholds.is_empty();
        parser.ignored("per_host_thresholds", per_host, "connections are limited for the cluster, not for an endpoint");
        parser.each("per_host_thresholds", &breakers.per_host_thresholds, |wire, parser| {
            // Envoy's rule.
            let known = Thresholds { priority: wire.priority, max_connections: wire.max_connections, ..Thresholds::default() };
            if *wire == known { Some(()) } else { parser.refuse("only max_connections may be set") }
        });
        let all = parser.each("thresholds", &breakers.thresholds, |wire, parser| {
            let priority: RoutingPriority = parser.choice("priority", wire.priority)?;
            Some((priority, limits(wire, parser)))
        });
        // Envoy takes the first of a priority.
        let of = |wanted: RoutingPriority| {
            let found = all.iter().find(|(priority, _)| *priority == wanted);
            found.map_or_else(Limits::default, |(_, limits)| limits.clone())
        };
        (of(RoutingPriority::Default), of(RoutingPriority::High))
    })
}

fn limits(wire: &Thresholds, parser: &mut Parser) -> Limits {
    parser.ignored("max_connection_pools", wire.max_connection_pools.is_some(), "pools are not counted");
    let default = Limits::default();
    let budget = wire.retry_budget.as_ref();
    Limits {
        connections: wire.max_connections.unwrap_or(default.connections),
        pending_requests: wire.max_pending_requests.unwrap_or(default.pending_requests),
        requests: wire.max_requests.unwrap_or(default.requests),
        retries: wire.max_retries.unwrap_or(default.retries),
        retry_budget: budget.map(|budget| parser.at("retry_budget", |parser| retry_budget(budget, parser))),
    }
}

fn retry_budget(budget: &WireBudget, parser: &mut Parser) -> RetryBudget {
    let interval = budget.budget_interval.is_some();
    parser.ignored("budget_interval", interval, "requests in flight are counted, not those of an interval");
    let percent = percent_at("budget_percent", budget.budget_percent.as_ref(), parser);
    RetryBudget {
        percent: percent.unwrap_or(BUDGET_PERCENT),
        min_concurrency: budget.min_retry_concurrency.unwrap_or(MIN_RETRY_CONCURRENCY),
    }
}
