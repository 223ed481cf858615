mod replies;
mod translate;
/// CONNECT that ends here.
pub(super) mod tunnel;

pub(super) use self::replies::stream_expired;
pub(super) use self::translate::upstream_version;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{StatusCode, Version};
use tokio::time::Instant;

use self::replies::{bad_request, failure_reply, give_up};
use self::translate::{only_100, translate_upgrade};
use crate::balance::{PickContext, Picked};
use crate::codec::{Body, BodyError, Informational, Outgoing, RequestFault, Spelling};
use crate::config::http::HeaderCase;
use crate::config::route::{Forward, RouteTable};
use crate::connect::pool::{Exchange, ExchangeError, Failure as ExchangeFailure, Sending, Target};
use crate::exchange::ResponseFlag;
use crate::forward::headers;
use crate::forward::replay::Replay;
use crate::forward::retry::{Decision, Failure, Retries};
use crate::forward::timeout::Expired;
use crate::normalize::lists;
use crate::reply::LocalReply;
use crate::request::counted::Upgraded;
use crate::request::limits::{self, Allowed, race};
use crate::request::live::{Held, Live};
use crate::request::{Connection, Stop, expects_continue, local, mirror, standing};
use crate::route;
use crate::runtime::Generation;
use crate::upstream::{ClusterState, EndpointState, LimitKind, Permit};

/// A request that goes to a cluster.
pub(super) struct Job<'a> {
    pub(super) connection: &'a Connection,
    pub(super) generation: &'a Arc<Generation>,
    pub(super) table: &'a Arc<RouteTable>,
    pub(super) forward: &'a Forward,
}

/// What stays the same over the attempts of one request.
struct Attempts<'a> {
    job: &'a Job<'a>,
    cluster: Arc<ClusterState>,
    retries: Retries,
    allowed: Allowed,
    body: Option<Replay>,
    spelling: Spelling,
    informational: Informational,
    tried: Vec<Arc<EndpointState>>,
    retry_permit: Option<Permit>,
}

/// Sends the request, again where that is allowed, and brings back the head of the answer.
pub(super) async fn forward(
    job: Job<'_>,
    live: &mut Box<Live>,
    body: Body,
    spelling: Spelling,
    informational: Informational,
) -> Result<Outgoing<Body>, Stop> {
    live_stats(&job).rq_total.inc();
    let cluster = choose_cluster(&job, live)?;
    live.cluster = Some(Arc::clone(&cluster));
    live.info.upstream.cluster = Some(cluster.config().name.clone());
    prepare(&job, live);
    let virtual_host = live.info.virtual_host.clone();
    let policy = job.forward.retry.clone().or_else(|| virtual_host.as_ref().and_then(|host| host.retry.clone()));
    let retries = Retries::new(policy, &mut live.head);
    let allowed = limits::apply(job.forward, &retries, live);
    let mirrors = job.forward.mirrors.as_deref().or_else(|| virtual_host.as_ref().map(|host| host.mirrors.as_slice())).unwrap_or(&[]);
    let keep = if retries.is_possible() || !mirrors.is_empty() { replay_limit(live, &cluster) } else { 0 };
    let body = live.body_pending.then(|| Replay::new(body, keep, live.deadlines.activity.clone()));
    live.progress = body.as_ref().map(|body| Rc::clone(body.progress()));
    let informational = if job.connection.0.manager.proxy_100_continue {
        only_100(informational)
    } else {
        // The client's expectation was met here.
        if expects_continue(&live.head.headers) {
            live.head.headers.remove(EXPECT);
        }
        Informational(None)
    };
    let mut attempts =
        Attempts { job: &job, cluster, retries, allowed, body, spelling, informational, tried: Vec::new(), retry_permit: None };
    let answered = attempts.run(live).await;
    if !mirrors.is_empty() {
        let worker = &job.connection.0.worker;
        let copy = || attempts.body.as_ref().map_or(Some(Body::Empty), |body| body.progress().ended().and_then(|_| body.attempt()));
        mirror::send(worker, job.generation, mirrors, &live.head, attempts.allowed.route, copy);
    }
    answered
}

fn choose_cluster(job: &Job<'_>, live: &mut Live) -> Result<Arc<ClusterState>, Stop> {
    let missing = |what: String| {
        live_stats(job).no_cluster.inc();
        let reply = LocalReply::new(job.forward.cluster_not_found, "", "cluster_not_found");
        Stop::from(reply.because(Some(ResponseFlag::NoClusterFound), "destination_not_found", what))
    };
    let chosen = route::action::cluster(job.forward, &live.head, fastrand::u64(..));
    let chosen = chosen.map_err(|header| missing(format!("the request has no header {} to name its cluster", header.0)))?;
    live.weighted = chosen.weighted;
    let found = job.generation.clusters.get(chosen.name.as_str());
    found.cloned().ok_or_else(|| missing(format!("there is no cluster \"{}\"", chosen.name)))
}

fn live_stats<'a>(job: &Job<'a>) -> &'a crate::telemetry::metrics::HttpStats {
    &job.connection.0.stats
}

/// Mutations and rewrites of the request: the same for all attempts.
fn prepare(job: &Job<'_>, live: &mut Live) {
    let (Some(virtual_host), Some(route)) = (live.info.virtual_host.clone(), live.info.route.clone()) else { return };
    let weighted = live.weighted.clone();
    let levels = route::mutate::Levels {
        table: Some(job.table),
        virtual_host: Some(&virtual_host),
        route: Some(&route),
        weighted: weighted.as_deref(),
    };
    let source = route::mutate::Source { info: &live.info, hostname: &job.connection.0.worker.shared.hostname };
    route::mutate::request(&levels, source, &mut live.head);
    let suppress = job.connection.0.manager.router.suppress_envoy_headers;
    route::action::rewrite(job.forward, &route.matches, suppress, &mut live.head);
    lists::join_request(&mut live.head.headers);
}

/// Bytes of the body that may be kept: the route's limit, the virtual host's, or the connection's.
fn replay_limit(live: &Live, cluster: &ClusterState) -> usize {
    let route = live.info.route.as_ref().and_then(|route| route.replay_limit);
    let host = live.info.virtual_host.as_ref().and_then(|host| host.replay_limit);
    route.or(host).unwrap_or(cluster.config().buffer_limit)
}

/// What the next step of an attempt is.
enum Next {
    Answer(Outgoing<Body>),
    Again(Duration),
    Stop(Stop),
}

impl Attempts<'_> {
    async fn run(&mut self, live: &mut Box<Live>) -> Result<Outgoing<Body>, Stop> {
        loop {
            let wait = match self.once(live).await {
                Next::Answer(outgoing) => return Ok(outgoing),
                Next::Stop(stop) => return Err(stop),
                Next::Again(wait) => wait,
            };
            live.attempt_ended();
            self.cluster.stats().upstream_rq_retry.inc();
            live.deadlines.per_try = None;
            live.deadlines.per_try_idle = None;
            let between = Allowed { per_try: None, ..self.allowed };
            if let Err(expired) = race(live, &between, tokio::time::sleep(wait)).await {
                return Err(self.expired(live, expired).into());
            }
        }
    }

    async fn once(&mut self, live: &mut Box<Live>) -> Next {
        live.info.upstream.attempts = live.info.upstream.attempts.saturating_add(1);
        let picked = match self.pick(live) {
            Ok(picked) => picked,
            Err(stop) => return Next::Stop(stop),
        };
        self.address(live, &picked);
        if let Some(traced) = &mut live.traced {
            traced.attempt_begins(live.info.upstream.attempts, &mut live.head.headers);
        }
        let Some(body) = self.body.as_ref().map_or(Some(Body::Empty), Replay::attempt) else {
            return Next::Stop(give_up("the request's body is larger than may be kept for another attempt").into());
        };
        let body = standing::upload(live.asked.as_deref(), body);
        if tunnel::ends_here(self.job.forward, &live.head) {
            return self.open_tunnel(live, picked, body).await;
        }
        let version = upstream_version(&self.cluster, live.head.version);
        let request = match headers::build(&live.head, body, version) {
            Ok(request) => request,
            Err(rule) => return Next::Stop(bad_request(rule).into()),
        };
        let sending = Sending { request, spelling: self.spelling(), informational: self.informational.clone() };
        let server_name = self.server_name(live);
        let target = Target {
            cluster: &self.cluster,
            endpoint: picked.endpoint(),
            version: live.head.version,
            priority: self.job.forward.priority,
            server_name: server_name.as_deref(),
            from: live.info.connection.source,
        };
        let now = Instant::now();
        live.info.upstream.request_began = Some(now);
        live.deadlines.per_try = None;
        live.deadlines.per_try_idle = self.allowed.per_try_idle.map(|limit| (limit, now));
        let pools = &self.job.connection.0.worker.pools;
        let outcome = race(live, &self.allowed, pools.exchange(&target, sending)).await;
        self.tried.push(Arc::clone(picked.endpoint()));
        match outcome {
            Ok(Ok(exchange)) => self.answered(live, picked, exchange),
            Ok(Err(error)) => self.failed(live, &error),
            Err(Expired::PerTry | Expired::PerTryIdle) => {
                self.cluster.stats().upstream_rq_tx_reset.inc();
                self.cluster.stats().upstream_rq_per_try_timeout.inc();
                match self.decide_failure(live, Failure::PerTryTimeout) {
                    Some(wait) => Next::Again(wait),
                    None => Next::Stop(self.timed_out(live).into()),
                }
            }
            Err(expired) => {
                self.cluster.stats().upstream_rq_tx_reset.inc();
                Next::Stop(self.expired(live, expired).into())
            }
        }
    }

    fn pick(&self, live: &mut Live) -> Result<Picked, Stop> {
        let policy = self.retries.policy();
        let avoid = policy.is_some_and(|policy| policy.avoid_previous_hosts);
        let context = PickContext {
            tried: if avoid { &self.tried } else { &[] },
            reselections: policy.filter(|_| avoid).map_or(0, |policy| policy.host_selection_attempts),
            original_dst: route::action::original_destination(self.cluster.config(), &live.head, &live.info.connection),
        };
        let worker = &self.job.connection.0.worker;
        worker.balancer.pick(&self.cluster, &context).map_err(|error| {
            worker.tell_refused(&live.info.connection, &self.cluster.config().name, error);
            let reply = LocalReply::new(StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream", "no_healthy_upstream");
            let explanation = format!("cluster \"{}\": {error}", self.cluster.config().name);
            reply.because(Some(ResponseFlag::NoHealthyUpstream), "destination_unavailable", explanation).routed().into()
        })
    }

    /// What depends on the attempt and its endpoint.
    fn address(&self, live: &mut Live, picked: &Picked) {
        let endpoint = picked.endpoint();
        live.info.upstream.host = Some(endpoint.address().clone());
        let suppress = self.job.connection.0.manager.router.suppress_envoy_headers;
        route::action::rewrite_host(self.job.forward, endpoint.hostname(), suppress, &mut live.head);
        if !suppress {
            let spent = live.info.started.elapsed();
            let first = live.info.upstream.attempts <= 1;
            let left = self.allowed.route.map(|limit| if first { limit } else { limit.saturating_sub(spent) });
            headers::expected_timeout(&mut live.head.headers, self.allowed.per_try.or(left));
        }
        if live.info.virtual_host.as_ref().is_some_and(|host| host.attempt_count_in_request) {
            live.head.headers.insert(headers::X_ENVOY_ATTEMPT_COUNT, HeaderValue::from(live.info.upstream.attempts));
        }
    }

    fn spelling(&self) -> Spelling {
        match self.cluster.config().http1.header_case {
            HeaderCase::ProperCase => Spelling::Title,
            HeaderCase::AsReceived => self.spelling.clone(),
        }
    }

    fn server_name(&self, live: &Live) -> Option<String> {
        self.cluster.config().all_tls().find(|tls| tls.auto_host_sni)?;
        let host = live.head.authority.to_str().ok()?;
        let (host, _port) = crate::normalize::host::split_port(host);
        Some(host.to_owned())
    }

    fn answered(&mut self, live: &mut Box<Live>, picked: Picked, exchange: Exchange) -> Next {
        let Exchange { mut outgoing, upstream, in_flight } = exchange;
        let info = &mut live.info.upstream;
        info.response_began = Some(Instant::now());
        info.local = upstream.connection.local.clone();
        info.protocol = Some(upstream.connection.version);
        info.tls.clone_from(&upstream.connection.tls);
        info.reused = upstream.reused;
        live.tied = live.asked.is_some().then(|| standing::Tied::Pooled(upstream.connection));
        let status = outgoing.response.status();
        if let Some(traced) = &mut live.traced {
            traced.attempt_answered(status);
        }
        match self.decide(live, |retries| retries.after_response(status, outgoing.response.headers())) {
            Some(wait) => return Next::Again(wait),
            None if live.info.upstream.attempts > 1 && !status.is_server_error() => self.cluster.stats().upstream_rq_retry_success.inc(),
            None => {}
        }
        live.held = Some(Held { in_flight, picked, retry: self.retry_permit.take() });
        live.deadlines.per_try = None;
        live.deadlines.per_try_idle = None;
        live.info.details = "via_upstream".into();
        self.finish(live, &mut outgoing);
        Next::Answer(outgoing)
    }

    /// Headers of the answer, and what an upgrade changes.
    fn finish(&self, live: &mut Live, outgoing: &mut Outgoing<Body>) {
        let manager = &self.job.connection.0.manager;
        live.request_ended();
        let upgraded = translate_upgrade(live, &mut outgoing.response);
        if upgraded {
            live.deadlines.route = None;
            live.upgraded = Some(Upgraded::new(&self.job.connection.0.stats));
            if live.head.version == Version::HTTP_2 && live.info.upstream.protocol == Some(Version::HTTP_11) {
                let body = std::mem::take(outgoing.response.body_mut());
                *outgoing.response.body_mut() = Body::Boxed(Box::pin(tunnel::UntilLost(body)));
            }
        }
        live.answering(outgoing.response.status());
        let fields = outgoing.response.headers_mut();
        lists::join_response(fields);
        // Without the request's end there is nothing to measure from: an early answer, a tunnel.
        if let (Some(ended), Some(answered)) = (live.info.request_ended, live.info.upstream.response_began)
            && !manager.router.suppress_envoy_headers
        {
            headers::service_time(fields, answered.saturating_duration_since(ended));
        }
        if live.info.virtual_host.as_ref().is_some_and(|host| host.attempt_count_in_response) {
            fields.insert(headers::X_ENVOY_ATTEMPT_COUNT, HeaderValue::from(live.info.upstream.attempts));
        }
        live.mutate_response(fields);
        live.change_response(fields);
        if manager.request_id.in_response
            && let Some(id) = live.head.headers.get("x-request-id")
        {
            fields.insert("x-request-id", id.clone());
        }
        lists::join_response(fields);
        headers::finish_response(manager, fields, upgraded);
        if live.head.upgrade.is_some() && !upgraded && live.head.version != Version::HTTP_2 {
            // The client may have sent more, as if it had been accepted.
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        match manager.http1.header_case {
            HeaderCase::ProperCase => outgoing.spelling = Spelling::Title,
            HeaderCase::AsReceived => {}
        }
    }

    fn failed(&mut self, live: &mut Live, error: &ExchangeError) -> Next {
        if let Some(upstream) = &error.upstream {
            live.info.upstream.local.clone_from(&upstream.connection.local);
            live.info.upstream.protocol = Some(upstream.connection.version);
        }
        let failure = match &error.failure {
            ExchangeFailure::Overflow(_) => Failure::Overflow,
            ExchangeFailure::Connect(_) => Failure::Connect,
            ExchangeFailure::Refused => Failure::Refused,
            ExchangeFailure::Closed { .. } | ExchangeFailure::Reset { .. } | ExchangeFailure::Protocol(_) => {
                Failure::Reset { sent: error.unsent.is_none() }
            }
            ExchangeFailure::RequestBody(BodyError::Malformed(rule)) if live.head.version != Version::HTTP_2 => {
                live.closing = true;
                return Next::Stop(local::fault_reply(RequestFault::Malformed(rule)).into());
            }
            ExchangeFailure::RequestBody(_) => {
                live.info.flags.set(ResponseFlag::DownstreamConnectionTermination);
                return Next::Stop(Stop::Reset(h2::Reason::CANCEL));
            }
        };
        match self.decide_failure(live, failure) {
            Some(wait) => Next::Again(wait),
            None => Next::Stop(failure_reply(&error.failure, live).into()),
        }
    }

    fn decide_failure(&mut self, live: &mut Live, failure: Failure) -> Option<Duration> {
        self.decide(live, |retries| retries.after_failure(failure))
    }

    /// Whether to try again, and after what wait: the policy wants it, the body can be read again, the cluster's limit
    /// of retries is not reached.
    fn decide(&mut self, live: &mut Live, ask: impl FnOnce(&mut Retries) -> Decision) -> Option<Duration> {
        match ask(&mut self.retries) {
            Decision::Accept => None,
            Decision::LimitReached => {
                live.info.flags.set(ResponseFlag::UpstreamRetryLimitExceeded);
                self.cluster.stats().upstream_rq_retry_limit_exceeded.inc();
                None
            }
            Decision::Retry(wait) => {
                if self.body.as_ref().is_some_and(|body| body.attempt().is_none()) {
                    return None;
                }
                self.retry_permit = None;
                let permit = Permit::acquire(&self.cluster, LimitKind::Retries, self.job.forward.priority);
                if permit.is_none() {
                    self.cluster.stats().upstream_rq_retry_overflow.inc();
                    live.info.flags.set(ResponseFlag::UpstreamOverflow);
                    return None;
                }
                self.retry_permit = permit;
                Some(wait)
            }
        }
    }
}
