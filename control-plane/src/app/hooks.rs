use std::sync::{Arc, PoisonError};

use crate::api::{Hooks, proxies};
use crate::app::metrics;
use crate::app::objects::Objects;
use crate::app::world::World;
use crate::proxies::Proxies;
use crate::source::manifest;

/// What the API is told.
pub(super) fn hooks(world: &Arc<World>, objects: &Objects, proxies: &Arc<Proxies>) -> Hooks {
    let files = objects.of_files();
    let (listed, measured) = (Arc::clone(proxies), Arc::clone(proxies));
    let (said, world) = (Arc::clone(world), Arc::clone(world));
    Hooks {
        validate: Box::new(|value| manifest::read(value).map(drop)),
        status: Box::new(move |key| said.status(key)),
        files: Box::new(move |()| Arc::clone(&files.read().unwrap_or_else(PoisonError::into_inner))),
        proxies: Box::new(move |()| proxies::connected(&listed)),
        metrics: Box::new(move |()| metrics::text(&measured, world.figures())),
        schema: Box::new(manifest::schema),
        ..Hooks::default()
    }
}
