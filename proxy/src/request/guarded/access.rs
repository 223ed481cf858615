use http::StatusCode;

use crate::config::access::HttpAccess;
use crate::filter::access::{Subject, decide};
use crate::reply::LocalReply;
use crate::request::Stop;
use crate::request::guarded::routed;
use crate::request::live::Live;
use crate::runtime::policy::FilterStats;

pub(super) fn allows(live: &Live, access: &HttpAccess, stats: &FilterStats) -> Result<(), Stop> {
    let stats = if let FilterStats::Access(stats) = stats { Some(stats) } else { None };
    let connection = &live.info.connection;
    let metadata = live.info.metadata.as_deref();
    let subject = Subject { connection, remote: &live.info.remote, metadata, request: Some(&live.head) };
    if let Some(rules) = &access.shadow {
        let decision = decide(rules, &subject);
        if let Some(stats) = stats {
            stats.count_shadow(decision.allowed);
        }
        tracing::debug!(client = %live.info.remote, allowed = decision.allowed, policy = decision.policy, "shadow rules");
    }
    let Some(rules) = &access.rules else { return Ok(()) };
    let decision = decide(rules, &subject);
    if let Some(stats) = stats {
        stats.count(decision.allowed);
    }
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(client = %live.info.remote, policy = decision.policy, "denied");
    let reply = LocalReply::new(StatusCode::FORBIDDEN, "RBAC: access denied", decision.details());
    Err(routed(live, reply.because(None, "http_request_denied", decision.explanation())).into())
}
