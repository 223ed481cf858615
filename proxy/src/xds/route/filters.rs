//! Settings of HTTP filters on a table, virtual host, route or part of a split. One of a filter that is not here is refused, since it
//! may decide who may do what, unless the operator marked it as optional.

use std::collections::BTreeMap;

use prost_types::Any;
use xds_proto::any;
use xds_proto::envoy::config::route::v3::FilterConfig;
use xds_proto::envoy::extensions::filters::http::ext_authz::v3::ExtAuthzPerRoute;
use xds_proto::envoy::extensions::filters::http::jwt_authn::v3::PerRouteConfig;
use xds_proto::envoy::extensions::filters::http::rbac::v3::RbacPerRoute;

use crate::config::filter::{FilterKind, FilterOverride, FilterOverrides};
use crate::xds::invalid::Parser;
use crate::xds::{access, ext_authz, jwt};

/// The field `typed_per_filter_config`.
pub fn overrides(settings: &BTreeMap<String, Any>, parser: &mut Parser) -> FilterOverrides {
    parser.at("typed_per_filter_config", |parser| {
        let parsed = settings.iter().filter_map(|(name, setting)| {
            let said = parser.at_key(name, |parser| one(setting, parser))?;
            Some((name.clone(), said))
        });
        FilterOverrides::new(parsed.collect())
    })
}

/// The same of a part of a split, which is chosen when filters have run.
pub fn refuse_on_part(settings: &BTreeMap<String, Any>, parser: &mut Parser) {
    let said = overrides(settings, parser);
    if !said.is_empty() {
        parser.refuse_at::<()>("typed_per_filter_config", "not supported on a part of a split: set it on the route");
    }
}

fn one(setting: &Any, parser: &mut Parser) -> Option<FilterOverride> {
    if !any::is::<FilterConfig>(setting) {
        return of_kind(setting, parser);
    }
    let config = parser.unpack::<FilterConfig>(setting)?;
    match &config.config {
        _ if config.disabled => Some(FilterOverride::Disabled),
        None => Some(FilterOverride::Enabled),
        Some(inner) if config.is_optional && !is_available(inner) => {
            parser.warn("ignored: there is no such filter, and it is optional");
            None
        }
        Some(inner) => parser.at("config", |parser| of_kind(inner, parser)),
    }
}

fn is_available(setting: &Any) -> bool {
    any::is::<RbacPerRoute>(setting) || any::is::<PerRouteConfig>(setting) || any::is::<ExtAuthzPerRoute>(setting)
}

fn of_kind(setting: &Any, parser: &mut Parser) -> Option<FilterOverride> {
    if any::is::<RbacPerRoute>(setting) {
        let route = parser.unpack::<RbacPerRoute>(setting)?;
        return access::of_route(&route, parser).map(|access| FilterOverride::Kind(FilterKind::Access(access)));
    }
    if any::is::<PerRouteConfig>(setting) {
        let route = parser.unpack::<PerRouteConfig>(setting)?;
        return jwt::of_route(&route, parser).map(FilterOverride::Jwt);
    }
    if any::is::<ExtAuthzPerRoute>(setting) {
        let route = parser.unpack::<ExtAuthzPerRoute>(setting)?;
        return ext_authz::of_route(&route, parser).map(FilterOverride::External);
    }
    parser.refuse(format_args!("there is no filter with settings of type {:?}", setting.type_url))
}
