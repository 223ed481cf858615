use std::time::SystemTime;

use tokio::time::Instant;

use crate::config::listener::ChainHandler;
use crate::drain::Farewell;
use crate::runtime::{ActiveChain, ActiveListener, Shared};
use crate::tls::server::{Bond, Source};

/// Returns when a connection of mutual TLS is to be closed: its client is not accepted any more, or a certificate has ended and what was
/// under way then has had its time. HTTP is told to go when a certificate ends; bytes cannot be told, and end with it.
pub(super) async fn over(
    bond: &Bond,
    source: &Source,
    chain: &ActiveChain,
    listener: &ActiveListener,
    shared: &Shared,
    farewell: &Farewell,
) {
    tokio::select! {
        () = ended(bond) => {
            listener.stats.ssl_certificate_expired.inc();
            tracing::debug!(listener = %listener.config.name, "a certificate has ended, and its connection with it");
            farewell.tell();
            if matches!(chain.config.handler, ChainHandler::Http(_)) {
                tokio::select! {
                    () = tokio::time::sleep(shared.drain_time) => {}
                    () = refused(bond, source, shared) => listener.stats.ssl_certificate_revoked.inc(),
                }
            }
        }
        () = refused(bond, source, shared) => {
            listener.stats.ssl_certificate_revoked.inc();
            tracing::info!(listener = %listener.config.name, "a client is not accepted any more, and its connection closed");
        }
    }
}

async fn ended(bond: &Bond) {
    let left = bond.until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
    match left.and_then(|left| Instant::now().checked_add(left)) {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Looks again whenever a certificate or an authority has changed.
async fn refused(bond: &Bond, source: &Source, shared: &Shared) {
    let mut changes = shared.trust.subscribe();
    // What has changed during the handshake is looked at first.
    while source.accepts(bond) {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
