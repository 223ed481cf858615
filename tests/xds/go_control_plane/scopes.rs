use std::collections::BTreeMap;

use ninon_tests::eventually::eventually;
use ninon_tests::{ports, wire};
use serde_json::{Value, json};

use super::mesh::{Mesh, Resources, address};
use super::server::LIMIT;
use super::world::{Dialect, World};

/// A listener whose requests are told apart by the first step of their path, and scopes: keys, tables, what they say.
fn resources(port: u16, scopes: &[(&str, &str, &str)]) -> Resources {
    let types = "type.googleapis.com/envoy.extensions.filters";
    let ads = json!({ "ads": {}, "resource_api_version": "V3" });
    let extractor = json!({ "name": ":path", "element_separator": "/", "index": 1 });
    let manager = json!({
        "@type": format!("{types}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "in",
        "scoped_routes": {
            "name": "by-path",
            "scope_key_builder": { "fragments": [{ "header_value_extractor": extractor }] },
            "rds_config_source": ads,
            "scoped_rds": { "scoped_rds_config_source": ads },
        },
        "http_filters": [{ "name": "router", "typed_config": { "@type": format!("{types}.http.router.v3.Router") } }],
    });
    let chain = json!({ "filters": [{ "name": "http", "typed_config": manager }] });
    let scope = |(key, table, _): &(&str, &str, &str)| json!({ "name": format!("scope-{key}"), "key": { "fragments": [{ "string_key": key }] }, "route_configuration_name": table });
    let table = |(_, table, says): &(&str, &str, &str)| {
        let route = json!({ "match": { "prefix": "/" }, "direct_response": { "status": 200, "body": { "inline_string": says } } });
        json!({ "name": table, "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] })
    };
    let (scopes, tables): (Vec<Value>, Vec<Value>) = scopes.iter().map(|each| (scope(each), table(each))).unzip();
    let listener = json!({ "name": "in", "address": address(port), "filter_chains": [chain] });
    BTreeMap::from([("listener", vec![listener]), ("scopes", scopes), ("routes", tables)])
}

/// Waits until a path is answered so.
async fn answers(world: &World, port: u16, path: &str, expected: (u16, &str)) {
    let is = || async { wire::get(port, path).await.ok().filter(|(status, body)| (*status, body.as_str()) == expected) };
    if eventually(LIMIT, is).await.is_none() {
        panic!("{path} is answered {:?} instead of {expected:?}:\n{}", wire::get(port, path).await, world.proxy.log());
    }
}

async fn scopes_are_followed(dialect: Dialect) {
    let (mut world, port) = (World::start(dialect, &Mesh::default()).await, ports::free());
    world.set(resources(port, &[("1", "a", "first"), ("2", "b", "second")])).await;
    answers(&world, port, "/1", (200, "first")).await;
    answers(&world, port, "/2", (200, "second")).await;
    world.server.settled().await;
    world.set(resources(port, &[("1", "c", "changed"), ("3", "b", "second")])).await;
    answers(&world, port, "/1", (200, "changed")).await;
    answers(&world, port, "/2", (404, "")).await;
    answers(&world, port, "/3", (200, "second")).await;
    world.server.settled().await;
    assert!(world.server.journal().refusals.is_empty(), "{:?}", world.server.journal().refusals);
}

#[tokio::test]
async fn scopes_are_followed_sotw() {
    scopes_are_followed(Dialect::Sotw).await;
}

#[tokio::test]
async fn scopes_are_followed_delta() {
    scopes_are_followed(Dialect::Delta).await;
}
