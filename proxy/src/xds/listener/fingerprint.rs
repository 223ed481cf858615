use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use prost::Message as _;
use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::listener::v3::filter::ConfigType;
use xds_proto::envoy::config::listener::v3::{Filter, FilterChain};
use xds_proto::envoy::extensions::filters::http::router::v3::Router;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType as HttpConfigType;
use xds_proto::envoy::extensions::filters::network::rbac::v3::Rbac;

/// Differs where anything differs that connections are served by. Who may do what is not among it: connections go on and are
/// decided about anew. Metadata is a map, which is written in any order, and has no effect.
pub(super) fn of(chain: &FilterChain) -> u64 {
    let filters = chain.filters.iter().filter(|filter| !is::<Rbac>(filter)).map(without_http_filters).collect();
    let served_by = FilterChain { metadata: None, filters, ..chain.clone() };
    let mut hasher = DefaultHasher::new();
    served_by.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}

fn is<M: prost::Name>(filter: &Filter) -> bool {
    matches!(&filter.config_type, Some(ConfigType::TypedConfig(config)) if any::is::<M>(config))
}

/// Each request asks for the filters before the router as they are then.
fn without_http_filters(filter: &Filter) -> Filter {
    let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { return filter.clone() };
    let Ok(mut manager) = any::unpack::<HttpConnectionManager>(config) else { return filter.clone() };
    manager
        .http_filters
        .retain(|filter| matches!(&filter.config_type, Some(HttpConfigType::TypedConfig(config)) if any::is::<Router>(config)));
    let config = Any { type_url: config.type_url.clone(), value: manager.encode_to_vec() };
    Filter { config_type: Some(ConfigType::TypedConfig(config)), ..filter.clone() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::xds::test_wire::message as wire;

    fn typed(name: &str, mut config: Value) -> Value {
        config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.{name}"));
        json!({"name": name, "typed_config": config})
    }

    fn chain(access: &[&str], http: &[&str], prefix: &str) -> u64 {
        let rules = |action: &&str| json!({"rules": {"action": action}, "stat_prefix": "a"});
        let network = access.iter().map(|action| typed("network.rbac.v3.RBAC", rules(action)));
        let http = http.iter().map(|action| typed("http.rbac.v3.RBAC", json!({"rules": {"action": action}})));
        let http: Vec<_> = http.chain([typed("http.router.v3.Router", json!({}))]).collect();
        let manager =
            typed("network.http_connection_manager.v3.HttpConnectionManager", json!({"stat_prefix": prefix, "http_filters": http}));
        let filters: Vec<_> = network.chain([manager]).collect();
        of(&wire(&json!({"filters": filters})))
    }

    #[test]
    fn connections_outlive_a_change_of_who_may_do_what() {
        let plain = chain(&[], &[], "a");
        assert_eq!(chain(&["ALLOW"], &[], "a"), plain);
        assert_eq!(chain(&["ALLOW", "DENY"], &["DENY"], "a"), plain);
        assert_ne!(chain(&[], &[], "b"), plain);
    }
}
