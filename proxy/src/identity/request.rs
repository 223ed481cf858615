use std::fmt;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

/// A key that was made here.
pub struct Key(KeyPair);

/// The system has no randomness, or what is to be signed could not be written.
#[derive(Debug)]
pub struct KeyError(rcgen::Error);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no key could be made: {}", self.0)
    }
}

impl std::error::Error for KeyError {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// A new one (ECDSA, P-256).
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn new() -> Result<Self, KeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(KeyError)
    }

    /// What an authority is to sign (PKCS #10, PEM). It names nobody: who this is, the authority says.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn request(&self) -> Result<String, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(&self.0).and_then(|request| request.pem()).map_err(KeyError)
    }

    /// PKCS #8, PEM.
    pub(super) fn pem(&self) -> Vec<u8> {
        self.0.serialize_pem().into_bytes()
    }
}
