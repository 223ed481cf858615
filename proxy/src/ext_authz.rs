//! What a service outside is asked about a request, and what its answer means. Asking itself is done by the story of the request.

/// What an answer may change.
pub mod answer;
/// What is told of a request.
mod attributes;
/// By gRPC.
mod grpc;
/// By HTTP.
mod http;

use std::collections::BTreeMap;

use ::http::{HeaderMap, Response};
use bytes::Bytes;

use crate::config::ext_authz::{ExternalAuthorization, Service};
use crate::exchange::{RequestHead, StreamInfo};

pub use answer::{Allowed, Answer, Denied, Fault, ResponseChanges};

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// By which settings.
    pub filter: &'a ExternalAuthorization,
    /// What the route adds.
    pub extensions: &'a BTreeMap<String, String>,
    /// The exchange so far.
    pub info: &'a StreamInfo,
    /// The request.
    pub request: &'a RequestHead,
    /// Its body, where that is told.
    pub body: Option<&'a ToldBody>,
}

/// A request's body, as far as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldBody {
    /// Its bytes.
    pub bytes: Bytes,
    /// There is more.
    pub partial: bool,
}

/// The request to the service.
///
/// # Errors
/// It cannot be asked.
pub fn question(subject: &Subject<'_>) -> Result<(RequestHead, Bytes), Fault> {
    match &subject.filter.service {
        Service::Grpc(service) => Ok(grpc::question(service, subject)),
        Service::Http(service) => http::question(service, subject),
    }
}

/// What the service's answer means.
///
/// # Errors
/// It is none, or says what no such service may.
pub fn read(filter: &ExternalAuthorization, head: &Response<()>, body: Bytes, trailers: Option<&HeaderMap>) -> Result<Answer, Fault> {
    match &filter.service {
        Service::Grpc(_) => grpc::read(head, &body, trailers),
        Service::Http(service) => http::read(service, head, body),
    }
}

#[cfg(test)]
mod tests;
