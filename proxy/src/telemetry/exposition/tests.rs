use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::*;
use crate::telemetry::metrics::test::FakeCluster;
use crate::telemetry::metrics::{AccessName, Scope};

/// With some traffic counted. The cluster has to be held.
fn registry() -> (Registry, Arc<FakeCluster>) {
    let registry = Registry::new();
    let shop = FakeCluster::new("shop");
    registry.add_cluster(&shop);
    let cluster = shop.stats();
    cluster.upstream_rq_total.add(5);
    for status in [StatusCode::OK, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        cluster.count_answer(status);
    }
    cluster.upstream_rq_time.record(Duration::from_micros(300));
    cluster.upstream_rq_time.record(Duration::from_millis(7));
    let http = registry.http("ingress");
    http.count_answer(StatusCode::OK);
    http.tracing_random_sampling.inc();
    registry.listener("0.0.0.0:8080").downstream_cx_total.inc();
    registry.server.live.set(1);
    (registry, shop)
}

fn page(format: PageFormat) -> String {
    let (registry, _shop) = registry();
    render(&registry, &Selection { format, ..Selection::default() })
}

/// One sample of a page that was read strictly.
#[derive(Debug)]
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads a page as the format's grammar says, and refuses what it forbids: a name in two places, a type given twice or too
/// late, the same series twice, histograms that do not go up.
fn parse(page: &str) -> Vec<Line> {
    let (mut lines, mut types, mut series, mut current) = (Vec::new(), HashMap::new(), HashSet::new(), String::new());
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            current = name.to_owned();
            continue;
        }
        let parsed = parse_line(line);
        let suffixes: &[&str] = if types[&current] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(suffixes.iter().any(|suffix| parsed.name == format!("{current}{suffix}")), "{line} under {current}");
        assert!(series.insert((parsed.name.clone(), parsed.labels.clone())), "{line} twice");
        lines.push(parsed);
    }
    lines
}

fn parse_line(line: &str) -> Line {
    let (name, rest) = line.split_once('{').unwrap();
    assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{line}");
    assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
    let (mut labels, mut rest) = (Vec::new(), rest);
    while !rest.starts_with('}') {
        let (key, tail) = rest.split_once("=\"").unwrap();
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{line}");
        let (mut value, mut characters) = (String::new(), tail.char_indices());
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    other @ ('\\' | '"') => other,
                    other => panic!("\\{other} in {line}"),
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((key.to_owned(), value));
        rest = &tail[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Line { name: name.to_owned(), labels, value: rest.strip_prefix("} ").unwrap().parse().unwrap() }
}

fn find(lines: &[Line], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits =
        |line: &&Line| line.name == name && labels.iter().all(|(key, value)| line.labels.contains(&((*key).into(), (*value).into())));
    lines.iter().find(fits).unwrap_or_else(|| panic!("no {name} {labels:?}")).value
}

#[test]
fn a_prometheus_page_is_well_formed_and_named_as_envoy_names_it() {
    let lines = parse(&page(PageFormat::Prometheus));
    let shop = ("envoy_cluster_name", "shop");
    assert_eq!(find(&lines, "envoy_cluster_upstream_rq_total", &[shop]), 5.0);
    assert_eq!(find(&lines, "envoy_cluster_upstream_rq_xx", &[shop, ("envoy_response_code_class", "2")]), 2.0);
    assert_eq!(find(&lines, "envoy_cluster_upstream_rq_xx", &[shop, ("envoy_response_code_class", "5")]), 1.0);
    assert_eq!(find(&lines, "envoy_cluster_upstream_rq", &[shop, ("envoy_response_code", "503")]), 1.0);
    let ingress = ("envoy_http_conn_manager_prefix", "ingress");
    assert_eq!(find(&lines, "envoy_http_downstream_rq_xx", &[ingress, ("envoy_response_code_class", "2")]), 1.0);
    assert_eq!(find(&lines, "envoy_http_tracing_random_sampling", &[ingress]), 1.0);
    assert_eq!(find(&lines, "envoy_listener_downstream_cx_total", &[("envoy_listener_address", "0.0.0.0_8080")]), 1.0);
    assert_eq!(find(&lines, "envoy_server_live", &[]), 1.0);
    assert_eq!(find(&lines, "ninon_access_log_dropped", &[]), 0.0);
}

#[test]
fn a_histogram_has_envoys_buckets_in_milliseconds() {
    let page = page(PageFormat::Prometheus);
    let lines = parse(&page);
    let name = "envoy_cluster_upstream_rq_time";
    for (bound, count) in [("0.5", 1.0), ("5", 1.0), ("10", 2.0), ("3600000", 2.0), ("+Inf", 2.0)] {
        assert_eq!(find(&lines, &format!("{name}_bucket"), &[("le", bound)]), count, "{bound}");
    }
    assert_eq!(find(&lines, &format!("{name}_sum"), &[]), 7.3);
    assert_eq!(find(&lines, &format!("{name}_count"), &[]), 2.0);
    assert!(page.contains("\nenvoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"shop\",le=\"0.5\"} 1\n"));
}

#[test]
fn who_came_is_told_in_istios_labels() {
    let registry = Registry::new();
    registry.peer(Some("spiffe://td/ns/shop/sa/web\"x"), Some("spiffe://td/ns/shop/sa/cart")).downstream_rq_total.add(3);
    registry.peer(None, None).downstream_cx_total.inc();
    let page = render(&registry, &Selection { format: PageFormat::Prometheus, ..Selection::default() });
    let lines = parse(&page);
    let [web, cart] = ["spiffe://td/ns/shop/sa/web\"x", "spiffe://td/ns/shop/sa/cart"];
    let labels = [("source_principal", web), ("destination_principal", cart), ("connection_security_policy", "mutual_tls")];
    assert_eq!(find(&lines, "ninon_peer_downstream_rq_total", &labels), 3.0);
    let labels = [("source_principal", "unknown"), ("destination_principal", "unknown"), ("connection_security_policy", "none")];
    assert_eq!(find(&lines, "ninon_peer_downstream_cx_total", &labels), 1.0);
    let text = render(&registry, &Selection::default());
    assert!(text.contains("peer.unknown.unknown.downstream_cx_total: 1\n"), "{text}");
}

#[test]
fn a_name_cannot_break_out_of_its_label() {
    let registry = Registry::new();
    let name = "a\\b\"} 1\nevil{x=\"";
    let cluster = FakeCluster::new(name);
    registry.add_cluster(&cluster);
    cluster.stats().upstream_rq_total.inc();
    let lines = parse(&render(&registry, &Selection { format: PageFormat::Prometheus, ..Selection::default() }));
    assert_eq!(find(&lines, "envoy_cluster_upstream_rq_total", &[("envoy_cluster_name", name)]), 1.0);
}

#[test]
fn the_text_page_lists_names_in_order() {
    let page = page(PageFormat::Text);
    for line in [
        "cluster.shop.upstream_rq_total: 5",
        "cluster.shop.upstream_rq_503: 1",
        "http.ingress.tracing.random_sampling: 1",
        "listener.0.0.0.0_8080.downstream_cx_total: 1",
        "server.live: 1",
        "cluster.shop.upstream_cx_connect_ms: No recorded values",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    let numbers = page.lines().filter(|line| line.ends_with(|c: char| c.is_ascii_digit()));
    let numbers: Vec<&str> = numbers.map(|line| line.split(": ").next().unwrap()).collect();
    assert!(numbers.is_sorted());
}

#[test]
fn only_what_was_asked_for_is_shown() {
    let (registry, _shop) = registry();
    let used = render(&registry, &Selection { used_only: true, ..Selection::default() });
    assert!(used.contains("upstream_rq_total: 5") && !used.contains("upstream_rq_retry"), "{used}");
    let filtered = Selection::default().with_filter("^cluster.*_rq_total$").unwrap();
    assert_eq!(render(&registry, &filtered), "cluster.shop.upstream_rq_total: 5\n");
    let gauges = render(&registry, &Selection { kind: Some(Kind::Gauges), used_only: true, ..Selection::default() });
    assert_eq!(gauges, "server.live: 1\n");
}

#[test]
fn a_filter_that_would_cost_too_much_is_refused() {
    for pattern in ["(", "((a{100}){100}){100}", &"a".repeat(1025)] {
        assert_eq!(Selection::default().with_filter(pattern).unwrap_err(), InvalidFilter);
    }
}

#[test]
fn the_json_page_holds_the_same() {
    let page: serde_json::Value = serde_json::from_str(&page(PageFormat::Json)).unwrap();
    let stats = page["stats"].as_array().unwrap();
    let total = stats.iter().find(|stat| stat["name"] == "cluster.shop.upstream_rq_total").unwrap();
    assert_eq!(total["value"], 5);
    let histograms = &stats.last().unwrap()["histograms"];
    assert_eq!(histograms["supported_quantiles"][2], 50.0);
    let computed = histograms["computed_quantiles"].as_array().unwrap();
    let time = computed.iter().find(|histogram| histogram["name"] == "cluster.shop.upstream_rq_time").unwrap();
    assert_eq!(time["values"].as_array().unwrap().len(), 10);
}

#[test]
fn every_metric_is_explained_to_operators() {
    let page = include_str!("../../../../docs/operations.md");
    let registry = Registry::new();
    let cluster = FakeCluster::new("x");
    registry.add_cluster(&cluster);
    cluster.stats().upstream_cx_total.inc();
    let (part, shadow_part) = (String::new(), String::new());
    let access = registry.access(&AccessName { scope: Scope::HttpAccess, instance: "x".to_owned(), part, shadow_part });
    let _held = (registry.http("x"), registry.listener("x"), registry.tcp("x"), access, registry.peer(Some("x"), Some("y")));
    registry.dns.get_or_init(Arc::default);
    let mut explained = 0;
    registry.visit(|sample| {
        let start = if sample.instance.is_empty() {
            format!("### `{}.*`", sample.scope.prefix())
        } else if sample.scope.kind().is_empty() {
            format!("### `{}.<", sample.scope.prefix())
        } else {
            format!("### `{}.<stat_prefix>.{}.", sample.scope.prefix(), sample.scope.kind())
        };
        let part = page.split(&start).nth(1).unwrap_or_default().split("###").next().unwrap_or_default();
        assert!(part.contains(&format!("| `{}` |", sample.name)), "{} {}", sample.scope.prefix(), sample.name);
        explained += 1;
    });
    let rows = page
        .lines()
        .filter(|line| [" | counter |", " | counters |", " | gauge |", " | histogram |"].iter().any(|kind| line.contains(kind)));
    assert_eq!(explained, rows.count(), "nothing is explained that is not there");
}
