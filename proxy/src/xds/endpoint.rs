//! `ClusterLoadAssignment` to [`crate::config::endpoint::Assignment`].

/// What is said of endpoints.
pub(super) mod labels;

use std::num::NonZeroU32;

use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::config::endpoint::v3 as wire;
use xds_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use xds_proto::envoy::config::endpoint::v3::locality_lb_endpoints::LbConfig;

use crate::config::ClusterName;
use crate::config::endpoint::{Assignment, Endpoint, Health, Locality, LocalityEndpoints, Target};
use crate::xds::address;
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;

/// Envoy's default: with 72% of a priority healthy, it still takes all of its load.
const OVERPROVISIONING: u32 = 140;

/// Envoy's bound.
const LAST_PRIORITY: u32 = 128;

/// What an endpoint's address may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// IP addresses and Unix sockets.
    Known,
    /// IP addresses and names to resolve.
    Resolved,
}

/// A `ClusterLoadAssignment`.
pub fn parse(assignment: &wire::ClusterLoadAssignment, addresses: Addresses, parser: &mut Parser) -> Option<Assignment> {
    parser.unsupported("named_endpoints", !assignment.named_endpoints.is_empty());
    let cluster = not_empty("cluster_name", &assignment.cluster_name, parser);
    let localities = parser.each("endpoints", &assignment.endpoints, |entry, parser| locality(entry, addresses, parser));
    let overprovisioning_factor = match &assignment.policy {
        None => OVERPROVISIONING,
        Some(policy) => parser.at("policy", |parser| overprovisioning(policy, parser)),
    };
    if !parser.has_faults() {
        check_sums(&localities, parser);
    }
    Some(Assignment { cluster: ClusterName::from(cluster?), localities, overprovisioning_factor })
}

/// What a cluster without endpoints has.
pub fn empty(cluster: ClusterName) -> Assignment {
    Assignment { cluster, localities: Vec::new(), overprovisioning_factor: OVERPROVISIONING }
}

fn overprovisioning(policy: &wire::cluster_load_assignment::Policy, parser: &mut Parser) -> u32 {
    parser.ignored("drop_overloads", !policy.drop_overloads.is_empty(), "no request is dropped");
    parser.ignored("endpoint_stale_after", policy.endpoint_stale_after.is_some(), "endpoints stay until they are replaced");
    let weighted = policy.weighted_priority_health;
    parser.ignored("weighted_priority_health", weighted, "the health of a priority counts endpoints, not weights");
    match policy.overprovisioning_factor {
        None => OVERPROVISIONING,
        Some(0) => parser.refuse_at("overprovisioning_factor", "must be above 0").unwrap_or(OVERPROVISIONING),
        Some(factor) => factor,
    }
}

fn locality(entry: &wire::LocalityLbEndpoints, addresses: Addresses, parser: &mut Parser) -> Option<LocalityEndpoints> {
    parser.ignored("proximity", entry.proximity.is_some(), "localities are chosen by priority and weight");
    let endpoints = match &entry.lb_config {
        None => parser.each("lb_endpoints", &entry.lb_endpoints, |entry, parser| endpoint(entry, addresses, parser)),
        Some(LbConfig::LoadBalancerEndpoints(list)) => parser.at("load_balancer_endpoints", |parser| {
            parser.each("lb_endpoints", &list.lb_endpoints, |entry, parser| endpoint(entry, addresses, parser))
        }),
        Some(LbConfig::LedsClusterLocalityConfig(_)) => {
            return parser.refuse_at("leds_cluster_locality_config", "not supported");
        }
    };
    if entry.priority > LAST_PRIORITY {
        let problem = format_args!("{} is not between 0 and {LAST_PRIORITY}", entry.priority);
        return parser.refuse_at("priority", problem);
    }
    let locality = entry.locality.clone().unwrap_or_default();
    Some(LocalityEndpoints {
        locality: Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone },
        priority: entry.priority,
        weight: weight(entry.load_balancing_weight, parser)?,
        endpoints,
    })
}

/// `None` inside is a weight that is not set.
fn weight(weight: Option<u32>, parser: &mut Parser) -> Option<Option<NonZeroU32>> {
    let Some(weight) = weight else { return Some(None) };
    match NonZeroU32::new(weight) {
        Some(weight) => Some(Some(weight)),
        None => parser.refuse_at("load_balancing_weight", "must be above 0"),
    }
}

fn endpoint(entry: &wire::LbEndpoint, addresses: Addresses, parser: &mut Parser) -> Option<Endpoint> {
    let health = parser.choice("health_status", entry.health_status).map(health);
    let weight = weight(entry.load_balancing_weight, parser);
    let endpoint = match &entry.host_identifier {
        None => return parser.refuse_at("endpoint", "required"),
        Some(HostIdentifier::EndpointName(_)) => return parser.refuse_at("endpoint_name", "not supported"),
        Some(HostIdentifier::Endpoint(endpoint)) => endpoint,
    };
    let target = parser.at("endpoint", |parser| {
        let further = !endpoint.additional_addresses.is_empty();
        parser.ignored("additional_addresses", further, "an endpoint is reached at its address only");
        let checked = endpoint.health_check_config.is_some();
        parser.ignored("health_check_config", checked, "endpoints are not probed");
        let wire = parser.required("address", endpoint.address.as_ref())?;
        parser.at("address", |parser| target(wire, addresses, parser))
    });
    Some(Endpoint {
        target: target?,
        hostname: endpoint.hostname.clone(),
        weight: weight?.unwrap_or(NonZeroU32::MIN),
        health: health?,
        labels: labels::of(entry.metadata.as_ref()),
    })
}

fn target(wire: &core::Address, addresses: Addresses, parser: &mut Parser) -> Option<Target> {
    match addresses {
        Addresses::Known => address::target(wire, false, parser),
        Addresses::Resolved if matches!(wire.address, Some(core::address::Address::Pipe(_))) => {
            parser.refuse_at("pipe", "a cluster of names cannot have a Unix socket: use type STATIC")
        }
        Addresses::Resolved => address::target(wire, true, parser),
    }
}

fn health(status: core::HealthStatus) -> Health {
    match status {
        core::HealthStatus::Unknown | core::HealthStatus::Healthy => Health::Healthy,
        core::HealthStatus::Unhealthy | core::HealthStatus::Timeout => Health::Unhealthy,
        core::HealthStatus::Draining => Health::Draining,
        core::HealthStatus::Degraded => Health::Degraded,
    }
}

/// The sums of weights must fit 32 bits: balancing relies on it. (Envoy documents the rule and does not check it.)
fn check_sums(localities: &[LocalityEndpoints], parser: &mut Parser) {
    parser.at("endpoints", |parser| {
        let mut of_priority: Vec<(u32, u32)> = Vec::new();
        for (index, group) in localities.iter().enumerate() {
            parser.at_index(index, |parser| {
                let mut weights = group.endpoints.iter().map(|endpoint| endpoint.weight.get());
                if weights.try_fold(0_u32, u32::checked_add).is_none() {
                    parser.refuse_at::<()>("lb_endpoints", "the sum of weights is above 4294967295");
                }
                let weight = group.weight.map_or(0, NonZeroU32::get);
                match of_priority.iter_mut().find(|(priority, _)| *priority == group.priority) {
                    None => of_priority.push((group.priority, weight)),
                    Some((_, sum)) => match sum.checked_add(weight) {
                        Some(total) => *sum = total,
                        None => {
                            let problem = "the sum of weights in this priority is above 4294967295";
                            parser.refuse_at::<()>("load_balancing_weight", problem);
                        }
                    },
                }
            });
        }
    });
}

#[cfg(test)]
mod tests;
