//! Handshakes: which certificate is shown, which peers are accepted, what is known of them afterwards.
//!
//! Built on rustls with aws-lc-rs, which is handed to every configuration: there is no process-wide default to depend on.
//! Certificates come as PEM in the configuration; secrets by name come with SDS.

mod accepted;
/// Chains that an authority hands out.
pub mod chain;
/// To servers.
pub mod client;
mod constraints;
/// What certificates say of themselves.
pub mod describe;
/// Why a handshake was not completed.
pub mod handshake;
mod names;
mod peer;
mod pem;
/// From clients.
pub mod server;
mod spiffe;
mod verify;

use std::fmt;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group};
use rustls::version::{TLS12, TLS13};

use crate::config::identity::TlsVersion;

pub use handshake::{HandshakeError, HandshakeFailure, Peer};

/// TLS settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A server has no certificate to show.
    NoCertificate,
    /// The certificate of this number (from 0) cannot be used.
    Certificate(usize, Box<Self>),
    /// PEM that is not what it should be.
    Pem {
        /// Which field of the configuration.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is another certificate's.
    KeyMismatch,
    /// Peers are to be checked, but nobody is trusted.
    NoTrustedCa,
    /// What this trust domain's authorities say cannot be used.
    TrustDomain(String, Box<Self>),
    /// Peers are known by their SPIFFE IDs, and only names of other kinds are accepted.
    NoUriName,
    /// Not a name that TLS can send.
    ServerName(String),
    /// What the TLS library says.
    Library(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("a server needs a certificate"),
            Self::Certificate(index, problem) => write!(f, "tls_certificates[{index}]: {problem}"),
            Self::Pem { field, problem } => write!(f, "{field}: {problem}"),
            Self::KeyMismatch => f.write_str("private_key: does not belong to the first certificate of certificate_chain"),
            Self::NoTrustedCa => f.write_str("trusted_ca: required, a peer cannot be checked without it"),
            Self::TrustDomain(name, problem) => write!(f, "trust_domains {name:?}: {problem}"),
            Self::NoUriName => f.write_str("match_typed_subject_alt_names: of trust domains, only names of type URI can be asked for"),
            Self::ServerName(name) => write!(f, "sni: {name:?} is not a host name"),
            Self::Library(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsError {
    fn library(error: &impl fmt::Display) -> Self {
        Self::Library(bounded(&error.to_string(), LONGEST_PROBLEM))
    }
}

/// One line of a log.
const LONGEST_PROBLEM: usize = 200;

/// Text from a peer or a library for a log line: no control characters, at most about `limit` characters.
fn bounded(text: &str, limit: usize) -> String {
    let mut cut = String::new();
    for c in text.chars().take(limit) {
        if c.is_control() { cut.extend(c.escape_default()) } else { cut.push(c) }
    }
    if text.chars().nth(limit).is_some() {
        cut.push('…');
    }
    cut
}

/// The cryptography of every configuration.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
        ..aws_lc_rs::default_provider()
    })
}

/// AES-128 first: as strong as the curves that agree on its key, and cheaper than AES-256. All have forward secrecy.
const CIPHER_SUITES: &[rustls::SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Newest first.
fn versions(oldest: TlsVersion, newest: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    all.into_iter().filter(|(version, _)| (oldest..=newest).contains(version)).map(|(_, version)| version).collect()
}

#[cfg(test)]
mod tests;
