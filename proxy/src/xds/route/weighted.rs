use std::sync::Arc;

use xds_proto::envoy::config::route::v3 as wire;
use xds_proto::envoy::config::route::v3::weighted_cluster::cluster_weight::HostRewriteSpecifier;
use xds_proto::envoy::config::route::v3::weighted_cluster::{ClusterWeight, RandomValueSpecifier};

use crate::config::route::{Split, WeightedCluster, WeightedClusters};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::route::action::NO_SUBSETS;
use crate::xds::route::{filters, mirror};

/// A `WeightedCluster`.
pub fn clusters(wire: &wire::WeightedCluster, parser: &mut Parser) -> Option<WeightedClusters> {
    let has_prefix = !wire.runtime_key_prefix.is_empty();
    parser.ignored("runtime_key_prefix", has_prefix, "there is no runtime, the weights always count");
    parser.ignored("total_weight", wire.total_weight.is_some(), "the total is the sum of the weights, as in Envoy");
    let draw_header = match &wire.random_value_specifier {
        None | Some(RandomValueSpecifier::UseHashPolicy(false)) => None,
        Some(RandomValueSpecifier::HeaderName(name)) => headers::read_name_at("header_name", name, parser),
        Some(RandomValueSpecifier::UseHashPolicy(true)) => {
            parser.ignored("use_hash_policy", true, "the part is drawn at random");
            None
        }
    };
    if wire.clusters.is_empty() {
        return parser.refuse_at("clusters", "at least one is required");
    }
    let parts = parser.each("clusters", &wire.clusters, part);
    // A part that was refused has no weight: the sum would say nothing.
    if parts.len() < wire.clusters.len() {
        return None;
    }
    match Split::new(parts) {
        Some(split) => Some(WeightedClusters { split, draw_header }),
        None => parser.refuse_at("clusters", "the sum of weights must be between 1 and 4294967295"),
    }
}

fn part(wire: &ClusterWeight, parser: &mut Parser) -> Option<(Arc<WeightedCluster>, u32)> {
    parser.ignored("metadata_match", wire.metadata_match.is_some(), NO_SUBSETS);
    filters::refuse_on_part(&wire.typed_per_filter_config, parser);
    let cluster = mirror::target("name", &wire.name, &wire.cluster_header, parser);
    let weight = parser.required("weight", wire.weight.as_ref()).copied();
    let host_rewrite = match &wire.host_rewrite_specifier {
        None => None,
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) if host.is_empty() => None,
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => headers::value_at("host_rewrite_literal", host, parser),
    };
    let part = WeightedCluster {
        request_headers: headers::request(&wire.request_headers_to_add, &wire.request_headers_to_remove, parser),
        response_headers: headers::response(&wire.response_headers_to_add, &wire.response_headers_to_remove, parser),
        cluster: cluster?,
        host_rewrite,
    };
    Some((Arc::new(part), weight?))
}
