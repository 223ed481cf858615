use prost_types::Timestamp;
use xds_proto::any;
use xds_proto::envoy::admin::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use xds_proto::envoy::config::listener::v3::filter::ConfigType;
use xds_proto::envoy::config::listener::v3::{Filter, Listener};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;

pub(super) fn clusters(resources: &StaticResources, loaded: Timestamp) -> wire::ClustersConfigDump {
    let clusters = resources.clusters.iter();
    let clusters =
        clusters.map(|cluster| wire::clusters_config_dump::StaticCluster { cluster: Some(any::pack(cluster)), last_updated: Some(loaded) });
    wire::ClustersConfigDump { static_clusters: clusters.collect(), ..Default::default() }
}

pub(super) fn endpoints(resources: &StaticResources, loaded: Timestamp) -> wire::EndpointsConfigDump {
    let assignments = resources.clusters.iter().filter_map(|cluster| cluster.load_assignment.as_ref());
    let endpoints = assignments.map(|assignment| wire::endpoints_config_dump::StaticEndpointConfig {
        endpoint_config: Some(any::pack(assignment)),
        last_updated: Some(loaded),
    });
    wire::EndpointsConfigDump { static_endpoint_configs: endpoints.collect(), ..Default::default() }
}

pub(super) fn listeners(resources: &StaticResources, loaded: Timestamp) -> wire::ListenersConfigDump {
    let listeners = resources.listeners.iter();
    let listeners = listeners
        .map(|listener| wire::listeners_config_dump::StaticListener { listener: Some(any::pack(listener)), last_updated: Some(loaded) });
    wire::ListenersConfigDump { static_listeners: listeners.collect(), ..Default::default() }
}

/// Route tables that stand within a listener.
pub(super) fn routes(resources: &StaticResources, loaded: Timestamp) -> wire::RoutesConfigDump {
    let filters = resources.listeners.iter().flat_map(filters);
    let tables = filters.filter_map(|filter| match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => match any::unpack::<HttpConnectionManager>(config).ok()?.route_specifier? {
            RouteSpecifier::RouteConfig(table) => Some(table),
            RouteSpecifier::Rds(_) | RouteSpecifier::ScopedRoutes(_) => None,
        },
        _ => None,
    });
    let tables = tables
        .map(|table| wire::routes_config_dump::StaticRouteConfig { route_config: Some(any::pack(&table)), last_updated: Some(loaded) });
    wire::RoutesConfigDump { static_route_configs: tables.collect(), ..Default::default() }
}

fn filters(listener: &Listener) -> impl Iterator<Item = &Filter> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    chains.flat_map(|chain| &chain.filters)
}

pub(super) fn secrets(resources: &StaticResources, loaded: Timestamp) -> wire::SecretsConfigDump {
    let secrets = resources.secrets.iter().map(|secret| wire::secrets_config_dump::StaticSecret {
        name: secret.name.clone(),
        secret: Some(any::pack(secret)),
        last_updated: Some(loaded),
    });
    wire::SecretsConfigDump { static_secrets: secrets.collect(), ..Default::default() }
}
