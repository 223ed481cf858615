use serde_json::json;

use super::*;
use crate::envoy::config::bootstrap::v3::Bootstrap;
use crate::envoy::config::cluster::v3::{Cluster, cluster};
use crate::envoy::config::core::v3::{DataSource, Metadata, Node, SocketAddress, data_source, socket_address};
use crate::envoy::config::listener::v3::Listener;
use crate::envoy::extensions::transport_sockets::tls::v3::{Secret, TlsCertificate, secret};
use crate::unknown::UnknownKind;
use crate::{any, descriptor_pool};

fn read<M: Message + Name + Default>(json: &Json) -> Result<(M, Vec<Unknown>), Vec<Fault>> {
    from_json(&descriptor_pool().unwrap(), json).map_err(|unreadable| unreadable.faults)
}

fn accepted<M: Message + Name + Default>(json: &Json) -> M {
    let (message, unknown) = read(json).unwrap();
    assert_eq!(unknown, []);
    message
}

fn faults<M: Message + Name + Default>(json: &Json) -> Vec<String> {
    let Err(faults) = read::<M>(json) else { panic!("accepted: {json}") };
    let mut faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    faults.sort();
    faults
}

fn unknown<M: Message + Name + Default>(json: &Json) -> Vec<String> {
    let mut unknown: Vec<_> = read::<M>(json).unwrap().1.iter().map(ToString::to_string).collect();
    unknown.sort();
    unknown
}

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// A bootstrap with one listener and one virtual host, to be changed by a test.
fn bootstrap(virtual_host: &Json) -> Json {
    json!({"static_resources": {"listeners": [{
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {"@type": HCM, "stat_prefix": "in", "route_config": {"virtual_hosts": [virtual_host]}},
        }]}],
    }]}})
}

const HOST: &str = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]";

#[test]
fn a_bootstrap_is_read_through_its_any() {
    let file = bootstrap(&json!({"name": "all", "domains": ["*"]}));
    let bootstrap: Bootstrap = accepted(&file);
    let listener = &bootstrap.static_resources.unwrap().listeners[0];
    let filter = &listener.filter_chains[0].filters[0];
    let crate::envoy::config::listener::v3::filter::ConfigType::TypedConfig(config) = filter.config_type.as_ref().unwrap() else {
        panic!("no typed_config");
    };
    let manager: crate::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager =
        any::unpack(config).unwrap();
    assert_eq!(manager.stat_prefix, "in");
}

#[test]
fn both_spellings_of_a_field_are_read() {
    let snake: Cluster = accepted(&json!({"connect_timeout": "0.25s", "lb_policy": "RANDOM"}));
    let camel: Cluster = accepted(&json!({"connectTimeout": "0.25s", "lbPolicy": "RANDOM"}));
    assert_eq!(snake, camel);
    assert_eq!(snake.connect_timeout.unwrap().nanos, 250_000_000);
}

#[test]
fn one_field_in_both_spellings_is_refused() {
    let file = json!({"connect_timeout": "1s", "connectTimeout": "2s"});
    let faults = faults::<Cluster>(&file);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].ends_with(": connect_timeout is given twice, in two spellings"), "{faults:?}");
}

#[test]
fn an_enum_value_is_read_by_name_in_any_case_and_by_number() {
    for policy in [json!("LEAST_REQUEST"), json!("least_request"), json!(1), json!(1.0)] {
        let cluster: Cluster = accepted(&json!({"lb_policy": policy}));
        assert_eq!(cluster.lb_policy(), cluster::LbPolicy::LeastRequest);
    }
}

#[test]
fn an_enum_value_that_does_not_exist_is_refused_with_those_that_do() {
    let file = json!({"dns_lookup_family": "IPV4", "lb_policy": 99});
    let faults = faults::<Cluster>(&file);
    assert_eq!(faults[0], "dns_lookup_family: expected one of AUTO, V4_ONLY, V6_ONLY, V4_PREFERRED, ALL, got \"IPV4\"");
    assert!(faults[1].starts_with("lb_policy: expected one of ROUND_ROBIN, "), "{}", faults[1]);
}

#[test]
fn numbers_are_read_in_all_their_forms() {
    for port in [json!(80), json!("80"), json!(80.0), json!("8e1")] {
        let address: SocketAddress = accepted(&json!({"port_value": port}));
        assert_eq!(address.port_specifier, Some(socket_address::PortSpecifier::PortValue(80)));
    }
}

#[test]
fn a_number_out_of_range_is_refused_and_not_cut() {
    for (port, shown) in [(json!(-1), "-1"), (json!(4_294_967_296_u64), "4294967296"), (json!(80.5), "80.5")] {
        assert_eq!(
            faults::<SocketAddress>(&json!({"port_value": port})),
            [format!("port_value: expected a whole number from 0 to 4294967295, got {shown}")]
        );
    }
    assert_eq!(faults::<SocketAddress>(&json!({"port_value": 1e300})).len(), 1);
}

#[test]
fn wrappers_durations_bytes_and_structs_have_their_own_form() {
    let file = json!({"per_connection_buffer_limit_bytes": 1024, "respect_dns_ttl": true, "dns_refresh_rate": "5s"});
    let cluster: Cluster = accepted(&file);
    assert_eq!(cluster.per_connection_buffer_limit_bytes, Some(1024));
    let source: DataSource = accepted(&json!({"inline_bytes": "aGVsbG8="}));
    assert_eq!(source.specifier, Some(data_source::Specifier::InlineBytes("hello".into())));
    let node: Node = accepted(&json!({"metadata": {"a": [1, null, {"b": "c"}]}}));
    assert_eq!(node.metadata.unwrap().fields.len(), 1);
}

#[test]
fn null_is_the_same_as_no_field() {
    assert_eq!(accepted::<Cluster>(&json!({"name": null, "lb_policy": null})), Cluster::default());
}

#[test]
fn all_faults_are_listed_with_their_paths() {
    let mut file = bootstrap(&json!({"name": 5, "domains": "*", "routes": [{}, {"match": {"prefix": []}}]}));
    file["admin"] = json!({"address": 1});
    assert_eq!(
        faults::<Bootstrap>(&file),
        [
            "admin.address: expected an object, got 1".to_owned(),
            format!("{HOST}.domains: expected a list, got \"*\""),
            format!("{HOST}.name: expected a text, got 5"),
            format!("{HOST}.routes[1].match.prefix: expected a text, got a list"),
        ]
    );
}

#[test]
fn texts_with_a_form_of_their_own_are_checked() {
    assert_eq!(
        faults::<Cluster>(&json!({"connect_timeout": "5 seconds"})),
        ["connect_timeout: expected a duration in seconds such as \"1.5s\", got \"5 seconds\""]
    );
    assert_eq!(faults::<DataSource>(&json!({"inline_bytes": "%"})), ["inline_bytes: expected bytes in base64, got \"%\""]);
}

#[test]
fn two_members_of_one_choice_are_refused() {
    let file = json!({"match": {"path": "/a", "prefix": "/"}});
    assert_eq!(faults::<crate::envoy::config::route::v3::Route>(&file), ["match.prefix: only one of path and prefix may be given"]);
}

#[test]
fn a_field_outside_the_slice_is_listed_with_the_nearest_name() {
    let file = bootstrap(&json!({"name": "a", "domain": ["*"], "zzzzzzzzzz": 1, "routes": [{"x\n": 1}]}));
    assert_eq!(
        unknown::<Bootstrap>(&file),
        [
            format!("{HOST}.domain: no such field, did you mean domains?"),
            format!("{HOST}.routes[0][\"x\\n\"]: no such field"),
            format!("{HOST}.zzzzzzzzzz: no such field"),
        ]
    );
}

#[test]
fn an_any_outside_the_slice_is_listed_as_such_and_keeps_its_type() {
    let file = json!({"transport_socket": {"name": "x", "typed_config": {"@type": "type.googleapis.com/a.B", "c": 1}}});
    let (cluster, unknown) = read::<Cluster>(&file).unwrap();
    assert_eq!(unknown[0].path, "transport_socket.typed_config");
    assert_eq!(unknown[0].kind, UnknownKind::AnyType { type_url: "type.googleapis.com/a.B".to_owned() });
    let crate::envoy::config::core::v3::transport_socket::ConfigType::TypedConfig(any) =
        cluster.transport_socket.unwrap().config_type.unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/a.B");
}

#[test]
fn an_any_without_a_type_is_refused() {
    let with = |config: Json| faults::<Listener>(&json!({"filter_chains": [{"filters": [{"typed_config": config}]}]}));
    let path = "filter_chains[0].filters[0].typed_config";
    assert_eq!(with(json!({"a": 1})), [format!("{path}: needs \"@type\", the type URL of what is inside")]);
    assert_eq!(with(json!({"@type": "a.B"})), [format!("{path}: \"@type\" must be like type.googleapis.com/<message>, got \"a.B\"")]);
    assert_eq!(with(json!([])), [format!("{path}: expected an object, got a list")]);
}

#[test]
fn a_well_known_type_in_an_any_stands_under_value() {
    let url = "type.googleapis.com/google.protobuf.Duration";
    let file = json!({"typed_filter_metadata": {"a": {"@type": url, "value": "3s"}}});
    let metadata: Metadata = accepted(&file);
    assert_eq!(any::unpack::<prost_types::Duration>(&metadata.typed_filter_metadata["a"]).unwrap().seconds, 3);
    let back = to_json(&descriptor_pool().unwrap(), &metadata, Secrets::Redacted).unwrap();
    assert_eq!(back, file);
    let missing = json!({"typed_filter_metadata": {"a": {"@type": url}}});
    assert_eq!(faults::<Metadata>(&missing), ["typed_filter_metadata[\"a\"]: needs \"value\", the google.protobuf.Duration itself"]);
}

/// `a` inside of itself, without the recursion that the test is about.
fn nested(times: usize, wrap: impl Fn(Json) -> Json, innermost: Json) -> Json {
    (0..times).fold(innermost, |inner, _| wrap(inner))
}

#[test]
fn nesting_is_bounded_in_messages_any_and_free_form() {
    let matchers = nested(200, |inner| json!({"not_match": inner}), json!({"any_match": true}));
    let file = json!({"listener_filters": [{"filter_disabled": matchers}]});
    assert!(faults::<Listener>(&file)[0].ends_with("nested deeper than 90 messages"));

    let any = "type.googleapis.com/google.protobuf.Any";
    let file = json!({"typed_filter_metadata": {"a": nested(200, |inner| json!({"@type": any, "value": inner}), json!({}))}});
    assert!(faults::<Metadata>(&file)[0].ends_with("nested deeper than 90 messages"));

    // Not with json!, which copies its values recursively.
    let object = |name: &str, inner| Json::Object([(name.to_owned(), inner)].into_iter().collect());
    let file = object("metadata", nested(5000, |inner| object("a", inner), json!({})));
    assert_eq!(faults::<Node>(&file), ["metadata: nested deeper than 90 messages"]);
    drop_slowly(file);
}

/// serde_json drops a value recursively; this one would not fit the stack.
fn drop_slowly(mut json: Json) {
    while let Some(inner) = json.as_object_mut().and_then(|object| object.values_mut().next()).map(Json::take) {
        json = inner;
    }
}

#[test]
fn what_is_not_too_deep_can_be_encoded_and_decoded() {
    let file = json!({"metadata": nested(25, |inner| json!({"a": inner}), json!({}))});
    let node: Node = accepted(&file);
    assert_eq!(Node::decode(node.encode_to_vec().as_slice()).unwrap(), node);
}

#[test]
fn what_was_written_is_read_again() {
    let pool = descriptor_pool().unwrap();
    let file = bootstrap(&json!({"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "a", "timeout": "0.500s"}}]}));
    let bootstrap: Bootstrap = accepted(&file);
    let written = to_json(&pool, &bootstrap, Secrets::Redacted).unwrap();
    assert_eq!(accepted::<Bootstrap>(&written), bootstrap);
    let host =
        &written["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0];
    assert_eq!(host["routes"][0]["route"]["timeout"], "0.500s");
}

#[test]
fn an_any_outside_the_slice_is_written_with_its_bytes() {
    let any = prost_types::Any { type_url: "type.googleapis.com/a.B".to_owned(), value: b"hello".to_vec() };
    let metadata = Metadata { typed_filter_metadata: [("k".to_owned(), any)].into(), ..Metadata::default() };
    let written = to_json(&descriptor_pool().unwrap(), &metadata, Secrets::Redacted).unwrap();
    assert_eq!(written, json!({"typed_filter_metadata": {"k": {"@type": "type.googleapis.com/a.B", "value": "aGVsbG8="}}}));
}

fn inline(text: &str) -> Option<DataSource> {
    let specifier = Some(data_source::Specifier::InlineString(text.to_owned()));
    Some(DataSource { specifier, ..DataSource::default() })
}

#[test]
fn key_material_is_redacted_unless_asked_for() {
    let password = DataSource { specifier: Some(data_source::Specifier::Filename("/etc/password".to_owned())), ..DataSource::default() };
    let certificate = TlsCertificate {
        certificate_chain: inline("public"),
        private_key: inline("private"),
        password: Some(password),
        ..TlsCertificate::default()
    };
    let secret = Secret { name: "a".to_owned(), r#type: Some(secret::Type::TlsCertificate(certificate)) };
    let pool = descriptor_pool().unwrap();
    let redacted = to_json(&pool, &secret, Secrets::Redacted).unwrap();
    assert_eq!(
        redacted["tls_certificate"],
        json!({
            "certificate_chain": {"inline_string": "public"},
            "private_key": {"inline_string": "[redacted]"},
            "password": {"filename": "/etc/password"},
        })
    );
    let shown = to_json(&pool, &secret, Secrets::Shown).unwrap();
    assert_eq!(shown["tls_certificate"]["private_key"], json!({"inline_string": "private"}));
}

#[test]
fn what_a_server_is_shown_is_redacted() {
    use crate::envoy::config::core::v3::{GrpcService, HeaderValue};
    let token = HeaderValue { key: "authorization".to_owned(), value: "Bearer private".to_owned(), ..HeaderValue::default() };
    let service = GrpcService { initial_metadata: vec![token], ..GrpcService::default() };
    let pool = descriptor_pool().unwrap();
    assert!(!to_json(&pool, &service, Secrets::Redacted).unwrap().to_string().contains("private"));
    assert!(to_json(&pool, &service, Secrets::Shown).unwrap().to_string().contains("Bearer private"));
}

#[test]
fn key_material_is_redacted_inside_an_any_too() {
    let secret = Secret {
        name: "a".to_owned(),
        r#type: Some(secret::Type::GenericSecret(crate::envoy::extensions::transport_sockets::tls::v3::GenericSecret {
            secret: inline("private"),
            ..Default::default()
        })),
    };
    let metadata = Metadata { typed_filter_metadata: [("k".to_owned(), any::pack(&secret))].into(), ..Metadata::default() };
    let written = to_json(&descriptor_pool().unwrap(), &metadata, Secrets::Redacted).unwrap().to_string();
    assert!(!written.contains("private"), "{written}");
}
