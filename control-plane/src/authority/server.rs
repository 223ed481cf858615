//! The secure port's side of TLS: this control plane's own certificate, and callers' certificates.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::KeyPair;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ServerConfig, crypto};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authority::Authority;
use crate::authority::issuer::Order;
use crate::authority::verify::{self, Verifier};
use crate::model::identity::{Identity, Verified};
use crate::model::limits::Limits;

/// After it could not be renewed.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked whether it is time to.
const LOOK: Duration = Duration::from_secs(1);
/// What this server is called from its own machine and in a cluster.
const HOSTS: [&str; 5] = ["localhost", "127.0.0.1", "::1", "ninon.ninon-system", "ninon.ninon-system.svc"];

/// X25519MLKEM768 before X25519 and P-256.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(crypto::aws_lc_rs::default_provider())
}

/// When something is to be done: whichever clock says so first. Certificates hold by the time of day; the other stands still while a
/// machine is suspended, and is not set back.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    by_day: SystemTime,
    by_ticks: Instant,
}

impl Due {
    fn after(wait: Duration) -> Self {
        Self { by_day: SystemTime::now() + wait, by_ticks: Instant::now() + wait }
    }

    fn has_come(self) -> bool {
        self.by_day <= SystemTime::now() || self.by_ticks <= Instant::now()
    }
}

/// See the module.
pub struct Server {
    authority: Arc<Authority>,
    hosts: Vec<String>,
    config: ArcSwap<ServerConfig>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Server {
    /// Called by these names, too; and when to renew its certificate.
    ///
    /// # Errors
    /// If there is no certificate for it.
    pub async fn new(authority: Arc<Authority>, hosts: &[String]) -> Result<(Arc<Self>, Due), String> {
        let hosts: Vec<String> = HOSTS.iter().map(ToString::to_string).chain(hosts.iter().cloned()).collect();
        let (config, renew) = config(&authority, &hosts).await?;
        Ok((Arc::new(Self { authority, hosts, config: ArcSwap::new(config) }), renew))
    }

    /// Whose certificates it takes.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// As handshakes are to be made now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// What a caller's certificate says, which the handshake has found to be good.
    ///
    /// # Errors
    /// If it says nothing that could be used.
    pub fn verified(&self, certificate: &CertificateDer<'_>) -> Result<Verified, String> {
        verify::read(certificate, &self.authority.trust_domain)
    }

    /// Renews it in time, and when others are trusted.
    pub async fn renew(self: Arc<Self>, mut due: Due, mut stop: watch::Receiver<bool>) {
        let mut changes = self.authority.changes();
        loop {
            tokio::select! {
                // That nobody can say so any more is the same.
                _ = stop.wait_for(|stop| *stop) => return,
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => if !due.has_come() { continue },
            }
            match config(&self.authority, &self.hosts).await {
                Ok((config, renew)) => {
                    self.config.store(config);
                    due = renew;
                }
                Err(problem) => {
                    tracing::error!(problem, "the control plane's own certificate cannot be renewed; tried again");
                    due = Due::after(AGAIN);
                }
            }
        }
    }
}

/// A key, a certificate for it, and whom to believe.
async fn config(authority: &Authority, hosts: &[String]) -> Result<(Arc<ServerConfig>, Due), String> {
    let trust = authority.trust();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|error| format!("no key can be made: {error}"))?;
    let order = Order {
        identity: Identity::control_plane(&authority.trust_domain),
        workload: None,
        limits: Limits::default(),
        hosts: hosts.to_vec(),
        not_before: None,
        key: rcgen::PublicKeyData::subject_public_key_info(&key),
        ttl: authority.times.usual,
    };
    let issued = trust.issuer.issue(&order).await?;
    let provider = provider();
    let verifier = Verifier::new(&trust.roots, Arc::clone(&authority.trust_domain), &provider)?;
    let failed = |error: rustls::Error| format!("TLS cannot be set up: {error}");
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).map_err(failed)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(trust.shown(&issued.chain), key).map_err(failed)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Who comes back shows its certificate anew: it may have expired.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let half = issued.not_after.duration_since(SystemTime::now()).unwrap_or_default() / 2;
    tracing::info!(target: "audit", serial = issued.serial, identity = %order.identity, "the control plane has a certificate");
    Ok((Arc::new(config), Due::after(half)))
}
