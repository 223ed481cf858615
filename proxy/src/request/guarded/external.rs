use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use http::header::{EXPECT, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::codec::{BodyError, RequestFault};
use crate::config::ext_authz::{BodySettings, CheckOverride, CheckSettings, ExternalAuthorization, Service};
use crate::config::filter::{FilterOverride, FilterOverrides};
use crate::exchange::ResponseFlag;
use crate::ext_authz::{self, Allowed, Answer, Denied, Fault, Subject, ToldBody};
use crate::forward::refill;
use crate::forward::timeout::within;
use crate::reply::LocalReply;
use crate::request::guarded::Asking;
use crate::request::live::Live;
use crate::request::{Stop, attempt, expects_continue, go_on, local, own};
use crate::telemetry::metrics::ExternalStats;

/// Whose metadata an answer's is.
const EXT_AUTHZ: &str = "envoy.filters.http.ext_authz";
const FAILURE_MODE_ALLOWED: HeaderName = HeaderName::from_static("x-envoy-auth-failure-mode-allowed");

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// As Envoy: beside whatever else an answer says, how many milliseconds it took.
const DURATION: &str = "ext_authz_duration";

/// An answer has no more bytes.
const MOST_ANSWER: usize = 1024 * 1024;

/// What is asked with, and where.
pub(super) struct Check<'a> {
    pub(super) filter: &'a ExternalAuthorization,
    pub(super) stats: &'a ExternalStats,
    pub(super) settings: CheckSettings,
}

/// What the levels of a route say, the most specific first; extensions are laid over one another. `None`: nobody is asked.
pub(super) fn settings<'a>(name: &str, levels: impl Iterator<Item = &'a FilterOverrides>) -> Option<CheckSettings> {
    let mut merged = CheckSettings::default();
    let mut is_first = true;
    for level in levels {
        match level.of(name) {
            Some(FilterOverride::External(CheckOverride::Disabled)) if is_first => return None,
            Some(FilterOverride::External(CheckOverride::Settings(settings))) => {
                merged.body = merged.body.or(settings.body);
                let below: BTreeMap<String, String> = std::mem::take(&mut merged.extensions);
                merged.extensions.clone_from(&settings.extensions);
                merged.extensions.extend(below);
            }
            _ => {}
        }
        is_first &= level.of(name).is_none();
    }
    Some(merged)
}

/// Asks, and does as the answer says. Whether the route is to be chosen anew.
pub(super) async fn check(asking: &mut Asking<'_>, live: &mut Live, check: &Check<'_>) -> Result<bool, Stop> {
    let filter = check.filter;
    if !is_enabled(filter, live) {
        check.stats.disabled.inc();
        if filter.deny_at_disable {
            return Err(denied(live, filter.status_on_error, "ext_authz_error", "ext_authz: denies what it is not asked about".to_owned()));
        }
        return Ok(false);
    }
    if !std::mem::replace(&mut asking.is_clean, true) {
        // Only a filter says so.
        live.head.headers.remove(FAILURE_MODE_ALLOWED);
    }
    let told = match check.settings.body.unwrap_or(filter.body) {
        Some(settings) if live.body_pending && live.head.upgrade.is_none() => Some(body(asking, live, settings).await?),
        _ => None,
    };
    let began = Instant::now();
    match answer(asking, live, check, told.as_ref()).await {
        Ok(Answer::Allowed(allowed)) => go(live, check, (*allowed, began)),
        Ok(Answer::Denied(denied)) => {
            check.stats.denied.inc();
            keep(live, began, filter, denied.metadata.clone());
            tracing::debug!(client = %live.info.remote, status = denied.status.as_u16(), "ext_authz: denied");
            Err(deny(live, *denied, "ext_authz_denied", "ext_authz: the service denies the request".to_owned()))
        }
        Err(Unanswered::Stop(stop)) => Err(stop),
        Err(Unanswered::Fault(fault)) => failed(asking, live, check, fault),
    }
}

enum Unanswered {
    Fault(Fault),
    Stop(Stop),
}

fn is_enabled(filter: &ExternalAuthorization, live: &Live) -> bool {
    let metadata = live.info.metadata.as_deref();
    let fits = filter.enabled_metadata.as_ref().is_none_or(|wanted| wanted.matches(|name, path| metadata?.get(name, path)));
    fits && filter.enabled.contains(fastrand::u64(..))
}

/// Reads what is told of the body, and puts it back.
async fn body(asking: &mut Asking<'_>, live: &mut Live, settings: BodySettings) -> Result<ToldBody, Stop> {
    if expects_continue(&live.head.headers) && asking.connection.0.manager.proxy_100_continue {
        asking.informational.send(go_on());
        live.head.headers.remove(EXPECT);
    }
    let activity = live.deadlines.activity.clone();
    // Where the beginning is enough, it is asked as soon as it is there.
    let most = if settings.partial { settings.most.saturating_sub(1) } else { settings.most };
    let reading = refill::read(std::mem::take(asking.body), most, &activity);
    let read = match within(&mut live.deadlines, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(BodyError::Malformed(rule))) if live.head.version != http::Version::HTTP_2 => {
            live.closing = true;
            return Err(local::fault_reply(RequestFault::Malformed(rule)).into());
        }
        Ok(Err(_)) => {
            live.info.flags.set(ResponseFlag::DownstreamConnectionTermination);
            return Err(Stop::Reset(h2::Reason::CANCEL));
        }
        Err(expired) => return Err(attempt::stream_expired(live, expired).into()),
    };
    live.info.bytes_received = u64::try_from(read.bytes.len()).unwrap_or(u64::MAX);
    *asking.body = read.body;
    if !settings.partial && read.bytes.len() > settings.most {
        let reply = LocalReply::new(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", "request_payload_too_large");
        let rule = format!("ext_authz: bodies may have {} bytes", settings.most);
        return Err(reply.because(None, "http_request_error", rule).into());
    }
    asking.is_read |= read.complete;
    let partial = !read.complete || read.bytes.len() > settings.most;
    let length = read.bytes.len().min(settings.most);
    Ok(ToldBody { bytes: read.bytes.slice(..length), partial })
}

async fn answer(asking: &Asking<'_>, live: &mut Live, check: &Check<'_>, body: Option<&ToldBody>) -> Result<Answer, Unanswered> {
    let filter = check.filter;
    let subject = Subject { filter, extensions: &check.settings.extensions, info: &live.info, request: &live.head, body };
    let (mut head, bytes) = ext_authz::question(&subject).map_err(Unanswered::Fault)?;
    let worker = &asking.connection.0.worker;
    if let (Service::Grpc(_), Ok(own)) = (&filter.service, HeaderValue::try_from(worker.shared.local_ip.to_string())) {
        head.headers.insert(X_FORWARDED_FOR, own);
    }
    let place = (asking.generation, filter.service.cluster());
    let asked = own::ask(worker, place, (&head, bytes), (filter.timeout, MOST_ANSWER));
    // Bounded by its own limit; the listener's limits go on beside it.
    match within(&mut live.deadlines, asked).await {
        Ok(Ok(answered)) => ext_authz::read(filter, &answered.head, answered.body, answered.trailers.as_ref()).map_err(Unanswered::Fault),
        Ok(Err(reason)) => Err(Unanswered::Fault(Fault::NoAnswer(reason))),
        Err(expired) => Err(Unanswered::Stop(attempt::stream_expired(live, expired).into())),
    }
}

fn go(live: &mut Live, check: &Check<'_>, (allowed, began): (Allowed, Instant)) -> Result<bool, Stop> {
    let changed = match allowed.apply(&mut live.head) {
        Ok(changed) => changed,
        Err(fault) => return Err(invalid(live, check, &fault)),
    };
    check.stats.ok.inc();
    keep(live, began, check.filter, allowed.metadata);
    if !allowed.response.is_empty() {
        live.changes.push(allowed.response);
    }
    Ok(changed && check.filter.clear_route_cache)
}

fn keep(live: &mut Live, began: Instant, filter: &ExternalAuthorization, metadata: serde_json::Map<String, serde_json::Value>) {
    if metadata.is_empty() || !filter.takes_metadata {
        return;
    }
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    for (name, value) in metadata.into_iter().chain([(DURATION.to_owned(), took.into())]) {
        live.info.metadata.get_or_insert_default().insert(EXT_AUTHZ, name, value);
    }
}

/// There is no answer to go by.
fn failed(asking: &Asking<'_>, live: &mut Live, check: &Check<'_>, fault: Fault) -> Result<bool, Stop> {
    let filter = check.filter;
    if let Some(untold) = asking.connection.0.worker.silent.tell() {
        let allowed = filter.failure_mode_allow && !matches!(fault, Fault::Invalid(_));
        tracing::warn!(client = %live.info.remote, cluster = %filter.service.cluster(), allowed, untold, "ext_authz: {fault}");
    }
    if matches!(fault, Fault::Invalid(_)) {
        return Err(invalid(live, check, &fault));
    }
    check.stats.error.inc();
    if filter.failure_mode_allow {
        check.stats.failure_mode_allowed.inc();
        if filter.failure_mode_header {
            live.head.headers.insert(FAILURE_MODE_ALLOWED, HeaderValue::from_static("true"));
        }
        return Ok(false);
    }
    let reason = format!("ext_authz: {fault}");
    match fault {
        Fault::Error { status, told } => {
            let status = status.unwrap_or(filter.status_on_error);
            Err(deny(live, Denied { status, ..*told }, "ext_authz_error", reason))
        }
        Fault::NoAnswer(_) | Fault::Invalid(_) => Err(denied(live, filter.status_on_error, "ext_authz_error", reason)),
    }
}

/// As Envoy where it looks at answers: never let through.
fn invalid(live: &Live, check: &Check<'_>, fault: &Fault) -> Stop {
    check.stats.invalid.inc();
    denied(live, StatusCode::INTERNAL_SERVER_ERROR, "ext_authz_invalid", format!("ext_authz: {fault}"))
}

fn denied(live: &Live, status: StatusCode, details: &'static str, reason: String) -> Stop {
    deny(live, Denied { status, ..Denied::default() }, details, reason)
}

fn deny(live: &Live, denied: Denied, details: &'static str, reason: String) -> Stop {
    let body: Bytes = denied.body;
    let mut reply = LocalReply::new(denied.status, body, details);
    reply.headers = denied.headers;
    super::routed(live, reply.because(Some(ResponseFlag::UnauthorizedExternalService), "http_request_denied", reason)).into()
}
