use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::authority::Authority;
use crate::authority::caller::Authenticator;
use crate::authority::certify::{Asked, Refused};
use crate::authority::server::Server;
use crate::model::identity::Verified;
use crate::push::connection::{Door, Standing};
use crate::push::secure::Doorkeeper;
use crate::push::{Certifier, Later, Refusal, Wish};

/// The authority, as the secure port asks it.
pub(super) struct Issuing {
    pub(super) authority: Arc<Authority>,
    /// By what callers are known.
    pub(super) callers: Vec<Box<dyn Authenticator>>,
}

impl Certifier for Issuing {
    fn certify<'a>(&'a self, wish: Wish<'a>) -> Later<'a, Result<Vec<String>, Refusal>> {
        let Wish { csr, seconds, token, peer } = wish;
        let shown = if let Door::Secure(verified) = &peer.door { verified.as_deref() } else { None };
        let from = peer.address.map(|address| address.ip().to_canonical());
        let asked = Asked { csr, seconds, token, shown, from };
        Box::pin(async move { self.authority.certify(&self.callers, asked).await.map_err(refusal) })
    }
}

fn refusal(refused: Refused) -> Refusal {
    match refused {
        Refused::Invalid(reason) => Refusal::Invalid(reason),
        Refused::Unauthenticated(reason) => Refusal::Unauthenticated(reason),
        Refused::Denied(reason) => Refusal::Denied(reason),
        Refused::Exhausted(reason) => Refusal::Exhausted(reason),
        Refused::Unavailable(reason) => Refusal::Unavailable(reason),
    }
}

impl Standing for Server {
    fn refuses(&self, verified: &Verified) -> Option<String> {
        self.authority().refuses(verified)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.authority().revocation_changes()
    }
}

impl Doorkeeper for Server {
    fn config(&self) -> Arc<ServerConfig> {
        self.config()
    }

    fn verified(&self, certificate: &CertificateDer<'_>) -> Result<Verified, String> {
        self.verified(certificate)
    }
}
