use ninon_tests::eventually::eventually;
use serde_json::{Value, json};

use super::first::small;
use super::mesh::Cluster;
use super::server::LIMIT;
use super::world::{Dialect, World};

/// One resource of a type made bad, and how the proxy's word for it begins. All are good protobuf, so the server sends them.
type Fault = (&'static str, fn(&mut Value), &'static str);

pub(super) const FAULTS: &[Fault] = &[
    ("cluster", |cluster| cluster["connect_timeout"] = json!("0s"), "shop: connect_timeout: must be above 0"),
    (
        "endpoints",
        |assignment| {
            let endpoint = &mut assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"];
            endpoint["address"]["socket_address"]["port_value"] = json!(70_000);
        },
        "shop: endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: ",
    ),
    ("routes", |table| table["virtual_hosts"][0]["domains"] = json!([]), "table: virtual_hosts[0].domains: "),
    (
        "listener",
        |listener| listener["address"]["socket_address"]["port_value"] = json!(70_000),
        "edge: address.socket_address.port_value: ",
    ),
    (
        "secret",
        |secret| secret["tls_certificate"]["private_key"] = json!({ "inline_string": "none" }),
        "certificate: tls_certificate.private_key: ",
    ),
];

async fn a_bad_resource_holds_back_no_good_one(dialect: Dialect) {
    let mut mesh = small();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    for (round, (kind, spoil, fault)) in (0..).zip(FAULTS) {
        // Beside the bad one, one that is new and one that changes.
        let name = format!("web-{round}");
        mesh.clusters.insert(name.clone(), Cluster { endpoints: [round].into(), http2: false });
        if *kind != "routes" {
            mesh.tables.get_mut("table").unwrap().routes.insert(format!("/new-{round}"), name);
        }
        let mut resources = world.resources(&mesh);
        spoil(&mut resources.get_mut(kind).unwrap()[0]);
        world.set(resources).await;
        world.shows(&mesh).await;
        let named = || async {
            let journal = world.server.journal();
            journal.refusals.iter().find(|refusal| refusal.kind == *kind && refusal.error.starts_with(fault)).map(drop)
        };
        if eventually(LIMIT, named).await.is_none() {
            panic!("{kind}: {fault:?} is not in {:#?}", world.server.journal().refusals);
        }
        assert!(!world.server.journal().is_settled(), "the bad {kind} is not accepted");
        world.follow(&mesh).await;
    }
    let journal = world.server.journal();
    let told = journal.refusals.iter().filter(|refusal| !FAULTS.iter().any(|(kind, _, _)| refusal.kind == *kind)).count();
    assert_eq!(told, 0);
    // The cache of go-control-plane answers a refusal in the state of the world with the same again.
    assert!(journal.refusals.len() < 100, "{} refusals, one as fast as the other", journal.refusals.len());
    let lines = world.proxy.log().lines().filter(|line| line.contains("refused")).count();
    assert_eq!(lines, FAULTS.len(), "one line for one fault:\n{}", world.proxy.log());
}

#[tokio::test]
async fn a_bad_resource_holds_back_no_good_one_sotw() {
    a_bad_resource_holds_back_no_good_one(Dialect::Sotw).await;
}

#[tokio::test]
async fn a_bad_resource_holds_back_no_good_one_delta() {
    a_bad_resource_holds_back_no_good_one(Dialect::Delta).await;
}
