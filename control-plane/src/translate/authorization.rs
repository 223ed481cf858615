//! Who may do what at a workload: filters in front of its application, on ports where HTTP is spoken and on all others.

/// One demand after the other.
mod demand;
/// Demands of tokens.
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use xds_proto::envoy::config::listener::v3::{Filter, filter};
use xds_proto::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac, rbac};
use xds_proto::envoy::extensions::filters::http::rbac::v3 as http_filter;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter as http_config};
use xds_proto::envoy::extensions::filters::network::rbac::v3 as network_filter;

use crate::model::authorization::{Action, AuthorizationPolicy, Rule, What, Who};
use crate::model::mesh::Mesh;
use crate::model::name::Name;
use crate::model::workload::Workload;
use crate::translate::authorization::demand::{Clause as _, all, who};
use crate::translate::wire;

/// What is decided about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Request,
    /// Without anything that only requests have.
    Connection,
}

/// The policies for a workload.
pub(super) struct Guard<'a> {
    trust_domain: &'a str,
    policies: Vec<&'a Arc<AuthorizationPolicy>>,
    /// What was to say whose tokens are believed, and cannot be read.
    unknown_tokens: Vec<&'a Name>,
}

/// In the order in which they decide. What is only counted and logged is so whatever becomes of it.
const ORDER: [(Action, &str); 3] = [(Action::Audit, "audit"), (Action::Deny, "deny"), (Action::Allow, "allow")];

impl<'a> Guard<'a> {
    /// Those of a mesh.
    pub(super) fn of(mesh: &'a Mesh, workload: &Workload) -> Self {
        Self {
            trust_domain: &mesh.settings().trust_domain,
            policies: mesh.authorizations_of(workload).collect(),
            unknown_tokens: mesh.believed(workload).broken,
        }
    }

    /// Whether TLS has to be looked into for the name that a client asks for.
    pub(super) fn asks_for_server_name(&self) -> bool {
        let mut demands = self.policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| rule.to.iter().flatten());
        demands.any(|what| matches!(what, What::ServerName(_)))
    }

    /// Filters of requests.
    pub(super) fn http(&self) -> Vec<HttpFilter> {
        let filters = self.decisions(Scope::Request).map(|(part, rules, shadow)| {
            let config = http_filter::Rbac {
                rules,
                shadow_rules: shadow,
                rules_stat_prefix: format!("{part}."),
                // Otherwise those of several filters would be one.
                shadow_rules_stat_prefix: format!("{part}."),
                ..http_filter::Rbac::default()
            };
            HttpFilter {
                name: format!("envoy.filters.http.rbac.{part}"),
                config_type: Some(http_config::ConfigType::TypedConfig(wire::pack(&config))),
                ..HttpFilter::default()
            }
        });
        filters.collect()
    }

    /// Filters of connections.
    pub(super) fn network(&self, stat_prefix: &str) -> Vec<Filter> {
        let filters = self.decisions(Scope::Connection).map(|(part, rules, shadow)| {
            let config = network_filter::Rbac {
                rules,
                shadow_rules: shadow,
                stat_prefix: format!("{stat_prefix}.{part}"),
                ..network_filter::Rbac::default()
            };
            Filter {
                name: format!("envoy.filters.network.rbac.{part}"),
                config_type: Some(filter::ConfigType::TypedConfig(wire::pack(&config))),
            }
        });
        filters.collect()
    }

    /// Each with its name, what it decides, and what it only counts and logs.
    fn decisions(&self, scope: Scope) -> impl Iterator<Item = (&'static str, Option<Rbac>, Option<Rbac>)> {
        ORDER.into_iter().filter_map(move |(action, part)| {
            let policies: Vec<_> = self.policies.iter().filter(|policy| policy.action == action).collect();
            let rules: BTreeMap<_, _> =
                policies.iter().flat_map(|policy| self.rules(policy, scope)).chain(self.nobody(action, scope)).collect();
            // Where something is allowed, all else is denied; other policies without rules say nothing.
            let is_said = if action == Action::Allow { !policies.is_empty() } else { !rules.is_empty() };
            is_said.then(|| {
                let decides = |action: rbac::Action| Rbac { action: i32::from(action), policies: rules, audit_logging_options: None };
                match action {
                    Action::Audit => (part, None, Some(decides(rbac::Action::Allow))),
                    Action::Deny => (part, Some(decides(rbac::Action::Deny)), None),
                    Action::Allow => (part, Some(decides(rbac::Action::Allow)), None),
                }
            })
        })
    }

    /// Requests that might have tokens which nobody can tell.
    fn nobody(&self, action: Action, scope: Scope) -> impl Iterator<Item = (String, Policy)> {
        let names = self.unknown_tokens.iter().filter(move |_| action == Action::Deny && scope == Scope::Request);
        let all = Policy { permissions: vec![Permission::any()], principals: vec![Principal::any()] };
        names.map(move |name| (format!("ns[{}]-request-authentication[{}]", name.namespace, name.name), all.clone()))
    }

    /// By the names that Istio gives them.
    fn rules(&self, policy: &AuthorizationPolicy, scope: Scope) -> BTreeMap<String, Policy> {
        let name = &policy.name;
        let rules = policy.rules.iter().enumerate().filter_map(|(at, rule)| {
            let policy = self.rule(rule, policy.action, scope)?;
            Some((format!("ns[{}]-policy[{}]-rule[{at}]", name.namespace, name.name), policy))
        });
        rules.collect()
    }

    /// Of a connection nobody knows what its requests would be: a rule that allows some of them does not allow it, and one that denies
    /// some of them denies all.
    fn rule(&self, rule: &Rule, action: Action, scope: Scope) -> Option<Policy> {
        if scope == Scope::Connection && action == Action::Allow && rule.is_of_requests() {
            return None;
        }
        let of_what = |what: &&What| scope == Scope::Request || !what.is_of_requests();
        let of_who = |who: &&Who| scope == Scope::Request || !who.is_of_requests();
        let permission = |to: &Vec<What>| all(to.iter().filter(of_what).flat_map(demand::what).collect());
        let principal = |from: &Vec<Who>| all(from.iter().filter(of_who).flat_map(|one| who(one, action, self.trust_domain)).collect());
        let mut permissions: Vec<Permission> = rule.to.iter().map(permission).collect();
        let mut principals: Vec<Principal> = rule.from.iter().map(principal).collect();
        if permissions.is_empty() {
            permissions.push(Permission::any());
        }
        if principals.is_empty() {
            principals.push(Principal::any());
        }
        Some(Policy { permissions, principals })
    }
}
