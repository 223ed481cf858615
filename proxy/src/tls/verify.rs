//! Which peers are accepted. A check that cannot be made is a check that failed.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};

use crate::config::identity::{SanMatch, Validation};
use crate::tls::{TlsError, names, pem};

/// Checks clients: chain, life time, revocation (of the whole chain, with lists that have not expired, as Envoy) and names.
pub(super) fn of_clients(
    validation: &Validation,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = WebPkiClientVerifier::builder_with_provider(pem::roots(validation)?, Arc::clone(provider))
        .with_crls(pem::revocation_lists(validation)?)
        .enforce_revocation_expiration();
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let chain = builder.build().map_err(|error| TlsError::library(&error))?;
    if validation.subject_alt_names.is_empty() {
        return Ok(chain);
    }
    Ok(Arc::new(NamedClients { chain, names: validation.subject_alt_names.clone() }))
}

/// Checks servers likewise. Which host was asked for decides nothing (as Envoy): who must be there says the configuration.
pub(super) fn of_servers(
    validation: &Validation,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let chain = WebPkiServerVerifier::builder_with_provider(pem::roots(validation)?, Arc::clone(provider))
        .with_crls(pem::revocation_lists(validation)?)
        .enforce_revocation_expiration()
        .build()
        .map_err(|error| TlsError::library(&error))?;
    Ok(Arc::new(NamedServers { chain, names: validation.subject_alt_names.clone() }))
}

/// Accepts every server: a cluster without validation context (as Envoy). The traffic is encrypted, to whoever is there.
pub(super) fn of_nobody(provider: &CryptoProvider) -> Arc<dyn ServerCertVerifier> {
    Arc::new(AnyServer { algorithms: provider.signature_verification_algorithms })
}

fn accept_names(certificate: &CertificateDer<'_>, wanted: &[SanMatch]) -> Result<(), Error> {
    let refused = |error| Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))));
    names::accept(certificate, wanted).map_err(refused)
}

#[derive(Debug)]
struct NamedClients {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<SanMatch>,
}

impl ClientCertVerifier for NamedClients {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        accept_names(end_entity, &self.names)?;
        Ok(verified)
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

#[derive(Debug)]
struct NamedServers {
    chain: Arc<WebPkiServerVerifier>,
    names: Vec<SanMatch>,
}

impl ServerCertVerifier for NamedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The library compares the host last, after all that counts here; tests hold it to that.
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => {
                ServerCertVerified::assertion()
            }
            other => other?,
        };
        if !self.names.is_empty() {
            accept_names(end_entity, &self.names)?;
        }
        Ok(verified)
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

/// Whoever answers must still hold the key of the certificate that is shown: signatures are verified.
#[derive(Debug)]
struct AnyServer {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
