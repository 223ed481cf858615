use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::model::kind::Kind;
use crate::model::mesh::Mesh;
use crate::model::name::Key;
use crate::model::route::Parent;
use crate::model::status::{self, Condition};

/// Who says so, in the form of Gateway API.
const CONTROLLER: &str = "ninon.dev/control-plane";

/// Conditions of routes and policies, and since when.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    wiring: Option<u64>,
    of: BTreeMap<Key, Vec<Said>>,
    /// Of policies of who may do what and of whose tokens are believed, as somebody last asked: they depend on every workload.
    guards: BTreeMap<Key, Vec<(Condition, SystemTime)>>,
}

#[derive(Debug)]
struct Said {
    parent: Parent,
    condition: Condition,
    since: SystemTime,
}

impl Conditions {
    /// Looks at all routes again, if anything has changed that they depend on.
    pub(super) fn update(&mut self, mesh: &Mesh, now: SystemTime) {
        let wiring = mesh.changes().wiring;
        if self.wiring.replace(wiring) == Some(wiring) {
            return;
        }
        self.guards.retain(|key, _| mesh.has_guard(key));
        let mut before = std::mem::take(&mut self.of);
        for route in mesh.routes() {
            let key = Key { kind: route.kind, name: route.name.clone() };
            let known = before.remove(&key).unwrap_or_default();
            let of_parents = status::of_route(mesh, route).into_iter();
            let said = of_parents.flat_map(|(parent, conditions)| conditions.into_iter().map(move |condition| (parent, condition)));
            let said = said.map(|(parent, condition)| {
                let same = known.iter().find(|said| said.parent == *parent && said.condition.kind == condition.kind);
                let since = same.filter(|said| said.condition.holds == condition.holds).map_or(now, |said| said.since);
                Said { parent: parent.clone(), condition, since }
            });
            self.of.insert(key, said.collect());
        }
    }

    /// The `status` of an object.
    pub(super) fn status(&mut self, mesh: &Mesh, key: &Key, now: SystemTime) -> Option<Value> {
        if key.kind == Kind::AuthorizationPolicy {
            let policy = mesh.authorization(&key.name)?;
            return Some(self.of_guard(key, status::of_authorization(mesh, policy), policy.generation, now));
        }
        if key.kind == Kind::RequestAuthentication {
            let tokens = mesh.request_authentication(&key.name)?;
            return Some(self.of_guard(key, status::of_tokens(mesh, tokens), tokens.generation, now));
        }
        let said = self.of.get(key)?;
        let generation = mesh.route(key).map(|route| route.generation).filter(|generation| *generation > 0);
        let mut parents: Vec<(&Parent, Vec<Value>)> = Vec::new();
        for Said { parent, condition, since } in said {
            let shown = shown(condition, *since, generation);
            match parents.iter_mut().find(|(known, _)| *known == parent) {
                Some((_, conditions)) => conditions.push(shown),
                None => parents.push((parent, vec![shown])),
            }
        }
        let parents: Vec<Value> = parents
            .into_iter()
            .map(|(parent, conditions)| json!({ "parentRef": reference(parent), "controllerName": CONTROLLER, "conditions": conditions }))
            .collect();
        Some(json!({ "parents": parents }))
    }

    fn of_guard(&mut self, key: &Key, said: Vec<Condition>, generation: u64, now: SystemTime) -> Value {
        let generation = Some(generation).filter(|generation| *generation > 0);
        let known = self.guards.remove(key).unwrap_or_default();
        let said = said.into_iter().map(|condition| {
            let same = known.iter().find(|(known, _)| known.kind == condition.kind && known.holds == condition.holds);
            (condition, same.map_or(now, |(_, since)| *since))
        });
        let said: Vec<_> = said.collect();
        let conditions: Vec<Value> = said.iter().map(|(condition, since)| shown(condition, *since, generation)).collect();
        self.guards.insert(key.clone(), said);
        json!({ "conditions": conditions })
    }
}

fn shown(condition: &Condition, since: SystemTime, generation: Option<u64>) -> Value {
    let mut shown = json!({
        "type": condition.kind,
        "status": if condition.holds { "True" } else { "False" },
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": humantime::format_rfc3339_seconds(since).to_string(),
    });
    if let (Some(generation), Some(shown)) = (generation, shown.as_object_mut()) {
        shown.insert("observedGeneration".to_owned(), json!(generation));
    }
    shown
}

fn reference(parent: &Parent) -> Value {
    let Parent { group, kind, name, port, section } = parent;
    let mut reference = json!({ "group": group, "kind": kind, "name": *name.name, "namespace": *name.namespace });
    if let Some(reference) = reference.as_object_mut() {
        reference.extend(port.map(|port| ("port".to_owned(), json!(port))));
        reference.extend(section.as_ref().map(|section| ("sectionName".to_owned(), json!(section))));
    }
    reference
}
