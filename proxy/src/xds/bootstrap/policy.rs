//! What happens to fields of the bootstrap file that Ninon does not act on.

use xds_proto::envoy::config::bootstrap::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::bootstrap::{StatsEviction, StatsFlush};

use crate::xds::invalid::Parser;

/// Fields whose effect cannot be left out.
pub(super) fn refuse_unsupported(bootstrap: &wire::Bootstrap, parser: &mut Parser) {
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
