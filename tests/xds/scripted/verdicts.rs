use std::fmt::Write as _;

use ninon_tests::control_plane::{ControlPlane, Dialect};
use ninon_tests::envoy;
use ninon_tests::ports;
use prost::Message as _;
use serde_json::{Value, json};
use xds_proto::envoy::config::cluster::v3::Cluster;

use super::world::{CLUSTER, ENDPOINTS, LISTENER, ROUTES, Services, Sidecar, cluster, endpoints, listener, routes, set_up, static_cluster};

/// Who takes a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Both,
    Nobody,
    /// Ninon refuses what it could not honour; the reason.
    Envoy(&'static str),
    /// Envoy refuses; the reason to take it.
    Ninon(&'static str),
}
use Taken::{Both, Envoy, Ninon, Nobody};

type Probe = (&'static str, &'static str, Taken);

/// One field of a good resource, what it is set to, and who takes that.
const CLUSTERS: &[Probe] = &[
    ("/alt_stat_name", r#""other""#, Both),
    ("/name", r#""""#, Nobody),
    ("/connect_timeout", r#""-1s""#, Nobody),
    ("/connect_timeout", r#""0s""#, Nobody),
    ("/lb_policy", "77", Nobody),
    ("/lb_policy", r#""RING_HASH""#, Envoy("balancing by hash is not there yet")),
    ("/lb_policy", r#""MAGLEV""#, Envoy("balancing by hash is not there yet")),
    ("/type", r#""LOGICAL_DNS""#, Both),
    ("/type", r#""EDS""#, Nobody),
    ("/load_assignment/cluster_name", r#""another""#, Both),
    ("/load_assignment/endpoints", "[]", Both),
    ("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value", "70000", Nobody),
    ("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address", r#""localhost""#, Nobody),
    (
        "/transport_socket",
        r#"{"name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}}"#,
        Nobody,
    ),
    ("/circuit_breakers", r#"{"thresholds": [{"max_requests": 0}]}"#, Both),
    ("/outlier_detection", r#"{"consecutive_5xx": 3}"#, Both),
    ("/health_checks", r#"[{"tcp_health_check": {}}]"#, Ninon("health checks have no effect, and are not read")),
    ("/filters", r#"[{"name": "x"}]"#, Nobody),
];

const LISTENERS: &[Probe] = &[
    ("/stat_prefix", r#""other""#, Both),
    ("/filter_chains", "[]", Nobody),
    ("/filter_chains/0/filters/0/typed_config/stat_prefix", r#""""#, Nobody),
    ("/filter_chains/0/filters/0/typed_config/http_filters", "[]", Envoy("a chain without a router answers nothing")),
    ("/filter_chains/0/filters/0/typed_config/codec_type", "99", Nobody),
    ("/filter_chains/0/filters/0/typed_config/delayed_close_timeout", r#""-1s""#, Nobody),
    ("/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/@type", r#""type.googleapis.com/google.protobuf.Empty""#, Nobody),
    ("/filter_chains/0/filters/0/typed_config/rds/route_config_name", r#""""#, Envoy("no routes have no name")),
    ("/filter_chains/0/filters/0/typed_config/rds/config_source", "{}", Nobody),
    ("/filter_chains/0/filters", "[]", Envoy("it closes what it accepts")),
    ("/filter_chains/0/filters/0/name", r#""""#, Nobody),
    (
        "/filter_chains/0/filter_chain_match",
        r#"{"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 99}]}"#,
        Envoy("a range that is none matches what nobody meant"),
    ),
    ("/filter_chains/0/filter_chain_match", r#"{"server_names": ["*w.example"]}"#, Nobody),
    ("/address", "{}", Nobody),
    ("/address/socket_address/address", r#""localhost""#, Nobody),
    ("/address/socket_address/port_value", "0", Both),
    ("/listener_filters", r#"[{"name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Empty"}}]"#, Nobody),
    ("/listener_filters_timeout", r#""-1s""#, Nobody),
    ("/connection_balance_config", r#"{"exact_balance": {}}"#, Both),
];

const TABLES: &[Probe] = &[
    ("/virtual_hosts", "[]", Both),
    ("/virtual_hosts/0/domains", "[]", Nobody),
    ("/virtual_hosts/0/domains", r#"["*", "*"]"#, Nobody),
    ("/virtual_hosts/0/domains", r#"["a.*.b"]"#, Both),
    ("/virtual_hosts/0/domains", r#"[""]"#, Both),
    ("/virtual_hosts/0/name", r#""""#, Nobody),
    ("/virtual_hosts/0/routes", "[]", Both),
    ("/virtual_hosts/0/routes/0/match", "{}", Nobody),
    ("/virtual_hosts/0/routes/0/match", r#"{"safe_regex": {"regex": "("}}"#, Nobody),
    ("/virtual_hosts/0/routes/0/match", r#"{"safe_regex": {"regex": ""}}"#, Nobody),
    ("/virtual_hosts/0/routes/0/match", r#"{"prefix": "/", "headers": [{"name": ""}]}"#, Nobody),
    ("/virtual_hosts/0/routes/0/route", r#"{"cluster": "of-nobody"}"#, Both),
    ("/virtual_hosts/0/routes/0/route", r#"{"cluster": ""}"#, Nobody),
    ("/virtual_hosts/0/routes/0/route", "{}", Nobody),
    ("/virtual_hosts/0/routes/0/route", r#"{"weighted_clusters": {"clusters": [{"name": "web", "weight": 0}]}}"#, Nobody),
    (
        "/virtual_hosts/0/routes/0/route",
        r#"{"weighted_clusters": {"clusters": [{"name": "web", "weight": 4294967295}, {"name": "web", "weight": 1}]}}"#,
        Nobody,
    ),
    ("/virtual_hosts/0/routes/0/route/timeout", r#""-1s""#, Nobody),
    ("/virtual_hosts/0/routes/0/route/prefix_rewrite", r#""/other""#, Both),
    ("/virtual_hosts/0/routes/0/route/retry_policy", r#"{"retry_on": "nonsense"}"#, Both),
    ("/virtual_hosts/0/routes/0/route/retry_policy", r#"{"retry_back_off": {"base_interval": "0s"}}"#, Nobody),
    ("/virtual_hosts/0/routes/0/request_headers_to_add", r#"[{"header": {"key": ":path", "value": "x"}}]"#, Nobody),
    ("/virtual_hosts/0/routes/0/request_headers_to_add", r#"[{"header": {"key": "x", "value": "%NOTHING%"}}]"#, Nobody),
    ("/virtual_hosts/0/routes/0/request_headers_to_add", r#"[{"header": {"key": "x y", "value": "x"}}]"#, Envoy("it cannot be sent")),
    ("/virtual_hosts/0/request_headers_to_remove", r#"["host"]"#, Nobody),
    ("/virtual_hosts/0/require_tls", "9", Nobody),
    ("/virtual_hosts/0/typed_per_filter_config", r#"{"x": {"@type": "type.googleapis.com/google.protobuf.Empty"}}"#, Nobody),
];

const ASSIGNMENTS: &[Probe] = &[
    ("/endpoints", "[]", Both),
    ("/endpoints/0/lb_endpoints", "[]", Both),
    ("/endpoints/0/priority", "1", Both),
    ("/endpoints/0/priority", "200", Nobody),
    ("/endpoints/0/load_balancing_weight", "0", Nobody),
    ("/endpoints/0/lb_endpoints/0/load_balancing_weight", "0", Nobody),
    ("/endpoints/0/lb_endpoints/0/health_status", "99", Envoy("a state that is not known may be one that takes no requests")),
    ("/endpoints/0/lb_endpoints/0/health_status", r#""UNHEALTHY""#, Both),
    ("/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address", r#""localhost""#, Nobody),
    ("/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value", "70000", Nobody),
    ("/endpoints/0/lb_endpoints/0/endpoint/address", r#"{"pipe": {"path": "/tmp/x"}}"#, Both),
    ("/endpoints/0/lb_endpoints/0/endpoint", "{}", Nobody),
    ("/policy", r#"{"overprovisioning_factor": 0}"#, Nobody),
    ("/policy", r#"{"endpoint_stale_after": "-1s"}"#, Ninon("it has no effect, and is not read")),
    ("/policy", r#"{"drop_overloads": [{"category": "x", "drop_percentage": {"numerator": 50}}]}"#, Both),
];

/// Sets a field, and the objects on the way to it.
fn set(resource: &mut Value, path: &str, text: &str) {
    let mut place = resource;
    for step in path.trim_start_matches('/').split('/') {
        place = match step.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[step],
        };
    }
    *place = serde_json::from_str(text).unwrap();
}

/// A proxy under its own control plane, and what it says to resources.
struct Judge {
    control_plane: ControlPlane,
    proxy: Sidecar,
    count: u32,
}

impl Judge {
    async fn start(start: impl FnOnce(&ControlPlane) -> Sidecar, service: u16) -> Self {
        let control_plane = ControlPlane::new(Dialect::Sotw);
        let proxy = start(&control_plane);
        set_up(&control_plane, &proxy, service).await;
        Self { control_plane, proxy, count: 0 }
    }

    /// Why it is refused.
    async fn verdict(&mut self, type_url: &str, resources: &[Value]) -> Option<String> {
        self.count += 1;
        self.control_plane.forget();
        let nonce = self.control_plane.send(type_url, &self.count.to_string(), resources);
        self.control_plane.reply(&nonce).await.error().map(str::to_owned)
    }

    async fn judge(&mut self, type_url: &str, base: &[Value], probe: &(&str, &str)) -> Option<String> {
        let mut resources = base.to_vec();
        let last = resources.last_mut().unwrap();
        if last["address"].is_object() {
            last["address"]["socket_address"]["port_value"] = json!(ports::free());
        }
        set(last, probe.0, probe.1);
        let verdict = self.verdict(type_url, &resources).await;
        let good = if base.len() > 1 { &base[..base.len() - 1] } else { base };
        assert_eq!(self.verdict(type_url, good).await, None, "the good one again, after {probe:?}");
        verdict
    }
}

#[tokio::test]
async fn envoy_refuses_what_is_refused_here() {
    let services = Services::start(&["web"]).await;
    let service = services.port("web");
    let mut ninon = Judge::start(Sidecar::start, service).await;
    let mut envoy = Judge::start(|control_plane| Sidecar::start_as(control_plane, envoy::command), service).await;
    let first = |judge: &Judge| listener("in", judge.proxy.port, "table");
    let mut wrong = String::new();
    for (type_url, probes) in [(CLUSTER, CLUSTERS), (ENDPOINTS, ASSIGNMENTS), (LISTENER, LISTENERS), (ROUTES, TABLES)] {
        let base = |judge: &Judge| match type_url {
            CLUSTER => vec![cluster("web"), static_cluster("probe", 1)],
            LISTENER => vec![first(judge), listener("probe", 1, "table")],
            ENDPOINTS => vec![endpoints("web", &[service])],
            _ => vec![routes("table", "web")],
        };
        for (path, text, expected) in probes {
            let probe = (*path, *text);
            let ours = ninon.judge(type_url, &base(&ninon), &probe).await;
            let theirs = envoy.judge(type_url, &base(&envoy), &probe).await;
            let fits = match expected {
                Both => ours.is_none() && theirs.is_none(),
                Nobody => ours.is_some() && theirs.is_some(),
                Envoy(_) => ours.is_some() && theirs.is_none(),
                Ninon(_) => ours.is_none() && theirs.is_some(),
            };
            if !fits {
                let _ = writeln!(wrong, "{probe:?} is to be taken {expected:?}\n  Ninon: {ours:?}\n  Envoy: {theirs:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for judge in [&mut ninon, &mut envoy] {
        let twice = [first(judge), listener("probe", judge.proxy.port, "table")];
        assert!(judge.verdict(LISTENER, &twice).await.is_some(), "two listeners of one address");
    }
    // A field of a later day: servers may know more than proxies.
    for judge in [&mut ninon, &mut envoy] {
        assert_eq!(judge.verdict(CLUSTER, &[cluster("web"), of_a_later_day()]).await, None);
    }
}

/// A cluster with a field that nobody knows.
fn of_a_later_day() -> Value {
    let known = Cluster { name: "later".to_owned(), ..Cluster::default() };
    let unknown = [&known.encode_to_vec()[..], &[0xb8, 0x3e, 1]].concat();
    let hex: String = unknown.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "@type": CLUSTER, "name": "later", "@bytes": hex })
}
