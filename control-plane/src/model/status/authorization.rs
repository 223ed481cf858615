//! Conditions of policies of who may do what. Istio says nothing of the kind; these are ours.

use std::sync::Arc;

use crate::model::attach::Target;
use crate::model::authentication::Mode;
use crate::model::authorization::{Action, AuthorizationPolicy, Rule};
use crate::model::mesh::Mesh;
use crate::model::provider;
use crate::model::status::Condition;
use crate::model::workload::Workload;

/// Whether it is held to wherever it is meant to be. An `ALLOW` lets in less where something cannot be told; other policies would
/// not notice.
pub fn of_authorization(mesh: &Mesh, policy: &AuthorizationPolicy) -> Vec<Condition> {
    if policy.is_broken {
        let message = "it cannot be read, see the log of the control plane; until it can, it keeps out whom it might be for".to_owned();
        return vec![Condition::bad("Accepted", "Invalid", message)];
    }
    vec![Condition::good("Accepted", "Accepted"), enforced(mesh, policy)]
}

fn enforced(mesh: &Mesh, policy: &AuthorizationPolicy) -> Condition {
    let mut selected = selected_by(mesh, policy).peekable();
    if selected.peek().is_none() {
        return Condition::bad("Enforced", "NoWorkloads", "there is no workload that it is for".to_owned());
    }
    let unasked = |name: &str| selected_by(mesh, policy).find_map(|workload| provider::asked(mesh, &workload.name.namespace, name).err());
    if let Some(reason) = policy.action.provider().and_then(unasked) {
        return Condition::bad("Enforced", "NoProvider", format!("{reason}: what a rule fits is denied"));
    }
    if let Some(workload) =
        policy.action.provider().and_then(|name| selected_by(mesh, policy).find(|one| is_behind(mesh, policy, one, name)))
    {
        let message = format!(
            "{} is behind its provider, and would be asked about every question to it: a rule has to leave its port out (notPorts)",
            workload.name
        );
        return Condition::bad("Enforced", "AsksItself", message);
    }
    let of_tokens = policy.rules.iter().position(Rule::asks_for_token).filter(|_| policy.action != Action::Allow);
    let without = selected_by(mesh, policy).find(|workload| mesh.believed(workload).rules.is_empty());
    if let (Some(at), Some(workload)) = (of_tokens, without) {
        let message = format!("rules[{at}] is about tokens, and no RequestAuthentication is for {}: it fits nobody there", workload.name);
        return Condition::bad("Enforced", "NoTokens", message);
    }
    let about_whom = policy.rules.iter().position(Rule::asks_who).filter(|_| policy.action != Action::Allow);
    let plain = about_whom.and_then(|at| selected.find_map(|workload| Some((at, workload, plain(mesh, workload)?))));
    match plain {
        None => Condition::good("Enforced", "Enforced"),
        Some((at, workload, port)) => {
            let message = format!(
                "rules[{at}] is about who the client is, and {} takes plain text at {port}: whoever shows no certificate is nobody there, \
                 and it does not fit. A PeerAuthentication with the mode STRICT refuses plain text",
                workload.name
            );
            Condition::bad("Enforced", "PlainText", message)
        }
    }
}

/// Whether a workload is where the provider of a policy is reached, at a port that the policy speaks of.
fn is_behind(mesh: &Mesh, policy: &AuthorizationPolicy, workload: &Workload, name: &str) -> bool {
    let Ok((provider, Target::Service(service, number))) = provider::asked(mesh, &workload.name.namespace, name) else { return false };
    let Some(service) = mesh.service(&service).filter(|service| service.selects(workload)) else { return false };
    let port = service.port(number).and_then(|port| workload.reached_at(port));
    port.is_some_and(|port| policy.rules.iter().any(|rule| rule.can_be_at(port, provider.question())))
}

fn selected_by<'a>(mesh: &'a Mesh, policy: &'a AuthorizationPolicy) -> impl Iterator<Item = &'a Arc<Workload>> {
    mesh.workloads().filter(|workload| policy.concerns(workload))
}

/// Where a workload takes plain text.
fn plain(mesh: &Mesh, workload: &Arc<Workload>) -> Option<String> {
    let is_plain = |port: Option<u16>| mesh.mode(workload, port) != Mode::Strict;
    let named = workload.ports.iter().map(|port| port.number).find(|port| is_plain(Some(*port)));
    let others = || workload.ports.iter().any(|port| port.application.is_none()) && is_plain(None);
    named.map(|port| format!("port {port}")).or_else(|| others().then(|| "ports that it does not name".to_owned()))
}
