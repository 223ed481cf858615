use std::process::Command;

use ninon_tests::eventually::eventually;
use ninon_tests::ports;
use ninon_tests::wire::Wire;
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

/// Envoy's page, of the same bootstrap.
async fn envoys_page(service: &Service, plan: &Plan, target: &str) -> Value {
    let folder = ninon_tests::process::Folder::new();
    let (admin, port) = (ports::free(), ports::free());
    let bootstrap = crate::world::bootstrap(plan, folder.path(), admin, port, service.port);
    let file = folder.path().join("bootstrap.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut envoy = ninon_tests::process::Process::start(ninon_tests::envoy::command(&file), folder).unwrap();
    envoy.wait_until_ready(admin).await.unwrap();
    let answer = request(admin, "GET", target, &[]).await.expect("Envoy answers");
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn memory_is_told_as_envoy_tells_it() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    let ours: Value = serde_json::from_str(&sidecar.page("/memory").await).unwrap();
    let envoys = envoys_page(&service, &Plan::default(), "/memory").await;
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
    for (name, value) in ours.as_object().unwrap() {
        assert!(number(value).is_some() && number(&envoys[name]).is_some(), "{name}: {value}, Envoy: {}", envoys[name]);
    }
    assert!(number(&ours["total_physical_bytes"]).is_some_and(|bytes| bytes > 1 << 20), "{ours}");
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
    let folder = ninon_tests::process::Folder::new();
    let bootstrap = crate::world::bootstrap(&plan, folder.path(), admin, port, service.port);
    let mut command = crate::world::command(&folder, &bootstrap);
    command.args(&plan.arguments);
    let mut process = ninon_tests::process::Process::start(command, folder).unwrap();
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
