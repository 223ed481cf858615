use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::apply::{Change, ProxyChange, ResourceChange};
use crate::api::{Hooks, loads, proxies};
use crate::app::objects::Objects;
use crate::app::world::World;
use crate::app::{metrics, viewer};
use crate::authority::Authority;
use crate::model::kind::Kind;
use crate::model::name::{Key, Name};
use crate::proxies::Proxies;
use crate::proxies::status::HeldStatus;
use crate::push::shown::shown;
use crate::registration::registrar::Registrar;
use crate::source::manifest;
use crate::store::Scope;

/// What the API is told.
pub(super) fn hooks(
    world: &Arc<World>,
    objects: &Objects,
    proxies: &Arc<Proxies>,
    registrar: &Arc<Registrar>,
    authority: &Arc<Authority>,
) -> Hooks {
    let (signs, known, trust_domain) = (Arc::clone(authority), Arc::clone(authority), Arc::clone(&authority.trust_domain));
    let files = objects.of_files();
    let (listed, measured, held) = (Arc::clone(proxies), Arc::clone(proxies), Arc::clone(proxies));
    let reported = Arc::clone(proxies);
    let (told, said, ahead, world) = (Arc::clone(proxies), Arc::clone(world), Arc::clone(world), Arc::clone(world));
    let (registrations, counted) = (Arc::clone(registrar), Arc::clone(registrar));
    Hooks {
        validate: Box::new(move |value| manifest::read(value).and_then(|_| manifest::agrees(value, &trust_domain))),
        status: Box::new(move |key| if key.kind == Kind::Workload { hides(&said, key) } else { said.status(key) }),
        registered: Box::new(move |scope| shown_registrations(&registrations, &scope)),
        files,
        proxies: Box::new(move |()| proxies::connected(&listed)),
        config: Box::new(move |id| config(&held, &id)),
        loads: Box::new(move |()| loads::reported(&reported)),
        preview: Box::new(move |objects| preview(&told, &ahead, objects)),
        metrics: Box::new(move |()| metrics::text(&measured, world.figures(), &counted.registered(), &metrics::Certificates::of(&signs))),
        schema: Box::new(manifest::schema),
        authority: Some(known),
        ..Hooks::default()
    }
}

/// What is said of an object that counts over what a sidecar has registered.
fn hides(world: &World, key: &Key) -> Option<Value> {
    world.hides(&key.name).then(|| json!({"message": "a sidecar has registered this workload, and this object counts"}))
}

/// Workloads that sidecars have registered, as objects.
fn shown_registrations(registrar: &Registrar, scope: &Scope) -> BTreeMap<Key, Value> {
    let key = |name: &Name| Key { kind: Kind::Workload, name: name.clone() };
    let registered = registrar.registered();
    let meant = registered.iter().map(|(name, (record, _))| (key(name), record)).filter(|(key, _)| scope.holds(key));
    let shown = meant.map(|(key, record)| {
        let mut object = record.object.clone();
        if let Some(fields) = object.as_object_mut() {
            let mut status = json!({"source": "registration", "state": record.state.as_str()});
            if let (Some(token), Some(status)) = (&record.token, status.as_object_mut()) {
                status.insert("token".to_owned(), json!(token));
            }
            fields.insert("status".to_owned(), status);
        }
        (key, object)
    });
    shown.collect()
}

/// What connected proxies would be told.
fn preview(proxies: &Proxies, world: &World, objects: Vec<(Key, Option<Value>)>) -> Vec<ProxyChange> {
    // What cannot be read is left out of the mesh.
    let read = |value: Value| manifest::read(&value).ok().map(|(_, object)| object);
    let objects = objects.into_iter().map(|(key, value)| (key, value.and_then(read)));
    let by_view: BTreeMap<_, _> = world.preview(objects.collect()).into_iter().collect();
    let connected = proxies.list().into_iter().filter(|proxy| proxy.gone.is_none());
    let changes = connected.filter_map(|proxy| {
        let differences = by_view.get(&viewer::view(&proxy.node).ok()?)?;
        let changes = differences.iter().map(|(kind, name, there)| ResourceChange {
            kind: kind.to_string(),
            name: name.to_string(),
            change: match there {
                (false, _) => Change::Added,
                (true, true) => Change::Changed,
                (true, false) => Change::Removed,
            },
        });
        Some(ProxyChange { id: proxy.node.id.clone(), namespace: proxy.about.namespace, changes: changes.collect() })
    });
    changes.collect()
}

fn config(proxies: &Proxies, id: &str) -> Option<Vec<proxies::Resource>> {
    let proxy = proxies.list().into_iter().find(|proxy| proxy.gone.is_none() && proxy.node.id == id)?;
    let resources = shown(proxies.held(proxy.stream)?).into_iter().map(|shown| proxies::Resource {
        kind: shown.kind.to_string(),
        name: shown.name,
        version: shown.version,
        status: word(shown.status).to_owned(),
        content: shown.content,
    });
    Some(resources.collect())
}

const fn word(status: HeldStatus) -> &'static str {
    match status {
        HeldStatus::NotSent => "notSent",
        HeldStatus::Sent => "sent",
        HeldStatus::Acknowledged => "acknowledged",
        HeldStatus::Refused => "refused",
    }
}
