use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use crate::api::Hooks;
use crate::api::proxies::{Proxy, ProxyType, Refusal};
use crate::app::metrics;
use crate::app::objects::Objects;
use crate::app::world::World;
use crate::proxies::Proxies;
use crate::proxies::status::TypeStatus;
use crate::snapshot::kind::Kind;
use crate::source::manifest;

/// What the API is told.
pub(super) fn hooks(world: &Arc<World>, objects: &Objects, proxies: &Arc<Proxies>) -> Hooks {
    let files = objects.from_files();
    let (listed, measured) = (Arc::clone(proxies), Arc::clone(proxies));
    let (said, world) = (Arc::clone(world), Arc::clone(world));
    Hooks {
        validate: Box::new(|value| manifest::read(value).map(drop)),
        status: Box::new(move |key| said.status(key)),
        files: Box::new(move |()| Arc::clone(&files.read().unwrap_or_else(PoisonError::into_inner))),
        proxies: Box::new(move |()| shown(&listed)),
        metrics: Box::new(move |()| metrics::text(&measured, world.figures())),
        schema: Box::new(manifest::schema),
        ..Hooks::default()
    }
}

fn shown(proxies: &Proxies) -> Vec<Proxy> {
    let now = SystemTime::now();
    let seconds = |since: SystemTime| now.duration_since(since).unwrap_or_default().as_secs_f64();
    let connected = proxies.list().into_iter().filter(|proxy| proxy.gone.is_none());
    connected
        .map(|proxy| {
            let behind = proxy.types.iter().filter(|status| is_behind(status));
            let oldest = behind.filter_map(|status| status.sent).map(|(_, at)| seconds(proxies.time(at)));
            let node = &proxy.node;
            Proxy {
                id: node.id.clone(),
                namespace: proxy.about.namespace.clone(),
                workload: proxy.about.workload.clone(),
                identity: node.identity.as_ref().map(|identity| identity.0.clone()),
                client: format!("{} {}", node.user_agent_name, node.user_agent_version).trim().to_owned(),
                address: node.address.map(|address| address.to_string()).unwrap_or_default(),
                protocol: proxy.dialect.name().to_owned(),
                connected_seconds: seconds(proxy.since),
                synced: !proxy.types.iter().any(is_behind),
                stale_seconds: oldest.fold(0.0, f64::max),
                types: proxy.types.iter().map(|status| of_type(proxies, status, seconds)).collect(),
            }
        })
        .collect()
}

fn is_behind(status: &TypeStatus) -> bool {
    status.sent.map(|(version, _)| version) != status.acknowledged.map(|(version, _)| version)
}

fn of_type(proxies: &Proxies, status: &TypeStatus, seconds: impl Fn(SystemTime) -> f64) -> ProxyType {
    let version = |of: Option<(crate::snapshot::resource::Version, _)>| of.map(|(version, _)| version.to_string()).unwrap_or_default();
    ProxyType {
        kind: short(status.kind).to_owned(),
        resources: u64::try_from(status.subscribed).unwrap_or(u64::MAX),
        sent: version(status.sent),
        acknowledged: version(status.acknowledged),
        refused: status.refusal.as_ref().map(|refusal| Refusal {
            version: refusal.version.to_string(),
            reason: refusal.message.clone(),
            seconds: seconds(proxies.time(refusal.at)),
        }),
    }
}

const fn short(kind: Kind) -> &'static str {
    match kind {
        Kind::Cluster => "CDS",
        Kind::Endpoint => "EDS",
        Kind::Listener => "LDS",
        Kind::Route => "RDS",
        Kind::Secret => "SDS",
    }
}
