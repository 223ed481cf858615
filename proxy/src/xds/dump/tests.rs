use super::*;

const FILE: &str = r#"
static_resources:
  secrets:
  - name: own
    tls_certificate:
      certificate_chain: { inline_string: CHAIN }
      private_key: { inline_string: VERY-SECRET }
  clusters:
  - name: shop
    connect_timeout: 1s
    type: STATIC
    load_assignment:
      cluster_name: shop
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 1 } } } }] }]
  listeners:
  - name: in
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          route_config:
            name: table
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: shop } }] }]
"#;

fn dump() -> Dump {
    dump_of(&serde_saphyr::from_str(FILE).unwrap())
}

fn dump_of(file: &Json) -> Dump {
    let (bootstrap, _unknown) = json::from_json::<Bootstrap>(&xds_proto::descriptor_pool().unwrap(), file).unwrap();
    Dump::new(bootstrap.encode_to_vec())
}

fn page(include_endpoints: bool, resource: Option<&str>) -> Result<Json, DumpError> {
    dump().page(&DumpRequest { include_endpoints, resource: resource.map(str::to_owned) }, &[])
}

#[test]
fn all_parts_are_there_in_envoys_order_and_secrets_are_not() {
    let page = page(false, None).unwrap();
    let configs = page["configs"].as_array().unwrap();
    let types: Vec<_> = configs.iter().map(|config| config["@type"].as_str().unwrap().rsplit('.').next().unwrap()).collect();
    let expected = [
        "BootstrapConfigDump",
        "ClustersConfigDump",
        "ListenersConfigDump",
        "ScopedRoutesConfigDump",
        "RoutesConfigDump",
        "SecretsConfigDump",
    ];
    assert_eq!(types, expected);
    assert_eq!(configs[1]["static_clusters"][0]["cluster"]["name"], "shop");
    assert_eq!(configs[2]["static_listeners"][0]["listener"]["name"], "in");
    assert_eq!(configs[4]["static_route_configs"][0]["route_config"]["name"], "table");
    let text = page.to_string();
    assert!(text.contains("[redacted]") && !text.contains("VERY-SECRET"), "{text}");
}

#[test]
fn one_part_is_shown_alone_with_its_type() {
    let clusters = page(false, Some("static_clusters")).unwrap();
    assert_eq!(clusters["configs"][0]["@type"], "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster");
    let endpoints = page(true, Some("static_endpoint_configs")).unwrap();
    assert_eq!(endpoints["configs"][0]["endpoint_config"]["cluster_name"], "shop");
    assert_eq!(page(false, Some("static_endpoint_configs")).unwrap()["configs"], json!([]));
    assert_eq!(page(false, Some("nothing")), Err(DumpError::NoResource("nothing".into())));
}

#[test]
fn scopes_that_stand_in_a_listener_are_shown() {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "scoped_routes": {
            "name": "by-header",
            "scoped_route_configurations_list": {"scoped_route_configurations": [{"name": "one"}, {"name": "two"}]},
        },
    });
    let chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
    let dump = dump_of(&json!({"static_resources": {"listeners": [{"name": "in", "filter_chains": [chain]}]}}));
    let request = DumpRequest { include_endpoints: false, resource: Some("inline_scoped_route_configs".to_owned()) };
    let page = dump.page(&request, &[]).unwrap();
    let shown = &page["configs"][0];
    assert_eq!((&shown["name"], &shown["scoped_route_configs"][1]["name"]), (&json!("by-header"), &json!("two")));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_has_sent_is_shown_with_what_became_of_it() {
    use crate::config::snapshot::Snapshot;
    use crate::xds::cascade::{Cascade, Scope};
    use crate::xds::inventory::Inventory;
    use crate::xds::inventory::tests::{cluster, listener, offer, with_server};
    use crate::xds::resource::Kind;

    let mut inventory = Inventory::new(with_server());
    let key = |key: &str| (Kind::Secret, json!({"name": "own", "tls_certificate": {"private_key": {"inline_string": key}}}));
    offer(&mut inventory, "1", &key("VERY-SECRET")).unwrap_err();
    let (kind, mut fixed) = cluster("fixed");
    fixed = json!({"name": fixed["name"], "type": "STATIC"});
    for resource in [(kind, fixed), cluster("cold"), listener("in", 8080, "r")] {
        offer(&mut inventory, "2", &resource).unwrap();
    }
    let mut cascade = Cascade::new(Scope { clusters: true, listeners: true, names: false }, Snapshot::default());
    cascade.step(&inventory, tokio::time::Instant::now());
    let wanted = cascade.wanted(&inventory);
    let seen = crate::xds::view::all(&inventory, cascade.serving(), &wanted);
    let part = |name: &str| {
        let page = dump().page(&DumpRequest { include_endpoints: true, resource: Some(name.to_owned()) }, &seen).unwrap();
        page["configs"].clone()
    };
    let active = part("dynamic_active_clusters");
    assert_eq!((&active[0]["cluster"]["name"], &active[0]["version_info"]), (&json!("fixed"), &json!("2")));
    assert_eq!(active[0]["client_status"], "ACKED");
    assert_eq!(part("dynamic_warming_clusters")[0]["cluster"]["name"], "cold");
    assert_eq!(part("dynamic_listeners")[0]["warming_state"]["listener"]["name"], "in");
    assert_eq!(part("dynamic_endpoint_configs")[0]["client_status"], "REQUESTED");
    let secret = &part("dynamic_warming_secrets")[0];
    assert_eq!(secret["client_status"], "NACKED");
    assert!(secret["error_state"]["details"].as_str().unwrap().contains("certificate_chain"), "{secret}");
    assert!(!secret.to_string().contains("VERY-SECRET"), "{secret}");
}

#[test]
fn tools_are_told_the_same_in_protobuf() {
    use xds_proto::envoy::service::status::v3::{ClientStatusRequest, ClientStatusResponse};

    let mut file: Json = serde_saphyr::from_str(FILE).unwrap();
    file["static_resources"]["clusters"][0]["transport_socket"] = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"tls_certificates": [
            {"certificate_chain": {"inline_string": "CHAIN"}, "private_key": {"inline_string": "VERY-SECRET"}},
            {"certificate_chain": {"inline_string": "CHAIN"}, "private_key": {"inline_bytes": "VkVSWS1TRUNSRVQ="}},
        ]},
    }});
    let dump = dump_of(&file);
    let ask = |request: &ClientStatusRequest| {
        let answer = dump.client_status(&request.encode_to_vec(), &[])?;
        Ok::<_, ClientStatusError>(ClientStatusResponse::decode(answer.as_slice()).unwrap().config.remove(0))
    };
    let held = ask(&ClientStatusRequest::default()).unwrap().generic_xds_configs;
    let names: Vec<_> = held.iter().map(|held| (held.name.as_str(), held.is_static_resource)).collect();
    assert_eq!(names, [("shop", true), ("in", true)]);
    assert!(held.iter().all(|held| held.xds_config.is_some()));
    let bytes = &held[0].xds_config.as_ref().unwrap().value;
    let holds = |text: &str| bytes.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
    assert_eq!((holds("CHAIN"), holds("VERY-SECRET"), holds("[redacted]")), (2, 0, 2));
    let bare = ask(&ClientStatusRequest { exclude_resource_contents: true, ..ClientStatusRequest::default() }).unwrap();
    assert!(bare.generic_xds_configs.iter().all(|held| held.xds_config.is_none()));
    let matched = ClientStatusRequest { node_matchers: vec![Default::default()], ..ClientStatusRequest::default() };
    assert_eq!(ask(&matched), Err(ClientStatusError::Invalid("node_matchers: not supported".into())));
    assert!(matches!(dump.client_status(&[0xff], &[]), Err(ClientStatusError::Invalid(_))));
}
