//! `ConfigSource`: where a resource comes from.

use std::time::Duration;

use xds_proto::envoy::config::core::v3 as wire;
use xds_proto::envoy::config::core::v3::ApiVersion;
use xds_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;

use crate::xds::invalid::Parser;

/// As Envoy.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// A source that is the aggregated stream; how long to wait for the first answer, `None` for ever.
pub fn ads(source: &wire::ConfigSource, parser: &mut Parser) -> Option<Option<Duration>> {
    parser.unsupported("authorities", !source.authorities.is_empty());
    let version: Option<ApiVersion> = parser.choice("resource_api_version", source.resource_api_version);
    // AUTO meant V2 once; here there is one version only.
    if !matches!(version, None | Some(ApiVersion::Auto | ApiVersion::V3)) {
        return parser.refuse_at("resource_api_version", "V2 is gone from xDS, use V3");
    }
    match &source.config_source_specifier {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => {}
        _ => return parser.refuse("only ads and self are supported"),
    }
    if !parser.has_server() {
        return parser.refuse("there is no server to ask: dynamic_resources.ads_config is not set");
    }
    Some(parser.limit("initial_fetch_timeout", source.initial_fetch_timeout.as_ref(), Some(FETCH_TIMEOUT)))
}
