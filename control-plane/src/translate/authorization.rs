//! Who may do what at a workload: filters in front of its application, on ports where HTTP is spoken and on all others.

/// Providers that are asked.
mod custom;
/// One demand after the other.
mod demand;
/// Demands of tokens.
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::{Message, Name as ProstName};
use xds_proto::envoy::config::listener::v3::{Filter, filter};
use xds_proto::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac, rbac};
use xds_proto::envoy::extensions::filters::http::rbac::v3 as http_rbac;
use xds_proto::envoy::extensions::filters::network::http_connection_manager::v3::{HttpFilter, http_filter as http_config};
use xds_proto::envoy::extensions::filters::network::rbac::v3 as network_filter;

use crate::model::authorization::{Action, AuthorizationPolicy, Rule, What, Who};
use crate::model::mesh::Mesh;
use crate::model::name::Name;
use crate::model::provider::{self, Provider};
use crate::model::token::TokenRule;
use crate::model::workload::Workload;
use crate::translate::authorization::demand::{Clause as _, all, who};
use crate::translate::{names, wire};

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
    /// Headers that only tokens write.
    token_headers: BTreeSet<Arc<str>>,
    /// Who can be asked, and by which cluster.
    providers: BTreeMap<&'a str, (&'a Provider, String)>,
}

/// What is decided in one filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Audit,
    /// Where nobody can be asked who should be.
    Unasked,
    Deny,
    Allow,
}

impl<'a> Guard<'a> {
    /// Those of a mesh.
    pub(super) fn of(mesh: &'a Mesh, workload: &Workload) -> Self {
        let policies: Vec<_> = mesh.authorizations_of(workload).collect();
        let named = policies.iter().filter_map(|policy| policy.action.provider());
        let known = named.filter_map(|name| {
            let (provider, target) = provider::asked(mesh, &workload.name.namespace, name).ok()?;
            Some((name, (provider, names::target(&target))))
        });
        let believed = mesh.believed(workload);
        Self {
            trust_domain: &mesh.settings().trust_domain,
            providers: known.collect(),
            token_headers: believed.rules.iter().flat_map(TokenRule::written).cloned().collect(),
            policies,
            unknown_tokens: believed.broken,
        }
    }

    /// Whether TLS has to be looked into for the name that a client asks for.
    pub(super) fn asks_for_server_name(&self) -> bool {
        let mut demands = self.policies.iter().flat_map(|policy| &policy.rules).flat_map(|rule| rule.to.iter().flatten());
        demands.any(|what| matches!(what, What::ServerName(_)))
    }

    /// Filters of requests, in the order in which they decide; `tokens` is the one that verifies those. As in Istio a provider comes
    /// before it, and may put a token into a request, or send a client for one whose token has expired; unless it needs what tokens
    /// say. What is only counted and logged is so whatever the rest decides.
    pub(super) fn http(&self, tokens: Option<&HttpFilter>) -> Vec<HttpFilter> {
        let parts = |parts: [Part; 2]| parts.into_iter().filter_map(|part| self.http_part(part));
        let first = self.asked(false).chain(tokens.cloned());
        first.chain(parts([Part::Audit, Part::Unasked])).chain(self.asked(true)).chain(parts([Part::Deny, Part::Allow])).collect()
    }

    /// Providers, by whether they need what tokens say.
    fn asked(&self, with_tokens: bool) -> impl Iterator<Item = HttpFilter> {
        let providers = self.providers.iter().filter(move |(name, (provider, _))| self.needs_tokens(name, provider) == with_tokens);
        providers.flat_map(|(name, (provider, cluster))| {
            let rules: BTreeMap<_, _> = self.policies_of(name).flat_map(|policy| self.rules(policy, Scope::Request)).collect();
            custom::filters(provider, cluster, rules)
        })
    }

    /// Whether a rule for it asks what tokens say, or for a header that they write; or it is told of such a header: before tokens are
    /// verified, what is in there is whatever a client likes.
    fn needs_tokens(&self, name: &str, provider: &Provider) -> bool {
        let asks = |rule: &Rule| rule.is_of_tokens() || rule.headers().any(|header| self.token_headers.contains(header));
        let is_told = self.token_headers.iter().any(|header| provider.is_told(header));
        is_told || self.policies_of(name).flat_map(|policy| &policy.rules).any(asks)
    }

    fn policies_of(&self, provider: &str) -> impl Iterator<Item = &AuthorizationPolicy> {
        self.policies.iter().map(|policy| &***policy).filter(move |policy| policy.action.provider() == Some(provider))
    }

    fn http_part(&self, part: Part) -> Option<HttpFilter> {
        let (rules, shadow_rules) = self.decision(part, Scope::Request)?;
        let name = part.name();
        // Prefixes of their own: otherwise those of several filters would be one.
        let (rules_stat_prefix, shadow_rules_stat_prefix) = (format!("{name}."), format!("{name}."));
        let config = http_rbac::Rbac { rules, shadow_rules, rules_stat_prefix, shadow_rules_stat_prefix, ..http_rbac::Rbac::default() };
        Some(http_filter(format!("envoy.filters.http.rbac.{name}"), &config))
    }

    /// Filters of connections.
    pub(super) fn network(&self, stat_prefix: &str) -> Vec<Filter> {
        let filters = [Part::Audit, Part::Unasked, Part::Deny, Part::Allow].into_iter().filter_map(|part| {
            let (rules, shadow_rules) = self.decision(part, Scope::Connection)?;
            let name = part.name();
            let config = network_filter::Rbac {
                rules,
                shadow_rules,
                stat_prefix: format!("{stat_prefix}.{name}"),
                ..network_filter::Rbac::default()
            };
            Some(Filter {
                name: format!("envoy.filters.network.rbac.{name}"),
                config_type: Some(filter::ConfigType::TypedConfig(wire::pack(&config))),
            })
        });
        filters.collect()
    }

    /// What is decided, and what is only counted and logged.
    fn decision(&self, part: Part, scope: Scope) -> Option<(Option<Rbac>, Option<Rbac>)> {
        let policies: Vec<_> = self.policies.iter().filter(|policy| self.part(policy, scope) == Some(part)).collect();
        let rules: BTreeMap<_, _> = policies.iter().flat_map(|policy| self.rules(policy, scope)).chain(self.nobody(part, scope)).collect();
        // Where something is allowed, all else is denied; other policies without rules say nothing.
        let is_said = if part == Part::Allow { !policies.is_empty() } else { !rules.is_empty() };
        let decides = |action: rbac::Action| Rbac { action: i32::from(action), policies: rules, audit_logging_options: None };
        is_said.then(|| match part {
            Part::Audit => (None, Some(decides(rbac::Action::Allow))),
            Part::Unasked | Part::Deny => (Some(decides(rbac::Action::Deny)), None),
            Part::Allow => (Some(decides(rbac::Action::Allow)), None),
        })
    }

    /// Where a policy is decided; `None` if somebody is asked. Of connections nobody is.
    fn part(&self, policy: &AuthorizationPolicy, scope: Scope) -> Option<Part> {
        match &policy.action {
            Action::Audit => Some(Part::Audit),
            Action::Deny => Some(Part::Deny),
            Action::Allow => Some(Part::Allow),
            Action::Custom(name) => {
                let can_ask = scope == Scope::Request && self.providers.contains_key(&**name);
                (!can_ask).then_some(Part::Unasked)
            }
        }
    }

    /// Requests that might have tokens which nobody can tell.
    fn nobody(&self, part: Part, scope: Scope) -> impl Iterator<Item = (String, Policy)> {
        let names = self.unknown_tokens.iter().filter(move |_| part == Part::Deny && scope == Scope::Request);
        let all = Policy { permissions: vec![Permission::any()], principals: vec![Principal::any()] };
        names.map(move |name| (format!("ns[{}]-request-authentication[{}]", name.namespace, name.name), all.clone()))
    }

    /// By the names that Istio gives them.
    fn rules(&self, policy: &AuthorizationPolicy, scope: Scope) -> BTreeMap<String, Policy> {
        let name = &policy.name;
        let rules = policy.rules.iter().enumerate().filter_map(|(at, rule)| {
            let policy = self.rule(rule, &policy.action, scope)?;
            Some((format!("ns[{}]-policy[{}]-rule[{at}]", name.namespace, name.name), policy))
        });
        rules.collect()
    }

    /// Of a connection nobody knows what its requests would be: a rule that allows some of them does not allow it, and one that denies
    /// some of them denies all.
    fn rule(&self, rule: &Rule, action: &Action, scope: Scope) -> Option<Policy> {
        if scope == Scope::Connection && *action == Action::Allow && rule.is_of_requests() {
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

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Unasked => "custom",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

fn http_filter<M: Message + ProstName>(name: String, config: &M) -> HttpFilter {
    HttpFilter { name, config_type: Some(http_config::ConfigType::TypedConfig(wire::pack(config))), ..HttpFilter::default() }
}
