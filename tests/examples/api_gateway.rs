//! `examples/api-gateway`, tried with curl, and the demo that shows it.

use ninon_tests::example::{Answer, Example, folder};
use ninon_tests::settings;
use std::process::Command;

async fn api_gateway() -> Example {
    let services = [("catalog", 9001), ("catalog", 9002), ("catalog-next", 9003), ("orders", 9004), ("reports", 9005)];
    Example::new("api-gateway").services(&services).await.start().await
}

fn explained(answer: &Answer, error: &str, flag: &str) -> bool {
    let why = answer.header("proxy-status").unwrap_or_default();
    why.contains(&format!("error={error};")) && why.contains(&format!("flag={flag};"))
}

#[tokio::test]
async fn paths_hosts_and_headers_are_rewritten() {
    let example = api_gateway().await;
    let answer = example.curl(&["/catalog/3?x=1"]);
    assert_eq!(answer.seen()["path"], "/items/3?x=1");
    assert_eq!(answer.seen()["x-gateway"], "ninon-example");
    let servers = [9001, 9002].map(|port| example.address(port));
    assert!(servers.iter().any(|server| answer.header("x-served-by") == Some(server)), "{answer:?}");
    assert_eq!((answer.header("x-powered-by"), answer.header("x-content-type-options")), (None, Some("nosniff")));

    let seen = example.curl(&["/v1/orders/42/lines", "-b", "session=secret"]).seen();
    assert_eq!((seen["path"].as_str(), seen["host"].as_str()), (Some("/orders?id=42&part=lines"), Some("orders.internal")));
    assert!(seen["cookie"].is_null(), "{seen}");
}

#[tokio::test]
async fn a_header_chooses_the_next_release() {
    let example = api_gateway().await;
    assert_eq!(example.curl(&["/catalog/3", "-H", "x-canary: true"]).seen()["service"], "catalog-next");
    assert_eq!(example.curl(&["/catalog/3", "-H", "x-canary: false"]).seen()["service"], "catalog");
}

#[tokio::test]
async fn the_gateway_answers_by_itself() {
    let example = api_gateway().await;
    assert_eq!(example.curl(&["/healthz"]).body, "the gateway is up\n");
    assert_eq!(example.curl(&["/internal/keys"]).status(), 403);
    assert_eq!(example.curl(&["/catalog/../internal", "--path-as-is"]).status(), 403);
    assert_eq!(example.curl(&["/catalog%2f..%2finternal"]).status(), 400);

    let moved = example.curl(&["/shop/3?x=1"]);
    let location = format!("http://{}/catalog/3?x=1", example.address(8080));
    assert_eq!((moved.status(), moved.header("location")), (301, Some(location.as_str())));
    let followed = example.curl(&["/help"]);
    assert_eq!((followed.status(), followed.header("location")), (302, Some("https://handbook.example/start")));
}

#[tokio::test]
async fn a_service_that_fails_twice_is_asked_three_times() {
    let example = api_gateway().await;
    assert_eq!(example.curl(&["/reports/today"]).seen()["service"], "reports");
    let line = example.log_line(&["\"path\":\"/reports/today\""]).await;
    assert!(line.contains("\"attempts\":3") && line.contains("\"status\":200"), "{line}");
    // Only GET is known to be safe to repeat, and only it has a route.
    assert_eq!(example.curl(&["/reports/today", "-X", "POST"]).status(), 404);
}

#[tokio::test]
async fn failures_explain_themselves() {
    let example = api_gateway().await;
    let refused = example.curl(&["/payments/1"]);
    assert!(refused.status() == 503 && explained(&refused, "connection_refused", "UF"), "{refused:?}");
    let late = example.curl(&["/slow"]);
    assert!(late.status() == 504 && explained(&late, "http_response_timeout", "UT"), "{late:?}");
    let nowhere = example.curl(&["/nothing"]);
    assert!(nowhere.status() == 404 && explained(&nowhere, "destination_not_found", "NR"), "{nowhere:?}");
    let line = example.log_line(&["\"path\":\"/payments/1\""]).await;
    assert!(line.contains("\"flags\":\"UF\"") && line.contains("\"cluster\":\"payments\""), "{line}");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let example = api_gateway().await;
    assert_eq!(example.curl(&["/reports/today"]).status(), 200);
    assert_eq!(example.curl(&["/payments/1"]).status(), 503);
    let page = example.admin("/stats/prometheus").body;
    for line in [
        "envoy_cluster_upstream_rq_retry{envoy_cluster_name=\"reports\"} 2",
        "envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name=\"payments\"} 1",
        "envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=\"gateway\"} 2",
    ] {
        assert!(page.lines().any(|known| known == line), "no line {line} in\n{page}");
    }
}

#[test]
fn the_demo_runs_to_its_end_and_leaves_nothing_behind() {
    let mut demo = Command::new("python3");
    demo.arg(folder("api-gateway/demo.py")).arg(settings::ninon_binary()).env_remove("KEEP");
    let output = demo.output().expect("python3 is installed");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("Every answer was as expected"), "{told}");
}
