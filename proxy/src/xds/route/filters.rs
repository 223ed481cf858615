//! Settings of HTTP filters on a table, virtual host, route or part of a split.
//!
//! The only filter is the router, which has none, so every setting belongs to a filter that is not there: it is refused, since it
//! may decide who may do what, unless the operator marked it as optional.

use std::collections::BTreeMap;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::route::v3::FilterConfig;

use crate::xds::invalid::Parser;

/// The field `typed_per_filter_config`.
pub fn check(settings: &BTreeMap<String, Any>, parser: &mut Parser) {
    let mut names: Vec<_> = settings.iter().collect();
    names.sort_by_key(|(name, _)| *name);
    parser.at("typed_per_filter_config", |parser| {
        for (name, setting) in names {
            parser.at_key(name, |parser| check_one(setting, parser));
        }
    });
}

fn check_one(setting: &Any, parser: &mut Parser) {
    if !any::is::<FilterConfig>(setting) {
        parser.refuse::<()>(format_args!("there is no filter with settings of type {:?}", setting.type_url));
        return;
    }
    let Some(config) = parser.unpack::<FilterConfig>(setting) else { return };
    match &config.config {
        _ if config.is_optional => parser.warn("ignored: there is no such filter, and it is optional"),
        _ if config.disabled => parser.warn("ignored: there is no such filter that could be disabled"),
        Some(inner) => {
            let problem = format_args!("there is no filter with settings of type {:?}", inner.type_url);
            parser.refuse_at::<()>("config", problem);
        }
        None => parser.warn("ignored: there is no such filter"),
    }
}
