//! The story of a TCP connection: choose a cluster -> balance -> connect -> pass bytes both ways.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::balance::PickContext;
use crate::config::tcp::{TcpDestination, TcpProxy};
use crate::connect::guard::ConnectionGuard;
use crate::connect::io::UpstreamIo;
use crate::connect::tcp::{self, OpenError};
use crate::exchange::{ConnectionInfo, ResponseFlag, StreamInfo};
use crate::forward::tcp::{End, Leg, Limits, Moved, forward};
use crate::stream::Socket;
use crate::telemetry::metrics::TcpStats;
use crate::telemetry::substitution::Exchange;
use crate::upstream::{ClusterState, EndpointState};
use crate::worker::Worker;

/// A client's plain socket as one side of a tunnel.
pub fn plain(socket: Socket) -> Leg {
    match socket {
        Socket::Tcp(stream) => Leg::Tcp(stream),
        Socket::Unix(stream) => Leg::Other(Box::new(stream)),
    }
}

/// Serves one connection of a TCP proxy.
pub async fn serve(worker: &Rc<Worker>, proxy: &TcpProxy, stats: &Arc<TcpStats>, info: ConnectionInfo, client: Leg, ahead: Bytes) {
    let mut stream = StreamInfo::new(Rc::new(info));
    stats.downstream_cx_total.inc();
    stats.downstream_cx_active.inc();
    let moved = Moved::default();
    if let Some((upstream, guard)) = connect(worker, proxy, stats, &mut stream).await {
        let limits = Limits { idle: proxy.idle_timeout, max: proxy.max_connection_duration };
        let end = forward(client, upstream, ahead, limits, &moved).await;
        drop(guard);
        record_end(end, stats, &mut stream);
    }
    stream.bytes_received = moved.received.get();
    stream.bytes_sent = moved.sent.get();
    stream.ended = Some(Instant::now());
    stats.downstream_cx_rx_bytes_total.add(stream.bytes_received);
    stats.downstream_cx_tx_bytes_total.add(stream.bytes_sent);
    stats.downstream_cx_active.dec();
    worker.log.log(&proxy.access_log, &Exchange::of_connection(&stream, &worker.shared.hostname));
}

fn record_end(end: End, stats: &TcpStats, stream: &mut StreamInfo) {
    match end {
        End::Finished => {}
        End::Client(_) => stream.flags.set(ResponseFlag::DownstreamConnectionTermination),
        End::Upstream(_) => stream.flags.set(ResponseFlag::UpstreamConnectionTermination),
        End::Idle => {
            stats.idle_timeout.inc();
            stream.flags.set(ResponseFlag::StreamIdleTimeout);
        }
        End::MaxDuration => {
            stats.max_downstream_connection_duration.inc();
            stream.flags.set(ResponseFlag::MaxConnectionDuration);
        }
    }
}

/// Dials endpoints until one answers, as often as the proxy allows.
async fn connect(worker: &Rc<Worker>, proxy: &TcpProxy, stats: &TcpStats, stream: &mut StreamInfo) -> Option<(Leg, ConnectionGuard)> {
    let name = match &proxy.destination {
        TcpDestination::Cluster(name) => name,
        TcpDestination::Weighted(split) => split.pick(fastrand::u64(..)),
    };
    stream.upstream.cluster = Some(name.clone());
    let generation = worker.shared.current.load_full();
    let Some(cluster) = generation.clusters.get(name) else {
        stats.downstream_cx_no_route.inc();
        stream.flags.set(ResponseFlag::NoClusterFound);
        return None;
    };
    let mut tried = Vec::new();
    for _ in 0..proxy.max_connect_attempts.max(1) {
        match attempt(worker, cluster, stream, &mut tried).await {
            Ok(connected) => return Some(connected),
            Err(Final::Yes) => return None,
            Err(Final::No) => {}
        }
    }
    stream.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
    None
}

/// Whether another attempt makes sense.
enum Final {
    Yes,
    No,
}

async fn attempt(
    worker: &Rc<Worker>,
    cluster: &Arc<ClusterState>,
    stream: &mut StreamInfo,
    tried: &mut Vec<Arc<EndpointState>>,
) -> Result<(Leg, ConnectionGuard), Final> {
    let original_dst = stream.connection.original_destination();
    let context = PickContext { tried, reselections: 3, original_dst };
    let picked = worker.balancer.pick(cluster, &context).map_err(|error| {
        worker.tell_refused(&stream.connection, &cluster.config().name, error);
        stream.flags.set(ResponseFlag::NoHealthyUpstream);
        Final::Yes
    })?;
    stream.upstream.attempts = stream.upstream.attempts.saturating_add(1);
    stream.upstream.host = Some(picked.endpoint().address().clone());
    match tcp::open(picked.endpoint(), cluster, Some(&worker.tls), stream.connection.source).await {
        Ok(opened) => {
            stream.upstream.local = opened.local;
            let (io, guard) = opened.io.into_parts();
            let leg = match io {
                UpstreamIo::Tcp(stream) => Leg::Tcp(stream),
                other @ (UpstreamIo::Unix(_) | UpstreamIo::Tls(_)) => Leg::Other(Box::new(other)),
            };
            Ok((leg, guard))
        }
        Err(OpenError::Overflow) => {
            stream.flags.set(ResponseFlag::UpstreamOverflow);
            Err(Final::Yes)
        }
        Err(OpenError::Dial(error)) => {
            stream.flags.set(ResponseFlag::UpstreamConnectionFailure);
            stream.upstream.failure = error.transport_failure();
            tried.push(Arc::clone(picked.endpoint()));
            Err(Final::No)
        }
    }
}
