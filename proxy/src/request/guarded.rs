use http::StatusCode;

use crate::config::access::HttpAccess;
use crate::config::filter::FilterKind;
use crate::config::route::RouteAction;
use crate::filter;
use crate::filter::access::{Subject, decide};
use crate::reply::LocalReply;
use crate::request::live::Live;
use crate::request::{Inner, Stop};
use crate::telemetry::metrics::AccessStats;

/// Runs the filters of the listener, as they are now, with the settings of the request's route.
pub(super) fn pass(inner: &Inner, live: &Live) -> Result<(), Stop> {
    for guard in &inner.policy.current().http {
        let route = live.info.route.as_deref();
        let host = route.and(live.info.virtual_host.as_deref());
        let table = route.and(live.table.as_deref());
        let levels = [route.map(|route| &route.filters), host.map(|host| &host.filters), table.map(|table| &table.filters)];
        match filter::kind(&guard.filter, levels.into_iter().flatten()) {
            None => {}
            Some(FilterKind::Access(access)) => access_allows(live, access, &guard.stats)?,
        }
    }
    Ok(())
}

fn access_allows(live: &Live, access: &HttpAccess, stats: &AccessStats) -> Result<(), Stop> {
    let connection = &live.info.connection;
    let subject = Subject { connection, remote: &live.info.remote, request: Some(&live.head) };
    if let Some(rules) = &access.shadow {
        let decision = decide(rules, &subject);
        stats.count_shadow(decision.allowed);
        tracing::debug!(client = %live.info.remote, allowed = decision.allowed, policy = decision.policy, "shadow rules");
    }
    let Some(rules) = &access.rules else { return Ok(()) };
    let decision = decide(rules, &subject);
    stats.count(decision.allowed);
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(client = %live.info.remote, policy = decision.policy, "denied");
    let reply = LocalReply::new(StatusCode::FORBIDDEN, "RBAC: access denied", decision.details());
    let reply = reply.because(None, "http_request_denied", decision.explanation());
    // As Envoy: with the headers that the route adds to answers of its cluster.
    let forwards = live.info.route.as_deref().is_some_and(|route| matches!(route.action, RouteAction::Forward(_)));
    Err(if forwards { reply.routed() } else { reply }.into())
}
