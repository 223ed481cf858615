use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tonic::body::Body;
use tower_service::Service;

use crate::config::ClusterName;
use crate::task::{Here, OwnedTask};
use crate::xds::stream::greeting::Greeted;
use crate::xds::stream::{StreamError, Way};

/// One HTTP/2 connection, on this thread.
#[derive(Clone, Debug)]
pub(in crate::xds) struct Channel {
    sender: SendRequest<Body>,
    authority: Authority,
    _connection: Rc<OwnedTask>,
}

impl Channel {
    /// Waits until the server is there. The authority is the cluster's name, as in Envoy.
    pub(in crate::xds) async fn open(way: Way, server: &ClusterName) -> Result<Self, StreamError> {
        let mut builder = http2::Builder::new(Here);
        builder.timer(TokioTimer::new()).keep_alive_interval(way.pings.interval).keep_alive_timeout(way.pings.timeout);
        let (bytes, greeting) = Greeted::new(way.bytes);
        let (sender, connection) = builder.handshake(TokioIo::new(bytes)).await.map_err(|error| StreamError::Failed(error.to_string()))?;
        let driver = OwnedTask::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the control plane ended");
            }
        });
        greeting.heard().await?;
        let authority = Authority::try_from(server.as_str()).unwrap_or_else(|_| Authority::from_static("xds"));
        Ok(Self { sender, authority, _connection: Rc::new(driver) })
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        Box::pin(self.sender.send_request(request))
    }
}
