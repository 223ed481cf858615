//! `AuthorizationPolicy`, in the shape that Istio gave it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::manifest::custom::WorkloadSelector;

/// Who may do what at workloads. If a rule of a `CUSTOM` fits, its provider is asked, and what that denies is denied; if a rule of a `DENY`
/// fits, it is denied; else, if there is an `ALLOW` for the workload and no rule of any fits, it is denied as well; else it is allowed. One
/// of the namespace `ninon-system` holds for the whole mesh.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "AuthorizationPolicy", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationPolicySpec {
    /// Which workloads of the namespace, or of the mesh for one in `ninon-system`; all where nothing is said.
    pub selector: Option<WorkloadSelector>,
    /// Not supported: it is for gateways.
    pub target_ref: Option<AuthorizationTarget>,
    /// Not supported: it is for gateways.
    pub target_refs: Option<Vec<AuthorizationTarget>>,
    /// What a rule that fits means.
    #[serde(default)]
    pub action: AuthorizationAction,
    /// Who is asked, with the action `CUSTOM`.
    pub provider: Option<AuthorizationProvider>,
    /// One of these has to fit. An `ALLOW` without any allows nothing.
    #[serde(default)]
    pub rules: Vec<AuthorizationRule>,
}

/// What a rule that fits means.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuthorizationAction {
    /// It is allowed, and what no rule fits is denied.
    #[default]
    Allow,
    /// It is denied.
    Deny,
    /// It is counted and logged, and nothing else.
    Audit,
    /// Its provider is asked, and what that denies is denied.
    Custom,
}

/// An object that a policy is for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationTarget {
    /// The object's group.
    pub group: Option<String>,
    /// Its kind.
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
}

/// Who is asked: one of the `extensionProviders` of the `MeshConfig`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationProvider {
    /// Its name.
    pub name: Option<String>,
}

/// It fits if one of `from` does, and one of `to`, and all of `when`; what is left out always does.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationRule {
    /// Who does it.
    pub from: Option<Vec<AuthorizationFrom>>,
    /// What is done.
    pub to: Option<Vec<AuthorizationTo>>,
    /// What else has to be so.
    pub when: Option<Vec<AuthorizationCondition>>,
}

/// Who does it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationFrom {
    /// Who.
    pub source: AuthorizationSource,
}

/// Who: all that is said has to be so. `x*` stands for all that begins with x, `*x` for all that ends with it, `*` for whatever there
/// is. Principals, namespaces and accounts are those of the client's certificate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationSource {
    /// One of these: `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`, with `*` as above.
    pub principals: Option<Vec<String>>,
    /// None of these.
    pub not_principals: Option<Vec<String>>,
    /// With a token of one of these: `ISSUER/SUBJECT`, with `*` as above. Whose tokens are believed says a RequestAuthentication.
    pub request_principals: Option<Vec<String>>,
    /// With a token of none of these.
    pub not_request_principals: Option<Vec<String>>,
    /// Of one of these, with `*` as above.
    pub namespaces: Option<Vec<String>>,
    /// Of none of these.
    pub not_namespaces: Option<Vec<String>>,
    /// One of these: `NAMESPACE/ACCOUNT`, or `ACCOUNT` of the policy's own namespace.
    pub service_accounts: Option<Vec<String>>,
    /// None of these.
    pub not_service_accounts: Option<Vec<String>>,
    /// From one of these addresses or ranges, such as `10.0.0.0/8`: where the connection comes from.
    pub ip_blocks: Option<Vec<String>>,
    /// From none of these.
    pub not_ip_blocks: Option<Vec<String>>,
    /// Not supported: no header that says where a request came from is trusted.
    pub remote_ip_blocks: Option<Vec<String>>,
    /// Not supported: no header that says where a request came from is trusted.
    pub not_remote_ip_blocks: Option<Vec<String>>,
}

/// What is done.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationTo {
    /// What.
    pub operation: AuthorizationOperation,
}

/// What: all that is said has to be so, with `*` as for a source. All but ports is of requests, as tokens are: at ports where HTTP is not
/// spoken, an `ALLOW` rule that asks for it fits nothing, and the rest of a `DENY` rule decides.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationOperation {
    /// To one of these hosts, in any case; one without a port fits with any.
    pub hosts: Option<Vec<String>>,
    /// To none of these.
    pub not_hosts: Option<Vec<String>>,
    /// At one of these ports of the workload, as text: `"8080"`.
    pub ports: Option<Vec<String>>,
    /// At none of these.
    pub not_ports: Option<Vec<String>>,
    /// By one of these methods.
    pub methods: Option<Vec<String>>,
    /// By none of these.
    pub not_methods: Option<Vec<String>>,
    /// At one of these paths, without the query: with `*` as for a source, or `{*}` for one segment, and `{**}` for any number of them.
    pub paths: Option<Vec<String>>,
    /// At none of these.
    pub not_paths: Option<Vec<String>>,
}

/// What has to be so.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationCondition {
    /// What is looked at: `request.headers[NAME]`, `source.ip`, `source.namespace`, `source.principal`, `source.serviceAccount`,
    /// `destination.ip`, `destination.port` or `connection.sni`; and of the request's token `request.auth.principal`,
    /// `request.auth.audiences`, `request.auth.presenter`, `request.auth.claims[NAME]` or, within another,
    /// `request.auth.claims[NAME][NAME]`.
    pub key: String,
    /// It is one of these, with `*` as for a source.
    pub values: Option<Vec<String>>,
    /// It is none of these.
    pub not_values: Option<Vec<String>>,
}
