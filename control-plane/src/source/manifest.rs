//! Objects as they are written, and their way into the model.
//!
//! The libraries' types (k8s-openapi, gateway-api, and Ninon's own custom resources) are the gate: they say which fields there
//! are and what type each has. What passes is read into the few shapes that the model is made from, and held against the rules of
//! the specifications. All rules that are broken are told, each with the field.

/// `AuthorizationPolicy`.
mod authorization;
/// Core kinds.
mod core;
/// Ninon's own kinds.
pub mod custom;
/// Filters of routes.
mod filter;
/// From Ninon's own kinds to the model.
mod ninon;
/// Services that decide in a policy's place.
mod provider;
/// Collects faults.
mod reader;
/// Routes.
mod route;
/// Who may reach whom.
mod security;
/// Texts with rules.
mod text;
/// `RequestAuthentication`.
mod token;

use gateway_api::apis::experimental::grpcroutes::GrpcRoute;
use gateway_api::apis::experimental::httproutes::HttpRoute;
use gateway_api::apis::experimental::referencegrants::ReferenceGrant;
use gateway_api::apis::experimental::tcproutes::TcpRoute;
use gateway_api::apis::experimental::tlsroutes::TlsRoute;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::model::fault::Fault;
use crate::model::kind::Kind;
use crate::model::mesh::Object;
use crate::model::name::{Key, Name};

use custom::authorization::AuthorizationPolicy;
use custom::token::RequestAuthentication;
use custom::{ExternalService, MeshConfig, PeerAuthentication, TrafficPolicy, Workload};
use reader::Reader;

/// Groups in whose words objects are read that say who may do what.
const OURS: [&str; 2] = ["ninon.dev", "security.istio.io"];
/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What an object is, without a look at what it says.
///
/// # Errors
/// A kind that is not known, or a name that cannot be one.
pub fn key(value: &Value) -> Result<Key, Vec<Fault>> {
    let mut reader = Reader::default();
    let key = read_key(value, &mut reader);
    reader.finish(key)
}

/// Reads an object.
///
/// # Errors
/// All its faults.
pub fn read(value: &Value) -> Result<(Key, Object), Vec<Fault>> {
    let key = key(value)?;
    check(key.kind, value)?;
    let mut reader = Reader::default();
    let object = match key.kind {
        Kind::Service => core::service(&key.name, value, &mut reader).map(Object::Service),
        Kind::EndpointSlice => core::endpoint_slice(&key.name, value, &mut reader).map(Object::EndpointSlice),
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute => route::route(&key, value, &mut reader).map(Object::Route),
        Kind::ReferenceGrant => route::grant(&key.name, value, &mut reader).map(Object::ReferenceGrant),
        Kind::Workload => ninon::workload(&key.name, value, &mut reader).map(Object::Workload),
        Kind::TrafficPolicy => ninon::traffic_policy(&key.name, value, &mut reader).map(Object::TrafficPolicy),
        Kind::ExternalService => ninon::external_service(&key.name, value, &mut reader).map(Object::ExternalService),
        Kind::PeerAuthentication => security::peer_authentication(&key.name, value, &mut reader).map(Object::PeerAuthentication),
        Kind::RequestAuthentication => token::request_authentication(&key.name, value, &mut reader).map(Object::RequestAuthentication),
        Kind::AuthorizationPolicy => authorization::policy(&key.name, value, &mut reader).map(Object::AuthorizationPolicy),
        Kind::MeshConfig => ninon::mesh_config(value, &mut reader).map(Object::MeshConfig),
    };
    reader.finish(object.map(|object| (key, object)))
}

/// Whether it says who may do what, and nobody knows what would be as strict: one of ours whose name cannot be told, and the settings of the
/// mesh.
pub fn has_no_stand_in(value: &Value) -> bool {
    let text = |field| value.get(field).and_then(Value::as_str);
    // Others have kinds of these names, too.
    let is_ours = text("apiVersion").is_none_or(|version| OURS.contains(&version.split('/').next().unwrap_or_default()));
    let of = |kinds: &[Kind]| is_ours && kinds.iter().any(|kind| text("kind") == Some(kind.as_str()));
    let is_unnamed = of(&[Kind::AuthorizationPolicy, Kind::PeerAuthentication, Kind::RequestAuthentication]) && key(value).is_err();
    is_unnamed || of(&[Kind::MeshConfig])
}

/// What an object is that is there and cannot be read. Nothing, but for one that says who may do what: to leave that out would let in
/// whom it keeps out.
pub fn stand_in(value: &Value) -> Option<(Key, Object)> {
    let key = key(value).ok()?;
    let object = match key.kind {
        // It is for no workload, whatever it says.
        Kind::AuthorizationPolicy | Kind::RequestAuthentication if is_for_gateways(value) => return None,
        Kind::AuthorizationPolicy => Object::AuthorizationPolicy(authorization::stand_in(&key.name, value)),
        Kind::PeerAuthentication => Object::PeerAuthentication(security::stand_in(&key.name, value)),
        Kind::RequestAuthentication => Object::RequestAuthentication(token::stand_in(&key.name, value)),
        Kind::Service
        | Kind::EndpointSlice
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::ReferenceGrant
        | Kind::Workload
        | Kind::TrafficPolicy
        | Kind::ExternalService => return None,
        Kind::MeshConfig => Object::MeshConfig(ninon::stand_in(value)),
    };
    Some((key, object))
}

fn is_for_gateways(value: &Value) -> bool {
    let is_said = |field: &str| match value.get("spec").and_then(|spec| spec.get(field)) {
        Some(Value::Object(one)) => !one.is_empty(),
        Some(Value::Array(several)) => !several.is_empty(),
        _ => false,
    };
    (is_said("targetRef") || is_said("targetRefs")) && !is_said("selector")
}

/// The JSON schema of a kind.
pub fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Service => schema_of::<Service>(),
        Kind::EndpointSlice => schema_of::<EndpointSlice>(),
        Kind::HttpRoute => schema_of::<HttpRoute>(),
        Kind::GrpcRoute => schema_of::<GrpcRoute>(),
        Kind::TcpRoute => schema_of::<TcpRoute>(),
        Kind::TlsRoute => schema_of::<TlsRoute>(),
        Kind::ReferenceGrant => schema_of::<ReferenceGrant>(),
        Kind::Workload => schema_of::<Workload>(),
        Kind::TrafficPolicy => schema_of::<TrafficPolicy>(),
        Kind::ExternalService => schema_of::<ExternalService>(),
        Kind::PeerAuthentication => schema_of::<PeerAuthentication>(),
        Kind::RequestAuthentication => schema_of::<RequestAuthentication>(),
        Kind::AuthorizationPolicy => schema_of::<AuthorizationPolicy>(),
        Kind::MeshConfig => schema_of::<MeshConfig>(),
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    schema_for!(T).to_value()
}

fn read_key(value: &Value, reader: &mut Reader) -> Option<Key> {
    let word = |field: &str| value.get(field).and_then(Value::as_str).filter(|word| !word.is_empty());
    if !value.is_object() {
        return reader.refuse("not an object");
    }
    let (Some(api_version), Some(kind)) = (word("apiVersion"), word("kind")) else {
        for field in ["apiVersion", "kind"] {
            if word(field).is_none() {
                reader.refuse_at::<()>(field, "required");
            }
        }
        return None;
    };
    let Some(kind) = Kind::of_document(api_version, kind) else {
        return reader.refuse_at("kind", format_args!("{kind:?} of {api_version:?} is not a kind that Ninon has"));
    };
    let of_metadata = |field: &str| match value.get("metadata").and_then(|metadata| metadata.get(field)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(()),
    };
    let name = reader.at("metadata.name", |reader| match of_metadata("name") {
        Ok(Some(name)) if kind == Kind::Service => text::label(name, reader),
        Ok(Some(name)) => text::subdomain(name, reader),
        Ok(None) => reader.refuse("required"),
        Err(()) => reader.refuse("not a text"),
    });
    let namespace = reader.at("metadata.namespace", |reader| match (of_metadata("namespace"), kind.is_namespaced()) {
        (Ok(None), true) => Some(DEFAULT_NAMESPACE.into()),
        (Ok(Some(namespace)), true) => text::label(namespace, reader),
        (Ok(None | Some("")), false) => Some("".into()),
        (Ok(Some(_)), false) => reader.refuse(format_args!("{kind} has no namespace")),
        (Err(()), _) => reader.refuse("not a text"),
    });
    Some(Key { kind, name: Name { namespace: namespace?, name: name? } })
}

/// Whether the fields are those that there are, each of its type.
fn check(kind: Kind, value: &Value) -> Result<(), Vec<Fault>> {
    match kind {
        Kind::Service => fits::<Service>(value),
        Kind::EndpointSlice => fits::<EndpointSlice>(value),
        Kind::HttpRoute => fits::<HttpRoute>(value),
        Kind::GrpcRoute => fits::<GrpcRoute>(value),
        Kind::TcpRoute => fits::<TcpRoute>(value),
        Kind::TlsRoute => fits::<TlsRoute>(value),
        Kind::ReferenceGrant => fits::<ReferenceGrant>(value),
        Kind::Workload => fits::<Workload>(value),
        Kind::TrafficPolicy => fits::<TrafficPolicy>(value),
        Kind::ExternalService => fits::<ExternalService>(value),
        Kind::PeerAuthentication => fits::<PeerAuthentication>(value),
        Kind::RequestAuthentication => fits::<RequestAuthentication>(value),
        Kind::AuthorizationPolicy => fits::<AuthorizationPolicy>(value),
        Kind::MeshConfig => fits::<MeshConfig>(value),
    }
}

/// A field that is not known is a fault, as in `kubectl apply`: it was meant to do something, and does not.
fn fits<T: DeserializeOwned>(value: &Value) -> Result<(), Vec<Fault>> {
    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(Fault::at(reader::path_of_ignored(&path), "there is no such field"));
    let mut track = serde_path_to_error::Track::new();
    let watched = serde_path_to_error::Deserializer::new(value, &mut track);
    let read: Result<T, _> = serde_ignored::deserialize(watched, &mut note);
    if let Err(error) = read {
        unknown.push(Fault::at(reader::path_of(&track.path()), error));
    }
    // What the libraries let pass: kinds that read their version and kind themselves have been looked at.
    unknown.retain(|fault| fault.path != "apiVersion" && fault.path != "kind");
    if unknown.is_empty() { Ok(()) } else { Err(unknown) }
}

/// Whether an object that was read agrees with the trust domain of `ninon serve`.
///
/// # Errors
/// Where it does not.
pub fn agrees(object: &Value, trust_domain: &str) -> Result<(), Vec<Fault>> {
    let kind = object.get("kind").and_then(Value::as_str);
    if kind == Some(Kind::AuthorizationPolicy.as_str()) {
        return authorization::agrees(object, trust_domain);
    }
    let is_config = kind == Some(Kind::MeshConfig.as_str());
    let said = object.pointer("/spec/trustDomain").and_then(Value::as_str).filter(|said| is_config && *said != trust_domain);
    let problem = |said| format!("{said:?} is not the trust domain of the authority, which is {trust_domain:?} (--trust-domain)");
    said.map_or(Ok(()), |said| Err(vec![Fault::at("spec.trustDomain", problem(said))]))
}

#[cfg(test)]
mod tests;
