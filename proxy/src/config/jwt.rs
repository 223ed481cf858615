//! Tokens of requests (`envoy.extensions.filters.http.jwt_authn.v3`).

/// Keys that verify.
pub mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};

use crate::config::ClusterName;
use crate::config::jwt::keys::Key;
use crate::config::matcher::StringMatch;
use crate::config::route::RouteMatch;

/// `JwtAuthentication`.
#[derive(Clone, Debug)]
pub struct JwtAuthentication {
    /// Who issues tokens.
    pub providers: Vec<Provider>,
    /// What requests must have: the first that matches counts, and what matches none needs nothing.
    pub rules: Vec<(RouteMatch, Option<Requirement>)>,
    /// Requirements by name, for rules of routes.
    pub named: BTreeMap<String, Requirement>,
    /// CORS preflights need nothing.
    pub bypass_cors_preflight: bool,
    /// What went wrong is not told to clients.
    pub strip_failure_response: bool,
}

/// What a route says in place of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtOverride {
    /// It needs nothing.
    Disabled,
    /// The requirement of this name; without one of this name, every request is refused.
    Named(String),
}

/// What a request must have. Providers are told by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A token of this provider, for one of these audiences; `None`: of the provider's own.
    Provider(usize, Option<Vec<String>>),
    /// One of these.
    Any(Vec<Self>),
    /// All of these.
    All(Vec<Self>),
    /// No token that is wrong.
    AllowMissing,
    /// Nothing.
    AllowMissingOrFailed,
}

/// `JwtProvider`.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name, by which its claims are found in metadata where no other name is given.
    pub name: String,
    /// `iss` of its tokens; `None` is any.
    pub issuer: Option<String>,
    /// One of these is among `aud`; empty: any.
    pub audiences: Vec<String>,
    /// `sub` of its tokens.
    pub subjects: Option<StringMatch>,
    /// `exp` must be there.
    pub require_expiration: bool,
    /// From now to `exp` at most.
    pub max_lifetime: Option<Duration>,
    /// Keys that its tokens are signed with.
    pub keys: KeySource,
    /// The token goes on to the upstream.
    pub forward: bool,
    /// Where tokens are, in this order; never all empty.
    pub headers: Vec<(HeaderName, String)>,
    /// Query parameters.
    pub parameters: Vec<String>,
    /// Cookies.
    pub cookies: Vec<String>,
    /// A header for the payload, in Base64url, with padding or not.
    pub forward_payload: Option<(HeaderName, bool)>,
    /// A name for the payload in metadata.
    pub payload_in_metadata: Option<String>,
    /// Claims that are lists there, by their words.
    pub word_lists: Vec<String>,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// Headers for claims; a claim by the names that lead to it.
    pub claim_headers: Vec<(HeaderName, Vec<String>)>,
    /// With a token of this provider, the route is chosen anew.
    pub clear_route_cache: bool,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In the configuration.
    Local(Arc<[Key]>),
    /// At a server.
    Remote(Arc<RemoteJwks>),
}

/// `RemoteJwks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteJwks {
    /// The cluster that the server is reached by.
    pub cluster: ClusterName,
    /// `http` or `https`.
    pub scheme: HeaderValue,
    /// Its host.
    pub authority: HeaderValue,
    /// Path and query.
    pub path: String,
    /// How long fetching may take.
    pub timeout: Duration,
    /// How long keys are good.
    pub cache: Duration,
    /// Keys are fetched before they are asked for.
    pub ahead: bool,
    /// The pause after a fetch that failed.
    pub pause: Duration,
}

impl JwtAuthentication {
    /// Servers that keys are fetched from.
    pub fn remotes(&self) -> impl Iterator<Item = &Arc<RemoteJwks>> {
        self.providers.iter().filter_map(|provider| match &provider.keys {
            KeySource::Local(_) => None,
            KeySource::Remote(remote) => Some(remote),
        })
    }

    /// Whether a client's word in such a header would be taken for a provider's.
    pub fn headers_of_providers(&self) -> impl Iterator<Item = &HeaderName> {
        self.providers.iter().flat_map(|provider| {
            let payload = provider.forward_payload.iter().map(|(name, _)| name);
            payload.chain(provider.claim_headers.iter().map(|(name, _)| name))
        })
    }
}
