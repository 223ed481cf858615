use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::{BalanceError, Balancer, ClusterState, PickContext, Picked};
use crate::config::address::Address;
use crate::config::cluster::{BalancingPolicy, Cluster, Discovery, OriginalDst};
use crate::config::endpoint::{Endpoint, Health, Locality, LocalityEndpoints};
use crate::own::OwnAddresses;
use crate::upstream::tests::{config, endpoint, listed, locality};

fn state(config: Cluster) -> Arc<ClusterState> {
    ClusterState::new(Arc::new(config))
}

fn with_policy(policy: BalancingPolicy, localities: Vec<LocalityEndpoints>) -> Arc<ClusterState> {
    let mut config = listed(localities);
    config.policy = policy;
    state(config)
}

fn least_request() -> BalancingPolicy {
    BalancingPolicy::LeastRequest { choice_count: 2, active_request_bias: 1.0 }
}

fn with_health(port: u16, health: Health) -> Endpoint {
    Endpoint { health, ..endpoint(port, 1) }
}

fn port(picked: &Picked) -> u16 {
    match picked.endpoint().address() {
        Address::Ip(address) => address.port(),
        Address::Unix(_) => 0,
    }
}

/// How often each port is chosen in `picks`, none of them lasting.
fn tally(cluster: &Arc<ClusterState>, picks: u32) -> HashMap<u16, u32> {
    let balancer = Balancer::with_seed(7);
    let mut tally = HashMap::new();
    for _ in 0..picks {
        let picked = balancer.pick(cluster, &PickContext::default()).unwrap();
        *tally.entry(port(&picked)).or_insert(0) += 1;
    }
    tally
}

fn any_policy() -> impl Strategy<Value = BalancingPolicy> {
    prop_oneof![Just(BalancingPolicy::RoundRobin), Just(BalancingPolicy::Random), Just(least_request())]
}

fn any_health() -> impl Strategy<Value = Health> {
    prop_oneof![Just(Health::Healthy), Just(Health::Degraded), Just(Health::Unhealthy), Just(Health::Draining),]
}

proptest! {
    #[test]
    fn round_robin_follows_weights_exactly(weights in prop::collection::vec(1u32..20, 1..8)) {
        let endpoints = (1..).zip(&weights).map(|(port, weight)| endpoint(port, *weight)).collect();
        let cluster = with_policy(BalancingPolicy::RoundRobin, vec![locality(0, endpoints)]);
        let sum: u32 = weights.iter().sum();
        let tally = tally(&cluster, sum * 10);
        for (port, weight) in (1..).zip(&weights) {
            let got = tally.get(&port).copied().unwrap_or(0);
            prop_assert!(got.abs_diff(weight * 10) <= 1, "port {port}: {got} of {}", weight * 10);
        }
    }

    #[test]
    fn random_follows_weights(weights in prop::collection::vec(1u32..10, 2..5)) {
        let endpoints = (1..).zip(&weights).map(|(port, weight)| endpoint(port, *weight)).collect();
        let cluster = with_policy(BalancingPolicy::Random, vec![locality(0, endpoints)]);
        let sum: u32 = weights.iter().sum();
        let tally = tally(&cluster, 20_000);
        for (port, weight) in (1..).zip(&weights) {
            let expected = 20_000 * weight / sum;
            let got = tally.get(&port).copied().unwrap_or(0);
            prop_assert!(got.abs_diff(expected) < 600, "port {port}: {got}, expected {expected}");
        }
    }

    #[test]
    fn outside_of_panic_only_endpoints_that_may_take_load_are_chosen(
        policy in any_policy(),
        levels in prop::collection::vec(prop::collection::vec(any_health(), 1..6), 1..3),
        seed in any::<u64>(),
    ) {
        let mut port = 0u16;
        let localities = (0..).zip(&levels).map(|(priority, healths)| {
            let endpoints = healths.iter().map(|health| { port += 1; with_health(port, *health) });
            locality(priority, endpoints.collect())
        });
        let mut config = listed(localities.collect());
        config.policy = policy;
        config.panic_threshold = 0;
        let cluster = state(config);
        let usable = levels.iter().flatten().any(|health| matches!(health, Health::Healthy | Health::Degraded));
        let balancer = Balancer::with_seed(seed);
        for _ in 0..50 {
            match balancer.pick(&cluster, &PickContext::default()) {
                Ok(picked) => {
                    let health = picked.endpoint().health();
                    prop_assert!(matches!(health, Health::Healthy | Health::Degraded), "{health:?}");
                }
                Err(error) => {
                    prop_assert_eq!(error, BalanceError::NoHealthyEndpoint);
                    prop_assert!(!usable);
                }
            }
        }
    }
}

#[test]
fn a_cluster_without_endpoints_says_so() {
    let cluster = state(listed(Vec::new()));
    let error = Balancer::new(OwnAddresses::default()).pick(&cluster, &PickContext::default()).unwrap_err();
    assert_eq!(error, BalanceError::NoEndpoints);
    assert_eq!(cluster.stats().upstream_cx_none_healthy.value(), 1);
}

#[test]
fn round_robin_takes_each_in_turn() {
    let cluster = state(listed(vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1), endpoint(3, 1)])]));
    assert_eq!(tally(&cluster, 30), HashMap::from([(1, 10), (2, 10), (3, 10)]));
}

#[test]
fn proxies_do_not_start_at_the_same_endpoint() {
    let endpoints: Vec<_> = (1..=50).map(|port| endpoint(port, 1)).collect();
    let cluster = state(listed(vec![locality(0, endpoints)]));
    let first = |seed| port(&Balancer::with_seed(seed).pick(&cluster, &PickContext::default()).unwrap());
    let starts: std::collections::HashSet<_> = (0..20).map(first).collect();
    assert!(starts.len() > 10, "{starts:?}");
}

#[test]
fn least_request_avoids_the_busy_one() {
    let cluster = with_policy(least_request(), vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1)])]);
    let set = cluster.endpoints();
    let busy = set.members()[0].endpoint.clone();
    for _ in 0..10 {
        busy.begin_request();
    }
    let tally = tally(&cluster, 400);
    // Both draws fall on the busy one in a quarter of the choices.
    assert!(tally[&1] < 140, "{tally:?}");
}

#[test]
fn least_request_with_weights_weighs_load() {
    let cluster = with_policy(least_request(), vec![locality(0, vec![endpoint(1, 1), endpoint(2, 3)])]);
    let idle = tally(&cluster, 400);
    assert!(idle[&2].abs_diff(300) < 4, "{idle:?}");
    let heavy = cluster.endpoints().members()[1].endpoint.clone();
    for _ in 0..5 {
        heavy.begin_request();
    }
    // 3 / (5 + 1) = 0.5 to 1.
    let loaded = tally(&cluster, 300);
    assert!(loaded[&2].abs_diff(100) < 4, "{loaded:?}");
}

#[test]
fn a_pick_counts_until_it_is_dropped() {
    let cluster = state(listed(vec![locality(0, vec![endpoint(1, 1)])]));
    let picked = Balancer::new(OwnAddresses::default()).pick(&cluster, &PickContext::default()).unwrap();
    let endpoint = picked.endpoint().clone();
    assert_eq!(endpoint.active_requests(), 1);
    drop(picked);
    assert_eq!(endpoint.active_requests(), 0);
}

#[test]
fn too_few_healthy_endpoints_are_not_believed() {
    let endpoints = vec![endpoint(1, 1), with_health(2, Health::Unhealthy), with_health(3, Health::Unhealthy)];
    let cluster = state(listed(vec![locality(0, endpoints)]));
    assert_eq!(tally(&cluster, 30), HashMap::from([(1, 10), (2, 10), (3, 10)]));
    assert_eq!(cluster.stats().lb_healthy_panic.value(), 30);
}

#[test]
fn the_next_priority_takes_what_the_first_cannot() {
    // 2 of 4 healthy: 2 * 140 / 4 = 70 %.
    let first = vec![endpoint(1, 1), endpoint(2, 1), with_health(3, Health::Unhealthy), with_health(4, Health::Unhealthy)];
    let cluster = state(listed(vec![locality(0, first), locality(1, vec![endpoint(9, 1)])]));
    let tally = tally(&cluster, 10_000);
    assert!(tally[&9].abs_diff(3_000) < 200, "{tally:?}");
    assert!(!tally.contains_key(&3));
}

#[test]
fn a_small_loss_does_not_spill_to_the_next_priority() {
    let first = vec![endpoint(1, 1), endpoint(2, 1), endpoint(3, 1), with_health(4, Health::Unhealthy)];
    let cluster = state(listed(vec![locality(0, first), locality(1, vec![endpoint(9, 1)])]));
    assert!(!tally(&cluster, 1_000).contains_key(&9));
}

#[test]
fn places_share_by_weight() {
    let place = |zone: &str, weight, port| LocalityEndpoints {
        locality: Locality { zone: zone.to_owned(), ..Locality::default() },
        weight: std::num::NonZeroU32::new(weight),
        ..locality(0, vec![endpoint(port, 1)])
    };
    let cluster = state(listed(vec![place("a", 1, 1), place("b", 3, 2), place("c", 0, 3)]));
    let tally = tally(&cluster, 10_000);
    assert!(tally[&2].abs_diff(7_500) < 300, "{tally:?}");
    assert!(!tally.contains_key(&3), "a place without weight takes no part");
}

#[test]
fn earlier_attempts_are_avoided() {
    let cluster = with_policy(BalancingPolicy::Random, vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1)])]);
    let balancer = Balancer::with_seed(1);
    let tried = vec![cluster.endpoints().members()[0].endpoint.clone()];
    let context = PickContext { tried: &tried, reselections: 64, ..PickContext::default() };
    for _ in 0..100 {
        assert_eq!(port(&balancer.pick(&cluster, &context).unwrap()), 2);
    }
}

#[test]
fn when_only_tried_ones_are_left_one_of_them_is_taken() {
    let cluster = state(listed(vec![locality(0, vec![endpoint(1, 1)])]));
    let tried = vec![cluster.endpoints().members()[0].endpoint.clone()];
    let context = PickContext { tried: &tried, reselections: 3, ..PickContext::default() };
    assert_eq!(port(&Balancer::new(OwnAddresses::default()).pick(&cluster, &context).unwrap()), 1);
}

#[test]
fn a_replaced_set_is_used_at_once() {
    let cluster = state(listed(vec![locality(0, vec![endpoint(1, 1)])]));
    let balancer = Balancer::new(OwnAddresses::default());
    assert_eq!(port(&balancer.pick(&cluster, &PickContext::default()).unwrap()), 1);
    cluster.replace_assignment(&crate::upstream::tests::assignment(vec![locality(0, vec![endpoint(2, 1)])]));
    assert_eq!(port(&balancer.pick(&cluster, &PickContext::default()).unwrap()), 2);
}

#[tokio::test(start_paused = true)]
async fn an_original_destination_is_one_endpoint_until_it_is_forgotten() {
    let interval = std::time::Duration::from_secs(5);
    let settings = OriginalDst { cleanup_interval: interval, ..OriginalDst::default() };
    let cluster = state(config(Discovery::OriginalDst(settings)));
    let balancer = Balancer::new(OwnAddresses::default());
    let pick = |port: u16| {
        let original_dst = Some(std::net::SocketAddr::from(([10, 0, 0, 7], port)));
        balancer.pick(&cluster, &PickContext { original_dst, ..PickContext::default() }).unwrap()
    };
    let first = Arc::downgrade(pick(80).endpoint());
    assert!(std::ptr::eq(first.as_ptr(), Arc::as_ptr(pick(80).endpoint())));
    tokio::time::sleep(interval * 2).await;
    drop(pick(81));
    assert!(first.upgrade().is_none());
    let error = balancer.pick(&cluster, &PickContext::default()).unwrap_err();
    assert_eq!(error, BalanceError::NoOriginalDestination);
}

#[test]
fn an_original_destination_is_never_this_proxy() {
    let own = OwnAddresses::default();
    let listening = own.listen(["127.0.0.1:15000".parse().unwrap()]);
    let balancer = Balancer::new(own);
    let pick = |port_override: Option<u16>, port: u16| {
        let cluster = state(config(Discovery::OriginalDst(OriginalDst { port_override, ..OriginalDst::default() })));
        let original_dst = Some(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let picked = balancer.pick(&cluster, &PickContext { original_dst, ..PickContext::default() });
        (picked.map(drop), cluster.stats().original_dst_host_invalid.value())
    };
    assert_eq!(pick(None, 15000), (Err(BalanceError::ToItself), 1));
    assert_eq!(pick(None, 15001), (Ok(()), 0));
    assert_eq!(pick(Some(15000), 80), (Err(BalanceError::ToItself), 1));
    assert_eq!(pick(Some(80), 15000), (Ok(()), 0));
    drop(listening);
    assert_eq!(pick(None, 15000), (Ok(()), 0));
}
