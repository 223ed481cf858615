use std::sync::Arc;
use std::time::Duration;

use prost_types::Any;
use serde_json::json;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource};
use xds_proto::google::rpc::Status;

use super::*;
use crate::config::address::Address;
use crate::config::listener::Listener;
use crate::config::snapshot::Snapshot;
use crate::xds::cascade::Scope;
use crate::xds::invalid::Faults;
use crate::xds::inventory::tests::{cluster, listener, packed, with_server};

fn follower() -> Follower {
    let cascade = Cascade::new(Scope { clusters: true, listeners: true, names: false }, Snapshot::default());
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

/// All that follows on an answer, where listeners of these names cannot serve.
fn hear(follower: &mut Follower, answer: Answer, unable: &[&str]) -> (Vec<Request>, Verdict) {
    let before = follower.cascade.serving().listeners.clone();
    let Outcome { requests, step, unsent, .. } = follower.received(answer);
    let served = step.snapshot.map(|snapshot| {
        let mut served = Served { listeners: Vec::new(), unable: Vec::new() };
        for listener in snapshot.listeners {
            let known = before.iter().find(|known| known.name == listener.name);
            if unable.contains(&listener.name.as_str()) && !known.is_some_and(|known| Arc::ptr_eq(known, &listener)) {
                served.unable.push(Unable { listener, faults: Faults::one("address: in use") });
                served.listeners.extend(known.cloned());
            } else {
                served.listeners.push(listener);
            }
        }
        served
    });
    (requests, follower.serves(served, unsent, Instant::now()))
}

fn heard(follower: &mut Follower, answer: Answer) -> Verdict {
    hear(follower, answer, &[]).1
}

#[tokio::test(start_paused = true)]
async fn the_same_refusal_waits_before_it_is_said_again() {
    let mut follower = follower();
    let verdict = heard(&mut follower, answer("1", "a"));
    assert_eq!((refusals(verdict.requests).len(), verdict.refused.len()), (1, 1));
    for (nonce, pause) in [("b", 50), ("c", 100), ("d", 200), ("e", 400), ("f", 800), ("g", 1000), ("h", 1000)] {
        let verdict = heard(&mut follower, answer("1", nonce));
        assert_eq!((refusals(verdict.requests).len(), verdict.refused.len()), (0, 0), "it is known");
        assert_eq!(verdict.wake, Some(Instant::now() + Duration::from_millis(pause)));
    }
    assert!(refusals(follower.look(Instant::now() + Duration::from_millis(999)).requests).is_empty());
    let said = refusals(follower.look(Instant::now() + Duration::from_secs(1)).requests);
    assert_eq!(said.iter().map(|request| request.response_nonce.as_str()).collect::<Vec<_>>(), ["h"]);
    assert!(refusals(follower.look(Instant::now() + Duration::from_secs(9)).requests).is_empty(), "once");
}

#[tokio::test(start_paused = true)]
async fn another_version_is_answered_at_once() {
    let mut follower = follower();
    heard(&mut follower, answer("1", "a"));
    let verdict = heard(&mut follower, answer("2", "b"));
    assert_eq!(refusals(verdict.requests).len(), 1);
    assert!(verdict.refused.is_empty(), "what is wrong has been told");
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_hears_a_refusal_at_once() {
    let mut follower = follower();
    heard(&mut follower, answer("1", "a"));
    heard(&mut follower, answer("1", "b"));
    follower.opened();
    assert!(refusals(follower.look(Instant::now() + Duration::from_secs(9)).requests).is_empty(), "that stream is over");
    assert_eq!(refusals(heard(&mut follower, answer("1", "a")).requests).len(), 1);
}

/// One that needs no routes of a server.
fn listener_of(name: &str, port: u16) -> Any {
    let (kind, mut listener) = listener(name, port, "none");
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager.as_object_mut().unwrap().remove("rds");
    manager["route_config"] = json!({ "name": "inline" });
    packed(kind, &listener)
}

/// Listeners of a name and a port, in either protocol.
fn listeners(dialect: Dialect, version: &str, listeners: &[(&str, u16)]) -> Answer {
    let resources = listeners.iter().map(|(name, port)| listener_of(name, *port));
    let (type_url, version_info, nonce) = (Kind::Listener.type_url().to_owned(), version.to_owned(), version.to_owned());
    match dialect {
        Dialect::Sotw => {
            let resources = resources.collect();
            Answer::Sotw(DiscoveryResponse { version_info, resources, type_url, nonce, ..DiscoveryResponse::default() })
        }
        Dialect::Delta => {
            let resource = |resource| Resource { version: version.to_owned(), resource: Some(resource), ..Resource::default() };
            let resources = resources.map(resource).collect();
            Answer::Delta(DeltaDiscoveryResponse { resources, type_url, nonce, ..DeltaDiscoveryResponse::default() })
        }
    }
}

/// Knows no clusters, and asks for listeners.
fn asks_for_listeners(dialect: Dialect) -> Follower {
    let cascade = Cascade::new(Scope { clusters: false, listeners: true, names: false }, Snapshot::default());
    let mut follower = Follower::new(Some(dialect), Node::default(), Inventory::new(with_server()), cascade, Sources::default());
    follower.look(Instant::now());
    follower.opened();
    follower
}

/// What was said to the last answer: version, nonce, error.
fn said(requests: Vec<Request>) -> (String, String, Option<String>) {
    let message = |status: Option<Status>| status.map(|status| status.message);
    match requests.into_iter().next_back().unwrap() {
        Request::Sotw(request) => (request.version_info, request.response_nonce, message(request.error_detail)),
        Request::Delta(request) => (String::new(), request.response_nonce, message(request.error_detail)),
    }
}

fn serving(follower: &Follower) -> Vec<(&str, u16)> {
    let port = |listener: &Listener| match &listener.addresses[0].address {
        Address::Ip(address) => address.port(),
        Address::Unix(_) => 0,
    };
    follower.cascade.serving().listeners.iter().map(|listener| (listener.name.as_str(), port(listener))).collect()
}

/// Versions of the last good one and of one that was refused.
fn known(follower: &Follower, name: &str) -> (Option<String>, Option<String>) {
    let entry = follower.inventory.listeners.get(name).unwrap();
    (entry.known.as_ref().map(|known| known.version.clone()), entry.refused.as_ref().map(|refused| refused.version.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_cannot_serve_is_refused_after_all() {
    for dialect in [Dialect::Sotw, Dialect::Delta] {
        let text = |text: &str| Some(text.to_owned());
        let version = |text: &str| if dialect == Dialect::Sotw { text.to_owned() } else { String::new() };
        let mut follower = asks_for_listeners(dialect);
        let verdict = heard(&mut follower, listeners(dialect, "1", &[("in", 81)]));
        assert_eq!(said(verdict.requests), (version("1"), "1".to_owned(), None));
        let moved = [("beside", 83), ("in", 82)];
        let (_, verdict) = hear(&mut follower, listeners(dialect, "2", &moved), &["in"]);
        assert_eq!((verdict.refused.len(), verdict.taken_back), (1, 1));
        assert_eq!(said(verdict.requests), (version("1"), "2".to_owned(), text("in: address: in use")), "{dialect:?}");
        assert_eq!(serving(&follower), [("beside", 83), ("in", 81)]);
        assert_eq!(known(&follower, "in"), (text("1"), text("2")));
        let nothing = follower.look(Instant::now() + Duration::from_secs(9));
        assert!(nothing.step.snapshot.is_none(), "it is not tried again before it is sent anew");
        let verdict = heard(&mut follower, listeners(dialect, "3", &moved));
        assert_eq!(said(verdict.requests), (version("3"), "3".to_owned(), None));
        assert_eq!((serving(&follower), known(&follower, "in")), (vec![("beside", 83), ("in", 82)], (text("3"), None)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_is_to_bring_a_listener_again_that_could_not_serve() {
    let mut follower = asks_for_listeners(Dialect::Delta);
    hear(&mut follower, listeners(Dialect::Delta, "1", &[("in", 81), ("new", 83)]), &["new"]);
    hear(&mut follower, listeners(Dialect::Delta, "2", &[("in", 82)]), &["in"]);
    let requests = follower.opened();
    let [Request::Delta(request)] = &requests[..] else { panic!("{requests:?}") };
    let known: Vec<_> = request.initial_resource_versions.iter().map(|(name, version)| (name.as_str(), version.as_str())).collect();
    assert_eq!(known, [("in", "1")]);
}

#[tokio::test(start_paused = true)]
async fn the_same_listener_that_still_cannot_serve_is_not_refused_round_and_round() {
    let mut follower = asks_for_listeners(Dialect::Sotw);
    let wrong = |version| listeners(Dialect::Sotw, version, &[("in", 81)]);
    assert_eq!(hear(&mut follower, wrong("1"), &["in"]).1.requests.len(), 1);
    let again = hear(&mut follower, wrong("1"), &["in"]).1;
    assert!(again.requests.is_empty() && again.refused.is_empty() && again.wake.is_some(), "{again:?}");
}
