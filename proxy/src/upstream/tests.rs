use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{ClusterState, EndpointSet, EndpointState, LimitKind, Permit};
use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::cluster::{BalancingPolicy, Cluster, Discovery, Dns, DnsFamily, Limits, RetryBudget, UpstreamProtocol};
use crate::config::endpoint::{Assignment, Endpoint, Health, Locality, LocalityEndpoints, Target};
use crate::config::http::{HeaderCase, Http1Settings, Http2Settings};
use crate::config::route::Priority;

/// A valid cluster; a test changes one thing.
pub(crate) fn config(discovery: Discovery) -> Cluster {
    Cluster {
        name: ClusterName::from("shop"),
        stat_name: String::from("shop"),
        discovery,
        policy: BalancingPolicy::RoundRobin,
        panic_threshold: 50,
        connect_timeout: Duration::from_secs(5),
        protocol: UpstreamProtocol::Http1,
        http1: Http1Settings {
            allow_custom_methods: false,
            accept_http_10: false,
            default_host_for_http_10: None,
            allow_absolute_url: true,
            allow_chunked_length: false,
            enable_trailers: false,
            header_case: HeaderCase::AsReceived,
            override_stream_error: false,
        },
        http2: Http2Settings {
            max_concurrent_streams: 100,
            initial_stream_window: 65_535,
            initial_connection_window: 1 << 20,
            allow_connect: false,
            keepalive_interval: None,
            keepalive_timeout: Duration::from_secs(20),
            override_stream_error: false,
        },
        max_response_headers_bytes: 60 * 1024,
        max_headers_count: 100,
        idle_timeout: Some(Duration::from_secs(3600)),
        max_connection_duration: None,
        max_stream_duration: None,
        max_requests_per_connection: None,
        limits: Limits::default(),
        high_priority_limits: Limits::default(),
        buffer_limit: 1 << 20,
        keepalive: None,
        source_addresses: Vec::new(),
        socket_options: Vec::new(),
        tls: None,
        tls_matches: Vec::new(),
        dns: Dns {
            refresh: Duration::from_secs(5),
            failure_refresh: None,
            respect_ttl: false,
            jitter: Duration::ZERO,
            family: DnsFamily::Auto,
            resolvers: Vec::new(),
            use_tcp: false,
        },
    }
}

pub(crate) fn address(port: u16) -> Address {
    Address::Ip(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// A healthy endpoint at this port.
pub(crate) fn endpoint(port: u16, weight: u32) -> Endpoint {
    Endpoint {
        target: Target::Address(address(port)),
        hostname: String::new(),
        weight: NonZeroU32::new(weight).unwrap(),
        health: Health::Healthy,
        labels: None,
    }
}

pub(crate) fn locality(priority: u32, endpoints: Vec<Endpoint>) -> LocalityEndpoints {
    LocalityEndpoints { locality: Locality::default(), priority, weight: None, endpoints }
}

pub(crate) fn assignment(localities: Vec<LocalityEndpoints>) -> Assignment {
    Assignment { cluster: ClusterName::from("shop"), localities, overprovisioning_factor: 140 }
}

/// A cluster of listed endpoints.
pub(crate) fn listed(localities: Vec<LocalityEndpoints>) -> Cluster {
    config(Discovery::Static(Arc::new(assignment(localities))))
}

fn ports(set: &EndpointSet) -> Vec<u16> {
    let port = |endpoint: &EndpointState| match endpoint.address() {
        Address::Ip(address) => address.port(),
        Address::Unix(_) => 0,
    };
    set.members().iter().map(|member| port(&member.endpoint)).collect()
}

#[test]
fn an_endpoint_that_stays_keeps_its_state() {
    let cluster = ClusterState::new(Arc::new(listed(vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1)])])));
    let before = cluster.endpoints().members()[0].endpoint.clone();
    let leaver = cluster.endpoints().members()[1].endpoint.clone();
    before.begin_request();
    cluster.replace_assignment(&assignment(vec![locality(0, vec![endpoint(3, 1), endpoint(1, 1)])]));
    let after = cluster.endpoints();
    let kept = after.members().iter().find(|member| member.endpoint.address() == &address(1)).unwrap();
    assert!(Arc::ptr_eq(&kept.endpoint, &before));
    assert_eq!(kept.endpoint.active_requests(), 1);
    assert!(leaver.is_removed() && !before.is_removed());
    assert_eq!(cluster.stats().membership_change.value(), 1);
    assert_eq!(cluster.stats().membership_total.value(), 2);
}

#[test]
fn whoever_has_connections_hears_that_an_endpoint_leaves() {
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let cluster = ClusterState::new(Arc::new(listed(vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1)])])));
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = std::task::Waker::from(Arc::clone(&count));
    for member in cluster.endpoints().members() {
        member.endpoint.wake_when_removed(&waker);
        member.endpoint.wake_when_removed(&waker);
    }
    let leaver = cluster.endpoints().members()[1].endpoint.clone();
    cluster.replace_assignment(&assignment(vec![locality(0, vec![endpoint(1, 1)])]));
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "the one that stays wakes nobody, the other wakes a task once");
    leaver.wake_when_removed(&waker);
    assert_eq!(count.0.load(Ordering::Relaxed), 2, "who comes too late hears at once");
}

#[test]
fn the_same_endpoints_again_are_no_change() {
    let localities = || vec![locality(0, vec![endpoint(1, 1)])];
    let cluster = ClusterState::new(Arc::new(listed(localities())));
    cluster.replace_assignment(&assignment(localities()));
    assert_eq!(cluster.stats().membership_change.value(), 0);
}

#[test]
fn endpoints_stand_by_priority_then_health() {
    let mut sick = endpoint(1, 1);
    sick.health = Health::Unhealthy;
    let mut weak = endpoint(2, 1);
    weak.health = Health::Degraded;
    let first = locality(0, vec![sick, weak, endpoint(3, 1)]);
    let cluster = ClusterState::new(Arc::new(listed(vec![locality(1, vec![endpoint(4, 1)]), first])));
    assert_eq!(ports(&cluster.endpoints()), [3, 2, 1, 4]);
    let set = cluster.endpoints();
    let level = &set.levels()[0];
    assert_eq!((level.total, level.healthy, level.degraded), (3, 1, 1));
}

#[test]
fn a_change_of_health_regroups() {
    let cluster = ClusterState::new(Arc::new(listed(vec![locality(0, vec![endpoint(1, 1), endpoint(2, 1)])])));
    let first = cluster.endpoints().members()[0].endpoint.clone();
    cluster.set_health(&first, Health::Unhealthy);
    assert_eq!(cluster.endpoints().levels()[0].healthy, 1);
}

#[test]
fn a_permit_is_free_again_when_dropped() {
    let mut config = listed(Vec::new());
    config.limits.requests = 1;
    let cluster = ClusterState::new(Arc::new(config));
    let acquire = |priority| Permit::acquire(&cluster, LimitKind::Requests, priority);
    let first = acquire(Priority::Default).unwrap();
    assert!(acquire(Priority::Default).is_none());
    assert!(acquire(Priority::High).is_some());
    drop(first);
    assert!(acquire(Priority::Default).is_some());
    assert_eq!(cluster.in_use(LimitKind::Requests, Priority::Default), 0);
}

#[test]
fn a_retry_budget_is_a_share_of_requests_in_flight() {
    let mut config = listed(Vec::new());
    config.limits.retry_budget = Some(RetryBudget { percent: 20.0, min_concurrency: 1 });
    let cluster = ClusterState::new(Arc::new(config));
    let acquire = |kind| Permit::acquire(&cluster, kind, Priority::Default);
    let _requests: Vec<_> = (0..14).map(|_| acquire(LimitKind::Requests).unwrap()).collect();
    let _first = acquire(LimitKind::Retries).unwrap();
    let _second = acquire(LimitKind::Retries).unwrap();
    assert!(acquire(LimitKind::Retries).is_none(), "20 % of 14 is 2");
}

#[test]
fn an_endpoint_costs_less_than_300_bytes_and_an_idle_cluster_less_than_2_kb() {
    let member = size_of::<EndpointState>() + size_of::<super::Member>() + 16;
    assert!(member < 300, "{member}");
    let cluster = size_of::<ClusterState>() + size_of::<Cluster>() + 32;
    assert!(cluster < 2048, "{cluster}");
}
