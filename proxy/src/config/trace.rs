//! Tracing.

use crate::config::ClusterName;
use crate::config::Fraction;

/// Tracing of an HTTP connection manager.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Share of requests traced when the client forces it (`x-client-trace-id`).
    pub client_sampling: Fraction,
    /// Share of requests without a decision of the caller's that are traced.
    pub random_sampling: Fraction,
    /// Upper bound of all.
    pub overall_sampling: Fraction,
    /// Path is cut to this many bytes in the span.
    pub max_path_tag_length: usize,
    /// A span for each attempt upstream, beside the server span.
    pub spawn_upstream_span: bool,
    /// Extra attributes.
    pub tags: Vec<TraceTag>,
    /// Where spans go; `None`: context is only passed on.
    pub provider: Option<OpenTelemetry>,
}

/// An extra attribute.
#[derive(Clone, Debug)]
pub struct TraceTag {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: TraceTagValue,
}

/// Where an attribute's value comes from.
#[derive(Clone, Debug)]
pub enum TraceTagValue {
    /// As written.
    Literal(String),
    /// A request header.
    RequestHeader {
        /// Its name.
        name: http::HeaderName,
        /// Where it is missing; empty: the attribute is left out.
        default: String,
    },
}

/// OTLP over gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenTelemetry {
    /// The collector.
    pub cluster: ClusterName,
    /// `service.name`.
    pub service_name: String,
}
