//! `ScopedRoutes` and `ScopedRouteConfiguration` to [`crate::config::scope`].
//!
//! Source of the rules: Envoy's API, its validation rules, and what Envoy 1.40 refuses.

use std::sync::Arc;
use std::time::Duration;

use xds_proto::envoy::config::core::v3::ConfigSource;
use xds_proto::envoy::config::route::v3 as route_wire;
use xds_proto::envoy::config::route::v3::scoped_route_configuration::key::fragment::Type as KeyType;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3 as wire;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::ConfigSpecifier;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::FragmentBuilder;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::Type as FragmentType;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::HeaderValueExtractor;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::scoped_routes::scope_key_builder::fragment_builder::header_value_extractor::ExtractType;

use crate::config::RouteTableName;
use crate::config::scope::{Extract, KeyFragment, Scope, ScopeSource, ScopeTable, ScopedRoutes, Scopes};
use crate::xds::invalid::Parser;
use crate::xds::matcher::{field, not_empty};
use crate::xds::{config_source, route};

/// Parses `scoped_routes` of a connection manager.
pub fn scoped_routes(routes: &wire::ScopedRoutes, parser: &mut Parser) -> Option<ScopedRoutes> {
    // Only tools look at it.
    let name = not_empty("name", &routes.name, parser);
    let key = parser.required("scope_key_builder", routes.scope_key_builder.as_ref());
    let key = key.map(|builder| {
        parser.at("scope_key_builder", |parser| {
            if builder.fragments.is_empty() {
                parser.refuse_at::<()>("fragments", "at least one is required");
            }
            parser.each("fragments", &builder.fragments, key_fragment)
        })
    });
    let tables_timeout = match &routes.rds_config_source {
        // As the scopes themselves.
        None => Some(config_source::FETCH_TIMEOUT),
        Some(source) => parser.at("rds_config_source", |parser| of_server(source, parser))?,
    };
    let source = match &routes.config_specifier {
        None => return parser.refuse("one of scoped_route_configurations_list, scoped_rds must be set"),
        Some(ConfigSpecifier::ScopedRouteConfigurationsList(list)) => {
            parser.at("scoped_route_configurations_list", |parser| inline(list, parser)).map(ScopeSource::Inline)
        }
        Some(ConfigSpecifier::ScopedRds(scoped)) => parser.at("scoped_rds", |parser| {
            parser.unsupported("srds_resources_locator", !scoped.srds_resources_locator.is_empty());
            let source = parser.required("scoped_rds_config_source", scoped.scoped_rds_config_source.as_ref())?;
            let fetch_timeout = parser.at("scoped_rds_config_source", |parser| of_server(source, parser))?;
            parser.served_scopes();
            Some(ScopeSource::Served { fetch_timeout, tables_timeout })
        }),
    };
    name?;
    Some(ScopedRoutes { key: key?, source: source? })
}

/// How long to wait for what only a server can have.
fn of_server(source: &ConfigSource, parser: &mut Parser) -> Option<Option<Duration>> {
    let whole = config_source::of_all(source, parser)?;
    if whole.file.is_some() {
        return parser.refuse("a file is not supported here, only ads and self");
    }
    Some(whole.limit)
}

fn key_fragment(builder: &FragmentBuilder, parser: &mut Parser) -> Option<KeyFragment> {
    let Some(FragmentType::HeaderValueExtractor(extractor)) = &builder.r#type else {
        return parser.refuse_at("header_value_extractor", "required");
    };
    parser.at("header_value_extractor", |parser| {
        let header = parser.at("name", |parser| field::matched_name(&extractor.name, parser));
        let extract = extract(extractor, parser);
        Some(KeyFragment { header: header?, element_separator: extractor.element_separator.clone(), extract: extract? })
    })
}

fn extract(extractor: &HeaderValueExtractor, parser: &mut Parser) -> Option<Extract> {
    match &extractor.extract_type {
        None => parser.refuse("one of index, element must be set"),
        Some(ExtractType::Index(index)) if *index > 0 && extractor.element_separator.is_empty() => {
            parser.refuse_at("index", format_args!("{index} is above 0, and there is one element without element_separator"))
        }
        Some(ExtractType::Index(index)) => parser.accept(usize::try_from(*index)).map(Extract::Index),
        Some(ExtractType::Element(element)) => parser.at("element", |parser| {
            let separator = not_empty("separator", &element.separator, parser);
            let key = not_empty("key", &element.key, parser);
            Some(Extract::Element { separator: separator?, key: key? })
        }),
    }
}

/// Envoy takes two of one name or one key, and nobody is told which counts.
fn inline(list: &wire::ScopedRouteConfigurationsList, parser: &mut Parser) -> Option<Scopes> {
    if list.scoped_route_configurations.is_empty() {
        return parser.refuse_at("scoped_route_configurations", "at least one is required");
    }
    let mut known: Vec<Arc<Scope>> = Vec::new();
    let scopes = parser.each("scoped_route_configurations", &list.scoped_route_configurations, |wire, parser| {
        if !wire.route_configuration_name.is_empty() {
            return parser.refuse_at("route_configuration_name", "not supported in a list; use scoped_rds, or route_configuration");
        }
        let scope = Arc::new(scope(wire, parser)?);
        if known.iter().any(|other| other.name == scope.name) {
            return parser.refuse_at("name", format_args!("there is a scope {:?} already", scope.name));
        }
        if let Some(other) = known.iter().find(|other| other.key == scope.key) {
            return parser.refuse_at("key", format_args!("scope {:?} has it", other.name));
        }
        known.push(Arc::clone(&scope));
        Some(scope)
    });
    Some(scopes.into_iter().collect())
}

/// Parses a scope.
pub fn scope(scope: &route_wire::ScopedRouteConfiguration, parser: &mut Parser) -> Option<Scope> {
    parser.ignored("on_demand", scope.on_demand, "its routes are asked for at once");
    let name = not_empty("name", &scope.name, parser);
    let key = parser.required("key", scope.key.as_ref()).map(|key| parser.at("key", |parser| key_of(key, parser)));
    let table = match (&scope.route_configuration, scope.route_configuration_name.as_str()) {
        (None, "") => parser.refuse("one of route_configuration_name, route_configuration must be set"),
        (None, name) => {
            parser.served_table(name);
            Some(ScopeTable::Named(RouteTableName::from(name)))
        }
        (Some(table), "") => {
            parser.at("route_configuration", |parser| route::parse(table, parser)).map(|table| ScopeTable::Inline(Arc::new(table)))
        }
        (Some(_), _) => parser.refuse("only one of route_configuration_name, route_configuration may be set"),
    };
    Some(Scope { name: name?, key: key?, table: table? })
}

fn key_of(key: &route_wire::scoped_route_configuration::Key, parser: &mut Parser) -> Vec<String> {
    if key.fragments.is_empty() {
        parser.refuse_at::<()>("fragments", "at least one is required");
    }
    parser.each("fragments", &key.fragments, |fragment, parser| match &fragment.r#type {
        Some(KeyType::StringKey(key)) => Some(key.clone()),
        None => parser.refuse_at("string_key", "required"),
    })
}

#[cfg(test)]
mod tests;
