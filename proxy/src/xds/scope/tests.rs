use serde_json::{Value as Json, json};
use xds_proto::envoy::config::route::v3::ScopedRouteConfiguration;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::ScopedRoutes as WireScopedRoutes;

use super::*;
use crate::config::matcher::MatchedName;
use crate::xds::test_wire::message;

fn table(name: &str) -> Json {
    json!({"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"]}]})
}

fn inline_scope(name: &str, key: &str) -> Json {
    json!({"name": name, "key": {"fragments": [{"string_key": key}]}, "route_configuration": table("r")})
}

/// Inline scopes, by the header `x-scope`.
fn good() -> Json {
    json!({
        "name": "scopes",
        "scope_key_builder": {"fragments": [{"header_value_extractor": {"name": "x-scope", "index": 0}}]},
        "scoped_route_configurations_list": {"scoped_route_configurations": [inline_scope("a", "1"), inline_scope("b", "2")]},
    })
}

/// Scopes of a server.
fn served() -> Json {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let mut routes = good();
    routes.as_object_mut().unwrap().remove("scoped_route_configurations_list");
    routes["scoped_rds"] = json!({"scoped_rds_config_source": ads});
    routes["rds_config_source"] = ads;
    routes
}

fn parsed(routes: &Json) -> Result<ScopedRoutes, String> {
    let mut parser = Parser::new();
    parser.know_server();
    let value = scoped_routes(&message::<WireScopedRoutes>(routes), &mut parser);
    parser.finish(value).map(|(routes, _)| routes).map_err(|faults| faults.to_string())
}

/// What is said where one field is changed.
fn refusal(base: Json, path: &str, value: Json) -> String {
    let mut routes = base;
    let (parent, field) = path.rsplit_once('/').unwrap();
    let parent = routes.pointer_mut(parent).unwrap();
    match field.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) if value.is_null() => drop(parent.as_object_mut().unwrap().remove(field)),
        Err(_) => parent[field] = value,
    }
    parsed(&routes).unwrap_err()
}

#[test]
fn scopes_are_read() {
    let routes = parsed(&good()).unwrap();
    let [KeyFragment { header: MatchedName::Field(name), element_separator, extract: Extract::Index(0) }] = &routes.key[..] else {
        panic!("{:?}", routes.key)
    };
    assert_eq!((name.as_str(), element_separator.as_str()), ("x-scope", ""));
    let ScopeSource::Inline(scopes) = &routes.source else { panic!("{:?}", routes.source) };
    assert_eq!(scopes.iter().map(|scope| scope.key[0].as_str()).collect::<Vec<_>>(), ["1", "2"]);
    let ScopeSource::Served { fetch_timeout, tables_timeout } = parsed(&served()).unwrap().source else { panic!() };
    assert_eq!((fetch_timeout, tables_timeout), (Some(config_source::FETCH_TIMEOUT), Some(config_source::FETCH_TIMEOUT)));
}

#[test]
fn an_element_may_be_found_by_its_name() {
    let mut routes = good();
    routes["scope_key_builder"]["fragments"][0]["header_value_extractor"] =
        json!({"name": ":authority", "element_separator": ";", "element": {"separator": "=", "key": "v"}});
    let extract = Extract::Element { separator: "=".to_owned(), key: "v".to_owned() };
    let fragment = KeyFragment { header: MatchedName::Authority, element_separator: ";".to_owned(), extract };
    assert_eq!(parsed(&routes).unwrap().key, [fragment]);
}

/// A good one, the field that is changed in it, to what, and what is said then.
type Case = (Json, String, Json, String);

#[track_caller]
fn are_refused(cases: impl IntoIterator<Item = Case>) {
    for (base, path, value, expected) in cases {
        assert_eq!(refusal(base, &path, value), expected, "{path}");
    }
}

#[test]
fn each_fault_of_a_key_is_told_with_its_place() {
    let extractor = "/scope_key_builder/fragments/0/header_value_extractor";
    let at_extractor = "scope_key_builder.fragments[0].header_value_extractor";
    are_refused([
        (good(), "/name".to_owned(), json!(""), "name: must not be empty".to_owned()),
        (good(), "/scope_key_builder".into(), Json::Null, "scope_key_builder: required".into()),
        (good(), "/scope_key_builder/fragments".into(), json!([]), "scope_key_builder.fragments: at least one is required".into()),
        (good(), "/scope_key_builder/fragments/0".into(), json!({}), format!("{at_extractor}: required")),
        (good(), format!("{extractor}/name"), json!(""), format!("{at_extractor}.name: must not be empty")),
        (good(), format!("{extractor}/name"), json!("a b"), format!("{at_extractor}.name: \"a b\" is not a header name")),
        (good(), format!("{extractor}/index"), Json::Null, format!("{at_extractor}: one of index, element must be set")),
        (
            good(),
            format!("{extractor}/index"),
            json!(1),
            format!("{at_extractor}.index: 1 is above 0, and there is one element without element_separator"),
        ),
        (
            good(),
            extractor.into(),
            json!({"name": "x", "element": {"separator": "", "key": "k"}}),
            format!("{at_extractor}.element.separator: must not be empty"),
        ),
        (
            good(),
            extractor.into(),
            json!({"name": "x", "element": {"separator": "=", "key": ""}}),
            format!("{at_extractor}.element.key: must not be empty"),
        ),
    ]);
}

#[test]
fn each_fault_of_a_list_or_a_source_is_told_with_its_place() {
    let list = "/scoped_route_configurations_list/scoped_route_configurations";
    let at_list = "scoped_route_configurations_list.scoped_route_configurations";
    let file = json!({"path_config_source": {"path": concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")}});
    are_refused([
        (
            good(),
            "/scoped_route_configurations_list".into(),
            Json::Null,
            "one of scoped_route_configurations_list, scoped_rds must be set".into(),
        ),
        (good(), list.into(), json!([]), format!("{at_list}: at least one is required")),
        (good(), format!("{list}/1"), inline_scope("a", "2"), format!("{at_list}[1].name: there is a scope \"a\" already")),
        (good(), format!("{list}/1"), inline_scope("b", "1"), format!("{at_list}[1].key: scope \"a\" has it")),
        (good(), format!("{list}/0/name"), json!(""), format!("{at_list}[0].name: must not be empty")),
        (good(), format!("{list}/0/key"), Json::Null, format!("{at_list}[0].key: required")),
        (good(), format!("{list}/0/key/fragments"), json!([]), format!("{at_list}[0].key.fragments: at least one is required")),
        (good(), format!("{list}/0/key/fragments/0"), json!({}), format!("{at_list}[0].key.fragments[0].string_key: required")),
        (
            good(),
            format!("{list}/0/route_configuration"),
            Json::Null,
            format!("{at_list}[0]: one of route_configuration_name, route_configuration must be set"),
        ),
        (
            good(),
            format!("{list}/0/route_configuration_name"),
            json!("r"),
            format!("{at_list}[0].route_configuration_name: not supported in a list; use scoped_rds, or route_configuration"),
        ),
        (
            good(),
            format!("{list}/0/route_configuration"),
            json!({"virtual_hosts": [{"name": "", "domains": ["*"]}]}),
            format!("{at_list}[0].route_configuration.virtual_hosts[0].name: must not be empty"),
        ),
        (served(), "/scoped_rds/srds_resources_locator".into(), json!("x"), "scoped_rds.srds_resources_locator: not supported".into()),
        (served(), "/scoped_rds/scoped_rds_config_source".into(), Json::Null, "scoped_rds.scoped_rds_config_source: required".into()),
        (
            served(),
            "/scoped_rds/scoped_rds_config_source".into(),
            file.clone(),
            "scoped_rds.scoped_rds_config_source: a file is not supported here, only ads and self".into(),
        ),
        (served(), "/rds_config_source".into(), file, "rds_config_source: a file is not supported here, only ads and self".into()),
    ]);
}

#[test]
fn a_scope_of_a_server_names_its_table_or_has_it() {
    let parsed = |change: Json| {
        let mut wire = inline_scope("a", "1");
        for (field, value) in change.as_object().unwrap() {
            wire[field] = value.clone();
        }
        let mut parser = Parser::new();
        let value = scope(&message::<ScopedRouteConfiguration>(&wire), &mut parser);
        parser.finish(value).map(|(scope, warnings)| (scope, warnings.len())).map_err(|faults| faults.to_string())
    };
    assert!(matches!(parsed(json!({})), Ok((Scope { table: ScopeTable::Inline(_), .. }, 0))));
    let named = json!({"route_configuration": null, "route_configuration_name": "r", "on_demand": true});
    assert!(matches!(parsed(named), Ok((Scope { table: ScopeTable::Named(_), .. }, 1))));
    let both = parsed(json!({"route_configuration_name": "r"})).unwrap_err();
    assert_eq!(both, "only one of route_configuration_name, route_configuration may be set");
}
