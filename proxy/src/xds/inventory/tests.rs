use std::sync::LazyLock;

use prost_types::Any;
use serde_json::{Value as Json, json};
use xds_proto::any;
use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_proto::envoy::config::listener::v3::Listener;
use xds_proto::envoy::config::route::v3::{RouteConfiguration, ScopedRouteConfiguration};
use xds_proto::envoy::extensions::transport_sockets::tls::v3::Secret;
use xds_proto::envoy::service::discovery::v3::Resource;
use xds_proto::istio::networking::nds::v1::NameTable;

use crate::xds::inventory::{Basis, Inventory};
use crate::xds::resource::{self, Kind, Offered, Sink as _};
use crate::xds::subscription;

/// Of a proxy that follows a server.
pub(crate) fn with_server() -> Basis {
    Basis { server: true, ..Basis::default() }
}

/// A resource in JSON, as a server would send it.
pub(crate) fn packed(kind: Kind, resource: &Json) -> Any {
    static POOL: LazyLock<xds_proto::DescriptorPool> = LazyLock::new(|| xds_proto::descriptor_pool().unwrap());
    match kind {
        Kind::Cluster => any::pack(&xds_proto::json::from_json::<Cluster>(&POOL, resource).unwrap().0),
        Kind::Endpoint => any::pack(&xds_proto::json::from_json::<ClusterLoadAssignment>(&POOL, resource).unwrap().0),
        Kind::Listener => any::pack(&xds_proto::json::from_json::<Listener>(&POOL, resource).unwrap().0),
        Kind::ScopedRoute => any::pack(&xds_proto::json::from_json::<ScopedRouteConfiguration>(&POOL, resource).unwrap().0),
        Kind::Route => any::pack(&xds_proto::json::from_json::<RouteConfiguration>(&POOL, resource).unwrap().0),
        Kind::Secret => any::pack(&xds_proto::json::from_json::<Secret>(&POOL, resource).unwrap().0),
        Kind::Names => any::pack(&xds_proto::json::from_json::<NameTable>(&POOL, resource).unwrap().0),
    }
}

/// A cluster whose endpoints a server tells.
pub(crate) fn cluster(name: &str) -> (Kind, Json) {
    let config = json!({"eds_config": {"ads": {}, "resource_api_version": "V3"}});
    (Kind::Cluster, json!({"name": name, "type": "EDS", "eds_cluster_config": config}))
}

/// Its endpoints.
pub(crate) fn endpoints(name: &str, port: u16) -> (Kind, Json) {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    (Kind::Endpoint, json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}))
}

/// Routes to a cluster.
pub(crate) fn routes(name: &str, cluster: &str) -> (Kind, Json) {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": cluster}});
    (Kind::Route, json!({"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}))
}

/// A scope of one key.
pub(crate) fn scope(name: &str, key: &str, routes: &str) -> (Kind, Json) {
    let key = json!({"fragments": [{"string_key": key}]});
    (Kind::ScopedRoute, json!({"name": name, "route_configuration_name": routes, "key": key}))
}

/// A listener whose scopes a server has.
pub(crate) fn scoped_listener(name: &str, port: u16) -> (Kind, Json) {
    let (kind, mut listener) = listener(name, port, "none");
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager.as_object_mut().unwrap().remove("rds");
    let source = json!({"ads": {}, "resource_api_version": "V3"});
    manager["scoped_routes"] = json!({
        "name": "scopes",
        "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": "x-scope", "index": 0}}]},
        "rds_config_source": source,
        "scoped_rds": {"scoped_rds_config_source": source},
    });
    (kind, listener)
}

/// A listener that names routes.
pub(crate) fn listener(name: &str, port: u16, routes: &str) -> (Kind, Json) {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "rds": {"route_config_name": routes, "config_source": {"ads": {}, "resource_api_version": "V3"}},
        "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let chain = json!({"filters": [{"name": "http", "typed_config": manager}]});
    (Kind::Listener, json!({"name": name, "address": address, "filter_chains": [chain]}))
}

/// Offers a resource; what is wrong with it.
pub(crate) fn offer(inventory: &mut Inventory, version: &str, (kind, resource): &(Kind, Json)) -> Result<(), String> {
    let name = resource.get("name").or_else(|| resource.get("cluster_name")).and_then(Json::as_str).unwrap().to_owned();
    let offered = Offered { name, version: version.to_owned(), ttl: None, body: Some(packed(*kind, resource)) };
    inventory.offer(*kind, &offered).map_err(|faults| faults.to_string())?;
    inventory.settle(*kind).pop().map_or(Ok(()), |(_, faults)| Err(faults.to_string()))
}

/// Offers resources of one type and one answer; what was refused, and why.
pub(crate) fn offer_all(inventory: &mut Inventory, version: &str, resources: &[(Kind, Json)]) -> Vec<String> {
    let wrapped = |(kind, resource): &(Kind, Json)| Resource {
        version: version.to_owned(),
        resource: Some(packed(*kind, resource)),
        ..Resource::default()
    };
    let read = resources.iter().map(|resource| resource::read_wrapped(resource.0, &wrapped(resource))).collect();
    let (_, refused) = subscription::offer(resources[0].0, read, inventory);
    refused.iter().map(ToString::to_string).collect()
}

#[test]
fn the_last_good_one_stays() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &cluster("web")).unwrap();
    let good = inventory.clusters.value("web").unwrap().clone();
    let (kind, mut bad) = cluster("web");
    bad["connect_timeout"] = json!("0s");
    assert_eq!(offer(&mut inventory, "2", &(kind, bad)).unwrap_err(), "connect_timeout: must be above 0");
    assert!(std::sync::Arc::ptr_eq(inventory.clusters.value("web").unwrap(), &good));
    let entry = inventory.clusters.get("web").unwrap();
    assert_eq!((entry.known.as_ref().unwrap().version.as_str(), entry.refused.as_ref().unwrap().version.as_str()), ("1", "2"));
    offer(&mut inventory, "3", &cluster("web")).unwrap();
    assert!(inventory.clusters.get("web").unwrap().refused.is_none(), "the server came back to what is known");
}

#[test]
fn what_has_not_changed_is_not_made_anew() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &cluster("web")).unwrap();
    let (first, changes) = (inventory.clusters.value("web").unwrap().clone(), inventory.changes());
    offer(&mut inventory, "2", &cluster("web")).unwrap();
    assert!(std::sync::Arc::ptr_eq(inventory.clusters.value("web").unwrap(), &first));
    assert_eq!(inventory.changes(), changes);
}

#[test]
fn a_field_that_is_not_known_is_told() {
    let mut inventory = Inventory::new(with_server());
    let (kind, mut resource) = listener("in", 80, "r");
    resource["filter_chains"][0]["filter_chain_match"] = json!({"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]});
    let mut body = packed(kind, &resource);
    // Field 100 of the listener is not known, and decides nothing.
    body.value.extend([0xa2, 0x06, 0x01, b'x']);
    let offered = Offered { name: "in".to_owned(), version: "1".to_owned(), ttl: None, body: Some(body) };
    inventory.offer(kind, &offered).unwrap();
    assert!(!inventory.listeners.get("in").unwrap().known.as_ref().unwrap().warnings.is_empty());
}

#[test]
fn endpoints_stay_when_a_server_takes_them_back() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &endpoints("web", 80)).unwrap();
    inventory.remove(Kind::Endpoint, "web");
    assert!(inventory.endpoints.value("web").is_some());
    inventory.retain(Kind::Endpoint, &std::collections::BTreeSet::new());
    assert!(inventory.endpoints.value("web").is_none(), "nothing refers to them");
}

/// A listener of TLS whose certificate a server has.
fn tls_listener(secret: &str) -> (Kind, Json) {
    let (kind, mut listener) = listener("in", 8443, "table");
    let sds = json!({"name": secret, "sds_config": {"ads": {}, "resource_api_version": "V3"}});
    listener["filter_chains"][0]["transport_socket"] = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificate_sds_secret_configs": [sds]},
    }});
    (kind, listener)
}

fn certificate(name: &str) -> (Kind, Json) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    (
        Kind::Secret,
        json!({"name": name, "tls_certificate": {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}}),
    )
}

#[test]
fn a_listener_waits_for_its_certificate() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &tls_listener("identity")).unwrap();
    assert_eq!(inventory.secrets_named().into_iter().collect::<Vec<_>>(), ["identity"]);
    assert!(inventory.listeners.value("in").is_none(), "it is good, and not complete");
    assert_eq!(
        inventory.listeners.named().flat_map(|named| &named.tables).collect::<Vec<_>>(),
        ["table"],
        "routes are asked for in the meantime"
    );
    offer(&mut inventory, "1", &certificate("another")).unwrap();
    assert!(inventory.listeners.value("in").is_none());
    offer(&mut inventory, "1", &certificate("identity")).unwrap();
    let first = inventory.listeners.value("in").unwrap().clone();
    let shown = || first.chains[0].tls.as_ref().unwrap().certificates[0].load();
    let before = shown();
    offer(&mut inventory, "2", &certificate("identity")).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, inventory.listeners.value("in").unwrap()), "it goes on");
    assert!(before.chain != shown().chain, "and shows the next one");
}

#[test]
fn a_secret_in_files_is_another_one_when_they_are() {
    let folder = std::env::temp_dir().join(format!("ninon-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = || {
        let (_, made) = certificate("");
        for field in ["certificate_chain", "private_key"] {
            std::fs::write(folder.join(field), made["tls_certificate"][field]["inline_string"].as_str().unwrap()).unwrap();
        }
    };
    let named = |field: &str| json!({"filename": folder.join(field)});
    let pair = json!({"certificate_chain": named("certificate_chain"), "private_key": named("private_key")});
    let secret = (Kind::Secret, json!({"name": "identity", "tls_certificate": pair}));
    let mut inventory = Inventory::new(with_server());
    write();
    let mut changes = Vec::new();
    let mut offers = || {
        let offered = offer(&mut inventory, "1", &secret);
        changes.push(inventory.secrets.changes);
        offered
    };
    offers().unwrap();
    offers().unwrap();
    write();
    offers().unwrap();
    std::fs::write(folder.join("private_key"), "").unwrap();
    let fault = offers().unwrap_err();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(fault.ends_with("is empty"), "{fault}");
    let [first, again, other, bad] = <[u64; 4]>::try_from(changes).unwrap();
    assert!(first == again && again < other && other == bad, "{first} {again} {other} {bad}");
}

#[test]
fn a_secret_that_becomes_another_kind_leaves_what_it_was_for() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &tls_listener("identity")).unwrap();
    offer(&mut inventory, "1", &certificate("identity")).unwrap();
    let first = inventory.listeners.value("in").unwrap().clone();
    let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let trust = json!({"name": "identity", "validation_context": {"trusted_ca": {"inline_string": authority}}});
    offer(&mut inventory, "2", &(Kind::Secret, trust)).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, inventory.listeners.value("in").unwrap()));
}

#[test]
fn a_listener_stays_until_its_next_certificate_is_there() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &tls_listener("first")).unwrap();
    offer(&mut inventory, "1", &certificate("first")).unwrap();
    let before = inventory.listeners.value("in").unwrap().clone();
    offer(&mut inventory, "2", &tls_listener("next")).unwrap();
    assert!(std::sync::Arc::ptr_eq(inventory.listeners.value("in").unwrap(), &before));
    offer(&mut inventory, "2", &certificate("next")).unwrap();
    assert!(!std::sync::Arc::ptr_eq(inventory.listeners.value("in").unwrap(), &before));
}

#[test]
fn two_listeners_of_one_address_are_not_taken() {
    let mut inventory = Inventory::new(with_server());
    offer(&mut inventory, "1", &listener("in", 8080, "table")).unwrap();
    let error = offer(&mut inventory, "1", &listener("other", 8080, "table")).unwrap_err();
    assert_eq!(error, "address: 127.0.0.1:8080 is taken by listener \"in\"");
    offer(&mut inventory, "2", &listener("in", 8081, "table")).unwrap();
    offer(&mut inventory, "1", &listener("other", 8080, "table")).unwrap();
    offer(&mut inventory, "1", &listener("any", 0, "table")).unwrap();
    offer(&mut inventory, "1", &listener("any-too", 0, "table")).unwrap();
}

/// Istio's one table has no name, and grows; here each service has its own.
#[test]
fn names_are_known_by_what_is_beside_them_or_by_their_first_host() {
    let table = |hosts: &[&str]| {
        let hosts: serde_json::Map<String, Json> = hosts.iter().map(|host| ((*host).to_owned(), json!({"ips": ["10.0.0.1"]}))).collect();
        packed(Kind::Names, &json!({"table": hosts}))
    };
    let mut inventory = Inventory::new(with_server());
    let wrapped = |name: &str, body: Any| Resource { name: name.to_owned(), resource: Some(body), ..Resource::default() };
    for body in [table(&["a.b"]), table(&["a.a", "a.b"])] {
        let offered = resource::read_wrapped(Kind::Names, &wrapped("", body)).unwrap();
        inventory.offer(Kind::Names, &offered).unwrap();
    }
    assert_eq!(inventory.names.values().map(|(name, names)| (name, names.hosts.len())).collect::<Vec<_>>(), [("", 2)]);
    let offered = resource::read_wrapped(Kind::Names, &wrapped("web.shop", table(&["c.d"]))).unwrap();
    inventory.offer(Kind::Names, &offered).unwrap();
    inventory.remove(Kind::Names, "");
    assert_eq!(inventory.names.values().map(|(name, _)| name).collect::<Vec<_>>(), ["web.shop"]);
    let (accepted, refused) = subscription::take(Kind::Names, vec![table(&["a.b"]), table(&["c.d"])], "1", &mut inventory);
    assert_eq!((accepted, refused.len()), (2, 0), "by the state of the world");
    assert_eq!(inventory.names.values().map(|(name, _)| name).collect::<Vec<_>>(), ["a.b", "c.d"]);
}
