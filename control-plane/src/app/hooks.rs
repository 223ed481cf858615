use std::sync::{Arc, PoisonError};

use crate::api::{Hooks, proxies};
use crate::app::metrics;
use crate::app::objects::Objects;
use crate::app::world::World;
use crate::proxies::Proxies;
use crate::proxies::status::HeldStatus;
use crate::push::shown::shown;
use crate::source::manifest;

/// What the API is told.
pub(super) fn hooks(world: &Arc<World>, objects: &Objects, proxies: &Arc<Proxies>) -> Hooks {
    let files = objects.of_files();
    let (listed, measured, held) = (Arc::clone(proxies), Arc::clone(proxies), Arc::clone(proxies));
    let (said, world) = (Arc::clone(world), Arc::clone(world));
    Hooks {
        validate: Box::new(|value| manifest::read(value).map(drop)),
        status: Box::new(move |key| said.status(key)),
        files: Box::new(move |()| Arc::clone(&files.read().unwrap_or_else(PoisonError::into_inner))),
        proxies: Box::new(move |()| proxies::connected(&listed)),
        config: Box::new(move |id| config(&held, &id)),
        metrics: Box::new(move |()| metrics::text(&measured, world.figures())),
        schema: Box::new(manifest::schema),
        ..Hooks::default()
    }
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
