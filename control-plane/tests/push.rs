//! The push over real sockets, with the generated clients.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// A server of what a test says, and clients of it.
mod push {
    pub(crate) mod client;
    pub(crate) mod server;
}

use std::time::Duration;

use ninon_control_plane::push::Settings;
use ninon_control_plane::snapshot::kind::Kind;
use push::client::{Delta, Sotw};
use push::server::{Server, eventually, node};
use tonic::Code;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ListServiceResponse, ServerReflectionRequest};
use xds_proto::envoy::config::core::v3::Locality;
use xds_proto::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use xds_proto::envoy::service::discovery::v3 as discovery;
use xds_proto::envoy::service::load_stats::v3 as load;
use xds_proto::envoy::service::status::v3 as status;
use xds_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use xds_proto::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher};

const CLUSTER: &str = Kind::Cluster.type_url();
const SECRET: &str = Kind::Secret.type_url();

#[tokio::test]
async fn an_incremental_client_is_told_what_changes_and_what_is_gone() {
    let server = Server::start(Settings::default()).await;
    server.publish(&[(Kind::Secret, "a", "1"), (Kind::Secret, "b", "1")]);
    let mut client = Delta::open(&server).await;
    client.subscribe(SECRET, &["*"]).await;
    let first = client.next().await.unwrap();
    assert_eq!(first.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((first.type_url.as_str(), first.control_plane.as_ref().unwrap().identifier.as_str()), (SECRET, "ninon"));
    client.acknowledge(&first).await;
    server.publish(&[(Kind::Secret, "a", "2")]);
    let changed = client.next().await.unwrap();
    assert_eq!((changed.resources.len(), changed.resources[0].name.as_str()), (1, "a"));
    assert_ne!(changed.resources[0].version, first.resources[0].version);
    client.acknowledge(&changed).await;
    let removed = client.next().await.unwrap();
    assert_eq!((removed.resources.len(), &removed.removed_resources[..]), (0, &["b".to_owned()][..]));
}

#[tokio::test]
async fn a_new_stream_is_sent_what_it_does_not_hold() {
    let server = Server::start(Settings::default()).await;
    server.publish(&[(Kind::Cluster, "a", "1"), (Kind::Cluster, "b", "1")]);
    let mut client = Delta::open(&server).await;
    client.subscribe(CLUSTER, &[]).await;
    let first = client.next().await.unwrap();
    drop(client);
    server.publish(&[(Kind::Cluster, "a", "1"), (Kind::Cluster, "c", "1")]);
    let mut client = Delta::open(&server).await;
    let held = first.resources.iter().map(|one| (one.name.clone(), one.version.clone())).collect();
    let request = discovery::DeltaDiscoveryRequest { initial_resource_versions: held, ..Delta::request(CLUSTER) };
    client.say(request).await;
    let second = client.next().await.unwrap();
    assert_eq!(second.resources.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["c"]);
    client.acknowledge(&second).await;
    assert_eq!(client.next().await.unwrap().removed_resources, ["b"]);
}

#[tokio::test]
async fn a_long_answer_comes_in_pieces_or_whole() {
    let server = Server::start(Settings::default()).await;
    let long = "x".repeat(20_000);
    let names: Vec<_> = (0..50).map(|at| format!("{at:02}")).collect();
    let world: Vec<_> = names.iter().map(|name| (Kind::Secret, name.as_str(), long.as_str())).collect();
    server.publish(&world);
    let mut delta = Delta::open(&server).await;
    delta.subscribe(SECRET, &["*"]).await;
    let (mut count, mut answers) = (0, 0);
    while count < names.len() {
        let answer = delta.next().await.unwrap();
        assert!(answer.resources.len() <= 4);
        count += answer.resources.len();
        answers += 1;
    }
    assert_eq!((count, answers), (50, 13));
    let mut sotw = Sotw::open(&server).await;
    sotw.ask(SECRET, &["*"]).await;
    assert_eq!(sotw.next().await.unwrap().resources.len(), 50);
}

#[tokio::test]
async fn who_does_not_say_who_it_is_or_is_refused_hears_why() {
    let server = Server::start(Settings::default()).await;
    let mut client = Delta::open(&server).await;
    client.say(discovery::DeltaDiscoveryRequest { node: None, ..Delta::request(CLUSTER) }).await;
    let refused = client.next().await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, "the first request does not say which node asks"));
    let mut client = Sotw::open(&server).await;
    client.say(discovery::DiscoveryRequest { node: Some(node("stranger")), ..Sotw::request(CLUSTER) }).await;
    let refused = client.next().await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "no stranger is served"));
    assert_eq!((server.proxies.counters.read().refused_streams, server.proxies.len()), (2, 0));
}

#[tokio::test]
async fn a_request_has_bounds() {
    let server = Server::start(Settings { names: 10, request: 1000, ..Settings::default() }).await;
    let mut client = Sotw::open(&server).await;
    client.ask(CLUSTER, &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]).await;
    let refused = client.next().await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::ResourceExhausted, "more than 10 names are asked for"));
    let mut client = Sotw::open(&server).await;
    client.ask(CLUSTER, &[&"x".repeat(2000)]).await;
    assert_eq!(client.next().await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn who_does_not_acknowledge_is_sent_away() {
    let server = Server::start(Settings { stall: Duration::from_millis(200), ..Settings::default() }).await;
    server.publish(&[(Kind::Secret, "a", "1")]);
    let mut client = Delta::open(&server).await;
    client.subscribe(SECRET, &["*"]).await;
    client.next().await.unwrap();
    let ended = client.next().await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::DeadlineExceeded, "the client did not acknowledge what it was sent for too long"));
    let gone = eventually(|| server.proxies.list().into_iter().find_map(|proxy| proxy.gone)).await;
    assert_eq!(gone.1, ended.message());
}

#[tokio::test]
async fn who_does_not_read_is_cut_off_and_others_are_served() {
    let server = Server::start(Settings { stall: Duration::from_secs(2), ..Settings::default() }).await;
    // More than a client's window and the sockets take.
    let long = "x".repeat(100_000);
    let names: Vec<_> = (0..200).map(|at| at.to_string()).collect();
    let world: Vec<_> = names.iter().map(|name| (Kind::Secret, name.as_str(), long.as_str())).collect();
    server.publish(&world);
    let stuck = Delta::open(&server).await;
    stuck.subscribe(SECRET, &["*"]).await;
    eventually(|| (server.proxies.len() == 1).then_some(())).await;
    let mut other = Delta::open(&server).await;
    other.subscribe(SECRET, &["*"]).await;
    for _ in &names {
        let answer = other.next().await.unwrap();
        other.acknowledge(&answer).await;
    }
    let gone = eventually(|| server.proxies.list().into_iter().find_map(|proxy| proxy.gone)).await;
    assert_eq!(gone.1, "the client did not read for too long");
    server.publish(&[(Kind::Secret, "0", "1")]);
    assert_eq!(other.next().await.unwrap().resources.len(), 1);
    drop(stuck);
}

#[tokio::test]
async fn when_it_is_time_to_stop_streams_end_well_and_then_the_server() {
    let mut server = Server::start(Settings::default()).await;
    server.publish(&[(Kind::Secret, "a", "1")]);
    let mut client = Delta::open(&server).await;
    client.subscribe(SECRET, &["*"]).await;
    let first = client.next().await.unwrap();
    client.acknowledge(&first).await;
    server.stop();
    assert_eq!(client.ended().await.code(), Code::Ok);
    drop(client);
    server.joined().await;
}

#[tokio::test]
async fn a_stream_ends_when_nobody_makes_snapshots_any_more() {
    let server = Server::start(Settings::default()).await;
    let mut client = Delta::open(&server).await;
    client.subscribe(SECRET, &["a"]).await;
    eventually(|| (server.proxies.len() == 1).then_some(())).await;
    server.forget();
    assert_eq!(client.next().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn tools_see_what_each_client_was_sent() {
    let server = Server::start(Settings::default()).await;
    server.publish(&[(Kind::Secret, "key", "1"), (Kind::Cluster, "a", "1"), (Kind::Route, "r", "1"), (Kind::Listener, "l", "1")]);
    let mut client = Delta::open(&server).await;
    client.subscribe(SECRET, &["key", "not-there"]).await;
    let answer = client.next().await.unwrap();
    client.acknowledge(&answer).await;
    client.subscribe(Kind::Route.type_url(), &["r"]).await;
    let answer = client.next().await.unwrap();
    client.refuse(&answer, "no such cluster").await;
    client.subscribe(Kind::Listener.type_url(), &["l"]).await;
    let answer = client.next().await.unwrap();
    client.acknowledge(&answer).await;
    client.subscribe(CLUSTER, &["a"]).await;
    client.next().await.unwrap();
    let mut tool = status::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient::new(server.channel().await);
    let id = |pattern| NodeMatcher {
        node_id: Some(StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }),
        ..NodeMatcher::default()
    };
    let ask = |pattern| status::ClientStatusRequest { node_matchers: vec![id(pattern)], ..status::ClientStatusRequest::default() };
    let seen = tool.fetch_client_status(ask(MatchPattern::Prefix("cli".to_owned()))).await.unwrap().into_inner();
    assert_eq!(seen.config.len(), 1);
    let lines: Vec<_> =
        seen.config[0].generic_xds_configs.iter().map(|of| (of.name.as_str(), of.config_status(), of.xds_config.is_some())).collect();
    use status::ConfigStatus::{Error, NotSent, Stale, Synced};
    assert_eq!(lines, [("a", Stale, true), ("l", Synced, true), ("r", Error, true), ("key", Synced, false), ("not-there", NotSent, false)]);
    assert_eq!(seen.config[0].generic_xds_configs[2].error_state.as_ref().unwrap().details, "no such cluster");
    let none = tool.fetch_client_status(ask(MatchPattern::Exact("other".to_owned()))).await.unwrap().into_inner();
    assert!(none.config.is_empty());
    let mut streamed =
        tool.stream_client_status(tokio_stream::once(ask(MatchPattern::Exact("client".to_owned())))).await.unwrap().into_inner();
    assert_eq!(streamed.message().await.unwrap().unwrap().config.len(), 1);
}

#[tokio::test]
async fn load_is_asked_for_and_kept() {
    let server = Server::start(Settings::default()).await;
    let mut client = load::load_reporting_service_client::LoadReportingServiceClient::new(server.channel().await);
    let locality = Locality { region: "r".to_owned(), ..Locality::default() };
    let of = UpstreamLocalityStats { locality: Some(locality), total_issued_requests: 7, ..UpstreamLocalityStats::default() };
    let stats = ClusterStats { cluster_name: "a".to_owned(), upstream_locality_stats: vec![of], ..ClusterStats::default() };
    let (say, requests) = push::client::requests();
    say.send(load::LoadStatsRequest { node: Some(node("client")), cluster_stats: Vec::new() }).await.unwrap();
    let mut answers = client.stream_load_stats(requests).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(answer.send_all_clusters && answer.load_reporting_interval.unwrap().seconds == 10);
    say.send(load::LoadStatsRequest { node: None, cluster_stats: vec![stats] }).await.unwrap();
    let load = eventually(|| server.proxies.loads.list(tokio::time::Instant::now()).pop()).await;
    // It says nothing of the interval: the one that it was asked for.
    assert_eq!((load.cluster.as_str(), load.total.requests.issued, load.total.rate, load.total.reporters), ("a", 7, 0.7, 1));
    assert_eq!(load.localities.keys().next().unwrap().region, "r");
}

#[tokio::test]
async fn health_and_reflection_are_served() {
    let server = Server::start(Settings::default()).await;
    let mut health = HealthClient::new(server.channel().await);
    let ads = "envoy.service.discovery.v3.AggregatedDiscoveryService";
    for service in ["", ads] {
        let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let ask = |request| tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request: Some(request) });
    let mut answers = reflection.server_reflection_info(ask(MessageRequest::ListServices(String::new()))).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    assert!(service.iter().any(|service| service.name == ads), "{service:?}");
    let symbol = MessageRequest::FileContainingSymbol("envoy.service.discovery.v3.DiscoveryRequest".to_owned());
    let mut answers = reflection.server_reflection_info(ask(symbol)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
}
