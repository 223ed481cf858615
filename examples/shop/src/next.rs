//! Asking the next service, by its name in the mesh.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::answer::{Cart, TRACEPARENT};
use crate::sidecar::Sidecar;

/// An answer is awaited this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LONGEST: usize = 64 << 10;

/// The next service.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    name: &'static str,
    client: Client<Sidecar, Empty<Bytes>>,
}

impl Next {
    /// One that is spoken to in HTTP/1.
    pub(crate) fn http1(name: &'static str, sidecar: SocketAddr) -> Self {
        Self { name, client: Client::builder(TokioExecutor::new()).build(Sidecar(sidecar)) }
    }

    /// One that is spoken to in HTTP/2, known to understand it.
    pub(crate) fn http2(name: &'static str, sidecar: SocketAddr) -> Self {
        Self { name, client: Client::builder(TokioExecutor::new()).http2_only(true).build(Sidecar(sidecar)) }
    }

    /// Asks for a path, as a part of what `headers` are of.
    pub(crate) async fn get(&self, path: &str, headers: &HeaderMap) -> Result<Cart, String> {
        let asked = tokio::time::timeout(PATIENCE, self.ask(path, headers)).await;
        let answer = asked.unwrap_or_else(|_late| Err(format!("no answer in {PATIENCE:?}")));
        answer.map_err(|problem| format!("{}: {problem}", self.name))
    }

    async fn ask(&self, path: &str, headers: &HeaderMap) -> Result<Cart, String> {
        let mut request = Request::get(format!("http://{}{path}", self.name));
        if let Some(trace) = headers.get(TRACEPARENT) {
            request = request.header(TRACEPARENT, trace);
        }
        let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
        let response = self.client.request(request).await.map_err(|error| told(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
        if !status.is_success() {
            return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
        }
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

/// An error with its causes.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string);
    std::iter::once(error.to_string()).chain(causes).collect::<Vec<_>>().join(": ")
}
