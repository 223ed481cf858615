//! PEM to what rustls wants. The text was looked at when the configuration was parsed; here it is used, and refused if it cannot be.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use crate::config::identity::{CertificatePem, Validation};
use crate::tls::constraints::{Constraint, Mixed};
use crate::tls::{LONGEST_PROBLEM, TlsError, bounded};

/// A certificate chain with its key.
pub(super) fn identity(pem: &CertificatePem, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let CertificatePem { chain, key, .. } = pem;
    let chain: Vec<CertificateDer<'static>> = all("certificate_chain", "certificate", chain)?;
    let key = PrivateKeyDer::pem_slice_iter(key).next();
    // An encrypted key has a label of its own and is not found.
    let key = key.ok_or_else(|| problem("private_key", NO_KEY))?;
    let key = key.map_err(|error| problem("private_key", &format!("not PEM: {error}")))?;
    let key = provider.key_provider.load_private_key(key).map_err(|_| problem("private_key", "not a key that can be used for TLS"))?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(identity)),
        Err(Error::InconsistentKeys(_)) => Err(TlsError::KeyMismatch),
        Err(error) => Err(problem("certificate_chain", &error.to_string())),
    }
}

const NO_KEY: &str = "holds no private key in PEM (PKCS#8, SEC1 or PKCS#1, not encrypted)";

/// Whom to trust, and for whom they may issue as far as the library does not see to it.
pub(super) fn roots(validation: &Validation) -> Result<(Arc<RootCertStore>, Vec<Constraint>), TlsError> {
    let pem = validation.trusted_ca.as_ref().ok_or(TlsError::NoTrustedCa)?;
    let certificates: Vec<CertificateDer<'static>> = all("trusted_ca", "certificate", pem)?;
    let mut roots = RootCertStore::empty();
    let mut constraints = Vec::new();
    for (index, certificate) in certificates.into_iter().enumerate() {
        let fault = |error: &dyn std::fmt::Display| problem("trusted_ca", &format!("certificate {index} (from 0): {error}"));
        let constraint = Constraint::of(&certificate).map_err(|Mixed| fault(&MIXED))?;
        roots.add(certificate).map_err(|error| fault(&error))?;
        if let (Some(constraint), Some(anchor)) = (constraint, roots.roots.last_mut()) {
            anchor.name_constraints = None;
            constraints.push(constraint);
        }
    }
    Ok((Arc::new(roots), constraints))
}

const MIXED: &str = "its name constraints are of URIs and of other names, which cannot be looked at together";

/// Revocation lists; empty where none are given.
pub(super) fn revocation_lists(validation: &Validation) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    validation.crl.as_ref().map_or(Ok(Vec::new()), |pem| all("crl", "revocation list", pem))
}

fn all<T: PemObject>(field: &'static str, what: &str, text: &[u8]) -> Result<Vec<T>, TlsError> {
    let items: Result<Vec<T>, pem::Error> = T::pem_slice_iter(text).collect();
    let items = items.map_err(|error| problem(field, &format!("not PEM: {error}")))?;
    if items.is_empty() { Err(problem(field, &format!("holds no {what} in PEM"))) } else { Ok(items) }
}

fn problem(field: &'static str, problem: &str) -> TlsError {
    TlsError::Pem { field, problem: bounded(problem, LONGEST_PROBLEM) }
}
