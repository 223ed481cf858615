//! A service outside that decides about requests (`envoy.extensions.filters.http.ext_authz.v3`).

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};

use crate::config::access::MetadataMatch;
use crate::config::matcher::StringMatch;
use crate::config::{ClusterName, Fraction};

/// `ExtAuthz`.
#[derive(Clone, Debug)]
pub struct ExternalAuthorization {
    /// Who is asked.
    pub service: Service,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Requests go on when there is no answer.
    pub failure_mode_allow: bool,
    /// ... and their upstream is told so.
    pub failure_mode_header: bool,
    /// What clients get when there is no answer.
    pub status_on_error: StatusCode,
    /// The request's body is told.
    pub body: Option<BodySettings>,
    /// The route is chosen anew when an answer has changed the request.
    pub clear_route_cache: bool,
    /// The share of requests that is asked about.
    pub enabled: Fraction,
    /// ... and what must have been found out of them.
    pub enabled_metadata: Option<MetadataMatch>,
    /// Requests that are not asked about are denied.
    pub deny_at_disable: bool,
    /// The client's certificate is told.
    pub include_peer_certificate: bool,
    /// The server name that the client asked for is told.
    pub include_tls_session: bool,
    /// Headers that are told; `None`: all by gRPC, none by HTTP but those that are always told.
    pub allowed_headers: Option<Vec<StringMatch>>,
    /// Headers that are not told.
    pub disallowed_headers: Vec<StringMatch>,
    /// Metadata that is told, by the names of filters.
    pub metadata: Vec<String>,
    /// Metadata of answers is kept.
    pub takes_metadata: bool,
    /// Part of the names of metrics; may be empty.
    pub stat_prefix: String,
}

/// Who is asked.
#[derive(Clone, Debug)]
pub enum Service {
    /// `envoy.service.auth.v3.Authorization`.
    Grpc(GrpcService),
    /// A copy of the request's head.
    Http(Box<HttpService>),
}

impl Service {
    /// The cluster that it is reached by.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            Self::Grpc(service) => &service.cluster,
            Self::Http(service) => &service.cluster,
        }
    }
}

/// A service that speaks gRPC.
#[derive(Clone, Debug)]
pub struct GrpcService {
    /// The cluster that it is reached by.
    pub cluster: ClusterName,
    /// `:authority`.
    pub authority: HeaderValue,
    /// Sent along.
    pub metadata: Vec<(HeaderName, HeaderValue)>,
}

/// A service that speaks HTTP.
#[derive(Clone, Debug)]
pub struct HttpService {
    /// The cluster that it is reached by.
    pub cluster: ClusterName,
    /// What stands before the request's path.
    pub path_prefix: String,
    /// What stands in the place of the request's path, if anything.
    pub path_override: Option<String>,
    /// Sent along, in place of what the request has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the answer that the request gets.
    pub upstream: Vec<StringMatch>,
    /// ... beside what it has.
    pub upstream_append: Vec<StringMatch>,
    /// Headers of a denial that the client gets; `None`: all.
    pub client: Option<Vec<StringMatch>>,
    /// Headers of a permission that the client gets with the upstream's answer.
    pub client_on_success: Vec<StringMatch>,
    /// Headers that are kept as metadata.
    pub metadata: Vec<StringMatch>,
}

/// `BufferSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodySettings {
    /// So many bytes at most.
    pub most: usize,
    /// Of a longer one, the beginning is told; else the request is refused.
    pub partial: bool,
    /// Told as bytes, not as text.
    pub bytes: bool,
}

/// What a route changes (`ExtAuthzPerRoute`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOverride {
    /// Nobody is asked.
    Disabled,
    /// The service is asked, and told more.
    Settings(CheckSettings),
}

/// `CheckSettings`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSettings {
    /// Told beside the request.
    pub extensions: BTreeMap<String, String>,
    /// In place of the filter's setting; inner `None`: bodies are not told.
    pub body: Option<Option<BodySettings>>,
}
