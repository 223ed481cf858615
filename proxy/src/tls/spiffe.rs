//! Peers of several trust domains: the SPIFFE ID of a certificate says whose roots it is checked by, and no others count.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, DistinguishedName, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::config::identity::{SanKind, SanMatch, SpiffeId, Trust, TrustDomain, Validation};
use crate::tls::accepted::Chain;
use crate::tls::peer::{ClientCheck, ServerCheck};
use crate::tls::{TlsError, names, peer, verify};

/// Bytes of authorities' names in one handshake.
const MOST_HINTS: usize = 16 * 1024;

/// Checks clients. One without a certificate is refused, whatever the listener says (as Envoy).
pub(super) fn of_clients(
    trust: &Trust,
    validation: &Validation,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let of_one = |trust: &Trust, validation: &Validation| verify::of_clients(trust, validation, true, provider);
    let mut hints = Vec::new();
    let domains = Domains::new(trust, validation, of_one)?;
    for clients in validation.trust_domains.iter().filter_map(|domain| domains.checks.get(&domain.name)) {
        hints.extend(clients.root_hint_subjects().iter().cloned());
    }
    // They tell clients which certificate to show; the message has room for 64 KiB of them, and most clients have one anyway.
    if hints.iter().map(|name| name.as_ref().len()).fold(0, usize::saturating_add) > MOST_HINTS {
        hints.clear();
    }
    Ok(peer::clients(Clients { domains, hints }, provider))
}

/// Checks servers.
pub(super) fn of_servers(
    trust: &Trust,
    validation: &Validation,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let of_one = |trust: &Trust, validation: &Validation| verify::of_servers(trust, validation, provider);
    Ok(peer::servers(Domains::new(trust, validation, of_one)?, provider))
}

/// The check of each trust domain.
struct Domains<C: ?Sized> {
    checks: HashMap<String, Arc<C>>,
}

impl<C: ?Sized> fmt::Debug for Domains<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.checks.keys()).finish()
    }
}

impl<C: ?Sized> Domains<C> {
    fn new(
        trust: &Trust,
        validation: &Validation,
        of_one: impl Fn(&Trust, &Validation) -> Result<Arc<C>, TlsError>,
    ) -> Result<Self, TlsError> {
        // As Envoy, other names than URIs do not count: they may be anybody's. Where only such are asked for, Envoy takes every name.
        let all = || validation.subject_alt_names.iter().chain(&trust.more_names);
        let subject_alt_names: Vec<SanMatch> = all().filter(|name| name.kind == SanKind::Uri).cloned().collect();
        if subject_alt_names.is_empty() && all().next().is_some() {
            return Err(TlsError::NoUriName);
        }
        let mut checks = HashMap::with_capacity(validation.trust_domains.len());
        for TrustDomain { name, roots, crl, .. } in &validation.trust_domains {
            let alone =
                Validation { subject_alt_names: subject_alt_names.clone(), crl: crl.clone(), ..Validation::of_roots(Arc::clone(roots)) };
            let check =
                of_one(&Trust::from(alone.clone()), &alone).map_err(|error| TlsError::TrustDomain(name.clone(), Box::new(error)))?;
            checks.insert(name.clone(), check);
        }
        Ok(Self { checks })
    }

    /// By the check of the trust domain that the certificate names.
    fn verify(&self, leaf: &CertificateDer<'_>, check: impl FnOnce(&C) -> Result<(), Error>) -> Result<(), Error> {
        let refused = |rule: Rule| Error::InvalidCertificate(names::refused(rule));
        let domain = trust_domain(leaf).map_err(refused)?;
        let known = self.checks.get(&domain).ok_or_else(|| refused(Rule::UnknownDomain(domain.clone())))?;
        let not_issued =
            |error: &Error| matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature));
        check(known).map_err(|error| if not_issued(&error) { refused(Rule::NotOfDomain(domain)) } else { error })
    }
}

/// Why a certificate is none of a trust domain's (X509-SVID, 2, 4 and 5).
#[derive(Debug)]
enum Rule {
    Unreadable,
    NoId,
    SeveralUris,
    NotAnId(String),
    NoUsage,
    Authority,
    UnknownDomain(String),
    NotOfDomain(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |name: &str| names::told(std::iter::once(name));
        match self {
            Self::Unreadable => f.write_str("it is malformed"),
            Self::NoId => f.write_str("it has no SPIFFE ID (no URI among its subject alternative names)"),
            Self::SeveralUris => f.write_str("it has several URIs, and a SPIFFE ID is the only one"),
            Self::NotAnId(uri) => write!(f, "{} is not a SPIFFE ID", told(uri)),
            Self::NoUsage => f.write_str("it does not say what its key is for (key usage)"),
            Self::Authority => f.write_str("it is an authority's (it may sign certificates or revocation lists), not a workload's"),
            Self::UnknownDomain(domain) => write!(f, "its trust domain, {}, is not known here", told(domain)),
            Self::NotOfDomain(domain) => write!(f, "no authority of its trust domain, {}, issued it", told(domain)),
        }
    }
}

impl std::error::Error for Rule {}

/// The trust domain of a workload's certificate.
fn trust_domain(certificate: &CertificateDer<'_>) -> Result<String, Rule> {
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| Rule::Unreadable)?;
    let constraints = certificate.basic_constraints().map_err(|_| Rule::Unreadable)?;
    let usage = certificate.key_usage().map_err(|_| Rule::Unreadable)?;
    // As Envoy: without the extension the key might be used for anything.
    let usage = usage.ok_or(Rule::NoUsage)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) || usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(Rule::Authority);
    }
    // One that is written in other characters is left out of the names, and counts all the same.
    let extension = certificate.subject_alternative_name().map_err(|_| Rule::Unreadable)?;
    let all = extension.iter().flat_map(|extension| &extension.value.general_names);
    let mut uris = all.filter_map(|name| if let x509_parser::extensions::GeneralName::URI(uri) = name { Some(*uri) } else { None });
    let uri = uris.next().ok_or(Rule::NoId)?;
    if uris.next().is_some() {
        return Err(Rule::SeveralUris);
    }
    let id = SpiffeId::parse(uri).ok_or_else(|| Rule::NotAnId(uri.to_owned()))?;
    Ok(id.trust_domain.to_owned())
}

#[derive(Debug)]
struct Clients {
    domains: Domains<dyn ClientCertVerifier>,
    hints: Vec<DistinguishedName>,
}

impl ClientCheck for Clients {
    fn check(&self, chain: Chain<'_>, now: UnixTime) -> Result<(), Error> {
        let Chain { leaf, intermediates } = chain;
        self.domains.verify(leaf, |clients| clients.verify_client_cert(leaf, intermediates, now).map(|_| ()))
    }

    fn is_required(&self) -> bool {
        true
    }

    fn hints(&self) -> &[DistinguishedName] {
        &self.hints
    }
}

impl ServerCheck for Domains<dyn ServerCertVerifier> {
    fn check(&self, chain: Chain<'_>, host: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
        let Chain { leaf, intermediates } = chain;
        self.verify(leaf, |servers| servers.verify_server_cert(leaf, intermediates, host, &[], now).map(|_| ()))
    }
}
