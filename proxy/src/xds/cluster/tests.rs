use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::cluster::{BalancingPolicy, Discovery, DnsFamily, Limits};
use crate::xds::test_wire::{message, parsed};

const TYPE: &str = "type.googleapis.com/envoy.extensions";

/// A cluster that is valid, with some fields changed.
fn with(changes: &Value) -> Value {
    let mut cluster = json!({
        "name": "web",
        "load_assignment": {
            "cluster_name": "web",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]}],
        },
    });
    for (field, value) in changes.as_object().unwrap() {
        cluster[field] = value.clone();
    }
    cluster
}

fn read(changes: &Value) -> Result<(Cluster, Vec<String>), String> {
    let wire = message::<wire::Cluster>(&with(changes));
    parsed(|parser| parse(&wire, parser))
}

fn accepted(changes: &Value) -> Cluster {
    read(changes).unwrap().0
}

fn refused(changes: &Value, problem: &str) {
    assert_eq!(read(changes).unwrap_err(), problem);
}

fn told(changes: &Value, warning: &str) {
    assert_eq!(read(changes).unwrap().1, [warning]);
}

fn http_options(options: Value) -> Value {
    let mut options = options;
    options["@type"] = json!(format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions"));
    json!({"typed_extension_protocol_options": {protocol::HTTP_OPTIONS: options}})
}

fn typed_policy(name: &str) -> Value {
    json!({"typed_extension_config": {"name": "x", "typed_config": {"@type": format!("{TYPE}.load_balancing_policies.{name}")}}})
}

#[test]
fn a_cluster_has_envoys_defaults() {
    let (cluster, warnings) = read(&json!({})).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(cluster.name.as_str(), "web");
    assert_eq!(cluster.stat_name, "web");
    assert!(matches!(&cluster.discovery, Discovery::Static(assignment) if assignment.localities.len() == 1));
    assert_eq!(cluster.policy, BalancingPolicy::RoundRobin);
    assert_eq!(cluster.panic_threshold, 50);
    assert_eq!(cluster.connect_timeout, Duration::from_secs(5));
    assert_eq!(cluster.protocol, UpstreamProtocol::Http1);
    assert_eq!((cluster.max_response_headers_bytes, cluster.max_headers_count), (80 * 1024, 100));
    assert_eq!(cluster.idle_timeout, Some(Duration::from_secs(3600)));
    assert_eq!(cluster.max_requests_per_connection, None);
    assert_eq!((cluster.limits, cluster.high_priority_limits), (Limits::default(), Limits::default()));
    assert_eq!(cluster.buffer_limit, 1 << 20);
    assert_eq!(cluster.dns.refresh, Duration::from_secs(5));
    assert!(cluster.tls.is_none());
}

#[test]
fn a_cluster_needs_a_name() {
    refused(&json!({"name": ""}), "name: must not be empty");
}

#[test]
fn the_name_in_metrics_may_differ() {
    assert_eq!(accepted(&json!({"alt_stat_name": "other"})).stat_name, "other");
}

#[test]
fn a_cluster_may_be_empty() {
    assert!(read(&json!({"load_assignment": null})).is_ok());
    assert!(read(&json!({"load_assignment": null, "type": "STRICT_DNS"})).is_ok());
}

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
    let of = |config: Value| {
        let wire = message::<wire::Cluster>(&with(&eds(config)));
        let served = parsed(|parser| {
            parser.know_server();
            parse(&wire, parser)
        });
        let Discovery::Eds { service_name, fetch_timeout } = served.unwrap().0.discovery else { panic!("of another kind") };
        (service_name, fetch_timeout.map(|limit| limit.as_secs()))
    };
    assert_eq!(of(json!({"eds_config": {"ads": {}}})), ("web".to_owned(), Some(15)));
    assert_eq!(of(json!({"eds_config": {"ads": {}}, "service_name": "s"})).0, "s");
    assert_eq!(of(json!({"eds_config": {"self": {}, "initial_fetch_timeout": "0s"}})).1, None, "it waits for ever");
    refused(&json!({"type": "EDS"}), "eds_cluster_config: required");
    refused(&eds(json!({})), "eds_cluster_config.eds_config: required");
    let problem = "eds_cluster_config.eds_config: there is no server to ask: dynamic_resources.ads_config is not set";
    refused(&eds(json!({"eds_config": {"ads": {}}})), problem);
    refused(
        &eds(json!({"eds_config": {"path_config_source": {"path": "/x"}}})),
        "eds_cluster_config.eds_config.path_config_source.path: \"/x\": No such file or directory (os error 2)",
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
fn a_connection_takes_some_time() {
    assert_eq!(accepted(&json!({"connect_timeout": "0.25s"})).connect_timeout, Duration::from_millis(250));
    refused(&json!({"connect_timeout": "0s"}), "connect_timeout: must be above 0");
}

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

#[test]
fn typed_http_options_choose_the_version() {
    let version = |options: Value| read(&http_options(options)).map(|(cluster, _)| cluster.protocol);
    assert_eq!(version(json!({"explicit_http_config": {"http_protocol_options": {}}})), Ok(UpstreamProtocol::Http1));
    assert_eq!(version(json!({"explicit_http_config": {"http2_protocol_options": {}}})), Ok(UpstreamProtocol::Http2));
    assert_eq!(version(json!({"use_downstream_protocol_config": {}})), Ok(UpstreamProtocol::UseDownstream));
    let place = format!("typed_extension_protocol_options[{:?}]", protocol::HTTP_OPTIONS);
    assert_eq!(
        version(json!({})),
        Err(format!("{place}: one of explicit_http_config, use_downstream_protocol_config, auto_config is required"))
    );
    assert_eq!(
        version(json!({"explicit_http_config": {}})),
        Err(format!("{place}.explicit_http_config: one of http_protocol_options, http2_protocol_options is required"))
    );
    assert_eq!(
        version(json!({"auto_config": {}})),
        Err("auto_config needs a TLS transport_socket, which chooses the HTTP version by ALPN".to_owned())
    );
}

#[test]
fn the_version_may_be_chosen_by_tls() {
    let mut changes = http_options(json!({"auto_config": {}, "upstream_http_protocol_options": {"auto_sni": true}}));
    changes["transport_socket"] = json!({
        "name": "tls",
        "typed_config": {"@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext")},
    });
    let cluster = accepted(&changes);
    assert_eq!(cluster.protocol, UpstreamProtocol::Auto);
    assert!(cluster.tls.unwrap().auto_host_sni);
    // Of endpoints that are marked; one whose secret is not there yet waits for that, and is not taken for plain text.
    let mut changes = http_options(json!({"auto_config": {}}));
    let named = json!({"tls_certificate_sds_secret_configs": [{"name": "mine"}]});
    for (common, problem) in [
        (json!({}), None),
        (named, Some("common_tls_context.tls_certificate_sds_secret_configs[0].name: there is no static secret \"mine\"")),
    ] {
        let context = json!({"@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext"), "common_tls_context": common});
        changes["transport_socket_matches"] = json!([{"name": "m", "transport_socket": {"name": "tls", "typed_config": context}}]);
        match problem {
            None => assert_eq!(accepted(&changes).protocol, UpstreamProtocol::Auto),
            Some(problem) => refused(&changes, &format!("transport_socket_matches[0].transport_socket.typed_config.{problem}")),
        }
    }
}

#[test]
fn the_older_fields_choose_the_version() {
    assert_eq!(accepted(&json!({"http2_protocol_options": {}})).protocol, UpstreamProtocol::Http2);
    assert_eq!(accepted(&json!({"http_protocol_options": {}})).protocol, UpstreamProtocol::Http1);
    let both = json!({"http_protocol_options": {}, "http2_protocol_options": {}, "protocol_selection": "USE_DOWNSTREAM_PROTOCOL"});
    assert_eq!(accepted(&both).protocol, UpstreamProtocol::UseDownstream);
    refused(
        &json!({"http_protocol_options": {}, "http2_protocol_options": {}}),
        "http2_protocol_options: cannot stand beside http_protocol_options unless protocol_selection is USE_DOWNSTREAM_PROTOCOL",
    );
    let mut typed = http_options(json!({"explicit_http_config": {"http_protocol_options": {}}}));
    typed["http2_protocol_options"] = json!({});
    assert_eq!(accepted(&typed).protocol, UpstreamProtocol::Http1);
}

#[test]
fn common_http_options_are_read_from_both_places() {
    let common = json!({
        "idle_timeout": "0s", "max_connection_duration": "60s", "max_stream_duration": "5s",
        "max_headers_count": 7, "max_response_headers_kb": 2, "max_requests_per_connection": 9,
    });
    let typed = json!({"explicit_http_config": {"http_protocol_options": {}}, "common_http_protocol_options": common});
    for changes in [json!({"common_http_protocol_options": common}), http_options(typed)] {
        let cluster = accepted(&changes);
        assert_eq!(cluster.idle_timeout, None);
        assert_eq!(cluster.max_connection_duration, Some(Duration::from_secs(60)));
        assert_eq!(cluster.max_stream_duration, Some(Duration::from_secs(5)));
        assert_eq!((cluster.max_headers_count, cluster.max_response_headers_bytes), (7, 2048));
        assert_eq!(cluster.max_requests_per_connection, Some(9));
    }
    assert_eq!(accepted(&json!({"max_requests_per_connection": 3})).max_requests_per_connection, Some(3));
    assert_eq!(accepted(&json!({"max_requests_per_connection": 0})).max_requests_per_connection, None);
}

#[test]
fn common_http_options_are_bounded() {
    let common = |options: Value| json!({"common_http_protocol_options": options});
    refused(&common(json!({"max_headers_count": 0})), "common_http_protocol_options.max_headers_count: must be above 0");
    let place = "common_http_protocol_options.max_response_headers_kb";
    refused(&common(json!({"max_response_headers_kb": 0})), &format!("{place}: 0 is not between 1 and 8192"));
    refused(&common(json!({"max_response_headers_kb": 8193})), &format!("{place}: 8193 is not between 1 and 8192"));
}

#[test]
fn protocol_options_of_other_names_or_types_are_refused() {
    let packed = json!({"@type": format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions")});
    refused(
        &json!({"typed_extension_protocol_options": {"x": packed}}),
        "typed_extension_protocol_options[\"x\"]: there are no protocol options of this name, only \
         \"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"",
    );
}

#[test]
fn names_of_servers_are_not_believed_less_than_asked() {
    let upstream = |options: Value| json!({"upstream_http_protocol_options": options});
    let place = "upstream_http_protocol_options";
    refused(&upstream(json!({"auto_san_validation": true})), &format!("{place}.auto_san_validation: not supported"));
    refused(&upstream(json!({"override_auto_sni_header": "x"})), &format!("{place}.override_auto_sni_header: not supported"));
}

#[test]
fn filters_towards_endpoints_are_refused_but_for_the_codec() {
    let filters = |filter: Value| http_options(json!({"explicit_http_config": {"http_protocol_options": {}}, "http_filters": [filter]}));
    let codec = json!({"name": "codec", "typed_config": {"@type": format!("{TYPE}.filters.http.upstream_codec.v3.UpstreamCodec")}});
    assert!(read(&filters(codec)).is_ok());
    assert!(read(&filters(json!({"name": "x", "is_optional": true}))).is_ok());
    refused(
        &filters(json!({"name": "x"})),
        "typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].http_filters[0]: \
         there are no filters for clusters but UpstreamCodec",
    );
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

#[test]
fn sockets_are_set_up_as_asked() {
    let cluster = accepted(&json!({
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30}},
        "upstream_bind_config": {"source_address": {"address": "10.0.0.9", "port_value": 0}},
        "per_connection_buffer_limit_bytes": 0,
    }));
    assert_eq!(cluster.keepalive.unwrap().time, Some(Duration::from_secs(30)));
    assert_eq!(cluster.source_addresses, ["10.0.0.9:0".parse().unwrap()]);
    assert_eq!(cluster.buffer_limit, usize::MAX);
    let bind = |config: Value| json!({"upstream_bind_config": config});
    refused(&bind(json!({"freebind": true})), "upstream_bind_config.freebind: not supported");
    let address = |text: &str| json!({"address": text, "port_value": 0});
    let both = accepted(&bind(json!({"source_address": address("127.0.0.6"), "extra_source_addresses": [{"address": address("::1")}]})));
    assert_eq!(both.source_addresses, ["127.0.0.6:0".parse().unwrap(), "[::1]:0".parse().unwrap()]);
    let extra = |extra: Value| bind(json!({"source_address": address("127.0.0.6"), "extra_source_addresses": [extra]}));
    refused(&extra(json!({})), "upstream_bind_config.extra_source_addresses[0].address: required");
    let options = json!({"address": address("::1"), "socket_options": {}});
    refused(&extra(options), "upstream_bind_config.extra_source_addresses[0].socket_options: not supported");
    let alone = bind(json!({"extra_source_addresses": [{"address": address("::1")}]}));
    refused(&alone, "upstream_bind_config.source_address: required beside extra_source_addresses");
}

/// TLS to endpoints of which something is said, by what is said: `true` is TLS.
fn chosen(cluster: &Cluster, labels: &[(&str, &str)]) -> bool {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    cluster.tls_to(Some(&labels)).is_some()
}

#[test]
fn tls_is_chosen_by_what_is_said_of_an_endpoint() {
    let tls = |matched: Value| {
        json!({"name": "x", "match": matched, "transport_socket": {"name": "tls", "typed_config": {
            "@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext"),
        }}})
    };
    let plain = json!({"name": "plain", "match": {}, "transport_socket": {"name": "raw", "typed_config": {
        "@type": format!("{TYPE}.transport_sockets.raw_buffer.v3.RawBuffer"),
    }}});
    let cluster = accepted(&json!({"transport_socket_matches": [tls(json!({"tlsMode": "mutual", "level": 4})), plain]}));
    assert!(chosen(&cluster, &[("tlsMode", "\"mutual\""), ("level", "4"), ("more", "true")]));
    assert!(!chosen(&cluster, &[("tlsMode", "\"mutual\"")]), "all must fit");
    assert!(!chosen(&cluster, &[("tlsMode", "\"mutual\""), ("level", "\"4\"")]), "a text is no number");
    assert!(cluster.tls_to(None).is_none());
    let cluster = accepted(&json!({"transport_socket_matches": [tls(json!({}))]}));
    assert!(cluster.tls_to(None).is_some(), "nothing is demanded");
    let list = json!({"transport_socket_matches": [tls(json!({"any": ["a", "b"]}))]});
    refused(&list, "transport_socket_matches[0].match: \"any\": only texts, numbers, true and false can be compared");
    refused(&json!({"transport_socket_matches": [{"name": "x"}]}), "transport_socket_matches[0].transport_socket: required");
}

#[test]
fn what_decides_whom_a_connection_belongs_to_is_refused() {
    refused(&json!({"filters": [{"name": "x"}]}), "filters: not supported");
    refused(&json!({"upstream_config": {"name": "x"}}), "upstream_config: not supported");
    refused(
        &json!({"connection_pool_per_downstream_connection": true}),
        "connection_pool_per_downstream_connection: not supported: connections are shared between clients",
    );
}

#[test]
fn what_only_makes_a_cluster_more_available_is_told() {
    told(
        &json!({"health_checks": [{"timeout": "1s"}]}),
        "health_checks: ignored: endpoints are not probed, their configured health counts",
    );
    told(&json!({"outlier_detection": {}}), "outlier_detection: ignored: failing endpoints are not ejected");
    told(
        &json!({"common_lb_config": {"locality_weighted_lb_config": {}}}),
        "common_lb_config.locality_weighted_lb_config: ignored: endpoints of a priority are chosen without regard to locality",
    );
}

#[test]
fn all_faults_are_told_together() {
    refused(
        &json!({"name": "", "connect_timeout": "0s", "filters": [{"name": "x"}], "lb_policy": "MAGLEV"}),
        "filters: not supported\nname: must not be empty\nlb_policy: MAGLEV is not supported yet\nconnect_timeout: must be above 0",
    );
}

/// A cluster with much in it. Made once: it takes the descriptors.
static RICH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rich = with(&json!({
        "type": "STRICT_DNS", "lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 4},
        "circuit_breakers": {"thresholds": [{"priority": "HIGH", "retry_budget": {"budget_percent": {"value": 5}}}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 20}},
        "dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "9s"},
        "common_http_protocol_options": {"idle_timeout": "1s", "max_response_headers_kb": 5},
        "http2_protocol_options": {"max_concurrent_streams": 9},
    }));
    prost::Message::encode_to_vec(&message::<wire::Cluster>(&rich))
});

proptest! {
    /// Some bytes changed: whatever still decodes is parsed or refused.
    #[test]
    fn no_cluster_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = RICH.clone();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(wire) = <wire::Cluster as prost::Message>::decode(bytes.as_slice()) {
            drop(parsed(|parser| parse(&wire, parser)));
        }
    }
}
