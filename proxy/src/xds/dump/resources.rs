use prost_types::Timestamp;
use xds_proto::any;
use xds_proto::envoy::admin::v3 as wire;
use xds_proto::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use xds_proto::envoy::config::listener::v3::filter::ConfigType;
use xds_proto::envoy::config::listener::v3::{Filter, Listener};
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::ConfigSpecifier;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpConnectionManager, ScopedRoutes};

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
    let tables = specifiers(resources).filter_map(|specifier| match specifier {
        RouteSpecifier::RouteConfig(table) => Some(table),
        RouteSpecifier::Rds(_) | RouteSpecifier::ScopedRoutes(_) => None,
    });
    let tables = tables
        .map(|table| wire::routes_config_dump::StaticRouteConfig { route_config: Some(any::pack(&table)), last_updated: Some(loaded) });
    wire::RoutesConfigDump { static_route_configs: tables.collect(), ..Default::default() }
}

/// Scopes that stand within a listener.
pub(super) fn scopes(resources: &StaticResources, loaded: Timestamp) -> wire::ScopedRoutesConfigDump {
    let lists = specifiers(resources).filter_map(|specifier| match specifier {
        RouteSpecifier::ScopedRoutes(ScopedRoutes {
            name,
            config_specifier: Some(ConfigSpecifier::ScopedRouteConfigurationsList(list)),
            ..
        }) => Some((name, list.scoped_route_configurations)),
        RouteSpecifier::ScopedRoutes(_) | RouteSpecifier::RouteConfig(_) | RouteSpecifier::Rds(_) => None,
    });
    let lists = lists.map(|(name, scopes)| wire::scoped_routes_config_dump::InlineScopedRouteConfigs {
        name,
        scoped_route_configs: scopes.iter().map(any::pack).collect(),
        last_updated: Some(loaded),
    });
    wire::ScopedRoutesConfigDump { inline_scoped_route_configs: lists.collect(), ..Default::default() }
}

fn specifiers(resources: &StaticResources) -> impl Iterator<Item = RouteSpecifier> {
    let filters = resources.listeners.iter().flat_map(filters);
    filters.filter_map(|filter| match &filter.config_type {
        Some(ConfigType::TypedConfig(config)) => any::unpack::<HttpConnectionManager>(config).ok()?.route_specifier,
        _ => None,
    })
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
