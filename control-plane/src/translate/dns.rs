//! What a sidecar's DNS answers: hosts and their addresses, in Istio's form.

use std::collections::BTreeSet;
use std::net::IpAddr;

use xds_proto::istio::networking::nds::v1::NameTable;
use xds_proto::istio::networking::nds::v1::name_table::NameInfo;

use crate::model::endpoints::Condition;
use crate::model::external::ExternalService;
use crate::model::mesh::Mesh;
use crate::model::service::Service;

/// Marks a service of the mesh: the sidecar makes the shorter names of it.
const OF_THE_MESH: &str = "Kubernetes";
const OUTSIDE: &str = "External";

/// A service's own addresses; without any, those of its endpoints. `None` where neither can be told (it has no port of TCP): whoever knows
/// more is asked.
pub(super) fn of_service(mesh: &Mesh, service: &Service) -> Option<NameTable> {
    let name = &service.name;
    if service.addresses.is_empty() && service.ports.is_empty() {
        return None;
    }
    let addresses = if service.addresses.is_empty() { endpoints(mesh, service) } else { service.addresses.clone() };
    let info = NameInfo {
        ips: addresses.iter().map(ToString::to_string).collect(),
        registry: OF_THE_MESH.to_owned(),
        shortname: name.name.to_string(),
        namespace: name.namespace.to_string(),
    };
    let host = format!("{}.{}.svc.{}", name.name, name.namespace, mesh.settings().domain);
    Some(NameTable { table: [(host, info)].into(), name_info: None })
}

/// Those that take requests.
fn endpoints(mesh: &Mesh, service: &Service) -> Vec<IpAddr> {
    let found = service.ports.iter().flat_map(|port| mesh.endpoints(service, port));
    let ready: BTreeSet<IpAddr> =
        found.filter(|endpoint| endpoint.condition == Condition::Ready).map(|endpoint| endpoint.address.ip()).collect();
    ready.into_iter().collect()
}

/// `None` where addresses are not given: whoever knows the host outside is asked.
pub(super) fn of_external(external: &ExternalService) -> Option<NameTable> {
    let addresses: Option<Vec<IpAddr>> = external.endpoints.iter().map(|endpoint| endpoint.parse().ok()).collect();
    let addresses = addresses.filter(|addresses| !addresses.is_empty())?;
    let ips: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let info = || NameInfo { ips: ips.clone(), registry: OUTSIDE.to_owned(), ..NameInfo::default() };
    Some(NameTable { table: external.hosts.iter().map(|host| (host.to_string(), info())).collect(), name_info: None })
}
