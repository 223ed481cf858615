//! The story of a TCP connection: choose a cluster -> balance -> connect -> pass bytes both ways.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::balance::PickContext;
use crate::config::tcp::{TcpDestination, TcpProxy};
use crate::connect::bond::Bond;
use crate::connect::guard::ConnectionGuard;
use crate::connect::io::UpstreamIo;
use crate::connect::tcp::{self, OpenError};
use crate::exchange::{ConnectionInfo, ResponseFlag, StreamInfo};
use crate::forward::tcp::{End, Leg, Limits, Moved, forward};
use crate::stream::{LARGE, Socket, most};
use crate::telemetry::metrics::TcpStats;
use crate::telemetry::substitution::Exchange;
use crate::upstream::{ClusterState, EndpointState};
use crate::worker::Worker;

/// A client's plain socket as one side of a tunnel.
pub fn plain(socket: Socket) -> Leg {
    match socket {
        Socket::Tcp(stream) => Leg::Tcp(stream),
        Socket::Unix(stream) => Leg::Other(Box::new(stream), LARGE),
    }
}

/// Serves one connection of a TCP proxy, until it is over or `forbidden`.
pub async fn serve(
    worker: &Rc<Worker>,
    proxy: &TcpProxy,
    stats: &Arc<TcpStats>,
    info: Rc<ConnectionInfo>,
    (client, ahead): (Leg, Bytes),
    forbidden: impl Future<Output = ()>,
) {
    let mut stream = StreamInfo::new(info);
    stats.downstream_cx_total.inc();
    stats.downstream_cx_active.inc();
    let moved = Moved::default();
    let passed = async {
        let Some((upstream, guard, bond)) = connect(worker, proxy, stats, &mut stream).await else { return };
        let limits = Limits { idle: proxy.idle_timeout, max: longest(proxy, bond.as_ref()) };
        let end = tokio::select! {
            end = forward(client, upstream, ahead, limits, &moved) => end,
            () = worker.refuses(bond.as_ref()) => {
            tracing::info!(client = %stream.connection.client, "a server is not accepted any more, and its connection closed");
            End::MaxDuration
        }
        };
        drop(guard);
        record_end(end, stats, &mut stream);
    };
    tokio::select! {
        biased;
        () = forbidden => {}
        () = passed => {}
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

/// A connection to an endpoint, what counts it, and how long it lasts where it is of mutual TLS.
type Connected = (Leg, ConnectionGuard, Option<Bond>);

/// A connection of mutual TLS ends with its certificates.
fn longest(proxy: &TcpProxy, bond: Option<&Bond>) -> Option<Duration> {
    let left = bond.and_then(Bond::until).map(|until| until.saturating_duration_since(Instant::now()));
    proxy.max_connection_duration.into_iter().chain(left).min()
}

/// Dials endpoints until one answers, as often as the proxy allows.
async fn connect(worker: &Rc<Worker>, proxy: &TcpProxy, stats: &TcpStats, stream: &mut StreamInfo) -> Option<Connected> {
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
) -> Result<Connected, Final> {
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
            stream.upstream.tls = opened.tls;
            let (io, guard) = opened.io.into_parts();
            let most = most(cluster.config().buffer_limit);
            let leg = match io {
                UpstreamIo::Tcp(stream) => Leg::Tcp(stream),
                UpstreamIo::Unix(stream) => Leg::Other(Box::new(stream), most),
                UpstreamIo::Tls(mut stream) => {
                    // A large piece comes by one read, and goes out by one write.
                    let (ahead, tls) = stream.get_mut();
                    ahead.read_ahead(most);
                    tls.set_buffer_limit(Some(most));
                    Leg::Other(stream, most)
                }
            };
            Ok((leg, guard, opened.bond))
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
