//! What is kept for clusters.

use rustls::pki_types::ServerName;

use super::*;
use crate::config::ClusterName;
use crate::config::cluster::{BalancingPolicy, Cluster, Discovery, Dns, DnsFamily, Limits, UpstreamProtocol};
use crate::config::http::{HeaderCase, Http1Settings, Http2Settings};
use crate::tls::client::Source;

fn cluster(name: &str, tls: ClientTls) -> Cluster {
    Cluster {
        name: ClusterName::from(name),
        stat_name: name.to_owned(),
        discovery: Discovery::Eds { service_name: name.to_owned(), fetch_timeout: None },
        policy: BalancingPolicy::RoundRobin,
        panic_threshold: 50,
        connect_timeout: LIMIT,
        protocol: UpstreamProtocol::Http1,
        http1: Http1Settings {
            allow_custom_methods: false,
            accept_http_10: false,
            default_host_for_http_10: None,
            allow_absolute_url: true,
            allow_chunked_length: false,
            enable_trailers: false,
            header_case: HeaderCase::AsReceived,
            override_stream_error: false,
        },
        http2: Http2Settings {
            max_concurrent_streams: 100,
            initial_stream_window: 65_535,
            initial_connection_window: 65_535,
            allow_connect: false,
            keepalive_interval: None,
            keepalive_timeout: LIMIT,
            override_stream_error: false,
        },
        max_response_headers_bytes: 60 * 1024,
        max_headers_count: 100,
        idle_timeout: None,
        max_connection_duration: None,
        max_stream_duration: None,
        max_requests_per_connection: None,
        limits: Limits::default(),
        high_priority_limits: Limits::default(),
        buffer_limit: 1 << 20,
        keepalive: None,
        source_addresses: Vec::new(),
        socket_options: Vec::new(),
        tls: Some(Arc::new(tls)),
        tls_matches: Vec::new(),
        dns: Dns {
            refresh: LIMIT,
            failure_refresh: None,
            respect_ttl: false,
            jitter: Duration::ZERO,
            family: DnsFamily::Auto,
            resolvers: Vec::new(),
            use_tcp: false,
        },
    }
}

fn target(source: &Source, cluster: &Cluster, asked: Option<&str>) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
    source.target(cluster, cluster.tls.as_ref().unwrap(), asked).map(|ready| (ready.config, ready.server_name))
}

fn config(source: &Source, cluster: &Cluster) -> Arc<ClientConfig> {
    target(source, cluster, None).unwrap().0
}

#[test]
fn a_cluster_keeps_its_configuration_until_its_settings_change() {
    let source = Source::new();
    let shop = cluster("shop", client_tls());
    let first = config(&source, &shop);
    assert!(Arc::ptr_eq(&first, &config(&source, &shop)));
    let changed = cluster("shop", ClientTls { min_version: TlsVersion::Tls13, ..client_tls() });
    let second = config(&source, &changed);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &config(&source, &changed)));
    let other = Cluster { protocol: UpstreamProtocol::Http2, ..changed };
    assert!(!Arc::ptr_eq(&second, &config(&source, &other)));
    assert!(!Arc::ptr_eq(&config(&source, &other), &config(&source, &cluster("bank", client_tls()))));
}

#[test]
fn a_renewed_certificate_is_shown_at_once() {
    let ca = Authority::new("ca");
    let certificate = ca.issue(&["spiffe://a/old"]);
    let source = Source::new();
    let shop = cluster("shop", ClientTls { certificate: Some(certificate.clone()), validation: Some(ca.trust().into()), ..client_tls() });
    let first = config(&source, &shop);
    assert!(Arc::ptr_eq(&first, &config(&source, &shop)));
    certificate.replace(ca.issue(&["spiffe://a/new"]).load());
    let second = config(&source, &shop);
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(Arc::ptr_eq(&second, &config(&source, &shop)));
    shop.tls.as_ref().unwrap().validation.as_ref().unwrap().validation.replace(Arc::new(Authority::new("other").trust()));
    assert!(!Arc::ptr_eq(&second, &config(&source, &shop)));
    assert_eq!(source.len(), 1);
}

#[test]
fn clusters_that_are_gone_are_forgotten() {
    let source = Source::new();
    for round in 0..10 {
        config(&source, &cluster(&format!("cluster-{round}"), client_tls()));
    }
    let kept = cluster("kept", client_tls());
    config(&source, &kept);
    assert_eq!(source.len(), 1);
}

#[test]
fn what_is_offered_follows_the_clusters_protocol() {
    let source = Source::new();
    for (protocol, offered) in [
        (UpstreamProtocol::Http1, vec![]),
        (UpstreamProtocol::UseDownstream, vec![]),
        (UpstreamProtocol::Http2, vec![b"h2".to_vec()]),
        (UpstreamProtocol::Auto, vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
    ] {
        let cluster = Cluster { protocol, ..cluster("shop", client_tls()) };
        assert_eq!(config(&source, &cluster).alpn_protocols, offered);
    }
}

#[test]
fn the_name_is_the_requests_where_the_cluster_takes_it_from_there() {
    let source = Source::new();
    let host = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
    let fixed = cluster("fixed", ClientTls { sni: Some("fixed.test".into()), ..client_tls() });
    let auto = cluster("auto", ClientTls { sni: Some("fixed.test".into()), auto_host_sni: true, ..client_tls() });
    let none = cluster("none", client_tls());
    for (cluster, asked, name) in [
        (&fixed, Some("asked.test"), host("fixed.test")),
        (&fixed, None, host("fixed.test")),
        (&auto, Some("asked.test"), host("asked.test")),
        (&auto, Some("10.0.0.1"), host("10.0.0.1")),
        (&auto, Some(""), host("fixed.test")),
        (&auto, None, host("fixed.test")),
        (&none, Some("asked.test"), host("0.0.0.0")),
    ] {
        assert_eq!(target(&source, cluster, asked).unwrap().1, name, "{} {asked:?}", cluster.name);
    }
    let error = target(&source, &auto, Some("no name")).unwrap_err();
    assert_eq!(error, "sni: \"no name\" is not a host name");
}

#[test]
fn settings_that_cannot_be_used_are_told_each_time() {
    let source = Source::new();
    let none = Some(pem("", ""));
    let broken = cluster("shop", ClientTls { certificate: none, ..client_tls() });
    for _ in 0..2 {
        let error = target(&source, &broken, None).unwrap_err();
        assert_eq!(error, "tls_certificates[0]: certificate_chain: holds no certificate in PEM");
    }
}

/// A server that resumes, unlike ours.
fn resuming(ca: &Authority) -> Arc<ServerConfig> {
    let mut server = ServerConfig::clone(&server::config(&server_tls(vec![ca.issue(&["a.test"])])).unwrap());
    server.session_storage = rustls::server::ServerSessionMemoryCache::new(16);
    server.send_tls13_tickets = 2;
    Arc::new(server)
}

/// What is remembered of the server's certificate could outlive it.
#[tokio::test]
async fn nothing_is_remembered_of_who_was_shown_our_certificate() {
    let ca = Authority::new("ca");
    let (server, source) = (resuming(&ca), Source::new());
    let certificate = Some(ca.issue(&["spiffe://a.test/ours"]));
    let shop = cluster("shop", ClientTls { sni: Some("a.test".into()), certificate, ..client_tls() });
    for _ in 0..2 {
        assert!(!meet_as(Arc::clone(&server), config(&source, &shop), "a.test").await.client.unwrap().resumed);
    }
}

#[tokio::test]
async fn sessions_of_a_changed_cluster_are_not_used() {
    let ca = Authority::new("ca");
    let server = resuming(&ca);
    let source = Source::new();
    let shop = cluster("shop", ClientTls { sni: Some("a.test".into()), ..client_tls() });
    let meet = |config| meet_as(Arc::clone(&server), config, "a.test");
    assert!(!meet(config(&source, &shop)).await.client.unwrap().resumed);
    assert!(meet(config(&source, &shop)).await.client.unwrap().resumed);
    let strict = ClientTls { validation: Some(Authority::new("others").trust().into()), sni: Some("a.test".into()), ..client_tls() };
    let told = plain(meet(config(&source, &cluster("shop", strict))).await.client.unwrap_err());
    assert_eq!(told, "the server's certificate was refused: no trusted authority issued it");
}
