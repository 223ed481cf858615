//! Certificates that callers show: who signed them, whether they hold, and what they say.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::authority::certificate::{Root, system_time};
use crate::authority::limits;
use crate::hex;
use crate::model::identity::{Identity, Verified};

/// Roots as they are trusted here. What a root says of names is checked by [`read`], which knows the trust domain; the library would
/// refuse every certificate under a root that says anything of URIs.
pub(super) fn anchors(roots: &[Root]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.der.clone()).map_err(|error| format!("a root cannot be trusted: {error}"))?;
    }
    for anchor in &mut store.roots {
        anchor.name_constraints = None;
    }
    Ok(store)
}

/// What a certificate says that was verified.
///
/// # Errors
/// If it is of another trust domain, or says of nobody who they are.
pub(super) fn read(certificate: &CertificateDer<'_>, trust_domain: &str) -> Result<Verified, String> {
    let (_, read) = X509Certificate::from_der(certificate).map_err(|_| "the certificate cannot be read".to_owned())?;
    let names = read.subject_alternative_name().map_err(|_| "the certificate's names cannot be read".to_owned())?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let (Some(uri), None) = (uris.next(), uris.next()) else {
        return Err("the certificate has to name one URI, its SPIFFE ID".to_owned());
    };
    let identity: Identity = uri.parse().map_err(|error| format!("the certificate's name {error}"))?;
    if *identity.trust_domain != *trust_domain {
        return Err(format!("the certificate is of trust domain {:?}, and this is {trust_domain:?}", &*identity.trust_domain));
    }
    let limits = limits::read(&read)?;
    let workload = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(Arc::from);
    let (not_before, not_after) = (system_time(read.validity().not_before), system_time(read.validity().not_after));
    Ok(Verified { identity, workload, limits, serial: hex::encode(&read.serial.to_bytes_be()), not_before, not_after })
}

/// Lets in who shows nothing, and who shows a good certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    chain: Arc<dyn ClientCertVerifier>,
    trust_domain: Arc<str>,
}

impl Verifier {
    pub(super) fn new(roots: &[Root], trust_domain: Arc<str>, provider: &Arc<CryptoProvider>) -> Result<Arc<Self>, String> {
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(anchors(roots)?), Arc::clone(provider));
        let chain = builder.allow_unauthenticated().build().map_err(|error| format!("certificates cannot be verified: {error}"))?;
        Ok(Arc::new(Self { chain, trust_domain }))
    }
}

/// A reason that is ours.
#[derive(Debug)]
struct Reason(String);

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Reason {}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Who has one certificate shows that one. A list would keep those from doing so whose root was signed by another.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let refused = |reason| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Reason(reason)))));
        read(end_entity, &self.trust_domain).map(|_| verified).map_err(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
