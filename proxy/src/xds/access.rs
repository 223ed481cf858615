//! `RBAC` to [`crate::config::access`]: the rules themselves, and the filters that have them.
//!
//! Source of the rules: Envoy's API (`envoy.config.rbac.v3`) and its validation rules. This decides who may do what: what is not
//! supported is refused, never left out.

/// `Permission` and `Principal`.
pub mod condition;
/// `MetadataMatcher`.
pub mod metadata;

use xds_proto::envoy::config::rbac::v3 as wire;
use xds_proto::envoy::config::rbac::v3::rbac::audit_logging_options::AuditCondition;
use xds_proto::envoy::extensions::filters::http::rbac::v3 as http_wire;
use xds_proto::envoy::extensions::filters::network::rbac::v3 as network_wire;
use xds_proto::envoy::extensions::filters::network::rbac::v3::rbac::EnforcementType;

use crate::config::access::{Action, HttpAccess, NetworkAccess, Policy, Rules};
use crate::xds::access::condition::Scope;
use crate::xds::invalid::Parser;
use crate::xds::matcher::not_empty;

/// The HTTP filter.
pub fn http(filter: &http_wire::Rbac, parser: &mut Parser) -> Option<HttpAccess> {
    parser.ignored("track_per_rule_stats", filter.track_per_rule_stats, "single policies are not counted");
    let rules = rules_at("rules", filter.rules.as_ref(), Scope::Request, parser);
    let shadow = rules_at("shadow_rules", filter.shadow_rules.as_ref(), Scope::Request, parser);
    Some(HttpAccess {
        rules: rules?,
        shadow: shadow?,
        stat_prefix: filter.rules_stat_prefix.clone(),
        shadow_stat_prefix: filter.shadow_rules_stat_prefix.clone(),
    })
}

/// What a route says in the filter's place. Nothing turns it off.
pub fn of_route(route: &http_wire::RbacPerRoute, parser: &mut Parser) -> Option<HttpAccess> {
    match &route.rbac {
        None => Some(HttpAccess::default()),
        Some(filter) => parser.at("rbac", |parser| http(filter, parser)),
    }
}

/// The network filter.
pub fn network(filter: &network_wire::Rbac, parser: &mut Parser) -> Option<NetworkAccess> {
    // Nothing here changes while a connection goes on, but for the rules: those are looked at again when they do.
    let enforcement = parser.choice::<EnforcementType>("enforcement_type", filter.enforcement_type);
    let rules = rules_at("rules", filter.rules.as_ref(), Scope::Connection, parser);
    let shadow = rules_at("shadow_rules", filter.shadow_rules.as_ref(), Scope::Connection, parser);
    let delay = parser.limit("delay_deny", filter.delay_deny.as_ref(), None);
    let name = not_empty("stat_prefix", &filter.stat_prefix, parser);
    enforcement?;
    Some(NetworkAccess {
        rules: rules?,
        shadow: shadow?,
        stat_prefix: name?,
        shadow_stat_prefix: filter.shadow_rules_stat_prefix.clone(),
        delay,
    })
}

/// Outer `None`: refused.
fn rules_at(field: &'static str, rules: Option<&wire::Rbac>, scope: Scope, parser: &mut Parser) -> Option<Option<Rules>> {
    match rules {
        None => Some(None),
        Some(wire) => parser.at(field, |parser| rules_of(wire, scope, parser)).map(Some),
    }
}

fn rules_of(wire: &wire::Rbac, scope: Scope, parser: &mut Parser) -> Option<Rules> {
    use wire::rbac::Action as WireAction;

    audit(wire, parser);
    let action = parser.choice("action", wire.action).map(|action| match action {
        WireAction::Allow => Action::Allow,
        WireAction::Deny => Action::Deny,
        WireAction::Log => Action::Log,
    });
    let policies = parser.at("policies", |parser| {
        let parsed = wire.policies.iter().map(|(name, wire)| parser.at_key(name, |parser| policy(name, wire, scope, parser)));
        parsed.collect::<Vec<_>>()
    });
    Some(Rules { action: action?, policies: policies.into_iter().collect::<Option<_>>()? })
}

/// As Envoy: a logger that is not available may be optional.
fn audit(wire: &wire::Rbac, parser: &mut Parser) {
    let Some(options) = &wire.audit_logging_options else { return };
    parser.at("audit_logging_options", |parser| {
        let condition = parser.choice::<AuditCondition>("audit_condition", options.audit_condition);
        if condition == Some(AuditCondition::None) {
            return;
        }
        parser.each("logger_configs", &options.logger_configs, |logger, parser| match logger.is_optional {
            true => {
                parser.warn("skipped: there is no such audit logger, and it is optional");
                Some(())
            }
            false => parser.refuse("there is no such audit logger"),
        });
    });
}

fn policy(name: &str, wire: &wire::Policy, scope: Scope, parser: &mut Parser) -> Option<Policy> {
    let permissions = condition::permissions("permissions", &wire.permissions, scope, parser);
    let principals = condition::principals("principals", &wire.principals, scope, parser);
    Some(Policy { name: name.to_owned(), permissions: permissions?, principals: principals? })
}

#[cfg(test)]
mod tests;
