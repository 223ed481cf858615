use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt as _;

use crate::balance::PickContext;
use crate::codec::{Body, Informational, Spelling};
use crate::config::ClusterName;
use crate::config::route::Priority;
use crate::connect::pool::{Sending, Target};
use crate::exchange::RequestHead;
use crate::forward::headers;
use crate::runtime::Generation;
use crate::upstream::ClusterState;
use crate::worker::Worker;

const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// An answer in whole.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) head: Response<()>,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// A request of the proxy's own to a cluster: sent once, its answer read to the end, of at most so many bytes, within a time.
pub(super) async fn ask(
    worker: &Rc<Worker>,
    (generation, cluster): (&Arc<Generation>, &ClusterName),
    (head, body): (&RequestHead, Bytes),
    (limit, most): (Duration, usize),
) -> Result<Answered, String> {
    let mut head = head.clone();
    headers::expected_timeout(&mut head.headers, Some(limit));
    head.headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
    let state = generation.clusters.get(cluster).ok_or_else(|| format!("there is no cluster \"{cluster}\""))?;
    match tokio::time::timeout(limit, exchange(worker, state, &head, body, most)).await {
        Ok(answered) => answered.map_err(|reason| format!("cluster \"{cluster}\": {reason}")),
        Err(_) => {
            state.stats().upstream_rq_timeout.inc();
            Err(format!("cluster \"{cluster}\": no answer within {} ms", limit.as_millis()))
        }
    }
}

async fn exchange(worker: &Worker, cluster: &Arc<ClusterState>, head: &RequestHead, body: Bytes, most: usize) -> Result<Answered, String> {
    let picked = worker.balancer.pick(cluster, &PickContext::default()).map_err(|error| error.to_string())?;
    let version = super::attempt::upstream_version(cluster, head.version);
    let request = headers::build(head, Body::from(body), version).map_err(str::to_owned)?;
    let target =
        Target { cluster, endpoint: picked.endpoint(), version: head.version, priority: Priority::Default, server_name: None, from: None };
    let sending = Sending { request, spelling: Spelling::Lower, informational: Informational::default() };
    let exchange = worker.pools.exchange(&target, sending).await.map_err(|error| error.to_string())?;
    let (parts, mut body) = exchange.outgoing.response.into_parts();
    cluster.stats().count_answer(parts.status);
    let mut bytes = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(|error| error.to_string())?.into_data() {
            Ok(data) if bytes.len().saturating_add(data.len()) > most => return Err(format!("the answer has more than {most} bytes")),
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    drop((exchange.in_flight, picked));
    Ok(Answered { head: Response::from_parts(parts, ()), body: bytes.freeze(), trailers })
}
