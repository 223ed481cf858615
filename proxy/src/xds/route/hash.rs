use xds_proto::envoy::config::route::v3::route_action::HashPolicy as WirePolicy;
use xds_proto::envoy::config::route::v3::route_action::hash_policy::PolicySpecifier;

use crate::config::route::{HashBy, HashPolicy};
use crate::xds::invalid::Parser;
use crate::xds::matcher::field::matched_name;
use crate::xds::matcher::not_empty;

/// The field `hash_policy`. Policies that never give a hash are left out.
pub fn policies(policies: &[WirePolicy], parser: &mut Parser) -> Vec<HashPolicy> {
    parser.each("hash_policy", policies, |policy, parser| {
        let by = match &policy.policy_specifier {
            None => {
                return parser.refuse("one of header, cookie, connection_properties, query_parameter, filter_state is required");
            }
            Some(specifier) => source(specifier, parser)?,
        };
        Some(HashPolicy { by, terminal: policy.terminal })
    })
}

fn source(specifier: &PolicySpecifier, parser: &mut Parser) -> Option<HashBy> {
    match specifier {
        PolicySpecifier::Header(header) => parser.at("header", |parser| {
            parser.unsupported("regex_rewrite", header.regex_rewrite.is_some());
            let name = parser.at("header_name", |parser| matched_name(&header.header_name, parser));
            name.map(HashBy::Header)
        }),
        PolicySpecifier::Cookie(cookie) => parser.at("cookie", |parser| {
            parser.ignored("attributes", !cookie.attributes.is_empty(), "the cookie is made without them");
            let ttl = parser.duration("ttl", cookie.ttl.as_ref());
            Some(HashBy::Cookie { name: not_empty("name", &cookie.name, parser)?, ttl, path: cookie.path.clone() })
        }),
        PolicySpecifier::ConnectionProperties(properties) => properties.source_ip.then_some(HashBy::SourceIp),
        PolicySpecifier::QueryParameter(query) => {
            parser.at("query_parameter", |parser| not_empty("name", &query.name, parser).map(HashBy::QueryParameter))
        }
        PolicySpecifier::FilterState(state) => parser.at("filter_state", |parser| {
            not_empty("key", &state.key, parser)?;
            parser.warn("gives no hash: no supported filter sets filter state");
            None
        }),
    }
}
