//! The aggregated discovery service: streams of both dialects.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderValue, Request, Response, header};
use prost::Message;
use tonic::Status;
use tonic::body::Body as GrpcBody;
use tonic::server::NamedService;
use xds_proto::envoy::service::discovery::v3 as wire;

use crate::push::Push;
use crate::push::body::{Body, Shared};
use crate::push::connection::Peer;
use crate::push::requests::Requests;
use crate::push::session::{Caller, Session, Spoken};
use crate::task::OwnedTask;

/// See the module. It is written out because the generated one would copy every answer whole.
#[derive(Clone)]
pub struct Service(Arc<Push>);

impl Service {
    /// For all streams.
    pub fn new(push: Arc<Push>) -> Self {
        Self(push)
    }

    fn open<M: Message + Default + Spoken + 'static>(&self, request: Request<GrpcBody>) -> Response<GrpcBody> {
        let encoding = request.headers().get("grpc-encoding");
        if encoding.is_some_and(|encoding| encoding != HeaderValue::from_static("identity")) {
            return Status::unimplemented("requests cannot be compressed").into_http();
        }
        let (parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let token = match bearer(&parts.headers) {
            Ok(token) => token,
            Err(status) => return status.into_http(),
        };
        let identity = match peer.verified() {
            Ok(identity) => identity,
            Err(status) => return status.into_http(),
        };
        let caller = Caller { peer, identity, token };
        let requests = Requests::<M>::new(body, self.0.settings.request);
        let shared = Shared::new();
        let session = Session::new(Arc::clone(&self.0), Arc::clone(&shared), caller);
        let session = OwnedTask::spawn(session.run(requests));
        let body = Body::new(shared, Arc::clone(&self.0.proxies), Arc::clone(&self.0.settings.identifier), session);
        let mut response = Response::new(GrpcBody::new(body));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        response
    }
}

/// The token of `authorization: Bearer TOKEN`, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<String>, Status> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let parts = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim().to_owned());
    token.map(Some).ok_or_else(|| Status::unauthenticated("`authorization` must be `Bearer TOKEN`"))
}

impl NamedService for Service {
    const NAME: &'static str = wire::aggregated_discovery_service_server::SERVICE_NAME;
}

impl tonic::codegen::Service<Request<GrpcBody>> for Service {
    type Response = Response<GrpcBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<GrpcBody>) -> Self::Future {
        let method = request.uri().path().rsplit_once('/').map(|(_, method)| method);
        ready(Ok(match method {
            Some("StreamAggregatedResources") => self.open::<wire::DiscoveryRequest>(request),
            Some("DeltaAggregatedResources") => self.open::<wire::DeltaDiscoveryRequest>(request),
            _ => Status::unimplemented("no such method").into_http(),
        }))
    }
}
