//! The schemas of the libraries' kinds against what is read of them: a field that a new version of a library brings is let through by
//! the gate, and must not be one that nobody looks at.

use serde_json::{Map, json};

use super::*;
use crate::source::manifest::core::{ServiceSpec, Slice};
use crate::source::manifest::route::{GrantSpec, GrpcMethod, Spec};

/// Fields without effect, and why that is right.
const WITHOUT_EFFECT: &[(Kind, &str, &str)] = &[
    (Kind::Service, "allocateLoadBalancerNodePorts", OUTSIDE),
    (Kind::Service, "externalIPs", OUTSIDE),
    (Kind::Service, "externalName", "only with the type ExternalName, which is refused"),
    (Kind::Service, "externalTrafficPolicy", OUTSIDE),
    (Kind::Service, "healthCheckNodePort", OUTSIDE),
    (Kind::Service, "ipFamilies", ADDRESSES),
    (Kind::Service, "ipFamilyPolicy", ADDRESSES),
    (Kind::Service, "loadBalancerClass", OUTSIDE),
    (Kind::Service, "loadBalancerIP", OUTSIDE),
    (Kind::Service, "loadBalancerSourceRanges", OUTSIDE),
    (Kind::Service, "ports[].nodePort", OUTSIDE),
    (Kind::Service, "publishNotReadyAddresses", "EndpointSlices of such a service say of every address that it is ready"),
    (Kind::Service, "sessionAffinityConfig", "only with the session affinity ClientIP, which is refused"),
    (Kind::Service, "trafficDistribution", "a preference that implementations need not follow"),
    (Kind::EndpointSlice, "endpoints[].deprecatedTopology", "it cannot be written in v1 of the API"),
    (Kind::EndpointSlice, "endpoints[].hints", "a preference that implementations need not follow"),
    (Kind::EndpointSlice, "endpoints[].hostname", "a name for DNS"),
    (Kind::EndpointSlice, "endpoints[].nodeName", ABOUT),
    (Kind::EndpointSlice, "endpoints[].targetRef", ABOUT),
    (Kind::EndpointSlice, "ports[].appProtocol", "the service's port says it, from which it is copied"),
];

/// Traffic from outside.
const OUTSIDE: &str = "it is for traffic from outside of the cluster, which does not pass through sidecars";
/// How addresses are given.
const ADDRESSES: &str = "it says which addresses are given; those that were are in clusterIPs";
/// Of what an endpoint is.
const ABOUT: &str = "it says what the endpoint is, and nothing of how it is used";

/// Something for every field of a schema.
fn sample(schema: &Value, root: &Value) -> Value {
    if let Some(to) = schema["$ref"].as_str() {
        return sample(root.pointer(to.trim_start_matches('#')).unwrap(), root);
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        let mut choices = schema[choice].as_array().into_iter().flatten();
        if let Some(choice) = choices.find(|choice| choice["type"] != "null") {
            return sample(choice, root);
        }
    }
    let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
    match kind.as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let mut fields: Map<String, Value> = fields.map(|(name, schema)| (name.clone(), sample(schema, root))).collect();
            if schema["additionalProperties"].is_object() {
                fields.insert("any".to_owned(), sample(&schema["additionalProperties"], root));
            }
            Value::Object(fields)
        }
        Some("array") => json!([sample(&schema["items"], root)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("text"),
    }
}

/// What a shape does not read.
fn unread<T: DeserializeOwned>(value: &Value) -> Vec<String> {
    let mut unread = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unread.push(reader::path_of_ignored(&path).replace("[0]", "[]"));
    let read: Result<T, _> = serde_ignored::deserialize(value, &mut note);
    read.unwrap_or_else(|error| panic!("{error}: {value:#}"));
    unread
}

#[test]
fn every_field_is_read_or_known_to_have_no_effect() {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let schema = schema(kind);
        let whole = sample(&schema, &schema);
        let spec = &whole["spec"];
        let fields = match kind {
            Kind::Service => unread::<ServiceSpec>(spec),
            Kind::EndpointSlice => {
                let fields = unread::<Slice>(&whole);
                fields.into_iter().filter(|field| !["apiVersion", "kind", "metadata"].contains(&field.as_str())).collect()
            }
            Kind::HttpRoute | Kind::TcpRoute | Kind::TlsRoute => unread::<Spec>(spec),
            Kind::GrpcRoute => {
                let method = unread::<GrpcMethod>(&spec["rules"][0]["matches"][0]["method"]);
                [unread::<Spec>(spec), method].concat()
            }
            Kind::ReferenceGrant => unread::<GrantSpec>(spec),
            // Read as they are: there is no other shape.
            Kind::Workload
            | Kind::TrafficPolicy
            | Kind::ExternalService
            | Kind::PeerAuthentication
            | Kind::RequestAuthentication
            | Kind::AuthorizationPolicy
            | Kind::MeshConfig => continue,
        };
        assert!(whole.is_object() && !fields.contains(&String::new()), "{kind}: {whole:#}");
        found.extend(fields.into_iter().map(|field| (kind, field)));
    }
    let known: Vec<_> = WITHOUT_EFFECT.iter().map(|(kind, field, _)| (*kind, (*field).to_owned())).collect();
    let new: Vec<_> = found.iter().filter(|field| !known.contains(field)).collect();
    let old: Vec<_> = known.iter().filter(|field| !found.contains(field)).collect();
    assert!(new.is_empty() && old.is_empty(), "nobody reads {new:#?}; read or gone are {old:#?}");
}
