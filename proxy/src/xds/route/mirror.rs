use xds_proto::envoy::config::route::v3::route_action::RequestMirrorPolicy;

use crate::config::route::{Mirror, WeightedTarget};
use crate::config::{ClusterName, Fraction};
use crate::xds::headers;
use crate::xds::invalid::Parser;
use crate::xds::matcher::runtime_fraction_at;

/// The field `request_mirror_policies`.
pub fn mirrors(policies: &[RequestMirrorPolicy], parser: &mut Parser) -> Vec<Mirror> {
    parser.each("request_mirror_policies", policies, mirror)
}

fn mirror(policy: &RequestMirrorPolicy, parser: &mut Parser) -> Option<Mirror> {
    parser.ignored("trace_sampled", policy.trace_sampled.is_some(), "a copy has the trace decision of its request");
    parser.unsupported("host_rewrite_literal", !policy.host_rewrite_literal.is_empty());
    // A share that is not set is all, as in Envoy; one that could not be parsed has been refused.
    let fraction = runtime_fraction_at("runtime_fraction", policy.runtime_fraction.as_ref(), parser);
    Some(Mirror {
        cluster: target("cluster", &policy.cluster, &policy.cluster_header, parser)?,
        fraction: fraction.unwrap_or(Fraction::ALL),
        keep_host: policy.disable_shadow_host_suffix_append,
    })
}

/// A cluster, or a header that names it: one of both.
pub fn target(field: &'static str, name: &str, header: &str, parser: &mut Parser) -> Option<WeightedTarget> {
    match (name.is_empty(), header.is_empty()) {
        (true, true) => parser.refuse(format_args!("one of {field}, cluster_header is required")),
        (false, false) => parser.refuse(format_args!("only one of {field}, cluster_header may be set")),
        (false, true) => {
            parser.cluster(field, name);
            Some(WeightedTarget::Cluster(ClusterName::from(name)))
        }
        (true, false) => headers::read_name_at("cluster_header", header, parser).map(WeightedTarget::Header),
    }
}
