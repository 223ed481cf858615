use std::process::Command;
use std::time::Duration;

use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::wire::Wire;
use ninon_tests::{ports, settings};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::world::{LIMIT, Plan, Service, Sidecar, answer, cluster, request};

const FILTERS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// A gRPC server that decides.
async fn authorizer(port: u16) -> Process {
    let mut command = Command::new(settings::clients_python());
    command.arg(settings::tests_dir().join("scenarios/authorizer.py")).arg(port.to_string());
    let process = Process::start(command, Folder::new()).unwrap();
    let listens = || async { TcpStream::connect(("127.0.0.1", port)).await.ok() };
    assert!(eventually(LIMIT, listens).await.is_some(), "no authorizer; grpcio is needed:\n{}", process.log());
    process
}

fn guarded(port: u16, over: Value) -> Plan {
    let mut authorizer = cluster("authorizer", port);
    authorizer["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    }});
    let mut filter = json!({
        "@type": format!("{FILTERS}.ext_authz.v3.ExtAuthz"), "transport_api_version": "V3",
        "grpc_service": { "envoy_grpc": { "cluster_name": "authorizer" }, "timeout": "0.5s" },
    });
    for (name, value) in over.as_object().unwrap() {
        filter[name] = value.clone();
    }
    let router = json!({"name": "router", "typed_config": {"@type": format!("{FILTERS}.router.v3.Router")}});
    let filters = json!([{"name": "authz", "typed_config": filter}, router]);
    Plan { manager: json!({ "http_filters": filters }), clusters: vec![authorizer], ..Plan::default() }
}

async fn status(sidecar: &Sidecar, target: &str) -> Option<u16> {
    request(sidecar.port, "GET", target, &[]).await.unwrap().status()
}

#[tokio::test]
async fn a_real_grpc_service_decides_and_its_death_lets_nothing_through() {
    let (service, port) = (Service::start().await, ports::free());
    let decider = authorizer(port).await;
    let sidecar = Sidecar::start(&service, guarded(port, json!({}))).await;
    assert_eq!(status(&sidecar, "/").await, Some(200));
    let denied = request(sidecar.port, "GET", "/forbidden", &[]).await.unwrap();
    assert_eq!(denied.status(), Some(403));
    assert!(denied.header("proxy-status").unwrap().contains("ext_authz: the service denies the request"));
    let began = Instant::now();
    assert_eq!(status(&sidecar, "/slow").await, Some(403));
    assert!(began.elapsed() < Duration::from_secs(4), "the wait has an end");

    drop(decider);
    let dead = request(sidecar.port, "GET", "/", &[]).await.unwrap();
    assert_eq!(dead.status(), Some(403));
    let reason = dead.header("proxy-status").unwrap();
    assert!(reason.contains("flag=UAEX") && reason.contains("ext_authz: cluster"), "{reason}");
    assert_eq!(service.seen().len(), 1, "the service has seen what was allowed");
    for counted in ["ok: 1", "denied: 1", "error: 2", "failure_mode_allowed: 0"] {
        sidecar.page_holds("/stats", &format!(".ext_authz.{counted}\n")).await;
    }
    // One line for both: a server of gRPC may be the first to see that the time is over.
    sidecar.log_holds("ext_authz: ").await;

    let _decider = authorizer(port).await;
    let back = || async { (status(&sidecar, "/").await == Some(200)).then_some(()) };
    assert!(eventually(LIMIT, back).await.is_some(), "it is asked again when it is back");
}

#[tokio::test]
async fn a_dead_service_lets_through_only_where_the_operator_says_so() {
    let service = Service::start().await;
    let plan = guarded(ports::free(), json!({"failure_mode_allow": true, "failure_mode_allow_header_add": true}));
    let sidecar = Sidecar::start(&service, plan).await;
    let spoofed = "x-envoy-auth-failure-mode-allowed: spoofed";
    assert_eq!(request(sidecar.port, "GET", "/", &[spoofed]).await.unwrap().status(), Some(200));
    assert_eq!(service.seen()[0]["x-envoy-auth-failure-mode-allowed"], "true");
    sidecar.page_holds("/stats", ".ext_authz.failure_mode_allowed: 1\n").await;
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for_for_ever() {
    let (service, port) = (Service::start().await, ports::free());
    let _decider = authorizer(port).await;
    let mut plan = guarded(port, json!({"with_request_body": {"max_request_bytes": 100}}));
    plan.manager["request_timeout"] = json!("0.5s");
    let sidecar = Sidecar::start(&service, plan).await;
    let mut wire = Wire::new(TcpStream::connect(("127.0.0.1", sidecar.port)).await.unwrap());
    wire.send(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\nhalf").await;
    assert_eq!(answer(&mut wire).await.unwrap().status(), Some(408));
    assert!(service.seen().is_empty());
}
