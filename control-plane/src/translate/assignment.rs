use std::collections::BTreeMap;

use xds_proto::envoy::config::core::v3::{HealthStatus, Locality as WireLocality};
use xds_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use xds_proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, Endpoint as WireEndpoint, LbEndpoint, LocalityLbEndpoints};

use crate::model::endpoints::Condition;
use crate::model::mesh::Endpoint;
use crate::model::workload::Locality;
use crate::translate::view::Form;
use crate::translate::{identity, wire};

/// Endpoints of a service's port. One that ends is left to what it has, unless there is no other (as kube-proxy does, KEP-1669).
pub(super) fn assignment(name: &str, endpoints: &[Endpoint], form: Form) -> ClusterLoadAssignment {
    let any_ready = endpoints.iter().any(|endpoint| endpoint.condition == Condition::Ready);
    let mut by_locality: BTreeMap<&Locality, Vec<LbEndpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let health = match endpoint.condition {
            Condition::Ready => HealthStatus::Healthy,
            Condition::Draining if any_ready => HealthStatus::Draining,
            Condition::Draining => HealthStatus::Healthy,
            Condition::NotReady => continue,
        };
        let metadata = endpoint.identity.as_ref().filter(|_| form.is_identified()).map(|_| identity::mark());
        let made = LbEndpoint { health_status: i32::from(health), metadata, ..lb_endpoint(wire::socket(endpoint.address)) };
        by_locality.entry(&endpoint.locality).or_default().push(made);
    }
    let endpoints = by_locality.into_iter().map(|(locality, endpoints)| LocalityLbEndpoints {
        locality: Some(WireLocality {
            region: locality.region.to_string(),
            zone: locality.zone.to_string(),
            sub_zone: locality.sub_zone.to_string(),
        }),
        // gRPC leaves out what has no weight; by their number all endpoints count alike.
        load_balancing_weight: u32::try_from(endpoints.len()).ok(),
        lb_endpoints: endpoints,
        ..LocalityLbEndpoints::default()
    });
    ClusterLoadAssignment { cluster_name: name.to_owned(), endpoints: endpoints.collect(), ..ClusterLoadAssignment::default() }
}

/// One address, of whatever health.
pub(super) fn lb_endpoint(address: xds_proto::envoy::config::core::v3::Address) -> LbEndpoint {
    let endpoint = WireEndpoint { address: Some(address), ..WireEndpoint::default() };
    LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..LbEndpoint::default() }
}

/// Addresses without more.
pub(super) fn of_addresses(name: &str, addresses: Vec<xds_proto::envoy::config::core::v3::Address>) -> ClusterLoadAssignment {
    let lb_endpoints = addresses.into_iter().map(lb_endpoint).collect();
    let endpoints = vec![LocalityLbEndpoints { lb_endpoints, ..LocalityLbEndpoints::default() }];
    ClusterLoadAssignment { cluster_name: name.to_owned(), endpoints, ..ClusterLoadAssignment::default() }
}
