use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
    let (mut changes, mut revocations) = (authority.changes(), authority.revocation_changes());
    let goes = async {
        loop {
            changes.mark_unchanged();
            revocations.mark_unchanged();
            let (told, again) = tell(&world, &authority);
            loop {
                if let Err(problem) = step(&authority, &proxies, &registrar, &told).await {
                    tracing::warn!(?problem, "the rotation of the root cannot go on; tried again");
                }
                if again.is_some_and(|again| SystemTime::now() >= again) {
                    break;
                }
                // The senders live as long as the authority.
                tokio::select! {
                    _ = changes.changed() => break,
                    _ = revocations.changed() => break,
                    () = tokio::time::sleep(LOOK) => {}
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

/// Tells proxies whom to trust at this moment; and when their lists are to be signed anew.
pub(super) fn tell(world: &World, authority: &Authority) -> (Arc<Resource>, Option<SystemTime>) {
    let trust = authority.trust();
    let lists = authority.lists(&trust, SystemTime::now());
    (world.trust(&trust.bundle(), &lists), lists.again)
}

async fn step(authority: &Authority, proxies: &Proxies, registrar: &Registrar, told: &Resource) -> Result<(), NotNow> {
    let Some(root) = authority.to_be_known() else {
        authority.wait_for(Vec::new());
        return authority.forget(SystemTime::now()).await.map(drop);
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
