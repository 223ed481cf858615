use http::StatusCode;

use crate::config::access::{HttpAccess, Rules};
use crate::config::filter::FilterKind;
use crate::filter::access::{Decision, Subject, decide};
use crate::reply::LocalReply;
use crate::request::Stop;
use crate::request::guarded::routed;
use crate::request::live::Live;
use crate::runtime::policy::{FilterStats, HttpGuard};

/// Whose metadata decisions are, whatever the filter is called.
const RBAC: &str = "envoy.filters.http.rbac";

/// By what the request's route says, or the filter.
pub(super) fn allows(live: &mut Live, access: &HttpAccess, guard: &HttpGuard) -> Result<(), Stop> {
    let stats = if let FilterStats::Access(stats) = &guard.stats { Some(stats) } else { None };
    let shadow = access.shadow.as_ref().map(|rules| decided(live, rules));
    let enforced = access.rules.as_ref().map(|rules| decided(live, rules));
    let of_filter = if let FilterKind::Access(of_filter) = &guard.filter.kind { of_filter } else { access };
    keep(live, "shadow", [&access.shadow_stat_prefix, &of_filter.shadow_stat_prefix], shadow);
    keep(live, "enforced", [&access.stat_prefix, &of_filter.stat_prefix], enforced);
    if let Some(decision) = shadow {
        if let Some(stats) = stats {
            stats.count_shadow(decision.allowed);
        }
        tracing::debug!(client = %live.info.remote, allowed = decision.allowed, policy = decision.policy, "shadow rules");
    }
    let Some(decision) = enforced else { return Ok(()) };
    if let Some(stats) = stats {
        stats.count(decision.allowed);
    }
    if decision.allowed {
        return Ok(());
    }
    tracing::debug!(client = %live.info.remote, policy = decision.policy, "denied");
    Err(routed(live, denial(&decision)).into())
}

/// What is said of a denial.
pub(super) fn denial(decision: &Decision<'_>) -> LocalReply {
    let reply = LocalReply::new(StatusCode::FORBIDDEN, "RBAC: access denied", decision.details());
    reply.because(None, "http_request_denied", decision.explanation())
}

fn decided<'a>(live: &Live, rules: &'a Rules) -> Decision<'a> {
    let metadata = live.info.metadata.as_deref();
    decide(rules, &Subject { connection: &live.info.connection, remote: &live.info.remote, metadata, request: Some(&live.head) })
}

/// As Envoy, for filters behind it: what was decided, and by which policy if one fits. The prefix is the route's, or the filter's where
/// that has none.
fn keep(live: &mut Live, rules: &str, prefixes: [&String; 2], decision: Option<Decision<'_>>) {
    let Some(decision) = decision else { return };
    let prefix = prefixes.into_iter().find(|prefix| !prefix.is_empty()).map_or("", String::as_str);
    let kept = live.info.metadata.get_or_insert_default();
    let result = if decision.allowed { "allowed" } else { "denied" };
    kept.insert(RBAC, format!("{prefix}{rules}_engine_result"), result.into());
    if let Some(policy) = decision.policy {
        kept.insert(RBAC, format!("{prefix}{rules}_effective_policy_id"), policy.into());
    }
}
