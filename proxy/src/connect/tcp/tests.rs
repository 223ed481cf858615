use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::{DialCause, DialError, OpenError, dial, open};
use crate::config::address::{Address, SocketOption, SocketOptionValue, SocketState, TcpKeepalive};
use crate::config::cluster::Cluster;
use crate::config::endpoint::Health;
use crate::connect::io::UpstreamIo;
use crate::upstream::tests::listed;
use crate::upstream::{ClusterState, EndpointState};

fn config() -> Cluster {
    listed(Vec::new())
}

async fn listener() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Ip(listener.local_addr().unwrap());
    (listener, address)
}

#[tokio::test]
async fn a_dialled_stream_carries_bytes_and_knows_its_end() {
    let (listener, address) = listener().await;
    let mut config = config();
    config.keepalive = Some(TcpKeepalive { time: Some(Duration::from_secs(30)), ..TcpKeepalive::default() });
    config.socket_options = vec![SocketOption { level: 1, name: 9, value: SocketOptionValue::Int(1), state: SocketState::Prebind }];
    let mut dialed = dial(&address, &config, None, None).await.unwrap();
    let (mut server, peer) = listener.accept().await.unwrap();
    assert_eq!(dialed.local, Some(Address::Ip(peer)));
    dialed.io.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = dial(&address, &config(), None, None).await.unwrap_err();
    assert_eq!(error, DialError { address: address.clone(), cause: DialCause::Refused });
    assert_eq!(error.to_string(), format!("connecting to {address}: connection refused"));
}

#[test]
fn a_timeout_names_its_limit() {
    let address = Address::Ip(SocketAddr::from(([10, 0, 0, 7], 8080)));
    let error = DialError { address, cause: DialCause::TimedOut(Duration::from_secs(5)) };
    assert!(error.is_timeout());
    assert_eq!(error.to_string(), "connecting to 10.0.0.7:8080 took longer than 5s");
}

#[test]
fn running_out_of_descriptors_is_told_from_a_fault_of_the_endpoint() {
    let error = std::io::Error::from_raw_os_error(24);
    assert_eq!(DialCause::from(&error), DialCause::NoFileDescriptors);
}

#[tokio::test]
async fn the_source_address_is_used() {
    let (listener, address) = listener().await;
    let mut config = config();
    config.source_addresses = vec!["[::1]:0".parse().unwrap(), SocketAddr::from(([127, 0, 0, 9], 0))];
    let _dialed = dial(&address, &config, None, None).await.unwrap();
    let (_, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.9");
}

#[tokio::test]
async fn an_unknown_socket_option_fails_the_connection() {
    let (_listener, address) = listener().await;
    let mut config = config();
    config.socket_options = vec![SocketOption { level: 1, name: 9999, value: SocketOptionValue::Int(1), state: SocketState::Prebind }];
    let error = dial(&address, &config, None, None).await.unwrap_err();
    assert_eq!(error.cause, DialCause::SocketOption);
}

#[tokio::test]
async fn the_operator_chooses_the_congestion_control() {
    let (_listener, address) = listener().await;
    let chosen = |name: &str| {
        let value = SocketOptionValue::Bytes(name.as_bytes().to_vec());
        vec![SocketOption { level: 6, name: 13, value, state: SocketState::Prebind }]
    };
    let mut config = config();
    config.socket_options = chosen("reno");
    let dialed = dial(&address, &config, None, None).await.unwrap();
    let UpstreamIo::Tcp(stream) = dialed.io else { panic!("TCP") };
    assert!(SockRef::from(&stream).tcp_congestion().unwrap().starts_with(b"reno\0"));
    config.socket_options = chosen("nonsense");
    let error = dial(&address, &config, None, None).await.unwrap_err();
    assert_eq!(error.cause, DialCause::SocketOption);
}

#[tokio::test]
async fn unix_sockets_are_reached_by_path_and_by_abstract_name() {
    let path = std::env::temp_dir().join(format!("ninon-dial-{}.sock", std::process::id()));
    let _listener = UnixListener::bind(&path).unwrap();
    assert!(dial(&Address::Unix(path.clone()), &config(), None, None).await.is_ok());
    std::fs::remove_file(&path).unwrap();
    let name = format!("ninon-dial-{}", std::process::id());
    let _abstract = UnixListener::bind(format!("\0{name}")).unwrap();
    assert!(dial(&Address::Unix(format!("@{name}").into()), &config(), None, None).await.is_ok());
}

#[tokio::test]
async fn an_opened_connection_counts_until_it_is_dropped() {
    let (_listener, address) = listener().await;
    let mut config = config();
    config.limits.connections = 1;
    let cluster = ClusterState::new(Arc::new(config));
    let endpoint = EndpointState::new(address, "", Health::Healthy);
    let opened = open(&endpoint, &cluster, None, None).await.unwrap();
    assert_eq!(open(&endpoint, &cluster, None, None).await.unwrap_err(), OpenError::Overflow);
    let stats = cluster.stats();
    assert_eq!((stats.upstream_cx_active.value(), stats.upstream_cx_overflow.value()), (1, 1));
    drop(opened);
    assert_eq!((stats.upstream_cx_active.value(), stats.upstream_cx_total.value()), (0, 1));
    assert!(open(&endpoint, &cluster, None, None).await.is_ok());
}

#[tokio::test]
async fn tls_that_is_not_set_up_never_falls_back_to_plain_text() {
    let (_listener, address) = listener().await;
    let mut config = config();
    config.tls = Some(Arc::new(crate::config::identity::ClientTls {
        certificate: None,
        validation: None,
        sni: None,
        auto_host_sni: false,
        alpn: Vec::new(),
        min_version: crate::config::identity::TlsVersion::Tls12,
        max_version: crate::config::identity::TlsVersion::Tls13,
    }));
    let cluster = ClusterState::new(Arc::new(config));
    let endpoint = EndpointState::new(address, "", Health::Healthy);
    let error = open(&endpoint, &cluster, None, None).await.unwrap_err();
    assert!(matches!(error, OpenError::Dial(DialError { cause: DialCause::Tls(_), .. })), "{error}");
    assert_eq!(cluster.stats().upstream_cx_connect_fail.value(), 1);
}
