use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use xds_proto::envoy::config::cluster::v3 as wire;
use xds_proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig, OriginalDstLbConfig};

use crate::config::ClusterName;
use crate::config::cluster::{Discovery, OriginalDst};
use crate::config::endpoint::Assignment;
use crate::xds::endpoint::{self, Addresses};
use crate::xds::invalid::Parser;
use crate::xds::resource::Kind;
use crate::xds::{config_source, headers};

/// Envoy's default for `cleanup_interval`.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(5);

/// Envoy's name for the header that gives the destination.
const ORIGINAL_DST_HEADER: HeaderName = HeaderName::from_static("x-envoy-original-dst-host");

/// `type`, and what goes with it.
pub fn parse(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Discovery> {
    let kind = match &cluster.cluster_discovery_type {
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(number)) => parser.choice("type", *number)?,
        Some(ClusterDiscoveryType::ClusterType(_)) => return parser.refuse_at("cluster_type", "not supported"),
    };
    let cleanup = cleanup_interval(cluster, parser);
    match kind {
        DiscoveryType::Static => assignment(cluster, Addresses::Known, parser).map(Discovery::Static),
        DiscoveryType::StrictDns => assignment(cluster, Addresses::Resolved, parser).map(Discovery::StrictDns),
        DiscoveryType::LogicalDns => logical_dns(cluster, parser),
        DiscoveryType::Eds => eds(cluster, parser),
        DiscoveryType::OriginalDst => original_dst(cluster, cleanup?, parser).map(Discovery::OriginalDst),
    }
}

fn logical_dns(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Discovery> {
    // Counted as written: an endpoint that is refused is not missing.
    let localities = cluster.load_assignment.as_ref().map_or(&[][..], |assignment| &assignment.endpoints);
    if localities.len() != 1 || localities.iter().any(|locality| locality.lb_endpoints.len() != 1) {
        let problem = "a cluster of type LOGICAL_DNS has one locality with one endpoint";
        return parser.refuse_at("load_assignment", problem);
    }
    assignment(cluster, Addresses::Resolved, parser).map(Discovery::LogicalDns)
}

/// A cluster without endpoints is allowed, as in Envoy.
fn assignment(cluster: &wire::Cluster, addresses: Addresses, parser: &mut Parser) -> Option<Arc<Assignment>> {
    let assignment = match &cluster.load_assignment {
        Some(wire) => parser.at("load_assignment", |parser| endpoint::parse(wire, addresses, parser))?,
        None => endpoint::empty(ClusterName::from(cluster.name.as_str())),
    };
    Some(Arc::new(assignment))
}

fn eds(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Discovery> {
    let config = parser.required("eds_cluster_config", cluster.eds_cluster_config.as_ref())?;
    parser.at("eds_cluster_config", |parser| {
        let source = parser.required("eds_config", config.eds_config.as_ref())?;
        let name = if config.service_name.is_empty() { &cluster.name } else { &config.service_name };
        let fetch_timeout = parser.at("eds_config", |parser| config_source::of_one(source, Kind::Endpoint, name, parser))?;
        Some(Discovery::Eds { service_name: name.clone(), fetch_timeout })
    })
}

fn cleanup_interval(cluster: &wire::Cluster, parser: &mut Parser) -> Option<Duration> {
    match parser.duration("cleanup_interval", cluster.cleanup_interval.as_ref()) {
        Some(Duration::ZERO) => parser.refuse_at("cleanup_interval", "must be above 0"),
        Some(interval) => Some(interval),
        None => Some(CLEANUP_INTERVAL),
    }
}

fn original_dst(cluster: &wire::Cluster, cleanup_interval: Duration, parser: &mut Parser) -> Option<OriginalDst> {
    if cluster.load_assignment.is_some() {
        parser.refuse_at::<()>("load_assignment", "a cluster of type ORIGINAL_DST has none");
    }
    match &cluster.lb_config {
        Some(LbConfig::OriginalDstLbConfig(config)) => parser.at("original_dst_lb_config", |parser| {
            parser.unsupported("metadata_key", config.metadata_key.is_some());
            let port_override = port_override(config.upstream_port_override, parser);
            Some(OriginalDst { http_header: destination_header(config, parser)?, port_override, cleanup_interval })
        }),
        _ => Some(OriginalDst { cleanup_interval, ..OriginalDst::default() }),
    }
}

/// `None` inside is no header.
fn destination_header(config: &OriginalDstLbConfig, parser: &mut Parser) -> Option<Option<HeaderName>> {
    match (config.use_http_header, config.http_header_name.as_str()) {
        (false, "") => Some(None),
        (false, _) => parser.refuse_at("http_header_name", "needs use_http_header"),
        (true, "") => Some(Some(ORIGINAL_DST_HEADER)),
        (true, name) => headers::read_name_at("http_header_name", name, parser).map(Some),
    }
}

/// 0 is not set, as in Envoy.
fn port_override(port: Option<u32>, parser: &mut Parser) -> Option<u16> {
    let port = port?;
    match u16::try_from(port) {
        Ok(0) => None,
        Ok(port) => Some(port),
        Err(_) => parser.refuse_at("upstream_port_override", format_args!("{port} is not between 0 and 65535")),
    }
}
