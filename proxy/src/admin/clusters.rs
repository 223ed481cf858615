use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::admin::listeners::address_json;
use crate::config::cluster::{Discovery, Limits};
use crate::config::endpoint::Health;
use crate::upstream::{ClusterState, Member};

/// `cluster::endpoint::what::value`, a line each, as Envoy.
pub(super) fn text(clusters: &[Arc<ClusterState>]) -> String {
    let mut page = String::new();
    for cluster in sorted(clusters) {
        let config = cluster.config();
        let mut line = |what: &str, value: &dyn std::fmt::Display| {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "{}::{what}::{value}", config.name);
        };
        line("observability_name", &config.stat_name);
        for (priority, limits) in [("default_priority", &config.limits), ("high_priority", &config.high_priority_limits)] {
            for (what, limit) in limits_of(limits) {
                line(&format!("{priority}::{what}"), &limit);
            }
        }
        line("added_via_api", &false);
        if let Discovery::Eds { service_name, .. } = &config.discovery {
            line("eds_service_name", service_name);
        }
        for member in cluster.endpoints().members() {
            let address = member.endpoint.address().clone();
            for (what, value) in facts(member) {
                line(&format!("{address}::{what}"), &value);
            }
        }
    }
    page
}

/// `envoy.admin.v3.Clusters`.
pub(super) fn json(clusters: &[Arc<ClusterState>]) -> Value {
    let status = |cluster: &Arc<ClusterState>| {
        let config = cluster.config();
        let thresholds: Vec<Value> = [("DEFAULT", &config.limits), ("HIGH", &config.high_priority_limits)]
            .into_iter()
            .map(|(priority, limits)| {
                let mut threshold = json!({ "priority": priority });
                for (what, limit) in limits_of(limits) {
                    if let Some(threshold) = threshold.as_object_mut() {
                        threshold.insert(what.into(), limit.into());
                    }
                }
                threshold
            })
            .collect();
        json!({
            "name": config.name.as_str(),
            "observability_name": config.stat_name,
            "circuit_breakers": { "thresholds": thresholds },
            "host_statuses": cluster.endpoints().members().iter().map(host_status).collect::<Vec<_>>(),
        })
    };
    json!({ "cluster_statuses": sorted(clusters).into_iter().map(status).collect::<Vec<_>>() })
}

fn sorted(clusters: &[Arc<ClusterState>]) -> Vec<&Arc<ClusterState>> {
    let mut clusters: Vec<_> = clusters.iter().collect();
    clusters.sort_by(|left, right| left.config().name.cmp(&right.config().name));
    clusters
}

fn limits_of(limits: &Limits) -> [(&'static str, u32); 4] {
    [
        ("max_connections", limits.connections),
        ("max_pending_requests", limits.pending_requests),
        ("max_requests", limits.requests),
        ("max_retries", limits.retries),
    ]
}

fn facts(member: &Member) -> [(&'static str, String); 9] {
    let endpoint = &member.endpoint;
    [
        ("rq_active", endpoint.active_requests().to_string()),
        ("hostname", endpoint.hostname().to_owned()),
        ("health_flags", health_flags(endpoint.health()).to_owned()),
        ("weight", member.weight.to_string()),
        ("region", member.locality.region.clone()),
        ("zone", member.locality.zone.clone()),
        ("sub_zone", member.locality.sub_zone.clone()),
        ("canary", "false".to_owned()),
        ("priority", member.priority.to_string()),
    ]
}

fn host_status(member: &Member) -> Value {
    let endpoint = &member.endpoint;
    json!({
        "address": address_json(endpoint.address()),
        "stats": [{ "type": "GAUGE", "name": "rq_active", "value": endpoint.active_requests().to_string() }],
        "health_status": { "eds_health_status": eds_health(endpoint.health()) },
        "weight": member.weight,
        "hostname": endpoint.hostname(),
        "priority": member.priority,
        "locality": {
            "region": member.locality.region,
            "zone": member.locality.zone,
            "sub_zone": member.locality.sub_zone,
        },
    })
}

/// Source: envoyproxy.io, "Administration interface", `/clusters`.
fn health_flags(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Degraded => "/degraded_eds_health",
        Health::Unhealthy => "/failed_eds_health",
        Health::Draining => "/eds_status_draining",
    }
}

fn eds_health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "HEALTHY",
        Health::Degraded => "DEGRADED",
        Health::Unhealthy => "UNHEALTHY",
        Health::Draining => "DRAINING",
    }
}
