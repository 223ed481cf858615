//! The library's checks of peers, written once. What is made of a certificate differs; that whoever shows it holds its key does not:
//! signatures are always verified.

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use crate::tls::accepted::Chain;
use crate::tls::names;

/// What is made of what a server shows.
pub(super) trait ServerCheck: Debug + Send + Sync {
    /// Whether it is accepted by a client that asked for a host.
    fn check(&self, chain: Chain<'_>, host: &ServerName<'_>, now: UnixTime) -> Result<(), Error>;
}

/// What is made of what a client shows.
pub(super) trait ClientCheck: Debug + Send + Sync {
    /// Whether it is accepted.
    fn check(&self, chain: Chain<'_>, now: UnixTime) -> Result<(), Error>;

    /// Whether one that shows nothing is refused.
    fn is_required(&self) -> bool;

    /// Names of authorities, for clients that have several certificates.
    fn hints(&self) -> &[DistinguishedName];
}

thread_local! {
    /// The names in the certificate that was refused last on this thread. The library's error has no room for them; it is returned in the
    /// same turn, before another certificate is looked at.
    static REFUSED: Cell<Option<String>> = const { Cell::new(None) };
}

/// Whose certificate was refused just now, as it says itself.
pub(super) fn refused() -> Option<String> {
    REFUSED.take()
}

fn noted<T>(leaf: &CertificateDer<'_>, outcome: Result<T, Error>) -> Result<T, Error> {
    if outcome.is_err() {
        REFUSED.set(Some(names::of(leaf)));
    }
    outcome
}

/// A check of peers, as the library wants it.
#[derive(Debug)]
struct Peers<C> {
    check: C,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Servers are accepted that pass a check.
pub(super) fn servers(check: impl ServerCheck + 'static, provider: &CryptoProvider) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Peers { check, algorithms: provider.signature_verification_algorithms })
}

/// Clients are accepted that pass a check.
pub(super) fn clients(check: impl ClientCheck + 'static, provider: &CryptoProvider) -> Arc<dyn ClientCertVerifier> {
    Arc::new(Peers { check, algorithms: provider.signature_verification_algorithms })
}

impl<C: ServerCheck> ServerCertVerifier for Peers<C> {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        noted(leaf, self.check.check(Chain { leaf, intermediates }, host, now)).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        noted(cert, verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        noted(cert, verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl<C: ClientCheck> ClientCertVerifier for Peers<C> {
    fn client_auth_mandatory(&self) -> bool {
        self.check.is_required()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.check.hints()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        noted(leaf, self.check.check(Chain { leaf, intermediates }, now)).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        noted(cert, verify_tls12_signature(message, cert, dss, &self.algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        noted(cert, verify_tls13_signature(message, cert, dss, &self.algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
