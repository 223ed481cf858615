//! Chains of certificates that an authority hands out.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::config::identity::{CertificatePem, SanMatch, Trust, Validation};
use crate::tls::accepted::Chain;
use crate::tls::peer::ServerCheck;
use crate::tls::{TlsError, handshake, names, peer, pem, provider, verify};

/// The certificates of a chain that are to be shown to peers, and the roots that it leads to: PEM both.
///
/// # Errors
/// In a plain sentence: it is no such chain.
pub fn split(text: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (mut chain, mut roots) = (String::new(), String::new());
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| format!("it is not PEM: {error}"))?;
        let text = to_pem(&certificate);
        if is_root(&certificate).ok_or("a certificate cannot be read")? {
            roots.push_str(&text);
        } else {
            chain.push_str(&text);
        }
    }
    match (chain.is_empty(), roots.is_empty()) {
        (true, _) => Err("it holds no certificate".to_owned()),
        (_, true) => Err("it holds no root".to_owned()),
        (false, false) => Ok((chain.into_bytes(), roots.into_bytes())),
    }
}

/// Certificates of a chain or of a bundle: more is no chain, and no bundle in use.
const MOST_CERTIFICATES: usize = 64;

/// Certificates in DER, one after the other, as PEM.
///
/// # Errors
/// In a plain sentence: it is not that.
pub fn to_pems(mut der: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = String::new();
    let mut count = 0;
    while !der.is_empty() {
        count += 1;
        let (rest, _) = X509Certificate::from_der(der).map_err(|_| format!("certificate {} cannot be read", count - 1))?;
        let length = der.len().saturating_sub(rest.len());
        let (certificate, rest) = der.split_at_checked(length).ok_or("a certificate cannot be read")?;
        text.push_str(&to_pem(&CertificateDer::from(certificate)));
        der = rest;
    }
    match count {
        0 => Err("it holds no certificate".to_owned()),
        1..=MOST_CERTIFICATES => Ok(text.into_bytes()),
        _ => Err(format!("it holds more than {MOST_CERTIFICATES} certificates")),
    }
}

/// Roots in DER, one after the other, as PEM; all can be used.
///
/// # Errors
/// In a plain sentence: they are not that.
pub fn to_roots(der: &[u8]) -> Result<Vec<u8>, String> {
    let text = to_pems(der)?;
    let trust = Validation::of_roots(text.as_slice());
    pem::roots(&trust).map_err(|error| error.to_string())?;
    Ok(text)
}

/// A key in PKCS #8 as PEM. Whether it is one is seen when it is used.
pub fn key_to_pem(der: &[u8]) -> Vec<u8> {
    ::pem::encode(&::pem::Pem::new("PRIVATE KEY", der)).into_bytes()
}

/// A root issues itself.
fn is_root(certificate: &CertificateDer<'_>) -> Option<bool> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.subject().as_raw() == certificate.issuer().as_raw())
}

fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let text = ::pem::Pem::new("CERTIFICATE", certificate.as_ref());
    ::pem::encode_config(&text, ::pem::EncodeConfig::new().set_line_ending(::pem::LineEnding::LF))
}

/// Whether a certificate belongs to its key, and would be accepted by those who trust so.
///
/// # Errors
/// The rule that says no.
pub fn holds(certificate: &CertificatePem, trust: &Validation) -> Result<(), TlsError> {
    let provider = provider();
    let identity = pem::identity(certificate, &provider)?;
    let (leaf, intermediates) = identity.cert.split_first().ok_or(TlsError::NoCertificate)?;
    let clients = verify::of_clients(&Trust::from(trust.clone()), trust, true, &provider)?;
    let verified = clients.verify_client_cert(leaf, intermediates, UnixTime::now());
    verified.map(|_| ()).map_err(|error| TlsError::Library(handshake::rule_of(&error)))
}

/// What a handshake with a server needs that is known by the key of its root alone: the root is in the chain that it shows.
///
/// # Errors
/// None in practice.
pub fn pinned(pin: [u8; 32], names: Vec<SanMatch>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let servers = peer::servers(Pinned { pin, names, provider: Arc::clone(&provider) }, &provider);
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|error| TlsError::library(&error))?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(servers).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Accepts servers whose chain leads to a root, in the chain, with this key.
#[derive(Debug)]
struct Pinned {
    /// SHA-256 of the root's SubjectPublicKeyInfo.
    pin: [u8; 32],
    names: Vec<SanMatch>,
    provider: Arc<CryptoProvider>,
}

/// No certificate of the chain has the key.
#[derive(Debug)]
struct NotPinned;

impl std::fmt::Display for NotPinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no certificate of its chain has the key that the token names: another mesh's control plane, or somebody between")
    }
}

impl std::error::Error for NotPinned {}

impl Pinned {
    fn has_key(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, read)) = X509Certificate::from_der(certificate) else { return false };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, read.public_key().raw);
        digest.as_ref() == self.pin
    }
}

impl ServerCheck for Pinned {
    fn check(&self, chain: Chain<'_>, host: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let roots: Vec<&CertificateDer<'_>> = chain.intermediates.iter().filter(|certificate| self.has_key(certificate)).collect();
        if roots.is_empty() {
            return Err(Error::InvalidCertificate(names::refused(NotPinned)));
        }
        let text: String = roots.into_iter().map(to_pem).collect();
        let trust = Validation { subject_alt_names: self.names.clone(), ..Validation::of_roots(text.into_bytes()) };
        let known = verify::of_servers(&Trust::from(trust.clone()), &trust, &self.provider);
        let known = known.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        known.verify_server_cert(chain.leaf, chain.intermediates, host, &[], now).map(|_| ())
    }
}
