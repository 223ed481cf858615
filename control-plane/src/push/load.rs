//! The load reporting service: clients are asked to report all clusters, and the last reports are kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prost_types::Duration as WireDuration;
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use xds_proto::envoy::config::endpoint::v3::ClusterStats;
use xds_proto::envoy::service::load_stats::v3 as wire;

use crate::proxies::Proxies;
use crate::proxies::load::{Key, Report, Requests};
use crate::proxies::node::Locality;
use crate::push::connection::verified;
use crate::push::{Push, server};

/// See the module.
pub struct LoadReporting(Arc<Push>);

impl LoadReporting {
    /// For all streams.
    pub fn new(push: Arc<Push>) -> Self {
        Self(push)
    }
}

#[tonic::async_trait]
impl wire::load_reporting_service_server::LoadReportingService for LoadReporting {
    type StreamLoadStatsStream = Reports;

    async fn stream_load_stats(&self, request: Request<Streaming<wire::LoadStatsRequest>>) -> Result<Response<Reports>, Status> {
        verified(&request)?;
        let push = Arc::clone(&self.0);
        let stopped = Box::pin(async move { server::stopped(&push, Duration::ZERO).await });
        let (requests, proxies, interval) = (request.into_inner(), Arc::clone(&self.0.proxies), self.0.settings.load_interval);
        Ok(Response::new(Reports { requests, proxies, interval, reporter: None, stopped }))
    }
}

/// A client's reports: one answer to the first, and then silence.
pub struct Reports {
    requests: Streaming<wire::LoadStatsRequest>,
    proxies: Arc<Proxies>,
    interval: Duration,
    reporter: Option<String>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Stream for Reports {
    type Item = Result<wire::LoadStatsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            let Some(request) = ready!(Pin::new(&mut self.requests).poll_next(cx)) else { return Poll::Ready(None) };
            let request = match request {
                Ok(request) => request,
                Err(status) => return Poll::Ready(Some(Err(status))),
            };
            let is_first = self.reporter.is_none();
            let node = request.node.map(|node| node.id).unwrap_or_default();
            let reporter = self.reporter.get_or_insert(node).clone();
            let now = Instant::now();
            request.cluster_stats.into_iter().for_each(|stats| enter(&self.proxies, &reporter, stats, (now, self.interval)));
            if is_first {
                return Poll::Ready(Some(Ok(what_to_report(self.interval))));
            }
        }
    }
}

fn what_to_report(interval: Duration) -> wire::LoadStatsResponse {
    let interval = WireDuration::try_from(interval).ok();
    wire::LoadStatsResponse { send_all_clusters: true, load_reporting_interval: interval, ..wire::LoadStatsResponse::default() }
}

/// `asked` is how long an interval is that says nothing of itself.
fn enter(proxies: &Proxies, reporter: &str, stats: ClusterStats, (at, asked): (Instant, Duration)) {
    let told = stats.load_report_interval.and_then(|interval| Duration::try_from(interval).ok()).filter(|told| !told.is_zero());
    let localities = stats.upstream_locality_stats.into_iter().map(|of| {
        let locality = of.locality.unwrap_or_default();
        let requests = Requests {
            issued: of.total_issued_requests,
            successful: of.total_successful_requests,
            failed: of.total_error_requests,
            in_progress: of.total_requests_in_progress,
        };
        (Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone }, requests)
    });
    let report = Report { at, interval: told.unwrap_or(asked), dropped: stats.total_dropped_requests, localities: localities.collect() };
    // What there is no room for is counted there.
    let _has_room = proxies.loads.report(Key { cluster: stats.cluster_name, reporter: reporter.to_owned() }, report);
}
