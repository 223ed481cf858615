use http::StatusCode;

use crate::config::access::{HttpAccess, Rules};
use crate::filter::access::{Decision, Subject, decide};
use crate::reply::LocalReply;
use crate::request::Stop;
use crate::request::guarded::routed;
use crate::request::live::Live;
use crate::runtime::policy::FilterStats;

/// Whose metadata decisions are, whatever the filter is called.
const RBAC: &str = "envoy.filters.http.rbac";

pub(super) fn allows(live: &mut Live, access: &HttpAccess, stats: &FilterStats) -> Result<(), Stop> {
    let stats = if let FilterStats::Access(stats) = stats { Some(stats) } else { None };
    if let Some(rules) = &access.shadow {
        let decision = decided(live, rules);
        if let Some(stats) = stats {
            stats.count_shadow(decision.allowed);
        }
        tracing::debug!(client = %live.info.remote, allowed = decision.allowed, policy = decision.policy, "shadow rules");
        keep(live, &access.shadow_stat_prefix, "shadow", &decision);
    }
    let Some(rules) = &access.rules else { return Ok(()) };
    let decision = decided(live, rules);
    if let Some(stats) = stats {
        stats.count(decision.allowed);
    }
    keep(live, &access.stat_prefix, "enforced", &decision);
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(client = %live.info.remote, policy = decision.policy, "denied");
    let reply = LocalReply::new(StatusCode::FORBIDDEN, "RBAC: access denied", decision.details());
    Err(routed(live, reply.because(None, "http_request_denied", decision.explanation())).into())
}

fn decided<'a>(live: &Live, rules: &'a Rules) -> Decision<'a> {
    let metadata = live.info.metadata.as_deref();
    decide(rules, &Subject { connection: &live.info.connection, remote: &live.info.remote, metadata, request: Some(&live.head) })
}

/// As Envoy, for filters behind it: what was decided, and by which policy if one fits.
fn keep(live: &mut Live, prefix: &str, rules: &str, decision: &Decision<'_>) {
    let kept = live.info.metadata.get_or_insert_default();
    let result = if decision.allowed { "allowed" } else { "denied" };
    kept.insert(RBAC, &format!("{prefix}{rules}_engine_result"), result.into());
    if let Some(policy) = decision.policy {
        kept.insert(RBAC, &format!("{prefix}{rules}_effective_policy_id"), policy.into());
    }
}
