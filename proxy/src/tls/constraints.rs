//! For whom an authority may issue certificates: name constraints of URIs (RFC 5280, 4.2.1.10), which the TLS library refuses.

use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};
use x509_parser::prelude::FromDer as _;

use crate::config::identity::SanKind;
use crate::tls::names;

/// A trusted authority that may only issue certificates for some hosts in URIs: for a trust domain, where they are SPIFFE IDs.
#[derive(Debug)]
pub(super) struct Constraint {
    /// Whose (DER).
    subject: Vec<u8>,
    permitted: Vec<String>,
    excluded: Vec<String>,
}

/// Names of other kinds beside URIs, which the library would have to look at, and cannot without refusing the URIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mixed;

impl Constraint {
    /// What an authority's certificate says of URIs; nothing where it does not.
    pub(super) fn of(authority: &CertificateDer<'_>) -> Result<Option<Self>, Mixed> {
        let Ok((_, certificate)) = X509Certificate::from_der(authority) else { return Ok(None) };
        let Ok(Some(extension)) = certificate.name_constraints() else { return Ok(None) };
        let NameConstraints { permitted_subtrees, excluded_subtrees } = extension.value;
        let all = || permitted_subtrees.iter().chain(excluded_subtrees).flatten();
        if !all().any(is_uri) {
            return Ok(None);
        }
        if !all().all(is_uri) {
            return Err(Mixed);
        }
        let hosts = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| subtrees.iter().flatten().filter_map(uri).collect();
        let (permitted, excluded) = (hosts(permitted_subtrees), hosts(excluded_subtrees));
        Ok(Some(Self { subject: certificate.subject().as_raw().to_vec(), permitted, excluded }))
    }

    /// Whether the authority has issued one of these, or may have: a chain that leads to it names it as an issuer.
    fn concerns(&self, chain: &[X509Certificate<'_>]) -> bool {
        chain.iter().any(|certificate| certificate.issuer().as_raw() == self.subject)
    }

    fn allows(&self, uri: &str) -> bool {
        let Some(host) = host(uri) else { return false };
        let fits = |constraint: &String| match constraint.strip_prefix('.') {
            Some(domain) => host.len() > domain.len() && ends_with_label(host, domain),
            None => host.eq_ignore_ascii_case(constraint),
        };
        (self.permitted.is_empty() || self.permitted.iter().any(fits)) && !self.excluded.iter().any(fits)
    }
}

/// Whether all URIs of a certificate are for authorities' own: of all that its chain names, should there be several of one name.
pub(super) fn hold(
    constraints: &[Constraint],
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<(), CertificateError> {
    if constraints.is_empty() {
        return Ok(());
    }
    let read = |certificate| X509Certificate::from_der(certificate).map(|(_, read)| read).map_err(|_| CertificateError::BadEncoding);
    let chain: Vec<X509Certificate<'_>> = std::iter::once(leaf).chain(intermediates).map(|der| read(der)).collect::<Result<_, _>>()?;
    let uris: Vec<String> = match chain.first().and_then(names::alternative_names) {
        Some(names) => names.into_iter().filter(|(kind, _)| *kind == SanKind::Uri).map(|(_, name)| name.into_owned()).collect(),
        None => return Err(CertificateError::BadEncoding),
    };
    let holds = constraints.iter().filter(|constraint| constraint.concerns(&chain)).all(|constraint| {
        let mut uris = uris.iter();
        uris.all(|uri| constraint.allows(uri))
    });
    if holds { Ok(()) } else { Err(names::refused(NotIts { uris })) }
}

/// A certificate of a trusted authority that may not issue it.
#[derive(Debug)]
struct NotIts {
    uris: Vec<String>,
}

impl std::fmt::Display for NotIts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "its authority may not issue for {}: another trust domain", names::told(self.uris.iter().map(String::as_str)))
    }
}

impl std::error::Error for NotIts {}

fn is_uri(subtree: &GeneralSubtree<'_>) -> bool {
    uri(subtree).is_some()
}

fn uri(subtree: &GeneralSubtree<'_>) -> Option<String> {
    match &subtree.base {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::DNSName(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

/// RFC 3986: between `//` and the path, without user and port. `None` where there is none.
fn host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty()).then_some(host)
}

fn ends_with_label(host: &str, domain: &str) -> bool {
    let rest = host.len().checked_sub(domain.len()).and_then(|at| Some((host.get(..at)?, host.get(at..)?)));
    rest.is_some_and(|(before, end)| before.ends_with('.') && before.len() > 1 && end.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_between_the_slashes() {
        for (uri, found) in [
            ("spiffe://mesh.test/ns/a/sa/b", Some("mesh.test")),
            ("spiffe://mesh.test", Some("mesh.test")),
            ("https://user@mesh.test:8443/x", Some("mesh.test")),
            ("spiffe://evil.test#@mesh.test/", Some("evil.test")),
            ("spiffe:///ns/a", None),
            ("mailto:a@mesh.test", None),
        ] {
            assert_eq!(host(uri), found, "{uri}");
        }
    }

    #[test]
    fn a_domain_is_not_the_end_of_another_name() {
        assert!(ends_with_label("a.mesh.test", "mesh.test"));
        assert!(!ends_with_label("amesh.test", "mesh.test"));
        assert!(!ends_with_label("mesh.test", "mesh.test"));
        assert!(!ends_with_label(".mesh.test", "mesh.test"));
    }
}
