use std::time::Duration;

use serde_json::json;
use xds_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::*;
use crate::config::snapshot::Snapshot;
use crate::xds::cascade::Scope;
use crate::xds::inventory::tests::{cluster, packed, with_server};

fn follower() -> Follower {
    let cascade = Cascade::new(Scope { clusters: true, listeners: true }, Snapshot::default());
    Follower::new(Some(Dialect::Sotw), Node::default(), Inventory::new(with_server()), cascade, Sources::default())
}

/// A cluster that cannot be, and one that can.
fn answer(version: &str, nonce: &str) -> Answer {
    let ((kind, mut bad), (_, good)) = (cluster("bad"), cluster("good"));
    bad["connect_timeout"] = json!("0s");
    let resources = vec![packed(kind, &bad), packed(kind, &good)];
    let type_url = kind.type_url().to_owned();
    let (version_info, nonce) = (version.to_owned(), nonce.to_owned());
    Answer::Sotw(DiscoveryResponse { version_info, resources, type_url, nonce, ..DiscoveryResponse::default() })
}

fn refusals(requests: Vec<Request>) -> Vec<DiscoveryRequest> {
    let refusal = |request| match request {
        Request::Sotw(request) => Some(request).filter(|request| request.error_detail.is_some()),
        Request::Delta(_) => None,
    };
    requests.into_iter().filter_map(refusal).collect()
}

#[tokio::test(start_paused = true)]
async fn the_same_refusal_waits_before_it_is_said_again() {
    let mut follower = follower();
    let outcome = follower.received(answer("1", "a"));
    assert_eq!((refusals(outcome.requests).len(), outcome.refused.len()), (1, 1));
    for (nonce, pause) in [("b", 50), ("c", 100), ("d", 200), ("e", 400), ("f", 800), ("g", 1000), ("h", 1000)] {
        let outcome = follower.received(answer("1", nonce));
        assert_eq!((refusals(outcome.requests).len(), outcome.refused.len()), (0, 0), "it is known");
        assert_eq!(outcome.step.wake, Some(Instant::now() + Duration::from_millis(pause)));
    }
    assert!(refusals(follower.look(Instant::now() + Duration::from_millis(999)).requests).is_empty());
    let said = refusals(follower.look(Instant::now() + Duration::from_secs(1)).requests);
    assert_eq!(said.iter().map(|request| request.response_nonce.as_str()).collect::<Vec<_>>(), ["h"]);
    assert!(refusals(follower.look(Instant::now() + Duration::from_secs(9)).requests).is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn another_version_is_answered_at_once() {
    let mut follower = follower();
    follower.received(answer("1", "a"));
    let outcome = follower.received(answer("2", "b"));
    assert_eq!(refusals(outcome.requests).len(), 1);
    assert!(outcome.refused.is_empty(), "what is wrong has been told");
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_hears_a_refusal_at_once() {
    let mut follower = follower();
    follower.received(answer("1", "a"));
    follower.received(answer("1", "b"));
    follower.opened();
    assert!(refusals(follower.look(Instant::now() + Duration::from_secs(9)).requests).is_empty(), "that stream is over");
    assert_eq!(refusals(follower.received(answer("1", "a")).requests).len(), 1);
}
