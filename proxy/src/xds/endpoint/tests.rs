use serde_json::{Value, json};

use super::*;
use crate::config::address::Address;
use crate::xds::test_wire::{message, parsed};

fn read(assignment: &Value, addresses: Addresses) -> Result<Assignment, String> {
    let wire = message::<wire::ClusterLoadAssignment>(assignment);
    parsed(|parser| parse(&wire, addresses, parser)).map(|(assignment, _)| assignment)
}

fn at(address: &str, port: u32) -> Value {
    json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}})
}

fn with(endpoints: &Value) -> Value {
    json!({"cluster_name": "web", "endpoints": endpoints})
}

fn refused(assignment: &Value) -> String {
    read(assignment, Addresses::Known).unwrap_err()
}

#[test]
fn endpoints_have_envoys_defaults() {
    let assignment = read(&with(&json!([{"lb_endpoints": [at("10.0.0.1", 80)]}])), Addresses::Known).unwrap();
    assert_eq!(assignment.cluster.as_str(), "web");
    assert_eq!(assignment.overprovisioning_factor, 140);
    let group = &assignment.localities[0];
    assert_eq!((group.priority, group.weight), (0, None));
    let endpoint = &group.endpoints[0];
    assert_eq!(endpoint.target, Target::Address(Address::Ip("10.0.0.1:80".parse().unwrap())));
    assert_eq!((endpoint.weight.get(), endpoint.health), (1, Health::Healthy));
}

#[test]
fn everything_about_an_endpoint_is_read() {
    let mut endpoint = at("web.example", 80);
    endpoint["endpoint"]["hostname"] = json!("shown.example");
    endpoint["health_status"] = json!("DRAINING");
    endpoint["load_balancing_weight"] = json!(7);
    let place = json!({"region": "r", "zone": "z", "sub_zone": "s"});
    let group = json!({"locality": place, "priority": 3, "load_balancing_weight": 9, "lb_endpoints": [endpoint]});
    let mut assignment = with(&json!([group]));
    assignment["policy"] = json!({"overprovisioning_factor": 200});
    let assignment = read(&assignment, Addresses::Resolved).unwrap();
    assert_eq!(assignment.overprovisioning_factor, 200);
    let group = &assignment.localities[0];
    assert_eq!(group.locality, Locality { region: "r".to_owned(), zone: "z".to_owned(), sub_zone: "s".to_owned() });
    assert_eq!((group.priority, group.weight), (3, NonZeroU32::new(9)));
    let endpoint = &group.endpoints[0];
    assert_eq!(endpoint.target, Target::Name { host: "web.example".to_owned(), port: 80 });
    assert_eq!((endpoint.weight.get(), endpoint.health), (7, Health::Draining));
    assert_eq!(endpoint.hostname, "shown.example");
}

#[test]
fn every_health_status_has_a_meaning() {
    let health = |status: &str| {
        let mut endpoint = at("10.0.0.1", 80);
        endpoint["health_status"] = json!(status);
        let assignment = read(&with(&json!([{"lb_endpoints": [endpoint]}])), Addresses::Known).unwrap();
        assignment.localities[0].endpoints[0].health
    };
    assert_eq!(health("UNKNOWN"), Health::Healthy);
    assert_eq!(health("UNHEALTHY"), Health::Unhealthy);
    assert_eq!(health("TIMEOUT"), Health::Unhealthy);
    assert_eq!(health("DEGRADED"), Health::Degraded);
}

#[test]
fn an_unknown_health_status_is_refused() {
    let mut wire = message::<wire::ClusterLoadAssignment>(&with(&json!([{"lb_endpoints": [at("10.0.0.1", 80)]}])));
    wire.endpoints[0].lb_endpoints[0].health_status = 99;
    let problem = parsed(|parser| parse(&wire, Addresses::Known, parser)).unwrap_err();
    assert_eq!(problem, "endpoints[0].lb_endpoints[0].health_status: 99 is not a value of this enum");
}

#[test]
fn the_older_list_of_endpoints_is_read() {
    let group = json!({"load_balancer_endpoints": {"lb_endpoints": [at("10.0.0.1", 80)]}});
    assert_eq!(read(&with(&json!([group])), Addresses::Known).unwrap().localities[0].endpoints.len(), 1);
}

#[test]
fn an_assignment_needs_its_clusters_name() {
    assert_eq!(refused(&json!({})), "cluster_name: must not be empty");
}

#[test]
fn an_endpoint_needs_an_address() {
    assert_eq!(refused(&with(&json!([{"lb_endpoints": [{}]}]))), "endpoints[0].lb_endpoints[0].endpoint: required");
    assert_eq!(refused(&with(&json!([{"lb_endpoints": [{"endpoint": {}}]}]))), "endpoints[0].lb_endpoints[0].endpoint.address: required");
}

#[test]
fn a_name_needs_a_cluster_that_resolves() {
    let problem = refused(&with(&json!([{"lb_endpoints": [at("web.example", 80)]}])));
    assert!(problem.starts_with("endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: \"web.example\""), "{problem}");
}

#[test]
fn a_cluster_of_names_has_no_unix_sockets() {
    let pipe = json!([{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "/run/web"}}}}]}]);
    assert!(read(&with(&pipe), Addresses::Known).is_ok());
    assert_eq!(
        read(&with(&pipe), Addresses::Resolved).unwrap_err(),
        "endpoints[0].lb_endpoints[0].endpoint.address.pipe: a cluster of names cannot have a Unix socket: use type STATIC"
    );
}

#[test]
fn weights_are_above_0_and_their_sums_fit() {
    let weighted = |weight: u32| {
        let mut endpoint = at("10.0.0.1", 80);
        endpoint["load_balancing_weight"] = json!(weight);
        endpoint
    };
    assert_eq!(
        refused(&with(&json!([{"lb_endpoints": [weighted(0)]}]))),
        "endpoints[0].lb_endpoints[0].load_balancing_weight: must be above 0"
    );
    assert_eq!(
        refused(&with(&json!([{"lb_endpoints": [weighted(u32::MAX), weighted(1)]}]))),
        "endpoints[0].lb_endpoints: the sum of weights is above 4294967295"
    );
    let heavy = json!({"load_balancing_weight": u32::MAX});
    assert_eq!(
        refused(&with(&json!([heavy, heavy]))),
        "endpoints[1].load_balancing_weight: the sum of weights in this priority is above 4294967295"
    );
    let later = json!({"load_balancing_weight": u32::MAX, "priority": 1});
    assert!(read(&with(&json!([heavy, later])), Addresses::Known).is_ok());
    assert_eq!(refused(&with(&json!([{"load_balancing_weight": 0}]))), "endpoints[0].load_balancing_weight: must be above 0");
}

#[test]
fn priorities_end_at_128() {
    assert!(read(&with(&json!([{"priority": 128}])), Addresses::Known).is_ok());
    assert_eq!(refused(&with(&json!([{"priority": 129}]))), "endpoints[0].priority: 129 is not between 0 and 128");
}

#[test]
fn an_overprovisioning_factor_is_above_0() {
    let assignment = json!({"cluster_name": "web", "policy": {"overprovisioning_factor": 0}});
    assert_eq!(refused(&assignment), "policy.overprovisioning_factor: must be above 0");
}

#[test]
fn indirections_are_refused() {
    assert_eq!(refused(&with(&json!([{"leds_cluster_locality_config": {}}]))), "endpoints[0].leds_cluster_locality_config: not supported");
    assert_eq!(
        refused(&with(&json!([{"lb_endpoints": [{"endpoint_name": "a"}]}]))),
        "endpoints[0].lb_endpoints[0].endpoint_name: not supported"
    );
    assert_eq!(refused(&json!({"cluster_name": "web", "named_endpoints": {"a": {}}})), "named_endpoints: not supported");
}

#[test]
fn all_faults_are_told_together() {
    let mut assignment = with(&json!([{"lb_endpoints": [{}, at("10.0.0.1", 0)]}, {"priority": 200}]));
    assignment["cluster_name"] = json!("");
    let problems = refused(&assignment);
    assert_eq!(problems.lines().count(), 4, "{problems}");
}
