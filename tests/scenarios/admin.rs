use std::path::Path;
use std::process::Command;

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::wire::Wire;
use ninon_tests::{envoy, ports, proxy};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::world::{LIMIT, Plan, Service, Sidecar, exchange, request};

#[tokio::test]
async fn metrics_have_envoys_names_and_move() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    for _ in 0..3 {
        assert_eq!(request(sidecar.port, "GET", "/", &[]).await.unwrap().status(), Some(200));
    }
    let listener = format!("listener.127.0.0.1_{}", sidecar.port);
    for line in [
        "http.ingress.downstream_rq_total: 3\n".to_owned(),
        "http.ingress.downstream_rq_2xx: 3\n".to_owned(),
        "http.ingress.downstream_rq_200: 3\n".to_owned(),
        "http.ingress.downstream_cx_active: 0\n".to_owned(),
        "cluster.service.upstream_rq_total: 3\n".to_owned(),
        "cluster.service.upstream_rq_200: 3\n".to_owned(),
        "cluster.service.upstream_rq_completed: 3\n".to_owned(),
        "cluster.service.membership_healthy: 1\n".to_owned(),
        format!("{listener}.downstream_cx_total: 3\n"),
        "listener_manager.total_listeners_active: 1\n".to_owned(),
        "cluster_manager.active_clusters: 1\n".to_owned(),
        "server.live: 1\n".to_owned(),
    ] {
        sidecar.page_holds("/stats", &line).await;
    }
    let page = sidecar.page("/stats/prometheus?usedonly").await;
    for line in [
        "# TYPE envoy_cluster_upstream_rq counter\n".to_owned(),
        "envoy_cluster_upstream_rq{envoy_response_code=\"200\",envoy_cluster_name=\"service\"} 3\n".to_owned(),
        "envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\",envoy_cluster_name=\"service\"} 3\n".to_owned(),
        "envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=\"ingress\"} 3\n".to_owned(),
        format!("envoy_listener_downstream_cx_total{{envoy_listener_address=\"127.0.0.1_{}\"}} 3\n", sidecar.port),
        "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"service\"} 3\n".to_owned(),
    ] {
        assert!(page.contains(&line), "no {line} in\n{page}");
    }
    assert!(!page.contains("upstream_cx_overflow"), "only what was used");
    assert_eq!(sidecar.page("/stats?filter=%5Ecluster.*rq_total").await, "cluster.service.upstream_rq_total: 3\n");
    let json: Value = serde_json::from_str(&sidecar.page("/stats?format=json&filter=upstream_rq_total").await).unwrap();
    assert_eq!(json["stats"][0], json!({ "name": "cluster.service.upstream_rq_total", "value": 3 }));
}

#[tokio::test]
async fn the_configuration_in_use_is_shown() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    let dump: Value = serde_json::from_str(&sidecar.page("/config_dump").await).unwrap();
    let of_type = |name: &str| {
        let end = format!(".{name}");
        dump["configs"].as_array().unwrap().iter().find(|config| config["@type"].as_str().unwrap().ends_with(&end)).unwrap()
    };
    assert_eq!(of_type("BootstrapConfigDump")["bootstrap"]["node"]["id"], "sidecar-1");
    assert_eq!(of_type("ListenersConfigDump")["static_listeners"][0]["listener"]["name"], "ingress");
    assert_eq!(of_type("ClustersConfigDump")["static_clusters"][0]["cluster"]["name"], "service");
    assert_eq!(of_type("RoutesConfigDump")["static_route_configs"][0]["route_config"]["name"], "table");

    assert_eq!(sidecar.page("/listeners").await, format!("ingress::127.0.0.1:{}\n", sidecar.port));
    let clusters = sidecar.page("/clusters").await;
    assert!(clusters.contains(&format!("service::127.0.0.1:{}::health_flags::healthy\n", service.port)), "{clusters}");
    let info: Value = serde_json::from_str(&sidecar.page("/server_info").await).unwrap();
    assert_eq!((&info["state"], &info["node"]["cluster"]), (&json!("LIVE"), &json!("shop")));
    assert_eq!(info["command_line_options"]["concurrency"], 1);
    assert_eq!(sidecar.page("/ready").await, "LIVE\n");
}

/// A page of a program that is started with a bootstrap.
async fn page_of(program: fn(&Path) -> Command, bootstrap: impl Fn(u16) -> Value, target: &str) -> Value {
    let folder = Folder::new();
    let admin = ports::free();
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, bootstrap(admin).to_string()).unwrap();
    let mut process = Process::start(program(&file), folder).unwrap();
    process.wait_until_ready(admin).await.unwrap();
    let answer = request(admin, "GET", target, &[]).await.expect("the page is there");
    assert_eq!(answer.status(), Some(200), "{}", process.log());
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn memory_is_told_as_envoy_tells_it() {
    let folder = Folder::new();
    let bootstrap = |admin| crate::world::bootstrap(&Plan::default(), folder.path(), admin, ports::free(), 1);
    let ours = page_of(proxy::command, bootstrap, "/memory").await;
    let envoys = page_of(envoy::command, bootstrap, "/memory").await;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
    for (name, value) in ours.as_object().unwrap() {
        assert!(number(value).is_some() && number(&envoys[name]).is_some(), "{name}: {value}, Envoy: {}", envoys[name]);
    }
    assert!(number(&ours["total_physical_bytes"]).is_some_and(|bytes| bytes > 1 << 20), "{ours}");
}

#[tokio::test]
async fn certificates_are_told_as_envoy_tells_them() {
    let folder = Folder::new();
    let mut names = rcgen::CertificateParams::new(vec!["www.test".to_owned(), "10.0.0.1".to_owned(), "b.test".to_owned()]).unwrap();
    names.subject_alt_names.push(rcgen::SanType::URI("spiffe://cluster.local/ns/a/sa/b".try_into().unwrap()));
    names.subject_alt_names.push(rcgen::SanType::Rfc822Name("someone@a.test".try_into().unwrap()));
    let made_of = |params: rcgen::CertificateParams| {
        let key = rcgen::KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let (chain, key) = made_of(names);
    let (trusted, _) = made_of(rcgen::CertificateParams::new(Vec::new()).unwrap());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        json!({ "filename": path })
    };
    let shown = json!([{ "certificate_chain": file("chain.pem", &chain), "private_key": file("key.pem", &key) }]);
    let socket = |context: &str, common: &Value| {
        let kind = format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}");
        json!({ "name": "tls", "typed_config": { "@type": kind, "common_tls_context": common } })
    };
    let trusts = json!({ "validation_context": { "trusted_ca": { "inline_string": trusted } } });
    let cluster =
        |name: &str, common: &Value| json!({ "name": name, "type": "STATIC", "transport_socket": socket("UpstreamTlsContext", common) });
    let bootstrap = |admin| {
        let both = json!({ "tls_certificates": shown, "validation_context": { "trusted_ca": file("ca.pem", &trusted) } });
        let clusters = vec![cluster("checked", &trusts), cluster("unchecked", &json!({}))];
        let plan = Plan { clusters, ..Plan::default() };
        let mut whole = crate::world::bootstrap(&plan, folder.path(), admin, ports::free(), 1);
        whole["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = socket("DownstreamTlsContext", &both);
        whole
    };
    let in_order = |page: Value| {
        let mut entries = page["certificates"].as_array().unwrap().clone();
        entries.sort_by_key(ToString::to_string);
        entries
    };
    let ours = in_order(page_of(proxy::command, bootstrap, "/certs").await);
    assert_eq!(ours, in_order(page_of(envoy::command, bootstrap, "/certs").await));
    let edge = ours.iter().find(|entry| entry["cert_chain"][0].is_object()).unwrap();
    assert_eq!(edge["cert_chain"][0]["subject_alt_names"][2], json!({ "uri": "spiffe://cluster.local/ns/a/sa/b" }));
}

#[tokio::test]
async fn what_changes_something_wants_post_and_no_other_site() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    for target in ["/quitquitquit", "/drain_listeners", "/logging?level=debug", "/reset_counters"] {
        assert_eq!(sidecar.ask("GET", target).await.0, 405, "{target}");
    }
    for field in ["origin: http://evil.example", "x-forwarded-for: 10.0.0.1"] {
        let answer = request(sidecar.admin, "POST", "/quitquitquit", &[field]).await.unwrap();
        assert_eq!(answer.status(), Some(403), "{field}");
    }
    assert!(sidecar.process.is_running());
    assert_eq!(request(sidecar.port, "GET", "/", &[]).await.unwrap().status(), Some(200));
}

#[tokio::test]
async fn the_log_level_changes_at_once() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    assert_eq!(sidecar.ask("POST", "/logging?level=debug").await.0, 200);
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    wire.send(b"\x16\x03nothing that is HTTP\r\n\r\n").await;
    wire.to_end().await;
    sidecar.log_holds("DEBUG").await;
    assert_eq!(sidecar.page("/logging").await, "active loggers:\n  ninon: debug\n");
}

#[tokio::test]
async fn drained_listeners_take_no_connections_and_keep_those_they_have() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    let mut kept = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    assert_eq!(exchange(&mut kept, "GET", "/", &[]).await.unwrap().status(), Some(200));
    assert_eq!(sidecar.ask("POST", "/drain_listeners").await, (200, "OK\n".into()));
    let refused = || async { TcpStream::connect(("127.0.0.1", sidecar.port)).await.err() };
    assert!(eventually(LIMIT, refused).await.is_some(), "connections are refused");
    let answer = exchange(&mut kept, "GET", "/", &[]).await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (Some(200), None));
    assert_eq!(sidecar.page("/listeners").await, "");
    // Connections are told only when that is asked for.
    assert_eq!(sidecar.ask("POST", "/drain_listeners?graceful").await.0, 200);
    assert!(!tokio::time::timeout(LIMIT, kept.fill()).await.unwrap(), "the connection is closed");
    assert!(sidecar.process.is_running());
}

#[tokio::test]
async fn quit_ends_the_process_with_code_0() {
    let service = Service::start().await;
    let mut sidecar = Sidecar::start(&service, Plan::default()).await;
    assert_eq!(sidecar.ask("POST", "/quitquitquit").await, (200, "OK\n".into()));
    let status = sidecar.process.ended(LIMIT).await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", sidecar.process.log());
}

#[tokio::test]
async fn a_unix_socket_serves_the_pages_to_curl() {
    let service = Service::start().await;
    let path = std::env::temp_dir().join(format!("ninon-admin-{}.sock", std::process::id()));
    let health = ports::free();
    let plan = Plan {
        bootstrap: json!({ "admin": { "address": { "pipe": { "path": path } } } }),
        arguments: vec!["--health-address".into(), format!("127.0.0.1:{health}")],
        ..Plan::default()
    };
    let (admin, port) = (health, ports::free());
    let folder = Folder::new();
    let bootstrap = crate::world::bootstrap(&plan, folder.path(), admin, port, service.port);
    let mut command = crate::world::command(&folder, &bootstrap);
    command.args(&plan.arguments);
    let mut process = Process::start(command, folder).unwrap();
    process.wait_until_ready(health).await.unwrap();
    let curl = |words: &[&str]| {
        let output = Command::new("curl").args(["--silent", "--max-time", "10", "--unix-socket"]).arg(&path).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(curl(&["http://localhost/ready"]), "LIVE\n");
    assert!(curl(&["http://localhost/stats"]).contains("server.live: 1\n"));
    // The port for anybody shows metrics, to whatever name it is known by, and changes nothing.
    let metrics = request(health, "GET", "/stats/prometheus", &["x-forwarded-for: 10.0.0.1"]).await.unwrap();
    assert_eq!(metrics.status(), Some(200));
    assert_eq!(request(health, "POST", "/quitquitquit", &[]).await.unwrap().status(), Some(404));
    assert_eq!(curl(&["--request", "POST", "http://localhost/quitquitquit"]), "OK\n");
    assert_eq!(process.ended(LIMIT).await.expect("it ends").code(), Some(0));
    assert!(!path.exists(), "the socket's file is removed");
}
