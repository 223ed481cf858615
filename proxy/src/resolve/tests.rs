use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::{Resolvers, all_warm};
use crate::config::address::Address;
use crate::config::cluster::{Cluster, Discovery};
use crate::config::endpoint::{Assignment, Endpoint, Health, Target};
use crate::task::spawn_bounded_by_connection;
use crate::upstream::ClusterState;
use crate::upstream::tests::{assignment, config, locality};

/// Far above what anything takes on a crowded machine. The look-ups go over real sockets, so the time is real, too.
const LIMIT: Duration = Duration::from_secs(30);

fn names(hosts: &[&str]) -> Arc<Assignment> {
    let endpoint = |host: &&str| Endpoint {
        target: Target::Name { host: (*host).to_owned(), port: 8080 },
        hostname: String::new(),
        weight: NonZeroU32::MIN,
        health: Health::Healthy,
        labels: None,
    };
    Arc::new(assignment(vec![locality(0, hosts.iter().map(endpoint).collect())]))
}

fn addresses(cluster: &ClusterState) -> Vec<String> {
    let set = cluster.endpoints();
    let mut addresses: Vec<_> = set.members().iter().map(|member| member.endpoint.address().to_string()).collect();
    addresses.sort();
    addresses
}

/// Looks until it is so.
async fn becomes(is_so: impl Fn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let seen = async {
        while !is_so() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, seen).await.expect("it does not become so");
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

/// Answers A questions with addresses that the test can change; no addresses is NXDOMAIN.
struct Server {
    address: std::net::SocketAddr,
    answer: std::rc::Rc<std::cell::RefCell<Vec<Ipv4Addr>>>,
}

impl Server {
    async fn start(ttl: u32, answer: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let answer = std::rc::Rc::new(std::cell::RefCell::new(answer.to_vec()));
        let answers = std::rc::Rc::clone(&answer);
        spawn_bounded_by_connection(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let reply = reply(&question[..length], ttl, &answers.borrow());
                drop(socket.send_to(&reply, from).await);
            }
        });
        Self { address, answer }
    }
}

/// RFC 1035, section 4: the header, the question as it came, one record per address.
fn reply(question: &[u8], ttl: u32, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let name_end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    let is_a = question[name_end..name_end + 2] == [0, 1];
    let records = if is_a { addresses } else { &[] };
    let code = if addresses.is_empty() { 3 } else { 0 };
    let mut reply = question[..2].to_vec();
    reply.extend([0x81, 0x80 | code, 0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
    reply.extend(&question[12..name_end + 4]);
    for address in records {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4]);
        reply.extend(address.octets());
    }
    reply
}

fn asking(server: &Server, discovery: Discovery, change: impl FnOnce(&mut Cluster)) -> Arc<ClusterState> {
    let mut config = config(discovery);
    config.dns.resolvers = vec![server.address];
    config.dns.refresh = Duration::from_millis(30);
    change(&mut config);
    ClusterState::new(Arc::new(config))
}

const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

#[tokio::test]
async fn an_address_as_host_needs_no_look_up() {
    local(async {
        let cluster = ClusterState::new(Arc::new(config(Discovery::StrictDns(names(&["127.0.0.1", "[::1]"])))));
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(cluster.is_warm());
        assert_eq!(addresses(&cluster), ["127.0.0.1:8080", "[::1]:8080"]);
        assert_eq!(cluster.stats().update_attempt.value(), 0);
    })
    .await;
}

#[tokio::test]
async fn localhost_needs_no_server() {
    local(async {
        let mut config = config(Discovery::StrictDns(names(&["localhost"])));
        config.dns.family = crate::config::cluster::DnsFamily::V4Only;
        let cluster = ClusterState::new(Arc::new(config));
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        assert_eq!(addresses(&cluster), ["127.0.0.1:8080"]);
        assert_eq!(cluster.endpoints().members()[0].endpoint.hostname(), "localhost");
    })
    .await;
}

#[tokio::test]
async fn each_address_of_an_answer_is_an_endpoint_and_the_set_follows_the_answer() {
    local(async {
        let server = Server::start(60, &[A, B]).await;
        let cluster = asking(&server, Discovery::StrictDns(names(&["shop.test."])), |_| {});
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(!cluster.is_warm());
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        assert_eq!(addresses(&cluster), ["10.0.0.1:8080", "10.0.0.2:8080"]);
        *server.answer.borrow_mut() = vec![B];
        becomes(|| addresses(&cluster) == ["10.0.0.2:8080"]).await;
    })
    .await;
}

#[tokio::test]
async fn the_last_good_answer_stays_when_the_name_is_gone() {
    local(async {
        let server = Server::start(60, &[A]).await;
        let cluster = asking(&server, Discovery::StrictDns(names(&["shop.test."])), |_| {});
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        server.answer.borrow_mut().clear();
        becomes(|| cluster.stats().update_failure.value() > 1).await;
        assert_eq!(addresses(&cluster), ["10.0.0.1:8080"]);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_does_not_resolve_does_not_hold_up_the_start() {
    local(async {
        let server = Server::start(60, &[]).await;
        let cluster = asking(&server, Discovery::StrictDns(names(&["shop.test."])), |_| {});
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        assert!(addresses(&cluster).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_logical_endpoint_follows_the_first_address() {
    local(async {
        let server = Server::start(60, &[A, B]).await;
        let cluster = asking(&server, Discovery::LogicalDns(names(&["shop.test."])), |_| {});
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        let before = Arc::clone(&cluster.endpoints().members()[0].endpoint);
        assert_eq!(addresses(&cluster).len(), 1);
        assert!(!before.is_removed());
        *server.answer.borrow_mut() = vec![Ipv4Addr::new(10, 0, 0, 3)];
        becomes(|| addresses(&cluster) == ["10.0.0.3:8080"]).await;
        assert!(before.is_removed(), "connections to the old address are kept");
    })
    .await;
}

#[tokio::test]
async fn a_ttl_is_honoured_where_asked() {
    local(async {
        let server = Server::start(60, &[A]).await;
        let cluster = asking(&server, Discovery::StrictDns(names(&["shop.test."])), |config| {
            config.dns.respect_ttl = true;
        });
        let _watch = Resolvers::default().watch(&cluster).unwrap();
        assert!(all_warm([Arc::clone(&cluster)], LIMIT).await);
        // The answer is here: from now on only the time counts.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(59)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(cluster.stats().update_attempt.value(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        becomes(|| cluster.stats().update_attempt.value() == 2).await;
    })
    .await;
}

#[test]
fn waits_after_failures_grow_to_the_longest() {
    let mut dns = config(Discovery::StrictDns(names(&[]))).dns;
    dns.failure_refresh = Some((Duration::from_secs(1), Duration::from_secs(3)));
    let mut refresh = super::Refresh::new(&dns);
    for bound in [1, 2, 3, 3] {
        assert!(refresh.after_failure() <= Duration::from_secs(bound));
    }
    assert_eq!(refresh.after_success(Duration::ZERO), dns.refresh);
    assert!(refresh.after_failure() <= Duration::from_secs(1));
}

#[test]
fn an_answer_s_addresses_count_once() {
    let slots = super::Names::of(&ClusterState::new(Arc::new(config(Discovery::StrictDns(names(&[]))))), &names(&["shop.test."]), false);
    let twice = vec![IpAddr::V4(A), IpAddr::V4(A)];
    assert_eq!(slots.slots[0].with_port(twice), [Address::Ip((A, 8080).into())]);
}
