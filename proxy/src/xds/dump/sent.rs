use prost_types::{Any, Timestamp};
use xds_proto::envoy::admin::v3 as wire;
use xds_proto::envoy::admin::v3::ClientResourceStatus;
use xds_proto::envoy::admin::v3::clusters_config_dump::DynamicCluster;
use xds_proto::envoy::admin::v3::endpoints_config_dump::DynamicEndpointConfig;
use xds_proto::envoy::admin::v3::listeners_config_dump::{DynamicListener, DynamicListenerState};
use xds_proto::envoy::admin::v3::routes_config_dump::DynamicRouteConfig;
use xds_proto::envoy::admin::v3::scoped_routes_config_dump::DynamicScopedRouteConfigs;
use xds_proto::envoy::admin::v3::secrets_config_dump::DynamicSecret;

use crate::xds::resource::Kind;
use crate::xds::view::{Seen, State};

/// What all types tell of a resource.
pub(super) struct Told {
    pub(super) version: String,
    pub(super) body: Option<Any>,
    pub(super) since: Option<Timestamp>,
    pub(super) error: Option<wire::UpdateFailureState>,
    pub(super) status: i32,
}

pub(super) fn told(seen: &Seen<'_>) -> Told {
    let error = seen.refused.map(|refused| wire::UpdateFailureState {
        failed_configuration: Some(refused.body.clone()),
        last_update_attempt: Some(Timestamp::from(refused.at)),
        details: refused.faults.to_string(),
        version_info: refused.version.clone(),
    });
    let status = match seen.state {
        _ if error.is_some() => ClientResourceStatus::Nacked,
        State::Requested => ClientResourceStatus::Requested,
        State::Active | State::Warming | State::Refused => ClientResourceStatus::Acked,
    };
    Told {
        version: seen.good.map(|good| good.version.to_owned()).unwrap_or_default(),
        body: seen.good.map(|good| good.body.clone()),
        since: seen.good.map(|good| Timestamp::from(good.since)),
        error,
        status: status.into(),
    }
}

fn of<'a>(kind: Kind, seen: &'a [Seen<'a>]) -> impl Iterator<Item = (&'a Seen<'a>, Told)> {
    seen.iter().filter(move |seen| seen.kind == kind).map(|seen| (seen, told(seen)))
}

pub(super) fn clusters(mut dump: wire::ClustersConfigDump, seen: &[Seen<'_>]) -> wire::ClustersConfigDump {
    for (seen, Told { version, body, since, error, status }) in of(Kind::Cluster, seen) {
        let shown = DynamicCluster { version_info: version, cluster: body, last_updated: since, error_state: error, client_status: status };
        match seen.state {
            State::Active => dump.dynamic_active_clusters.push(shown),
            State::Warming | State::Requested | State::Refused => dump.dynamic_warming_clusters.push(shown),
        }
    }
    dump
}

pub(super) fn endpoints(mut dump: wire::EndpointsConfigDump, seen: &[Seen<'_>]) -> wire::EndpointsConfigDump {
    let shown = of(Kind::Endpoint, seen).map(|(_, Told { version, body, since, error, status })| DynamicEndpointConfig {
        version_info: version,
        endpoint_config: body,
        last_updated: since,
        error_state: error,
        client_status: status,
    });
    dump.dynamic_endpoint_configs = shown.collect();
    dump
}

pub(super) fn listeners(mut dump: wire::ListenersConfigDump, seen: &[Seen<'_>]) -> wire::ListenersConfigDump {
    let shown = of(Kind::Listener, seen).map(|(seen, Told { version, body, since, error, status })| {
        let state = body.map(|body| DynamicListenerState { version_info: version, listener: Some(body), last_updated: since });
        let (active, warming) = if seen.state == State::Active { (state, None) } else { (None, state) };
        DynamicListener {
            name: seen.name.to_owned(),
            active_state: active,
            warming_state: warming,
            draining_state: None,
            error_state: error,
            client_status: status,
        }
    });
    dump.dynamic_listeners = shown.collect();
    dump
}

pub(super) fn routes(mut dump: wire::RoutesConfigDump, seen: &[Seen<'_>]) -> wire::RoutesConfigDump {
    let shown = of(Kind::Route, seen).map(|(_, Told { version, body, since, error, status })| DynamicRouteConfig {
        version_info: version,
        route_config: body,
        last_updated: since,
        error_state: error,
        client_status: status,
    });
    dump.dynamic_route_configs = shown.collect();
    dump
}

/// Envoy has an entry for each listener's set of scopes; here each scope has its own version and its own error.
pub(super) fn scopes(mut dump: wire::ScopedRoutesConfigDump, seen: &[Seen<'_>]) -> wire::ScopedRoutesConfigDump {
    let shown = of(Kind::ScopedRoute, seen).map(|(seen, Told { version, body, since, error, status })| DynamicScopedRouteConfigs {
        name: seen.name.to_owned(),
        version_info: version,
        scoped_route_configs: body.into_iter().collect(),
        last_updated: since,
        error_state: error,
        client_status: status,
    });
    dump.dynamic_scoped_route_configs = shown.collect();
    dump
}

pub(super) fn secrets(mut dump: wire::SecretsConfigDump, seen: &[Seen<'_>]) -> wire::SecretsConfigDump {
    for (seen, Told { version, body, since, error, status }) in of(Kind::Secret, seen) {
        let shown = DynamicSecret {
            name: seen.name.to_owned(),
            version_info: version,
            last_updated: since,
            secret: body,
            error_state: error,
            client_status: status,
        };
        match seen.state {
            State::Active => dump.dynamic_active_secrets.push(shown),
            State::Warming | State::Requested | State::Refused => dump.dynamic_warming_secrets.push(shown),
        }
    }
    dump
}
