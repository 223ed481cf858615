use serde_json::json;
use tokio::time::Instant;

use crate::config::snapshot::Snapshot;
use crate::xds::cascade::{Cascade, Scope};
use crate::xds::inventory::Inventory;
use crate::xds::inventory::tests::{cluster, endpoints, listener, offer, with_server};
use crate::xds::resource::Kind;
use crate::xds::view::{Count, State, all, count};

#[tokio::test(start_paused = true)]
async fn each_resource_is_shown_with_what_became_of_it() {
    let mut inventory = Inventory::new(with_server());
    let mut cascade = Cascade::new(Scope { clusters: true, listeners: true, names: false }, Snapshot::default());
    for resource in [cluster("cold"), cluster("web"), endpoints("web", 80), listener("in", 8080, "r")] {
        offer(&mut inventory, "7", &resource).unwrap();
    }
    offer(&mut inventory, "8", &(Kind::Cluster, json!({"name": "web", "type": "EDS"}))).unwrap_err();
    offer(&mut inventory, "8", &(Kind::Cluster, json!({"name": "bad", "type": "EDS"}))).unwrap_err();
    cascade.step(&inventory, Instant::now());
    let wanted = cascade.wanted(&inventory);
    let seen = all(&inventory, cascade.serving(), &wanted);
    let shown: Vec<_> = seen.iter().map(|seen| (seen.kind, seen.name, seen.state, seen.refused.is_some())).collect();
    assert_eq!(
        shown,
        [
            (Kind::Cluster, "bad", State::Refused, true),
            (Kind::Cluster, "cold", State::Warming, false),
            (Kind::Cluster, "web", State::Active, true),
            (Kind::Endpoint, "web", State::Active, false),
            (Kind::Listener, "in", State::Warming, false),
            (Kind::Endpoint, "cold", State::Requested, false),
            (Kind::Route, "r", State::Requested, false),
        ]
    );
    let web = seen.iter().find(|seen| seen.name == "web").unwrap();
    assert_eq!(web.good.map(|good| good.version), Some("7"), "the last good one");
    assert_eq!(web.refused.map(|refused| refused.version.as_str()), Some("8"));
    assert_eq!(
        count(&seen)[..2],
        [(Kind::Cluster, Count { active: 1, warming: 1, refused: 2 }), (Kind::Endpoint, Count { active: 1, warming: 1, refused: 0 }),]
    );
}
