//! An authority whose certificate and key somebody else made: files, which are looked at again and again.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::authority::certificate::Root;
use crate::authority::issuer::{Issuer, Local, Order};
use crate::authority::trust::{Rotation, Step, Trust};
use crate::authority::verify::Verifier;
use crate::model::identity::Identity;
use crate::model::limits::Limits;

/// Bytes of a file.
const LONGEST: u64 = 1 << 20;

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate that signs, and what lies between it and the root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The roots that are trusted; one of them is above the certificate.
    pub roots: PathBuf,
}

/// What was in them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content([Vec<u8>; 3]);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content")
    }
}

impl Files {
    pub(super) fn read(&self) -> Result<Content, String> {
        let read = |path: &Path| {
            let mut bytes = Vec::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
            read.map(|_| bytes).map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(Content([read(&self.certificate)?, read(&self.key)?, read(&self.roots)?]))
    }

    /// What they come to. It is tried out: what is signed here has to be trusted here.
    pub(super) async fn trust(&self, Content([certificates, key, roots]): &Content, trust_domain: &Arc<str>) -> Result<Trust, String> {
        let wrong = |path: &Path, problem: &str| format!("{}: {problem}", path.display());
        let all = |path: &Path, bytes: &[u8]| -> Result<Vec<CertificateDer<'static>>, String> {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
            read.ok().filter(|read| !read.is_empty()).ok_or_else(|| wrong(path, "there are no certificates in PEM"))
        };
        let chain = all(&self.certificate, certificates)?;
        let roots: Result<Vec<Root>, _> = all(&self.roots, roots)?.into_iter().map(Root::read).collect();
        let roots = roots.map_err(|problem| wrong(&self.roots, &problem))?;
        let text = std::str::from_utf8(key).map_err(|_| wrong(&self.key, "there is no key in PEM"))?;
        let key = KeyPair::from_pem(text).map_err(|_| wrong(&self.key, "there is no key in PEM that could be used"))?;
        let (first, above) = chain.split_first().ok_or_else(|| wrong(&self.certificate, "it is empty"))?;
        let certificate = Root::read(first.clone()).map_err(|problem| wrong(&self.certificate, &problem))?;
        let (_, read) = X509Certificate::from_der(first).map_err(|_| wrong(&self.certificate, "it cannot be read"))?;
        if read.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(wrong(&self.key, "it is not the key of the certificate"));
        }
        let is_root = roots.iter().any(|root| root.der == *first);
        let top = chain.last().unwrap_or(first);
        let current = roots.iter().find(|root| root.der == *top || signed(top, root)).cloned();
        let current = current.ok_or_else(|| wrong(&self.roots, "none of these has signed the certificate"))?;
        let is_no_root = |der: &CertificateDer<'_>| !roots.iter().any(|root| root.der == *der);
        let mut between: Vec<_> = (!is_root).then(|| first.clone()).into_iter().collect();
        between.extend(above.iter().filter(|der| is_no_root(der)).cloned());
        let only_leaves = !between.is_empty();
        let issuer: Arc<dyn Issuer> = Arc::new(Local::new(certificate, key, between)?);
        let listing = vec![Arc::clone(&issuer)];
        let beside = std::iter::once(&current).chain(&roots).map(|root| root.der.clone()).collect();
        let rotation = Rotation { step: Step::Steady, since: SystemTime::now(), until: None };
        let trust = Trust { issuer, roots, current, beside, rotation, longest: None, listing, only_leaves, version: 0 };
        tried(&trust, trust_domain).await.map_err(|problem| wrong(&self.certificate, &problem))?;
        Ok(trust)
    }
}

fn signed(certificate: &CertificateDer<'_>, root: &Root) -> bool {
    let (Ok((_, below)), Ok((_, above))) = (X509Certificate::from_der(certificate), X509Certificate::from_der(&root.der)) else {
        return false;
    };
    below.issuer().as_raw() == above.subject().as_raw() && below.verify_signature(Some(above.public_key())).is_ok()
}

/// Signs something and verifies it, as callers' certificates are.
async fn tried(trust: &Trust, trust_domain: &Arc<str>) -> Result<(), String> {
    let key = KeyPair::generate().map_err(|error| format!("no key can be made: {error}"))?;
    let order = Order {
        identity: Identity::control_plane(trust_domain),
        workload: None,
        limits: Limits::default(),
        hosts: Vec::new(),
        not_before: None,
        key: rcgen::PublicKeyData::subject_public_key_info(&key),
        ttl: std::time::Duration::from_secs(60),
    };
    let issued = trust.issuer.issue(&order).await?;
    let verifier = Verifier::new(&trust.roots, Arc::clone(trust_domain), &crate::authority::server::provider())?;
    let (leaf, between) = issued.chain.split_first().ok_or_else(|| "nothing was signed".to_owned())?;
    let verified = rustls::server::danger::ClientCertVerifier::verify_client_cert(&*verifier, leaf, between, UnixTime::now());
    verified.map(drop).map_err(|error| format!("what it signs is not trusted: {error}"))
}
