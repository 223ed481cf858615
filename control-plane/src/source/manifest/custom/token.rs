//! `RequestAuthentication`, in the shape that Istio gave it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::manifest::custom::WorkloadSelector;
use crate::source::manifest::custom::authorization::AuthorizationTarget;

/// Whose tokens workloads believe. A request without a token passes; one with a token that is not good is refused. That there has to be one
/// says an `AuthorizationPolicy`. One of the namespace `ninon-system` holds for the whole mesh.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(group = "ninon.dev", version = "v1alpha1", kind = "RequestAuthentication", namespaced)]
#[serde(rename_all = "camelCase")]
pub struct RequestAuthenticationSpec {
    /// Which workloads of the namespace, or of the mesh for one in `ninon-system`; all where nothing is said.
    pub selector: Option<WorkloadSelector>,
    /// Not supported: it is for gateways.
    pub target_ref: Option<AuthorizationTarget>,
    /// Not supported: it is for gateways.
    pub target_refs: Option<Vec<AuthorizationTarget>>,
    /// One for each issuer.
    #[serde(default)]
    pub jwt_rules: Vec<JwtRule>,
}

/// Tokens of one issuer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JwtRule {
    /// What its tokens have as `iss`.
    pub issuer: String,
    /// One of these has to be among `aud`; any where nothing is said.
    pub audiences: Option<Vec<String>>,
    /// Where its keys are: an address with `http` or `https`. Either this or `jwks` is needed.
    pub jwks_uri: Option<String>,
    /// Its keys: a JSON Web Key Set.
    pub jwks: Option<String>,
    /// Headers that have tokens. `authorization: Bearer` and the parameter `access_token` where no place is named.
    pub from_headers: Option<Vec<JwtHeader>>,
    /// Query parameters that have them.
    pub from_params: Option<Vec<String>>,
    /// Cookies that have them.
    pub from_cookies: Option<Vec<String>>,
    /// A header that tells the application what a good token says, as Base64url of its JSON.
    pub output_payload_to_header: Option<String>,
    /// Headers that tell the application single claims.
    pub output_claim_to_headers: Option<Vec<ClaimToHeader>>,
    /// Whether the application gets the token; no where nothing is said.
    pub forward_original_token: Option<bool>,
    /// How long fetching keys may take, at most a minute; 5s where nothing is said.
    pub timeout: Option<String>,
    /// Claims that are lists of words with spaces between them, besides `scope` and `permission`.
    pub space_delimited_claims: Option<Vec<String>>,
}

/// A header that has a token.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JwtHeader {
    /// Its name.
    pub name: String,
    /// What stands before the token, with the space if there is one.
    pub prefix: Option<String>,
}

/// A header that tells a claim.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimToHeader {
    /// Its name.
    pub header: String,
    /// The claim; `a.b` is the claim `b` in `a`.
    pub claim: String,
}
