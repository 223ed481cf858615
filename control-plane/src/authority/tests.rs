use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier as _;

use super::certify::{Asked, Refused};
use super::rotation::{Looked, NotNow};
use super::trust::Step;
use super::verify::Verifier;
use super::*;
use crate::authority::caller::Authenticator;
use crate::model::limits::Limits;
use crate::store::Limits as Room;
use crate::store::embedded::tests::Folder;
use crate::token::{Signer, Tokens, Wish};

/// Whose labels are limited.
mod limited;
/// Where the authority comes from.
mod origin;
/// What becomes of requests.
mod requests;
/// What is revoked.
mod revoked;
/// From one root to the next.
mod steps;

const TIMES: Times = Times { usual: Duration::from_secs(3600), longest: Duration::from_secs(7200) };

struct World {
    folder: Folder,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let folder = Folder::new();
        let store = Store::embedded(folder.path(), Room::default()).await.unwrap();
        Self { folder, store }
    }

    async fn open(&self) -> Result<Arc<Authority>, String> {
        let origin = Origin::Made(self.folder.path().join("ca.key"));
        Authority::open("cluster.local".into(), TIMES, origin, &self.store).await
    }

    fn tokens(&self) -> Tokens {
        Tokens::new(self.store.clone(), Signer::new(&Key::new([7; 32])))
    }

    fn callers(&self) -> [Box<dyn Authenticator>; 1] {
        [Box::new(self.tokens())]
    }

    async fn token(&self, uses: Option<u32>) -> (String, String) {
        let (namespace, service_account) = ("shop".to_owned(), "cart".to_owned());
        let wish = Wish { namespace, service_account, workload: None, limits: Limits::default(), ttl: Duration::from_secs(3600), uses };
        let (token, shown) = self.tokens().create(wish, None).await.unwrap();
        (token.id, shown)
    }
}

fn csr() -> String {
    CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn asked<'a>(csr: &'a str, token: &'a str) -> Asked<'a> {
    Asked { csr, seconds: 0, token: Some(token), shown: None, from: None }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Whether a chain is good before some roots.
fn is_good(chain: &[String], roots: &[Root]) -> bool {
    let chain: Vec<_> = chain.iter().map(|pem| der(pem)).collect();
    let verifier = Verifier::new(roots, "cluster.local".into(), &server::provider()).unwrap();
    verifier.verify_client_cert(&chain[0], &chain[1..], UnixTime::now()).is_ok()
}
