//! Ninon's own kinds, as they are written. Their definitions for Kubernetes come from these types.

/// `AuthorizationPolicy`.
pub mod authorization;
/// `extensionProviders`.
pub mod provider;
/// `RequestAuthentication`.
pub mod token;

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A process or pod that takes part in the mesh.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "Workload", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// IP addresses where others reach it.
    pub addresses: Vec<String>,
    /// Its ports.
    #[serde(default)]
    pub ports: Vec<WorkloadPort>,
    /// Who it is; `default` where nothing is said.
    pub service_account: Option<String>,
    /// Where it is.
    pub locality: Option<Locality>,
    /// Whether it takes new requests; yes where nothing is said.
    pub ready: Option<bool>,
    /// How its sidecar listens.
    pub sidecar: Option<Sidecar>,
}

/// A port of a workload.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadPort {
    /// Its name, for services that name it in `targetPort`.
    pub name: Option<String>,
    /// Where others reach it, 1 to 65535.
    pub port: i64,
    /// What is spoken, as in a Service's `appProtocol`: http, http2, grpc, tls, tcp.
    pub app_protocol: Option<String>,
    /// The port of the application on the loopback address. With it the sidecar listens on `port` itself; without it connections are
    /// redirected to the sidecar, and the application has `port`.
    pub application_port: Option<i64>,
}

/// Where a workload is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Locality {
    /// Region.
    pub region: Option<String>,
    /// Zone in it.
    pub zone: Option<String>,
    /// Part of the zone.
    pub sub_zone: Option<String>,
}

/// How a workload's sidecar listens.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sidecar {
    /// Address and port where the application sends requests for others; 127.0.0.1:15001 where nothing is said.
    pub outbound: Option<String>,
    /// Address and port where redirected connections come in; 0.0.0.0:15006 where nothing is said.
    pub inbound: Option<String>,
    /// Whether it has a certificate of the mesh, so that others reach the workload by mutual TLS; a workload that registers itself by
    /// its certificate says so by that, of others it is no where nothing is said.
    pub mutual_tls: Option<bool>,
    /// Addresses that lead to one service each, for protocols without a host name.
    #[serde(default)]
    pub binds: Vec<Bind>,
}

/// An address that leads to a service.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bind {
    /// Address and port.
    pub address: String,
    /// The service's name.
    pub service: String,
    /// Its namespace; the workload's where nothing is said.
    pub namespace: Option<String>,
    /// Its port.
    pub port: i64,
}

/// How requests and connections to a service are balanced and limited.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "TrafficPolicy", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct TrafficPolicySpec {
    /// The service, in the same namespace.
    pub target_ref: PolicyTarget,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits of each proxy.
    pub limits: Option<Limits>,
    /// Which endpoints are left alone for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// How long a connection may take, such as 5s.
    pub connect_timeout: Option<String>,
    /// How long a connection without requests is kept.
    pub idle_timeout: Option<String>,
    /// How long a request may take that no route limits.
    pub request_timeout: Option<String>,
    /// Whether HTTP/1 between sidecars with mutual TLS is HTTP/2 on the wire; what the `MeshConfig` says where nothing is said.
    pub h2_upgrade_policy: Option<ServiceUpgrade>,
}

/// Whether HTTP/1 is upgraded to HTTP/2, in Istio's words.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceUpgrade {
    /// As the mesh.
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// What a policy is for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// The service's name.
    pub name: String,
    /// One port of it; all where nothing is said.
    pub port: Option<i64>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// The way.
    #[serde(default)]
    pub policy: LoadBalancerPolicy,
    /// What requests are told apart by, with RingHash and Maglev.
    pub hash: Option<HashKey>,
}

/// Ways to choose an endpoint.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub enum LoadBalancerPolicy {
    /// The less busy one of two.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
    /// The same for the same key, by a ring.
    RingHash,
    /// The same for the same key, by Maglev's table.
    Maglev,
}

/// What requests are told apart by; exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashKey {
    /// A header.
    pub header: Option<String>,
    /// A cookie.
    pub cookie: Option<HashCookie>,
    /// The client's address.
    pub source_address: Option<bool>,
}

/// A cookie that requests are told apart by.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// Made for so long where a request has none; not made where nothing is said.
    pub ttl: Option<String>,
}

/// Limits of each proxy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests at a time.
    pub max_requests: Option<u32>,
    /// Retries at a time; not with `retryBudget`.
    pub max_retries: Option<u32>,
    /// Retries at a time as a share of the requests under way.
    pub retry_budget: Option<RetryBudget>,
    /// Requests on one connection.
    pub max_requests_per_connection: Option<u32>,
}

/// Retries at a time as a share of the requests under way: a service that is down is not sent a multiple of its requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// Retries for each hundred requests that are under way or wait, 0 to 100; 20 where nothing is said.
    pub percent: Option<u32>,
    /// So many may be under way however few requests there are; 3 where nothing is said.
    pub min_concurrency: Option<u32>,
}

/// Which endpoints are left alone for a while.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutlierDetection {
    /// Server errors in a row; 5 where nothing is said.
    #[serde(rename = "consecutive5xx")]
    pub consecutive_5xx: Option<u32>,
    /// How often it is looked; 10s where nothing is said.
    pub interval: Option<String>,
    /// How long the first time lasts; 30s where nothing is said.
    pub base_ejection_time: Option<String>,
    /// At most so many percent of the endpoints; 10 where nothing is said.
    pub max_ejection_percent: Option<u32>,
}

/// A host outside of the mesh.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "ExternalService", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct ExternalServiceSpec {
    /// Host names that workloads use for it.
    pub hosts: Vec<String>,
    /// Its ports.
    pub ports: Vec<ExternalPort>,
    /// Where it is: IP addresses or host names; the first of `hosts` where nothing is said.
    #[serde(default)]
    pub endpoints: Vec<String>,
}

/// A port of an external service.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalPort {
    /// The port that workloads use.
    pub port: i64,
    /// The port there; the same where nothing is said.
    pub target_port: Option<i64>,
    /// What workloads speak, as in a Service's `appProtocol`.
    pub app_protocol: Option<String>,
    /// The sidecar adds TLS.
    pub tls: Option<ExternalTls>,
}

/// TLS that the sidecar adds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalTls {
    /// The name that is asked for and that the certificate has to have; the first of `hosts` where nothing is said.
    pub server_name: Option<String>,
}

/// How workloads are to be reached: by mutual TLS, in plain text, or by both. One with a selector counts before its namespace's, that
/// before the one of the namespace `ninon-system`, which holds for the whole mesh.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "PeerAuthentication", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct PeerAuthenticationSpec {
    /// Which workloads of the namespace; all where nothing is said.
    pub selector: Option<WorkloadSelector>,
    /// Of all ports.
    pub mtls: Option<MutualTls>,
    /// Of single ports of the workload, by number; only with a selector.
    #[serde(default)]
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// Which workloads are meant.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSelector {
    /// Labels that they have, all of them.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
}

/// Mutual TLS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MutualTls {
    /// How it may be reached.
    #[serde(default)]
    pub mode: MutualTlsMode,
}

/// How a port may be reached.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MutualTlsMode {
    /// As what is more general says.
    #[default]
    Unset,
    /// By mutual TLS only.
    Strict,
    /// By mutual TLS, and in plain text.
    Permissive,
    /// In plain text only.
    Disable,
}

/// Settings of the whole mesh. There is one, named `mesh`.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "MeshConfig")]
#[serde(rename_all = "camelCase")]
pub struct MeshConfigSpec {
    /// What follows `svc` in the long names of services; cluster.local where nothing is said.
    pub domain: Option<String>,
    /// The trust domain of identities: what `--trust-domain` of `ninon serve` says, and an object that says something else is refused.
    pub trust_domain: Option<String>,
    /// What happens to connections to unknown destinations.
    pub outbound: Option<OutboundMode>,
    /// Whether sidecars write a line for each request; no where nothing is said.
    pub access_log: Option<bool>,
    /// How long a connection to an endpoint may take; 5s where nothing is said.
    pub connect_timeout: Option<String>,
    /// How often a request that certainly did not reach its server is tried again, 0 to 10; 2 where nothing is said.
    pub retries: Option<u32>,
    /// Whether gRPC clients report the load that they put on services; no where nothing is said.
    pub load_reports: Option<bool>,
    /// What is made of paths before routes and policies are asked.
    pub path_normalization: Option<PathNormalization>,
    /// Whether HTTP/1 between sidecars with mutual TLS is HTTP/2 on the wire; DO_NOT_UPGRADE where nothing is said.
    pub h2_upgrade_policy: Option<Upgrade>,
    /// How often sidecars fetch the keys of a RequestAuthentication's `jwksUri` again, from 1s to a day; 5m where nothing is said.
    pub jwks_refresh_interval: Option<String>,
    /// Services that an `AuthorizationPolicy` with the action `CUSTOM` may name.
    pub extension_providers: Option<Vec<provider::ExtensionProvider>>,
}

/// Whether HTTP/1 is upgraded to HTTP/2, in Istio's words.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Upgrade {
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// What is made of paths, in Istio's words.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PathNormalization {
    /// How far it goes; DECODE_AND_MERGE_SLASHES where nothing is said.
    pub normalization: Option<Normalization>,
}

/// How far the normalization of paths goes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Normalization {
    /// Dot segments are resolved, backslashes are slashes, letters and digits are not escaped.
    Base,
    /// And repeated slashes are one.
    MergeSlashes,
    /// And escaped slashes and backslashes are slashes: the only one with which no spelling of a path goes around a policy of it.
    DecodeAndMergeSlashes,
}

/// What happens to connections to unknown destinations.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// They go where they were meant to go.
    #[default]
    AllowAny,
    /// They are refused.
    RegistryOnly,
}
