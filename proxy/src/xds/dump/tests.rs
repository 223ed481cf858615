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
    let file: Json = serde_saphyr::from_str(FILE).unwrap();
    let (bootstrap, _unknown) = json::from_json::<Bootstrap>(&xds_proto::descriptor_pool().unwrap(), &file).unwrap();
    Dump::new(bootstrap.encode_to_vec())
}

fn page(include_endpoints: bool, resource: Option<&str>) -> Result<Json, DumpError> {
    dump().page(&DumpRequest { include_endpoints, resource: resource.map(str::to_owned) })
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
