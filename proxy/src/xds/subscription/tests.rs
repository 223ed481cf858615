use std::collections::BTreeMap;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::core::v3::Node;
use xds_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse, Resource};

use crate::xds::invalid::Faults;
use crate::xds::resource::{Kind, Offered, Sink};
use crate::xds::subscription::delta::Delta;
use crate::xds::subscription::sotw::Sotw;
use crate::xds::subscription::{LONGEST_ERROR, Wanted};

/// Takes everything but what is named "bad...".
#[derive(Default)]
struct Shelf(BTreeMap<(Kind, String), String>);

impl Sink for Shelf {
    fn offer(&mut self, kind: Kind, offered: &Offered) -> Result<(), Faults> {
        if offered.name.starts_with("bad") {
            return Err(Faults::one(format_args!("{:?} is bad", offered.name)));
        }
        self.0.insert((kind, offered.name.clone()), offered.version.clone());
        Ok(())
    }

    fn settle(&mut self, _: Kind) -> Vec<(String, Faults)> {
        Vec::new()
    }

    fn remove(&mut self, kind: Kind, name: &str) {
        self.0.remove(&(kind, name.to_owned()));
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.0.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
    }
}

fn node() -> Node {
    Node { id: "sidecar".to_owned(), ..Node::default() }
}

fn cluster(name: &str) -> Any {
    any::pack(&Cluster { name: name.to_owned(), ..Cluster::default() })
}

fn endpoints(name: &str) -> Any {
    any::pack(&ClusterLoadAssignment { cluster_name: name.to_owned(), ..ClusterLoadAssignment::default() })
}

fn whole(version: &str, nonce: &str, resources: Vec<Any>) -> DiscoveryResponse {
    let type_url = resources.first().map_or(Kind::Cluster.type_url().to_owned(), |packed| packed.type_url.clone());
    let type_url = if type_url.ends_with("Resource") { Kind::Cluster.type_url().to_owned() } else { type_url };
    DiscoveryResponse { version_info: version.to_owned(), nonce: nonce.to_owned(), resources, type_url, ..DiscoveryResponse::default() }
}

fn named(name: &str, version: &str) -> Resource {
    Resource { name: name.to_owned(), version: version.to_owned(), resource: Some(cluster(name)), ..Resource::default() }
}

fn changes(nonce: &str, resources: Vec<Resource>, removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        nonce: nonce.to_owned(),
        type_url: Kind::Cluster.type_url().to_owned(),
        resources,
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

fn these(names: &[&str]) -> Wanted {
    Wanted::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn the_first_request_of_a_stream_carries_the_node() {
    let mut sotw = Sotw::new(node());
    let first = sotw.want(Kind::Cluster, Wanted::All).unwrap();
    assert_eq!(first.node, Some(node()));
    assert_eq!((first.version_info.as_str(), first.response_nonce.as_str()), ("", ""));
    assert_eq!(sotw.want(Kind::Endpoint, these(&["web"])).unwrap().node, None);
}

#[test]
fn what_was_said_is_not_said_again() {
    let mut sotw = Sotw::new(node());
    assert!(sotw.want(Kind::Cluster, Wanted::All).is_some());
    assert!(sotw.want(Kind::Cluster, Wanted::All).is_none());
    let mut delta = Delta::new(node());
    assert!(delta.want(Kind::Endpoint, these(&["web"])).is_some());
    assert!(delta.want(Kind::Endpoint, these(&["web"])).is_none());
}

#[test]
fn no_names_are_not_asked_for_as_that_would_ask_for_all() {
    let mut sotw = Sotw::new(node());
    assert!(sotw.want(Kind::Endpoint, these(&[])).is_none());
    assert!(sotw.opened().is_empty());
    let mut delta = Delta::new(node());
    assert!(delta.want(Kind::Endpoint, these(&[])).is_none());
    assert!(delta.opened().is_empty());
}

#[test]
fn an_answer_is_accepted_with_its_version_and_nonce() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    let answered = sotw.received(whole("7", "n1", vec![cluster("web")]), &mut shelf).unwrap();
    assert_eq!((answered.reply.version_info.as_str(), answered.reply.response_nonce.as_str()), ("7", "n1"));
    assert_eq!(answered.reply.error_detail, None);
    assert_eq!(shelf.names(Kind::Cluster), ["web"]);
}

#[test]
fn a_bad_resource_does_not_hold_back_the_good_ones() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    sotw.received(whole("1", "n1", vec![cluster("web")]), &mut shelf).unwrap();
    let answered = sotw.received(whole("2", "n2", vec![cluster("web"), cluster("bad"), cluster("shop")]), &mut shelf).unwrap();
    assert_eq!((answered.reply.version_info.as_str(), answered.reply.response_nonce.as_str()), ("1", "n2"));
    assert_eq!(answered.reply.error_detail.unwrap().message, "bad: \"bad\" is bad");
    assert_eq!(shelf.names(Kind::Cluster), ["shop", "web"]);
}

#[test]
fn all_faults_of_an_answer_are_told() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let answered = sotw.received(whole("2", "n", vec![cluster("bad1"), cluster("bad2")]), &mut Shelf::default()).unwrap();
    assert_eq!(answered.reply.error_detail.unwrap().message, "bad1: \"bad1\" is bad\nbad2: \"bad2\" is bad");
}

#[test]
fn a_long_error_is_cut() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let many = (0..1000).map(|number| cluster(&format!("bad{number}"))).collect();
    let answered = sotw.received(whole("2", "n", many), &mut Shelf::default()).unwrap();
    let message = answered.reply.error_detail.unwrap().message;
    assert!(message.len() <= LONGEST_ERROR + 4 && message.ends_with("\n..."), "{}", message.len());
}

#[test]
fn a_cluster_that_is_not_listed_is_gone_and_endpoints_are_not() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    sotw.want(Kind::Endpoint, these(&["a", "b"]));
    let mut shelf = Shelf::default();
    sotw.received(whole("1", "n1", vec![cluster("a"), cluster("b")]), &mut shelf).unwrap();
    sotw.received(whole("1", "n2", vec![endpoints("a"), endpoints("b")]), &mut shelf).unwrap();
    sotw.received(whole("2", "n3", vec![cluster("b")]), &mut shelf).unwrap();
    sotw.received(whole("2", "n4", vec![endpoints("b")]), &mut shelf).unwrap();
    assert_eq!(shelf.names(Kind::Cluster), ["b"]);
    assert_eq!(shelf.names(Kind::Endpoint), ["a", "b"]);
}

#[test]
fn a_refused_cluster_is_not_taken_for_gone() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    shelf.0.insert((Kind::Cluster, "bad".to_owned()), "1".to_owned());
    shelf.0.insert((Kind::Cluster, "web".to_owned()), "1".to_owned());
    sotw.received(whole("2", "n", vec![cluster("bad")]), &mut shelf).unwrap();
    assert_eq!(shelf.names(Kind::Cluster), ["bad"], "it is listed, though refused");
    let garbage = Any { type_url: Kind::Cluster.type_url().to_owned(), value: vec![0xff] };
    sotw.received(whole("3", "n", vec![garbage]), &mut shelf).unwrap();
    assert_eq!(shelf.names(Kind::Cluster), ["bad"], "what has no name could be any");
}

#[test]
fn a_resource_that_is_there_twice_is_refused() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    let answered = sotw.received(whole("1", "n", vec![cluster("web"), cluster("web"), cluster("shop")]), &mut shelf).unwrap();
    assert_eq!(answered.reply.error_detail.unwrap().message, "web: named twice in one answer\nweb: named twice in one answer");
    assert_eq!(shelf.names(Kind::Cluster), ["shop"]);
}

#[test]
fn a_wrapped_resource_is_taken_out() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    sotw.received(whole("1", "n", vec![any::pack(&named("web", "w7"))]), &mut shelf).unwrap();
    assert_eq!(shelf.0.get(&(Kind::Cluster, "web".to_owned())).unwrap(), "w7");
}

#[test]
fn a_resource_of_another_type_is_refused() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let answered = sotw.received(whole("1", "n", vec![cluster("web"), endpoints("web")]), &mut Shelf::default()).unwrap();
    assert!(answered.reply.error_detail.unwrap().message.contains("in an answer of type"));
}

#[test]
fn an_answer_that_nobody_asked_for_is_an_error() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    let answer = whole("1", "n", vec![endpoints("web")]);
    assert_eq!(sotw.received(answer, &mut Shelf::default()).unwrap_err().0, Kind::Endpoint.type_url());
}

#[test]
fn a_new_stream_tells_the_last_version_and_no_nonce() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    sotw.received(whole("7", "n1", vec![cluster("web")]), &mut Shelf::default()).unwrap();
    let again = sotw.opened();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].version_info.as_str(), again[0].response_nonce.as_str()), ("7", ""));
    assert_eq!(again[0].node, Some(node()));
}

#[test]
fn other_names_are_asked_for_with_the_last_nonce() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Endpoint, these(&["a"]));
    sotw.received(whole("1", "n1", vec![endpoints("a")]), &mut Shelf::default()).unwrap();
    let more = sotw.want(Kind::Endpoint, these(&["a", "b"])).unwrap();
    assert_eq!((more.version_info.as_str(), more.response_nonce.as_str()), ("1", "n1"));
    assert_eq!(more.resource_names, ["a", "b"]);
    assert_eq!(sotw.want(Kind::Endpoint, these(&[])).unwrap().resource_names, Vec::<String>::new(), "the last name was dropped");
}

#[test]
fn delta_asks_for_what_is_new_and_drops_what_is_not_wanted() {
    let mut delta = Delta::new(node());
    let first = delta.want(Kind::Endpoint, these(&["a", "b"])).unwrap();
    assert_eq!(first.resource_names_subscribe, ["a", "b"]);
    let next = delta.want(Kind::Endpoint, these(&["b", "c"])).unwrap();
    assert_eq!(
        (next.resource_names_subscribe.as_slice(), next.resource_names_unsubscribe.as_slice()),
        (&["c".to_owned()][..], &["a".to_owned()][..])
    );
}

#[test]
fn delta_keeps_the_good_and_refuses_the_bad() {
    let mut delta = Delta::new(node());
    delta.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    let answered = delta.received(changes("n1", vec![named("web", "1"), named("bad", "1")], &[]), &mut shelf).unwrap();
    assert_eq!(answered.reply.response_nonce, "n1");
    assert_eq!(answered.reply.error_detail.unwrap().message, "bad: \"bad\" is bad");
    let again = delta.opened();
    assert_eq!(again[0].initial_resource_versions.clone().into_iter().collect::<Vec<_>>(), [("web".to_owned(), "1".to_owned())]);
}

#[test]
fn delta_removes_by_name() {
    let mut delta = Delta::new(node());
    delta.want(Kind::Cluster, Wanted::All);
    let mut shelf = Shelf::default();
    delta.received(changes("n1", vec![named("web", "1")], &[]), &mut shelf).unwrap();
    delta.received(changes("n2", vec![], &["web", "never-there"]), &mut shelf).unwrap();
    assert!(shelf.names(Kind::Cluster).is_empty());
    assert!(delta.opened()[0].initial_resource_versions.is_empty());
}

#[test]
fn a_name_beside_another_name_is_refused() {
    let mut delta = Delta::new(node());
    delta.want(Kind::Cluster, Wanted::All);
    let resource = Resource { name: "shop".to_owned(), ..named("web", "1") };
    let answered = delta.received(changes("n1", vec![resource], &[]), &mut Shelf::default()).unwrap();
    assert_eq!(answered.reply.error_detail.unwrap().message, "shop: the resource inside is named \"web\"");
}

#[test]
fn what_an_earlier_run_knew_is_told_to_the_server() {
    let mut delta = Delta::new(node());
    delta.know(Kind::Cluster, "web", "9");
    let first = delta.want(Kind::Cluster, Wanted::All).unwrap();
    assert_eq!(first.initial_resource_versions.get("web").unwrap(), "9");
}

#[test]
fn a_type_of_which_nothing_is_wanted_was_not_asked_for() {
    let mut sotw = Sotw::new(node());
    sotw.want(Kind::Cluster, Wanted::All);
    sotw.want(Kind::Endpoint, these(&[]));
    let answer = whole("1", "n1", vec![endpoints("web")]);
    assert!(sotw.received(answer.clone(), &mut Shelf::default()).is_err());
    sotw.want(Kind::Endpoint, these(&["web"]));
    assert!(sotw.received(answer, &mut Shelf::default()).is_ok());
    let mut delta = Delta::new(node());
    delta.want(Kind::Cluster, Wanted::Nothing);
    let answer = changes("n1", vec![named("web", "1")], &[]);
    assert!(delta.received(answer.clone(), &mut Shelf::default()).is_err());
    delta.want(Kind::Cluster, Wanted::All);
    assert!(delta.received(answer, &mut Shelf::default()).is_ok());
}

#[test]
fn what_is_gone_makes_room_for_what_is_new() {
    /// Holds one resource at most.
    #[derive(Default)]
    struct Narrow(Shelf);

    impl Sink for Narrow {
        fn offer(&mut self, kind: Kind, offered: &Offered) -> Result<(), Faults> {
            if self.0.0.is_empty() { self.0.offer(kind, offered) } else { Err(Faults::one("no room")) }
        }

        fn settle(&mut self, _: Kind) -> Vec<(String, Faults)> {
            Vec::new()
        }

        fn remove(&mut self, kind: Kind, name: &str) {
            self.0.remove(kind, name);
        }

        fn names(&self, kind: Kind) -> Vec<String> {
            self.0.names(kind)
        }
    }

    let (mut sotw, mut shelf) = (Sotw::new(node()), Narrow::default());
    sotw.want(Kind::Cluster, Wanted::All);
    sotw.received(whole("1", "n1", vec![cluster("one")]), &mut shelf).unwrap();
    assert!(sotw.received(whole("2", "n2", vec![cluster("two")]), &mut shelf).unwrap().refused.is_empty());
    let (mut delta, mut shelf) = (Delta::new(node()), Narrow::default());
    delta.want(Kind::Cluster, Wanted::All);
    delta.received(changes("n1", vec![named("one", "1")], &[]), &mut shelf).unwrap();
    assert!(delta.received(changes("n2", vec![named("two", "1")], &["one"]), &mut shelf).unwrap().refused.is_empty());
}
