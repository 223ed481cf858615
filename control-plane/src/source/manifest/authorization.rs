//! `AuthorizationPolicy` into the model. It says who may do what: whatever cannot be held to is refused, and nothing is passed over.

/// Texts that stand for others.
pub(super) mod pattern;

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::model::authorization::{Action, AuthorizationPolicy, Rule, Test, What, Who};
use crate::model::name::Name;
use crate::source::manifest::custom::WorkloadSelector;
use crate::source::manifest::custom::authorization as written;
use crate::source::manifest::reader::Reader;
use crate::source::manifest::{security, text};

/// Why nothing of where a request first came from can be asked for.
const NO_REMOTE: &str = "not supported: no header that says where a request came from is trusted; ipBlocks are of the connection";
/// Istio's way to try a policy out.
const DRY_RUN: &str = "istio.io/dry-run";

/// What is read of metadata.
#[derive(Default, Deserialize)]
struct Metadata {
    generation: Option<u64>,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// An `AuthorizationPolicy`.
pub(super) fn policy(name: &Name, value: &Value, reader: &mut Reader) -> Option<AuthorizationPolicy> {
    let metadata: Metadata = reader.shape(value, "metadata")?;
    if metadata.annotations.is_some_and(|annotations| annotations.contains_key(DRY_RUN)) {
        reader.refuse_at::<()>("metadata.annotations", format_args!("{DRY_RUN} is not supported: the action AUDIT counts and logs"));
    }
    let spec: written::AuthorizationPolicySpec = reader.shape(value, "spec")?;
    reader.at("spec", |reader| {
        let gateways = "not supported: it is for gateways; a selector says which workloads";
        refuse_if("targetRef", spec.target_ref.is_some(), gateways, reader);
        refuse_if("targetRefs", spec.target_refs.is_some(), gateways, reader);
        let action = action(&spec, reader);
        let rules = reader.each("rules", &spec.rules, |rule, reader| self::rule(rule, &name.namespace, reader));
        let selector = security::selector(spec.selector.as_ref());
        Some(AuthorizationPolicy {
            name: name.clone(),
            generation: metadata.generation.unwrap_or_default(),
            selector,
            action: action?,
            rules,
            is_broken: false,
        })
    })
}

fn action(spec: &written::AuthorizationPolicySpec, reader: &mut Reader) -> Option<Action> {
    refuse_if(
        "provider",
        spec.provider.is_some() && spec.action != written::AuthorizationAction::Custom,
        "only with the action CUSTOM",
        reader,
    );
    match spec.action {
        written::AuthorizationAction::Allow => Some(Action::Allow),
        written::AuthorizationAction::Deny => Some(Action::Deny),
        written::AuthorizationAction::Audit => Some(Action::Audit),
        written::AuthorizationAction::Custom => {
            let name = spec.provider.as_ref().and_then(|provider| provider.name.as_deref()).filter(|name| !name.is_empty());
            match name {
                Some(name) => Some(Action::Custom(name.into())),
                None => reader.refuse_at("provider.name", "required with the action CUSTOM"),
            }
        }
    }
}

/// What one that cannot be read is until it can: an `ALLOW` allows nothing, anything else denies all, but for an `AUDIT`.
pub(super) fn stand_in(name: &Name, value: &Value) -> AuthorizationPolicy {
    let spec = value.get("spec");
    let labels = spec.and_then(|spec| spec.get("selector")).map(|selector| WorkloadSelector::deserialize(selector).unwrap_or_default());
    let (action, rules) = match spec.and_then(|spec| spec.get("action")).map(Value::as_str) {
        None | Some(Some("ALLOW")) => (Action::Allow, Vec::new()),
        Some(Some("AUDIT")) => (Action::Audit, Vec::new()),
        Some(_) => (Action::Deny, vec![Rule::default()]),
    };
    AuthorizationPolicy { name: name.clone(), generation: 0, selector: security::selector(labels.as_ref()), action, rules, is_broken: true }
}

fn refuse_if(field: &str, is_said: bool, problem: impl fmt::Display, reader: &mut Reader) {
    if is_said {
        reader.refuse_at::<()>(field, problem);
    }
}

fn rule(rule: &written::AuthorizationRule, namespace: &Arc<str>, reader: &mut Reader) -> Option<Rule> {
    let mut from =
        listed("from", rule.from.as_ref(), reader, |from, reader| reader.at("source", |reader| source(&from.source, namespace, reader)));
    let mut to = listed("to", rule.to.as_ref(), reader, |to, reader| reader.at("operation", |reader| operation(&to.operation, reader)));
    let when = listed("when", rule.when.as_ref(), reader, |one, reader| condition(one, namespace, reader));
    for demand in when {
        match demand {
            Demand::Who(who) => add(&mut from, &who),
            Demand::What(what) => add(&mut to, &what),
        }
    }
    Some(Rule { from, to })
}

/// To each of several, or to none.
fn add<T: Clone>(to: &mut Vec<Vec<T>>, demand: &T) {
    if to.is_empty() {
        to.push(Vec::new());
    }
    to.iter_mut().for_each(|all| all.push(demand.clone()));
}

/// A list that is there has something in it: an empty one would be for all, and looks as if it were for none.
fn listed<W, T>(field: &str, list: Option<&Vec<W>>, reader: &mut Reader, read: impl FnMut(&W, &mut Reader) -> Option<T>) -> Vec<T> {
    let Some(list) = list else { return Vec::new() };
    if list.is_empty() {
        reader.refuse_at::<()>(field, "it is empty: leave it out if it does not matter");
    }
    reader.each(field, list, read)
}

/// Values, and values that are not meant.
struct Two<'a> {
    fields: [&'static str; 2],
    one_of: Option<&'a Vec<String>>,
    none_of: Option<&'a Vec<String>>,
}

impl<'a> Two<'a> {
    const fn new(fields: [&'static str; 2], one_of: &'a Option<Vec<String>>, none_of: &'a Option<Vec<String>>) -> Self {
        Self { fields, one_of: one_of.as_ref(), none_of: none_of.as_ref() }
    }

    /// `None` if nothing is said.
    fn read<T>(&self, reader: &mut Reader, mut read: impl FnMut(&str, &mut Reader) -> Option<T>) -> Option<Test<T>> {
        let Self { fields: [one, none], one_of, none_of } = self;
        let is_said = one_of.is_some() || none_of.is_some();
        let mut list = |field, list: &Option<&Vec<String>>| listed(field, *list, reader, |text: &String, reader| read(text, reader));
        let (one_of, none_of) = (list(one, one_of), list(none, none_of));
        is_said.then_some(Test { one_of, none_of })
    }
}

fn source(source: &written::AuthorizationSource, namespace: &Arc<str>, reader: &mut Reader) -> Option<Vec<Who>> {
    if *source == written::AuthorizationSource::default() {
        return reader.refuse("it is empty: leave out from if it does not matter");
    }
    refuse_if("remoteIpBlocks", source.remote_ip_blocks.is_some(), NO_REMOTE, reader);
    refuse_if("notRemoteIpBlocks", source.not_remote_ip_blocks.is_some(), NO_REMOTE, reader);
    let mut who = Vec::new();
    let principals = Two::new(["principals", "notPrincipals"], &source.principals, &source.not_principals);
    who.extend(principals.read(reader, pattern::principal).map(Who::Principal));
    let fields = ["requestPrincipals", "notRequestPrincipals"];
    let tokens = Two::new(fields, &source.request_principals, &source.not_request_principals);
    who.extend(tokens.read(reader, pattern::token).map(Who::TokenPrincipal));
    let namespaces = Two::new(["namespaces", "notNamespaces"], &source.namespaces, &source.not_namespaces);
    who.extend(namespaces.read(reader, pattern::namespace).map(Who::Namespace));
    let accounts = Two::new(["serviceAccounts", "notServiceAccounts"], &source.service_accounts, &source.not_service_accounts);
    who.extend(accounts.read(reader, |text, reader| pattern::account(text, namespace, reader)).map(Who::Account));
    let ranges = Two::new(["ipBlocks", "notIpBlocks"], &source.ip_blocks, &source.not_ip_blocks);
    who.extend(ranges.read(reader, pattern::range).map(Who::Ip));
    Some(who)
}

fn operation(operation: &written::AuthorizationOperation, reader: &mut Reader) -> Option<Vec<What>> {
    if *operation == written::AuthorizationOperation::default() {
        return reader.refuse("it is empty: leave out to if it does not matter");
    }
    let mut what = Vec::new();
    let hosts = Two::new(["hosts", "notHosts"], &operation.hosts, &operation.not_hosts);
    what.extend(hosts.read(reader, pattern::host).map(What::Host));
    let ports = Two::new(["ports", "notPorts"], &operation.ports, &operation.not_ports);
    what.extend(ports.read(reader, pattern::port).map(What::Port));
    let methods = Two::new(["methods", "notMethods"], &operation.methods, &operation.not_methods);
    what.extend(methods.read(reader, pattern::method).map(What::Method));
    let paths = Two::new(["paths", "notPaths"], &operation.paths, &operation.not_paths);
    what.extend(paths.read(reader, pattern::path).map(What::Path));
    Some(what)
}

/// One of `when`.
enum Demand {
    Who(Who),
    What(What),
}

fn condition(condition: &written::AuthorizationCondition, namespace: &Arc<str>, reader: &mut Reader) -> Option<Demand> {
    let values = Two::new(["values", "notValues"], &condition.values, &condition.not_values);
    if condition.values.is_none() && condition.not_values.is_none() {
        return reader.refuse("values or notValues are required");
    }
    let key = condition.key.as_str();
    if let Some(header) = key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']')) {
        let name = reader.at("key", |reader| header_name(header, reader))?;
        return values.read(reader, pattern::text).map(|test| Demand::What(What::Header(name, test)));
    }
    if let Some(path) = key.strip_prefix("request.auth.claims") {
        let path = reader.at("key", |reader| claim(path, reader))?;
        return values.read(reader, pattern::text).map(|test| Demand::Who(Who::Claim(path, test)));
    }
    let of_token =
        |name: &str, reader: &mut Reader| values.read(reader, pattern::text).map(|test| Demand::Who(Who::Claim(vec![name.into()], test)));
    match key {
        "source.ip" => values.read(reader, pattern::range).map(Who::Ip).map(Demand::Who),
        "source.namespace" => values.read(reader, pattern::namespace).map(Who::Namespace).map(Demand::Who),
        "source.principal" => values.read(reader, pattern::principal).map(Who::Principal).map(Demand::Who),
        "source.serviceAccount" => {
            let account = |text: &str, reader: &mut Reader| pattern::account(text, namespace, reader);
            values.read(reader, account).map(Who::Account).map(Demand::Who)
        }
        "destination.ip" => values.read(reader, pattern::range).map(What::Ip).map(Demand::What),
        "destination.port" => values.read(reader, pattern::port).map(What::Port).map(Demand::What),
        "connection.sni" => values.read(reader, pattern::text).map(What::ServerName).map(Demand::What),
        "remote.ip" => reader.refuse_at("key", NO_REMOTE),
        "request.auth.principal" => values.read(reader, pattern::token).map(Who::TokenPrincipal).map(Demand::Who),
        "request.auth.audiences" => of_token("aud", reader),
        "request.auth.presenter" => of_token("azp", reader),
        key => reader.refuse_at("key", format_args!("there is no {key:?}: {KEYS}")),
    }
}

/// What can be asked for.
const KEYS: &str = "there are request.headers[NAME], request.auth.principal, request.auth.audiences, request.auth.presenter, \
    request.auth.claims[NAME], source.ip, source.namespace, source.principal, source.serviceAccount, destination.ip, destination.port, \
    connection.sni";

/// Names of claims nested in one another are no more.
const DEEPEST_CLAIM: usize = 8;

/// `[NAME]`, or `[NAME][NAME]` for a claim within another.
fn claim(path: &str, reader: &mut Reader) -> Option<Vec<Arc<str>>> {
    let inner = path.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let names: Vec<Arc<str>> = inner.unwrap_or_default().split("][").map(Arc::from).collect();
    if names.iter().any(|name| name.is_empty() || name.contains(['[', ']'])) || names.len() > DEEPEST_CLAIM {
        return reader.refuse("claims are request.auth.claims[NAME] or, within another, request.auth.claims[NAME][NAME]");
    }
    Some(names)
}

/// What a proxy keeps elsewhere than among headers would never be found there.
fn header_name(name: &str, reader: &mut Reader) -> Option<Arc<str>> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return reader.refuse(format_args!("{name:?} is no header here: hosts, methods and paths of an operation ask for that"));
    }
    text::header_name(name, reader)
}

/// Whether all identities that are asked for can be of a trust domain; where not, they would never fit.
pub(super) fn agrees(object: &Value, trust_domain: &str) -> Result<(), Vec<crate::model::fault::Fault>> {
    let mut reader = Reader::default();
    let read = reader.shape::<written::AuthorizationPolicySpec>(object, "spec").map(|spec| {
        reader.at("spec", |reader| {
            reader.each("rules", &spec.rules, |rule, reader| {
                let check = |list: Option<&Vec<String>>, field: &str, reader: &mut Reader| {
                    reader.each(field, list.map_or(&[], Vec::as_slice), |text, reader| pattern::is_of(text, trust_domain, reader));
                };
                reader.each("from", rule.from.as_deref().unwrap_or_default(), |from, reader| {
                    reader.at("source", |reader| {
                        check(from.source.principals.as_ref(), "principals", reader);
                        check(from.source.not_principals.as_ref(), "notPrincipals", reader);
                    });
                    Some(())
                });
                let when = rule.when.as_deref().unwrap_or_default();
                reader.each("when", when, |condition, reader| {
                    if condition.key == "source.principal" {
                        check(condition.values.as_ref(), "values", reader);
                        check(condition.not_values.as_ref(), "notValues", reader);
                    }
                    Some(())
                });
                Some(())
            });
        });
    });
    reader.finish(read)
}

#[cfg(test)]
mod tests;
