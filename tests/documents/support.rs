use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use ninon_proxy::settings::file;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| xds_proto::descriptor_pool().unwrap());

const ROUTE: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/route_config";
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
const CLUSTER: &str = "/static_resources/clusters/0";
const NETWORK_RBAC: &str = "/static_resources/listeners/1/filter_chains/0/filters/0/typed_config";
const RULES: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/rules";
const TOKENS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/1/typed_config";
const AUTHZ: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/2/typed_config";
const KEYS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const VALIDATOR: &str = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
const TRUST_DOMAIN: &str = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain";
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// Heading on the page, message, and where the whole bootstrap has one.
fn places() -> Vec<(&'static str, &'static str, String)> {
    let server = "/static_resources/listeners/1/filter_chains/0/transport_socket/typed_config";
    let validation = format!("{CLUSTER}/transport_socket/typed_config/common_tls_context/validation_context");
    let validator = &format!("{validation}/custom_validator_config/typed_config");
    vec![
        ("Bootstrap", "envoy.config.bootstrap.v3.Bootstrap", String::new()),
        ("Listener", "envoy.config.listener.v3.Listener", "/static_resources/listeners/0".to_owned()),
        ("FilterChain", "envoy.config.listener.v3.FilterChain", "/static_resources/listeners/0/filter_chains/0".to_owned()),
        (
            "FilterChainMatch",
            "envoy.config.listener.v3.FilterChainMatch",
            "/static_resources/listeners/1/filter_chains/0/filter_chain_match".to_owned(),
        ),
        (
            "TcpProxy",
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "/static_resources/listeners/1/filter_chains/0/filters/1/typed_config".to_owned(),
        ),
        ("RBAC (network)", "envoy.extensions.filters.network.rbac.v3.RBAC", NETWORK_RBAC.to_owned()),
        ("RBAC", "envoy.extensions.filters.http.rbac.v3.RBAC", format!("{MANAGER}/http_filters/0/typed_config")),
        ("RBACPerRoute", "envoy.extensions.filters.http.rbac.v3.RBACPerRoute", format!("{ROUTE}/typed_per_filter_config/rbac")),
        ("JwtAuthentication", "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", TOKENS.to_owned()),
        ("JwtProvider", "envoy.extensions.filters.http.jwt_authn.v3.JwtProvider", format!("{TOKENS}/providers/p")),
        ("RemoteJwks", "envoy.extensions.filters.http.jwt_authn.v3.RemoteJwks", format!("{TOKENS}/providers/q/remote_jwks")),
        ("ExtAuthz", "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", AUTHZ.to_owned()),
        ("BufferSettings", "envoy.extensions.filters.http.ext_authz.v3.BufferSettings", format!("{AUTHZ}/with_request_body")),
        (
            "CheckSettings",
            "envoy.extensions.filters.http.ext_authz.v3.CheckSettings",
            format!("{ROUTE}/typed_per_filter_config/authz/check_settings"),
        ),
        ("RBAC (rules)", "envoy.config.rbac.v3.RBAC", RULES.to_owned()),
        ("Policy", "envoy.config.rbac.v3.Policy", format!("{RULES}/policies/p")),
        ("Permission", "envoy.config.rbac.v3.Permission", format!("{RULES}/policies/p/permissions/0")),
        ("Principal", "envoy.config.rbac.v3.Principal", format!("{RULES}/policies/p/principals/0")),
        ("HttpConnectionManager", "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", MANAGER.to_owned()),
        ("Router", "envoy.extensions.filters.http.router.v3.Router", format!("{MANAGER}/http_filters/3/typed_config")),
        ("Http1ProtocolOptions", "envoy.config.core.v3.Http1ProtocolOptions", format!("{MANAGER}/http_protocol_options")),
        ("Http2ProtocolOptions", "envoy.config.core.v3.Http2ProtocolOptions", format!("{MANAGER}/http2_protocol_options")),
        ("RouteConfiguration", "envoy.config.route.v3.RouteConfiguration", ROUTE.to_owned()),
        ("VirtualHost", "envoy.config.route.v3.VirtualHost", format!("{ROUTE}/virtual_hosts/0")),
        ("Route", "envoy.config.route.v3.Route", format!("{ROUTE}/virtual_hosts/0/routes/0")),
        ("RouteMatch", "envoy.config.route.v3.RouteMatch", format!("{ROUTE}/virtual_hosts/0/routes/0/match")),
        ("RouteAction", "envoy.config.route.v3.RouteAction", format!("{ROUTE}/virtual_hosts/0/routes/0/route")),
        ("RetryPolicy", "envoy.config.route.v3.RetryPolicy", format!("{ROUTE}/virtual_hosts/0/routes/0/route/retry_policy")),
        ("RedirectAction", "envoy.config.route.v3.RedirectAction", format!("{ROUTE}/virtual_hosts/0/routes/1/redirect")),
        (
            "WeightedCluster.ClusterWeight",
            "envoy.config.route.v3.WeightedCluster.ClusterWeight",
            format!("{ROUTE}/virtual_hosts/0/routes/2/route/weighted_clusters/clusters/0"),
        ),
        ("Cluster", "envoy.config.cluster.v3.Cluster", CLUSTER.to_owned()),
        ("HttpProtocolOptions (upstream)", OPTIONS, format!("{CLUSTER}/typed_extension_protocol_options/{OPTIONS}")),
        (
            "CircuitBreakers.Thresholds",
            "envoy.config.cluster.v3.CircuitBreakers.Thresholds",
            format!("{CLUSTER}/circuit_breakers/thresholds/0"),
        ),
        ("ClusterLoadAssignment", "envoy.config.endpoint.v3.ClusterLoadAssignment", format!("{CLUSTER}/load_assignment")),
        ("LocalityLbEndpoints", "envoy.config.endpoint.v3.LocalityLbEndpoints", format!("{CLUSTER}/load_assignment/endpoints/0")),
        ("LbEndpoint", "envoy.config.endpoint.v3.LbEndpoint", format!("{CLUSTER}/load_assignment/endpoints/0/lb_endpoints/0")),
        ("Endpoint", "envoy.config.endpoint.v3.Endpoint", format!("{CLUSTER}/load_assignment/endpoints/0/lb_endpoints/0/endpoint")),
        ("DownstreamTlsContext", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", server.to_owned()),
        (
            "UpstreamTlsContext",
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            format!("{CLUSTER}/transport_socket/typed_config"),
        ),
        ("CommonTlsContext", "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext", format!("{server}/common_tls_context")),
        (
            "TlsCertificate",
            "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
            format!("{server}/common_tls_context/tls_certificates/0"),
        ),
        (
            "CertificateValidationContext",
            "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
            format!("{server}/common_tls_context/validation_context"),
        ),
        ("SPIFFECertValidatorConfig", VALIDATOR, validator.to_owned()),
        ("SPIFFECertValidatorConfig.TrustDomain", TRUST_DOMAIN, format!("{validator}/trust_domains/0")),
    ]
}

/// A bootstrap that has one of everything, without a fault and without a warning.
fn valid() -> Value {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let typed = |name: &str, mut config: Value| {
        config["@type"] = json!(format!("type.googleapis.com/{name}"));
        json!({"name": name, "typed_config": config})
    };
    let router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    let routes = json!([
        {"match": {"prefix": "/a"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}},
        {"match": {"prefix": "/b"}, "redirect": {"host_redirect": "x"}},
        {"match": {"prefix": "/c"}, "route": {"weighted_clusters": {"clusters": [{"name": "c", "weight": 1}]}}},
    ]);
    let rules = json!({"policies": {"p": {"permissions": [{"any": true}], "principals": [{"any": true}]}}});
    let rbac = json!({"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": rules}});
    let guard = typed("envoy.extensions.filters.network.rbac.v3.RBAC", json!({"stat_prefix": "a", "rules": rules}));
    let uri = json!({"uri": "http://a.example/keys", "cluster": "c", "timeout": "1s"});
    let tokens = json!({"providers": {"p": {"local_jwks": {"inline_string": KEYS}}, "q": {"remote_jwks": {"http_uri": uri}}}});
    let tokens = typed("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", tokens);
    let authz = json!({"name": "authz", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "grpc_service": {"envoy_grpc": {"cluster_name": "c"}}, "with_request_body": {"max_request_bytes": 1},
    }});
    let of_routes = json!({
        "rbac": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", "rbac": {}},
        "authz": {"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "check_settings": {}},
    });
    let manager = json!({
        "stat_prefix": "a", "http_filters": [rbac, tokens, authz, router], "http_protocol_options": {}, "http2_protocol_options": {},
        "route_config": {"name": "r", "typed_per_filter_config": of_routes, "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
    });
    let tcp = typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", json!({"stat_prefix": "a", "cluster": "c"}));
    let certificate =
        json!({"certificate_chain": {"inline_string": pem}, "private_key": {"inline_string": made.signing_key.serialize_pem()}});
    let server = typed(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        json!({"common_tls_context": {"tls_certificates": [certificate], "validation_context": {"trusted_ca": {"inline_string": pem}}}}),
    );
    let domains = typed(VALIDATOR, json!({"trust_domains": [{"name": "a", "trust_bundle": {"inline_string": pem}}]}));
    let client = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        json!({"sni": "a.example", "common_tls_context": {"validation_context": {"custom_validator_config": domains}}}),
    );
    let address = |port: u32| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let manager = typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
    json!({"static_resources": {
        "listeners": [
            {"name": "a", "address": address(80), "filter_chains": [{"filters": [manager]}]},
            {"name": "b", "address": address(81), "filter_chains": [{"filters": [guard, tcp], "transport_socket": server, "filter_chain_match": {}}]},
        ],
        "clusters": [{
            "name": "c",
            "transport_socket": client,
            "circuit_breakers": {"thresholds": [{"max_connections": 1}]},
            "typed_extension_protocol_options": {OPTIONS: {
                "@type": format!("type.googleapis.com/{OPTIONS}"), "explicit_http_config": {"http_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": "c", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(82)}}]}]},
        }],
    }})
}

/// What a field is probed with, where a value of its type is not enough.
fn special(message: &str, field: &str) -> Option<Value> {
    let any = json!({"@type": format!("type.googleapis.com/{OPTIONS}")});
    Some(match (message, field) {
        ("envoy.config.core.v3.Http2ProtocolOptions", "hpack_table_size") => json!(1024),
        (_, "header_prefix") => json!("x-other"),
        (_, "retry_policy_typed_config") => any,
        _ => return None,
    })
}

/// A value that is not the default.
fn probe(field: &FieldDescriptor) -> Value {
    if field.is_map() {
        return json!({"x": {"@type": format!("type.googleapis.com/{OPTIONS}")}});
    }
    let one = match field.kind() {
        Kind::Bool => json!(true),
        Kind::String => json!("x"),
        Kind::Bytes => json!("eA=="),
        Kind::Enum(values) => json!(values.values().find(|value| value.number() != 0).unwrap().name()),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Duration" => json!("1s"),
            "google.protobuf.BoolValue" => json!(true),
            "google.protobuf.Any" => json!({"@type": format!("type.googleapis.com/{OPTIONS}")}),
            name if name.starts_with("google.protobuf.") && name.ends_with("Value") => json!(1),
            _ => json!({}),
        },
        Kind::Double | Kind::Float => json!(1.5),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Sint32 | Kind::Sint64 => json!(1),
        Kind::Fixed32 | Kind::Fixed64 | Kind::Sfixed32 | Kind::Sfixed64 => json!(1),
    };
    if field.is_list() { json!([one]) } else { one }
}

/// The valid bootstrap with one more field; a oneof has room for one.
fn with(pointer: &str, message: &MessageDescriptor, field: &FieldDescriptor) -> Value {
    let mut file = valid();
    let place = file.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} is not there")).as_object_mut().unwrap();
    if let Some(oneof) = field.containing_oneof() {
        for other in oneof.fields() {
            place.remove(other.name());
        }
    }
    let value = special(message.full_name(), field.name()).unwrap_or_else(|| probe(field));
    place.insert(field.name().to_owned(), value);
    file
}

/// Heading, row, and its fields in order. What stands in parentheses is a remark.
fn page() -> BTreeMap<String, Vec<(String, String)>> {
    let text = fs::read_to_string(super::SUPPORT).unwrap();
    let mut page = BTreeMap::new();
    let mut rows: &mut Vec<(String, String)> = &mut Vec::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            rows = page.entry(heading.to_owned()).or_default();
        } else if line.starts_with("## ") {
            rows = page.entry(String::new()).or_default();
        }
        let Some((row, fields)) = line.strip_prefix("| ").and_then(|line| line.split_once(" | ")) else { continue };
        let mut depth = 0_usize;
        for (index, part) in fields.split('`').enumerate() {
            if index % 2 == 1 && depth == 0 {
                rows.push((row.to_owned(), part.to_owned()));
            }
            if index % 2 == 0 {
                depth += part.matches('(').count();
                depth -= part.matches(')').count();
            }
        }
    }
    page
}

#[test]
fn the_bootstrap_that_is_probed_is_valid() {
    let loaded = file::load(&valid().to_string(), true).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn every_field_is_treated_as_the_page_says() {
    let page = page();
    let mut wrong = Vec::new();
    for (heading, name, pointer) in places() {
        let message = POOL.get_message_by_name(name).unwrap();
        let listed = page.get(heading).unwrap_or_else(|| panic!("the page has no {heading}"));
        for field in message.fields() {
            let rows: Vec<_> = listed.iter().filter(|(_, listed)| listed == field.name()).map(|(row, _)| row.as_str()).collect();
            let [row] = rows.as_slice() else {
                wrong.push(format!("{heading}.{}: listed {} times", field.name(), rows.len()));
                continue;
            };
            let seen = treated(&with(&pointer, &message, &field), field.name());
            if !fits(row, &seen) {
                wrong.push(format!("{heading}.{}: the page says {row:?}, but it is {seen}", field.name()));
            }
        }
        let gone = listed.iter().filter(|(_, field)| message.get_field_by_name(field).is_none());
        wrong.extend(gone.map(|(_, field)| format!("{heading}.{field}: there is no such field")));
    }
    assert!(wrong.is_empty(), "{} fields:\n{}", wrong.len(), wrong.join("\n"));
}

fn fits(row: &str, seen: &Seen) -> bool {
    match seen {
        // A probe need not be a good value of a field that is used.
        Seen::Refused(problem) => row == "refused" || (row == "used" && !problem.ends_with(": not supported")),
        Seen::Warned(_) => row == "ignored, with a warning" || row == "used",
        Seen::Silent => row == "used" || row == "accepted, without effect",
    }
}

#[derive(Debug)]
enum Seen {
    Refused(String),
    Warned(String),
    Silent,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(problem) => write!(f, "refused ({problem})"),
            Self::Warned(warning) => write!(f, "accepted with a warning ({warning})"),
            Self::Silent => f.write_str("accepted in silence"),
        }
    }
}

fn treated(file: &Value, field: &str) -> Seen {
    let names = |line: &str| line.split(": ").next().is_some_and(|path| path.split(['.', '[']).any(|step| step == field));
    match file::load(&file.to_string(), false) {
        Err(faults) => {
            let faults: Vec<String> = faults.list().iter().map(ToString::to_string).collect();
            Seen::Refused(faults.iter().find(|fault| names(fault)).unwrap_or(&faults[0]).clone())
        }
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            warnings.into_iter().find(|warning| names(warning)).map_or(Seen::Silent, Seen::Warned)
        }
    }
}
