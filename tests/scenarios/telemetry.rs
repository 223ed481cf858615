use std::process::Command;

use http::HeaderMap;
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::{ports, settings};
use serde_json::{Value, json};

use crate::world::{LIMIT, Plan, Service, Sidecar, cluster, request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A collector process and what it received.
struct Collector {
    process: Process,
    port: u16,
}

impl Collector {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With TLS, where there is a certificate and its key.
    async fn start_with(tls: Option<(&str, &str)>) -> Self {
        let (folder, port) = (Folder::new(), ports::free());
        let mut command = Command::new(settings::clients_python());
        command.arg(settings::tests_dir().join("scenarios/collector.py")).arg(port.to_string()).arg(folder.path().join("spans"));
        for (name, pem) in tls.into_iter().flat_map(|(certificate, key)| [("certificate", certificate), ("key", key)]) {
            let file = folder.path().join(name);
            std::fs::write(&file, pem).unwrap();
            command.arg(file);
        }
        let process = Process::start(command, folder).unwrap();
        let listens = || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() };
        let listens = eventually(LIMIT, listens).await;
        assert!(listens.is_some(), "no collector; opentelemetry-proto and grpcio are needed:\n{}", process.log());
        Self { process, port }
    }

    fn spans(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.process.folder().join("spans")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until so many are there.
    async fn received(&self, count: usize) -> Vec<Value> {
        let enough = || async { Some(self.spans()).filter(|spans| spans.len() >= count) };
        eventually(LIMIT, enough).await.unwrap_or_else(|| panic!("{count} spans are expected: {:?}", self.spans()))
    }
}

/// A sidecar that exports to the collector on `port`, with a span for each attempt.
fn traced(port: u16, over: Value) -> Plan {
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    let mut collector = cluster("collector", port);
    collector["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2 });
    let mut tracing = json!({
        "spawn_upstream_span": true,
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": { "envoy_grpc": { "cluster_name": "collector" } },
                "service_name": "shop-sidecar",
            },
        },
    });
    for (name, value) in over.as_object().unwrap() {
        tracing[name] = value.clone();
    }
    Plan { manager: json!({ "tracing": tracing }), clusters: vec![collector], ..Plan::default() }
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn find(spans: &[Value], kind: i64) -> &Value {
    spans.iter().find(|span| span["kind"] == kind).unwrap_or_else(|| panic!("no span of kind {kind}: {spans:?}"))
}

/// `SpanKind` of OTLP.
const SERVER: i64 = 2;
const CLIENT: i64 = 3;

#[tokio::test]
async fn a_trace_is_continued_from_the_caller_to_the_service_and_the_collector() {
    let (service, collector) = (Service::start().await, Collector::start().await);
    let sidecar = Sidecar::start(&service, traced(collector.port, json!({}))).await;
    let traceparent = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    let answer = request(sidecar.port, "GET", "/fail-once?q=1", &[&traceparent, "tracestate: other=1"]).await.unwrap();
    assert_eq!(answer.status(), Some(200));

    let spans = collector.received(3).await;
    let server = find(&spans, SERVER);
    let tries: Vec<_> = spans.iter().filter(|span| span["kind"] == CLIENT).collect();
    assert_eq!((tries.len(), spans.len()), (2, 3), "one for each attempt, one for the request");
    assert!(spans.iter().all(|span| span["trace_id"] == TRACE && span["resource"]["service.name"] == "shop-sidecar"));
    assert_eq!(server["parent"], CALLER);
    assert!(tries.iter().all(|span| span["parent"] == server["span_id"]));
    assert_eq!((&tries[0]["error"], &tries[1]["error"], &server["error"]), (&json!(true), &json!(false), &json!(false)));
    assert_eq!(tries[1]["attributes"]["http.request.resend_count"], 1);
    assert_eq!(server["attributes"]["http.request.method"], "GET");
    assert_eq!(server["attributes"]["url.path"], "/fail-once");
    assert_eq!(server["attributes"]["http.response.status_code"], 200);
    assert_eq!(server["attributes"]["upstream_cluster"], "service");
    assert!(spans.iter().all(|span| span["nanos"].as_i64().unwrap() > 0));

    let seen = service.seen();
    for (headers, span) in seen.iter().zip(&tries) {
        assert_eq!(field(headers, "traceparent"), format!("00-{TRACE}-{}-01", span["span_id"].as_str().unwrap()));
        assert_eq!(field(headers, "tracestate"), "other=1");
        assert!(!headers.contains_key("b3") && !headers.contains_key("x-b3-traceid"), "not spoken by the caller");
    }
    sidecar.page_holds("/stats", "ninon.trace.spans_exported: 3\n").await;
    let log = sidecar.process.folder().join("access.log");
    let logged = || async { std::fs::read_to_string(&log).unwrap_or_default().contains(TRACE).then_some(()) };
    assert!(eventually(LIMIT, logged).await.is_some(), "the trace's identifier is in the access log");
}

#[tokio::test]
async fn spans_go_through_the_cluster_with_its_tls() {
    let service = Service::start().await;
    let signed = rcgen::generate_simple_self_signed(["collector.test".to_owned()]).unwrap();
    let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let collector = Collector::start_with(Some((&certificate, &key))).await;
    let mut plan = traced(collector.port, json!({}));
    plan.clusters[0]["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "collector.test",
            "common_tls_context": { "validation_context": {
                "trusted_ca": { "inline_string": certificate },
                "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": "collector.test" } }],
            } },
        },
    });
    let sidecar = Sidecar::start(&service, plan).await;
    assert_eq!(request(sidecar.port, "GET", "/", &[]).await.unwrap().status(), Some(200));
    assert_eq!(collector.received(2).await.len(), 2);
    sidecar.page_holds("/stats", "cluster.collector.upstream_cx_total: 1\n").await;
    sidecar.page_holds("/stats", "cluster.collector.upstream_cx_active: 1\n").await;
}

#[tokio::test]
async fn b3_is_continued_in_the_form_it_came_in() {
    let (service, collector) = (Service::start().await, Collector::start().await);
    let sidecar = Sidecar::start(&service, traced(collector.port, json!({}))).await;
    request(sidecar.port, "GET", "/", &[&format!("b3: {TRACE}-{CALLER}-1")]).await.unwrap();
    let several = [format!("x-b3-traceid: {TRACE}"), format!("x-b3-spanid: {CALLER}"), "x-b3-sampled: 1".to_owned()];
    let several: Vec<&str> = several.iter().map(String::as_str).collect();
    request(sidecar.port, "GET", "/", &several).await.unwrap();
    let spans = collector.received(4).await;
    assert!(spans.iter().all(|span| span["trace_id"] == TRACE));
    assert_eq!(spans.iter().filter(|span| span["parent"] == CALLER).count(), 2);
    let seen = service.seen();
    assert!(field(&seen[0], "b3").starts_with(&format!("{TRACE}-")) && !seen[0].contains_key("x-b3-traceid"), "{:?}", seen[0]);
    assert_eq!((field(&seen[1], "x-b3-traceid"), field(&seen[1], "x-b3-sampled")), (TRACE, "1"));
    assert!(!seen[1].contains_key("b3") && field(&seen[1], "x-b3-spanid") != CALLER);
    assert!(seen.iter().all(|headers| field(headers, "traceparent").contains(TRACE)), "the standard is always written");
}

#[tokio::test]
async fn what_is_not_sampled_is_passed_on_and_not_exported() {
    let (service, collector) = (Service::start().await, Collector::start().await);
    let sidecar = Sidecar::start(&service, traced(collector.port, json!({ "random_sampling": { "value": 0 } }))).await;
    request(sidecar.port, "GET", "/", &[&format!("traceparent: 00-{TRACE}-{CALLER}-00")]).await.unwrap();
    request(sidecar.port, "GET", "/", &[]).await.unwrap();
    // The last one is exported: what was to come before it would be there, too.
    request(sidecar.port, "GET", "/", &[&format!("traceparent: 00-{TRACE}-{CALLER}-01")]).await.unwrap();
    let spans = collector.received(2).await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span["trace_id"] == TRACE));
    let seen = service.seen();
    let said: Vec<_> = seen.iter().map(|headers| field(headers, "traceparent")).collect();
    assert!(said[0].contains(TRACE) && said[0].ends_with("-00"), "{said:?}");
    assert!(said[1].len() == 55 && !said[1].contains(TRACE) && said[1].ends_with("-00"), "{said:?}");
    sidecar.page_holds("/stats", "http.ingress.tracing.not_traceable: 3\n").await;
}

#[tokio::test]
async fn without_tracing_fields_pass_untouched() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, Plan::default()).await;
    let traceparent = format!("00-{TRACE}-{CALLER}-01");
    request(sidecar.port, "GET", "/", &[&format!("traceparent: {traceparent}"), "b3: 0", "tracestate: bad state"]).await.unwrap();
    request(sidecar.port, "GET", "/", &[]).await.unwrap();
    let seen = service.seen();
    assert_eq!((field(&seen[0], "traceparent"), field(&seen[0], "b3"), field(&seen[0], "tracestate")), (&*traceparent, "0", "bad state"));
    assert!(!seen[1].contains_key("traceparent"));
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_requests() {
    let service = Service::start().await;
    let sidecar = Sidecar::start(&service, traced(ports::free(), json!({}))).await;
    for _ in 0..20 {
        assert_eq!(request(sidecar.port, "GET", "/", &[]).await.unwrap().status(), Some(200));
    }
    sidecar.page_holds("/stats", "ninon.trace.spans_dropped: 40\n").await;
    sidecar.log_holds("the collector cannot be reached").await;
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end() {
    let (service, collector) = (Service::start().await, Collector::start().await);
    let mut sidecar = Sidecar::start(&service, traced(collector.port, json!({}))).await;
    assert_eq!(request(sidecar.port, "GET", "/", &[]).await.unwrap().status(), Some(200));
    sidecar.signal("TERM");
    assert_eq!(sidecar.process.ended(LIMIT).await.expect("it ends").code(), Some(0));
    assert_eq!(collector.spans().len(), 2);
}
