use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::app::world::World;
use crate::authority::Authority;
use crate::authority::rotation::{Looked, NotNow};
use crate::proxies::Proxies;
use crate::proxies::status::HeldStatus;
use crate::registration::registrar::Registrar;
use crate::snapshot::kind::Kind;
use crate::snapshot::resource::{Resource, Version};
use crate::translate::trust::ROOTS;

/// How often it is looked how far a rotation is.
const LOOK: Duration = Duration::from_millis(500);
/// How many are named of those that are waited for.
const NAMED: usize = 100;

/// Tells proxies whom to trust, and takes a rotation from step to step.
pub(super) async fn run(
    world: Arc<World>,
    authority: Arc<Authority>,
    proxies: Arc<Proxies>,
    registrar: Arc<Registrar>,
    mut stop: watch::Receiver<bool>,
) {
    let mut changes = authority.changes();
    let goes = async {
        loop {
            changes.mark_unchanged();
            let told = world.trust(&authority.trust().bundle());
            loop {
                if let Err(problem) = step(&authority, &proxies, &registrar, &told).await {
                    tracing::warn!(?problem, "the rotation of the root cannot go on; tried again");
                }
                // The sender lives as long as the authority.
                if tokio::time::timeout(LOOK, changes.changed()).await.is_ok() {
                    break;
                }
            }
        }
    };
    tokio::select! {
        // That nobody can say so any more is the same.
        _ = stop.wait_for(|stop| *stop) => {}
        () = goes => {}
    }
}

async fn step(authority: &Authority, proxies: &Proxies, registrar: &Registrar, told: &Resource) -> Result<(), NotNow> {
    let Some(root) = authority.to_be_known() else {
        authority.wait_for(Vec::new());
        return authority.forget(std::time::SystemTime::now()).await.map(drop);
    };
    let behind = behind(proxies, told.version);
    if behind.is_empty() {
        let (me, all) = registrar.replicas();
        let looked = authority.confirm(&root, me, &all).await?;
        let others = all.into_iter().filter(|id| id != me).map(|id| format!("control plane {id}"));
        authority.wait_for(if looked == Looked::Again { others.take(NAMED).collect() } else { Vec::new() });
    } else {
        authority.wait_for(behind);
    }
    Ok(())
}

/// Connected proxies that ask whom to trust, and have not taken the newest answer.
fn behind(proxies: &Proxies, version: Version) -> Vec<String> {
    let connected = proxies.list().into_iter().filter(|proxy| proxy.gone.is_none());
    let asks = connected.filter(|proxy| proxy.types.iter().any(|of| of.kind == Kind::Secret && of.subscribed > 0));
    let behind = asks.filter(|proxy| {
        let held = proxies.holding(proxy.stream, Kind::Secret, ROOTS);
        held.is_some_and(|(held, status)| held != Some(version) || status != HeldStatus::Acknowledged)
    });
    behind.map(|proxy| proxy.node.id.clone()).take(NAMED).collect()
}
