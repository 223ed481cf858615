use super::*;

#[test]
fn names_are_resolved_where_the_type_says_so() {
    let assignment = json!({"cluster_name": "web", "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": {"socket_address": {"address": "web.example", "port_value": 80}}}}
    ]}]});
    let of = |kind: &str| read(&json!({"type": kind, "load_assignment": assignment}));
    assert!(matches!(of("STRICT_DNS").unwrap().0.discovery, Discovery::StrictDns(_)));
    assert!(matches!(of("LOGICAL_DNS").unwrap().0.discovery, Discovery::LogicalDns(_)));
    assert!(of("STATIC").is_err());
}

#[test]
fn a_logical_dns_cluster_has_one_endpoint() {
    let problem = "load_assignment: a cluster of type LOGICAL_DNS has one locality with one endpoint";
    refused(&json!({"type": "LOGICAL_DNS", "load_assignment": null}), problem);
    let empty = json!({"cluster_name": "web", "endpoints": [{}]});
    refused(&json!({"type": "LOGICAL_DNS", "load_assignment": empty}), problem);
}

#[test]
fn an_eds_cluster_asks_for_its_service() {
    let eds = |config: Value| json!({"type": "EDS", "load_assignment": null, "eds_cluster_config": config});
    let name = |config: Value| {
        let Discovery::Eds { service_name } = accepted(&eds(config)).discovery else { panic!("of another kind") };
        service_name
    };
    assert_eq!(name(json!({"eds_config": {"ads": {}}})), "web");
    assert_eq!(name(json!({"eds_config": {"ads": {}}, "service_name": "s"})), "s");
    refused(&json!({"type": "EDS"}), "eds_cluster_config: required");
    refused(&eds(json!({})), "eds_cluster_config.eds_config: required");
    refused(
        &eds(json!({"eds_config": {"path_config_source": {"path": "/x"}}})),
        "eds_cluster_config.eds_config: only ads and self are supported",
    );
}

#[test]
fn an_original_destination_cluster_takes_the_clients_address() {
    let original = |config: Value| json!({"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "load_assignment": null, "original_dst_lb_config": config});
    let of = |config: Value| {
        let Discovery::OriginalDst(original) = accepted(&original(config)).discovery else { panic!("of another kind") };
        (original.http_header.map(|name| name.to_string()), original.port_override)
    };
    assert_eq!(of(json!({})), (None, None));
    assert_eq!(of(json!({"use_http_header": true})), (Some("x-envoy-original-dst-host".to_owned()), None));
    let named = json!({"use_http_header": true, "http_header_name": "X-To", "upstream_port_override": 8080});
    assert_eq!(of(named), (Some("x-to".to_owned()), Some(8080)));
    assert_eq!(of(json!({"upstream_port_override": 0})), (None, None));
    refused(&original(json!({"http_header_name": "x-to"})), "original_dst_lb_config.http_header_name: needs use_http_header");
    refused(
        &original(json!({"upstream_port_override": 65536})),
        "original_dst_lb_config.upstream_port_override: 65536 is not between 0 and 65535",
    );
    refused(&original(json!({"metadata_key": {"key": "x"}})), "original_dst_lb_config.metadata_key: not supported");
}

#[test]
fn an_original_destination_cluster_has_no_endpoints_and_its_own_policy() {
    refused(
        &json!({"type": "ORIGINAL_DST"}),
        "load_assignment: a cluster of type ORIGINAL_DST has none\n\
         lb_policy: CLUSTER_PROVIDED goes with clusters of type ORIGINAL_DST, and only with them",
    );
    refused(
        &json!({"lb_policy": "CLUSTER_PROVIDED"}),
        "lb_policy: CLUSTER_PROVIDED goes with clusters of type ORIGINAL_DST, and only with them",
    );
    refused(
        &json!({"type": "ORIGINAL_DST", "load_assignment": null, "load_balancing_policy": {}}),
        "load_balancing_policy: a cluster of type ORIGINAL_DST takes lb_policy CLUSTER_PROVIDED",
    );
    refused(&json!({"cleanup_interval": "0s"}), "cleanup_interval: must be above 0");
}

#[test]
fn other_types_are_refused() {
    refused(&json!({"cluster_type": {"name": "x"}}), "cluster_type: not supported");
    let mut wire = message::<wire::Cluster>(&with(&json!({})));
    wire.cluster_discovery_type = Some(wire::cluster::ClusterDiscoveryType::Type(99));
    assert_eq!(parsed(|parser| parse(&wire, parser)).unwrap_err(), "type: 99 is not a value of this enum");
}

#[test]
fn names_are_resolved_as_asked() {
    let cluster = accepted(&json!({
        "type": "STRICT_DNS", "dns_refresh_rate": "30s", "dns_jitter": "1s", "respect_dns_ttl": true,
        "dns_failure_refresh_rate": {"base_interval": "2s"}, "dns_lookup_family": "V4_PREFERRED",
        "dns_resolvers": [{"socket_address": {"address": "10.0.0.53", "port_value": 53}}], "use_tcp_for_dns_lookups": true,
    }));
    assert_eq!(cluster.dns.refresh, Duration::from_secs(30));
    assert_eq!(cluster.dns.failure_refresh, Some((Duration::from_secs(2), Duration::from_secs(20))));
    assert_eq!((cluster.dns.jitter, cluster.dns.respect_ttl), (Duration::from_secs(1), true));
    assert_eq!(cluster.dns.family, DnsFamily::V4Preferred);
    assert_eq!((cluster.dns.resolvers, cluster.dns.use_tcp), (vec!["10.0.0.53:53".parse().unwrap()], true));
}

#[test]
fn the_newest_way_to_name_resolvers_counts() {
    let server = |address: &str| json!([{"socket_address": {"address": address, "port_value": 53}}]);
    let cares = json!({
        "@type": format!("{TYPE}.network.dns_resolver.cares.v3.CaresDnsResolverConfig"),
        "resolvers": server("10.0.0.3"), "dns_resolver_options": {"use_tcp_for_dns_lookups": true},
    });
    let mut changes = json!({"dns_resolvers": server("10.0.0.1"), "dns_resolution_config": {"resolvers": server("10.0.0.2")}});
    assert_eq!(accepted(&changes).dns.resolvers, ["10.0.0.2:53".parse().unwrap()]);
    changes["typed_dns_resolver_config"] = json!({"name": "x", "typed_config": cares});
    let dns = accepted(&changes).dns;
    assert_eq!((dns.resolvers, dns.use_tcp), (vec!["10.0.0.3:53".parse().unwrap()], true));
    let system = json!({"@type": format!("{TYPE}.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig")});
    changes["typed_dns_resolver_config"]["typed_config"] = system;
    assert!(accepted(&changes).dns.resolvers.is_empty());
    changes["typed_dns_resolver_config"]["typed_config"] = json!({"@type": format!("{TYPE}.transport_sockets.raw_buffer.v3.RawBuffer")});
    refused(
        &changes,
        "typed_dns_resolver_config.typed_config: DNS resolver of type \
         \"type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer\" is not available; there are: \
         CaresDnsResolverConfig, GetAddrInfoDnsResolverConfig",
    );
}

#[test]
fn intervals_of_names_are_above_a_millisecond() {
    refused(&json!({"dns_refresh_rate": "0.001s"}), "dns_refresh_rate: 1ms is not above 1ms");
    refused(&json!({"dns_failure_refresh_rate": {}}), "dns_failure_refresh_rate.base_interval: required");
    refused(
        &json!({"dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "1s"}}),
        "dns_failure_refresh_rate.max_interval: must not be shorter than base_interval",
    );
}
