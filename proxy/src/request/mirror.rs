use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::BodyExt;

use crate::balance::PickContext;
use crate::codec::{Body, Informational, Spelling};
use crate::config::route::{Mirror, Priority, WeightedTarget};
use crate::connect::pool::{Sending, Target};
use crate::exchange::RequestHead;
use crate::forward::headers;
use crate::normalize::forwarded::append;
use crate::normalize::host::split_port;
use crate::runtime::Generation;
use crate::task::spawn_bounded_by_connection;
use crate::worker::Worker;

const X_ENVOY_INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How long a mirror may take where the route has no limit.
const LONGEST: Duration = Duration::from_secs(60);

/// Sends copies of a request, without waiting for them. The cluster's limits bound how many there are.
pub(super) fn send(
    worker: &Rc<Worker>,
    generation: &Arc<Generation>,
    mirrors: &[Mirror],
    head: &RequestHead,
    limit: Option<Duration>,
    body: impl Fn() -> Option<Body>,
) {
    for mirror in mirrors.iter().filter(|mirror| mirror.fraction.contains(fastrand::u64(..))) {
        let Some(body) = body() else { return };
        let mut head = head.clone();
        let name = match &mirror.cluster {
            WeightedTarget::Cluster(name) => name.as_str().to_owned(),
            WeightedTarget::Header(header) => {
                let named = head.headers.get(header).and_then(|name| name.to_str().ok());
                named.unwrap_or_default().to_owned()
            }
        };
        if !mirror.keep_host {
            mark_host(&mut head);
        }
        mark_sender(&mut head.headers, worker.shared.local_ip);
        let copy = copy(Rc::clone(worker), Arc::clone(generation), name, head, body);
        let limit = limit.unwrap_or(LONGEST);
        spawn_bounded_by_connection(async move {
            let in_time = tokio::time::timeout(limit, copy).await.is_ok();
            tracing::trace!(in_time, "mirrored");
        });
    }
}

/// `shop:80` becomes `shop-shadow:80`.
fn mark_host(head: &mut RequestHead) {
    let Ok(host) = head.authority.to_str() else { return };
    let marked = match split_port(host) {
        (host, Some(port)) => format!("{host}-shadow:{port}"),
        (host, None) => format!("{host}-shadow"),
    };
    if let Ok(marked) = HeaderValue::try_from(marked) {
        head.authority = marked;
    }
}

/// Envoy: a copy is a request of the proxy's own, from inside.
fn mark_sender(headers: &mut HeaderMap, own: IpAddr) {
    headers.insert(X_ENVOY_INTERNAL, HeaderValue::from_static("true"));
    if let Ok(own) = HeaderValue::try_from(own.to_string()) {
        append(headers, X_FORWARDED_FOR, &own, ",");
    }
}

async fn copy(worker: Rc<Worker>, generation: Arc<Generation>, name: String, head: RequestHead, body: Body) {
    let Some(cluster) = generation.clusters.get(name.as_str()) else { return };
    let Ok(picked) = worker.balancer.pick(cluster, &PickContext::default()) else { return };
    let version = super::attempt::upstream_version(cluster, head.version);
    let Ok(request) = headers::build(&head, body, version) else { return };
    let target =
        Target { cluster, endpoint: picked.endpoint(), version: head.version, priority: Priority::Default, server_name: None, from: None };
    let sending = Sending { request, spelling: Spelling::Lower, informational: Informational::default() };
    let Ok(exchange) = worker.pools.exchange(&target, sending).await else { return };
    // Read to the end, so that the connection can be used again; nobody wants the bytes.
    let mut answer = exchange.outgoing.response.into_body();
    while let Some(Ok(_frame)) = answer.frame().await {}
    drop((exchange.in_flight, picked));
}
