//! Core kinds: `Service` and `EndpointSlice`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::model::endpoints::{Condition, EndpointSlice, SliceEndpoint};
use crate::model::name::Name;
use crate::model::service::{Exports, Labels, Port, Protocol, Service, Target};
use crate::model::workload::Locality;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::text;

/// The annotation that says who may see a service: `*`, `.` (its own namespace), or namespaces with commas between them.
const EXPORTS: &str = "ninon.dev/exports";
/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// What makes a service headless.
const NO_ADDRESS: &str = "None";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    pub(super) labels: Option<Labels>,
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) creation_timestamp: Option<String>,
    pub(super) generation: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ServiceSpec {
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    ports: Option<Vec<ServicePort>>,
    selector: Option<Labels>,
    r#type: Option<String>,
    session_affinity: Option<String>,
    internal_traffic_policy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ServicePort {
    name: Option<String>,
    port: i64,
    target_port: Option<Value>,
    protocol: Option<String>,
    app_protocol: Option<String>,
}

/// A `Service`.
pub(super) fn service(name: &Name, value: &Value, reader: &mut Reader) -> Option<Service> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let spec: ServiceSpec = reader.shape(value, "spec")?;
    let exports = exports(name, metadata.annotations.as_ref().and_then(|all| all.get(EXPORTS)), reader);
    reader.at("spec", |reader| {
        if spec.r#type.as_deref() == Some("ExternalName") {
            reader.refuse_at::<()>("type", "ExternalName is not supported: use an ExternalService");
        }
        if let Some(affinity) = spec.session_affinity.filter(|affinity| !matches!(affinity.as_str(), "None" | "")) {
            let instead = "a TrafficPolicy with loadBalancer.hash.sourceAddress does that";
            reader.refuse_at::<()>("sessionAffinity", format_args!("{affinity:?} is not supported: {instead}"));
        }
        if let Some(policy) = spec.internal_traffic_policy.filter(|policy| !matches!(policy.as_str(), "Cluster" | "")) {
            reader.refuse_at::<()>("internalTrafficPolicy", format_args!("{policy:?} is not supported: all endpoints are used"));
        }
        let addresses = spec.cluster_ips.unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
        let addresses: Vec<String> = addresses.into_iter().filter(|address| !address.is_empty() && address != NO_ADDRESS).collect();
        let ports = spec.ports.unwrap_or_default();
        let alone = ports.len() == 1;
        let ports = reader.each("ports", &ports, |port, reader| service_port(port, alone, reader));
        twice(&ports, reader);
        Some(Service {
            name: name.clone(),
            addresses: reader.each("clusterIPs", &addresses, |address, reader| text::address(address, reader)),
            ports: ports.into_iter().flatten().collect(),
            selector: spec.selector.filter(|selector| !selector.is_empty()),
            exports: exports?,
        })
    })
}

fn service_port(port: &ServicePort, alone: bool, reader: &mut Reader) -> Option<Option<Port>> {
    let number = reader.at("port", |reader| text::port(port.port, reader));
    let name = port.name.as_deref().unwrap_or_default();
    if name.is_empty() && !alone {
        reader.refuse_at::<()>("name", "required where there is more than one port");
    }
    let target = match &port.target_port {
        None | Some(Value::Null) => Some(Target::Number(number?)),
        Some(Value::Number(given)) => {
            reader.at("targetPort", |reader| text::port(given.as_i64().unwrap_or_default(), reader)).map(Target::Number)
        }
        Some(Value::String(name)) => Some(Target::Name(name.as_str().into())),
        Some(_) => reader.refuse_at("targetPort", "neither a number nor a name"),
    };
    let protocol = match port.protocol.as_deref() {
        None | Some("TCP" | "") => protocol(port.app_protocol.as_deref(), name),
        // Not for the mesh: such traffic passes by.
        Some(_) => return Some(None),
    };
    Some(Some(Port { name: name.into(), number: number?, target: target?, protocol }))
}

fn twice(ports: &[Option<Port>], reader: &mut Reader) {
    let mut seen = BTreeSet::new();
    for port in ports.iter().flatten() {
        if !seen.insert(port.number) {
            reader.refuse_at::<()>("ports", format_args!("port {} is there twice", port.number));
        }
    }
}

/// What is spoken, by `appProtocol` (KEP-3726 and common use), else by the first word of the port's name as in Istio. What is not told
/// is bytes: nothing is guessed that a server which speaks first would wait for.
pub(super) fn protocol(app_protocol: Option<&str>, name: &str) -> Protocol {
    let told = app_protocol.filter(|told| !told.is_empty()).unwrap_or_else(|| name.split('-').next().unwrap_or_default());
    match told.to_ascii_lowercase().as_str() {
        "http" | "kubernetes.io/ws" | "ws" | "web" => Protocol::Http,
        "http2" | "h2c" | "kubernetes.io/h2c" | "grpc" => Protocol::Http2,
        "https" | "tls" | "kubernetes.io/wss" | "wss" => Protocol::Tls,
        _ => Protocol::Tcp,
    }
}

/// Who may see an object.
pub(super) fn exports(name: &Name, written: Option<&String>, reader: &mut Reader) -> Option<Exports> {
    let Some(written) = written else { return Some(Exports::All) };
    let words: Vec<&str> = written.split(',').map(str::trim).collect();
    if words == ["*"] {
        return Some(Exports::All);
    }
    let path = format!("metadata.annotations.{EXPORTS}");
    let namespaces = reader.at(&path, |reader| {
        let each = words.into_iter().map(|word| if word == "." { Some(Arc::clone(&name.namespace)) } else { text::label(word, reader) });
        each.collect::<Vec<_>>()
    });
    namespaces.into_iter().collect::<Option<BTreeSet<_>>>().map(Exports::Namespaces)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Slice {
    address_type: String,
    endpoints: Vec<SliceItem>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SliceItem {
    addresses: Vec<String>,
    conditions: Option<SliceConditions>,
    zone: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SliceConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SlicePort {
    name: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
}

/// An `EndpointSlice`.
pub(super) fn endpoint_slice(name: &Name, value: &Value, reader: &mut Reader) -> Option<EndpointSlice> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    let slice: Slice = match serde_path_to_error::deserialize(value) {
        Ok(slice) => slice,
        Err(error) => return reader.refuse(error),
    };
    if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
        reader.refuse_at::<()>("addressType", format_args!("{:?} is not supported: IPv4 or IPv6", slice.address_type));
    }
    let service = metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
    let Some(service) = service else {
        return reader.refuse_at("metadata.labels", format_args!("{SERVICE_NAME} is required: it names the service"));
    };
    // As of a Service, what is no TCP passes by.
    let is_tcp = |port: &SlicePort| matches!(port.protocol.as_deref(), None | Some("TCP" | ""));
    let ports: Vec<SlicePort> = slice.ports.unwrap_or_default().into_iter().filter(is_tcp).collect();
    let ports = reader.each("ports", &ports, |port, reader| {
        let number = reader.at("port", |reader| text::port(port.port.unwrap_or_default(), reader))?;
        Some((Arc::from(port.name.as_deref().unwrap_or_default()), number))
    });
    let endpoints = reader.each("endpoints", &slice.endpoints, |endpoint, reader| {
        let addresses = reader.each("addresses", &endpoint.addresses, |address, reader| text::address(address, reader));
        let condition = condition(endpoint.conditions.as_ref());
        let zone: Arc<str> = endpoint.zone.as_deref().unwrap_or_default().into();
        // As the API says: consumers look at the first address only.
        let address = addresses.into_iter().next()?;
        Some(SliceEndpoint { address, condition, locality: Locality { zone, ..Locality::default() } })
    });
    Some(EndpointSlice { name: name.clone(), service: Name::new(Arc::clone(&name.namespace), service.as_str()), ports, endpoints })
}

/// What is not told counts as good, as the API says.
fn condition(conditions: Option<&SliceConditions>) -> Condition {
    let Some(conditions) = conditions else { return Condition::Ready };
    let ready = conditions.ready.unwrap_or(true);
    match (ready, conditions.serving.unwrap_or(ready), conditions.terminating.unwrap_or(false)) {
        (true, _, _) => Condition::Ready,
        (false, true, true) => Condition::Draining,
        (false, _, _) => Condition::NotReady,
    }
}
