//! What happens to fields of the bootstrap file that Ninon does not act on, and to those that it does not know.

use xds_proto::envoy::config::bootstrap::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::bootstrap::{StatsEviction, StatsFlush};
use xds_proto::unknown::{Unknown, UnknownKind};

use crate::xds::invalid::Parser;

/// Fields below which everything decides who may do what: there, a field that is not known refuses the file.
const DECISIVE: [&str; 10] = [
    "transport_socket",
    "transport_socket_matches",
    "filter_chain_match",
    "listener_filters",
    "http_filters",
    "typed_per_filter_config",
    "internal_address_config",
    "match",
    "secrets",
    "allow_paths",
];

/// Decides about each finding: a fault, or a warning. An `Any` that its parser has already spoken of is left to it.
pub(super) fn apply(unknown: &[Unknown], strict: bool, parser: &mut Parser) {
    for finding in unknown {
        let problem = match &finding.kind {
            UnknownKind::Field { nearest: None } => "no such field".to_owned(),
            UnknownKind::Field { nearest: Some(nearest) } => format!("no such field; did you mean {nearest}?"),
            UnknownKind::Number { number, message } => format!("field {number} of {message} is not known"),
            UnknownKind::AnyType { .. } if parser.has_spoken_of(&finding.path) => continue,
            UnknownKind::AnyType { type_url } => format!("type {type_url:?} is not available"),
        };
        let is_type = matches!(finding.kind, UnknownKind::AnyType { .. });
        if strict || is_type || is_decisive(&finding.path) {
            parser.refuse_below(&finding.path, problem);
        } else {
            parser.warn_below(&finding.path, format_args!("ignored: {problem}"));
        }
    }
}

fn is_decisive(path: &str) -> bool {
    let steps = path.split('.').map(|step| step.split('[').next().unwrap_or(step));
    steps.into_iter().any(|step| DECISIVE.contains(&step))
}

/// Fields whose effect cannot be left out.
pub(super) fn refuse_unsupported(bootstrap: &wire::Bootstrap, parser: &mut Parser) {
    if bootstrap.dynamic_resources.is_some() {
        let problem = "not supported yet: write listeners and clusters in static_resources";
        parser.refuse_at::<()>("dynamic_resources", problem);
    }
    parser.unsupported("default_config_source", bootstrap.default_config_source.is_some());
    parser.unsupported("header_prefix", !matches!(bootstrap.header_prefix.as_str(), "" | "x-envoy"));
    if bootstrap.tracing.is_some() {
        parser.refuse_at::<()>("tracing", "not supported: use tracing.provider of the connection manager");
    }
    if let Some(manager) = &bootstrap.cluster_manager {
        parser.at("cluster_manager", |parser| {
            parser.unsupported("upstream_bind_config", manager.upstream_bind_config.is_some());
        });
    }
}

/// Fields that can be left out, and what is different then.
pub(super) fn tell_ignored(bootstrap: &wire::Bootstrap, parser: &mut Parser) {
    let metrics = "metrics are read from /stats/prometheus";
    parser.ignored("stats_sinks", !bootstrap.stats_sinks.is_empty(), metrics);
    parser.ignored("stats_config", bootstrap.stats_config.is_some(), "metrics have fixed names and buckets");
    parser.ignored("stats_flush_interval", bootstrap.stats_flush_interval.is_some(), metrics);
    let on_admin = matches!(bootstrap.stats_flush, Some(StatsFlush::StatsFlushOnAdmin(true)));
    parser.ignored("stats_flush_on_admin", on_admin, metrics);
    let eviction = matches!(bootstrap.stats_eviction, Some(StatsEviction::StatsEvictionInterval(_)));
    parser.ignored("stats_eviction_interval", eviction, "series are bounded");
    let version = bootstrap.stats_server_version_override.is_some();
    parser.ignored("stats_server_version_override", version, "the version shown is Ninon's");
    parser.ignored("node_context_params", !bootstrap.node_context_params.is_empty(), "resources are asked for by name");
    parser.ignored("flags_path", !bootstrap.flags_path.is_empty(), "there are no flag files");
    parser.ignored("enable_dispatcher_stats", bootstrap.enable_dispatcher_stats, "there are no dispatchers");
    let log = bootstrap.application_log_config.is_some();
    parser.ignored("application_log_config", log, "Ninon's own log has one format");
    parser.ignored("enable_worker_cpu_affinity", bootstrap.enable_worker_cpu_affinity, "the system places the threads");
    let Some(manager) = &bootstrap.cluster_manager else { return };
    parser.at("cluster_manager", |parser| {
        let zones = !manager.local_cluster_name.is_empty();
        parser.ignored("local_cluster_name", zones, "balancing does not look at zones");
        parser.ignored("outlier_detection", manager.outlier_detection.is_some(), "ejections are not logged to a file");
        parser.ignored("load_stats_config", manager.load_stats_config.is_some(), "load is not reported");
    });
}
