//! `extensionProviders`, in the shape that Istio gave them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service that an `AuthorizationPolicy` may name; it has either `envoyExtAuthzGrpc` or `envoyExtAuthzHttp`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionProvider {
    /// What policies call it: a DNS name that no other has.
    pub name: String,
    /// It is asked by gRPC, as `envoy.service.auth.v3.Authorization`.
    pub envoy_ext_authz_grpc: Option<GrpcProvider>,
    /// It is asked by HTTP, with a copy of the request's head.
    pub envoy_ext_authz_http: Option<HttpProvider>,
}

/// One that speaks gRPC.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcProvider {
    /// `NAME.NAMESPACE[.svc[.DOMAIN]]` of a Service, or `NAMESPACE/HOST` of an ExternalService.
    pub service: String,
    /// Its port.
    pub port: i64,
    /// How long the answer may take, at most a minute; 10s where nothing is said.
    pub timeout: Option<String>,
    /// Requests go on when there is no answer; no where nothing is said.
    pub fail_open: Option<bool>,
    /// What clients get when there is no answer, "400" to "599"; "403" where nothing is said.
    pub status_on_error: Option<String>,
    /// What is told of bodies; nothing where nothing is said.
    pub include_request_body_in_check: Option<RequestBody>,
}

/// One that speaks HTTP.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpProvider {
    /// `NAME.NAMESPACE[.svc[.DOMAIN]]` of a Service, or `NAMESPACE/HOST` of an ExternalService.
    pub service: String,
    /// Its port.
    pub port: i64,
    /// How long the answer may take, at most a minute; 10s where nothing is said.
    pub timeout: Option<String>,
    /// Requests go on when there is no answer; no where nothing is said.
    pub fail_open: Option<bool>,
    /// What clients get when there is no answer, "400" to "599"; "403" where nothing is said.
    pub status_on_error: Option<String>,
    /// What is told of bodies; nothing where nothing is said.
    pub include_request_body_in_check: Option<RequestBody>,
    /// What stands before the request's path.
    pub path_prefix: Option<String>,
    /// Headers that are told besides `host`, the method, the path, `content-length` and `authorization` (a token that was verified before is
    /// gone unless it is forwarded): `x`, `x*`, `*x`.
    pub include_request_headers_in_check: Option<Vec<String>>,
    /// Headers that are told with a value that stays the same.
    pub include_additional_headers_in_check: Option<BTreeMap<String, String>>,
    /// Headers of an answer that allows, which the application gets in place of the request's; none that frames a message.
    pub headers_to_upstream_on_allow: Option<Vec<String>>,
    /// Headers of an answer that denies, which the client gets; all where nothing is said.
    pub headers_to_downstream_on_deny: Option<Vec<String>>,
    /// Headers of an answer that allows, which the client gets.
    pub headers_to_downstream_on_allow: Option<Vec<String>>,
}

/// What is told of bodies.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestBody {
    /// So many bytes at most, up to 67108864.
    pub max_request_bytes: Option<u32>,
    /// Of a longer one the beginning is told, else the request is refused; no where nothing is said.
    pub allow_partial_message: Option<bool>,
    /// gRPC only: told as bytes, not as text; no where nothing is said.
    pub pack_as_bytes: Option<bool>,
}
