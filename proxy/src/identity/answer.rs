use std::fmt;
use std::time::SystemTime;

use crate::config::identity::{CONTROL_PLANE, CertificatePem, SanKind, SanMatch, Validation};
use crate::config::matcher::{StringMatch, StringPattern};
use crate::identity::request::Key;
use crate::tls::chain;
use crate::tls::describe::{self, Description};

/// Who the proxy is, as an authority says.
pub struct Identity {
    /// Its SPIFFE ID.
    pub name: String,
    /// Its certificate and its key.
    pub certificate: CertificatePem,
    /// Whom the authority trusts.
    pub trust: Validation,
    /// When the certificate's life is over.
    pub expires: SystemTime,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("name", &self.name).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What an authority answered is no identity; a plain sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerError(String);

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what the authority answered cannot be used: {}", self.0)
    }
}

impl std::error::Error for AnswerError {}

impl AnswerError {
    pub(super) fn new(problem: String) -> Self {
        Self(problem)
    }
}

impl Identity {
    /// Of what an authority answered when it was to sign `key`: PEM, the leaf first, the root last. Whom to trust it says by the
    /// roots among them, and what it answers must hold by its own roots.
    ///
    /// # Errors
    /// It is not a chain that leads to its root, or is not for this key, or names nobody.
    pub fn read(key: &Key, answer: &[String]) -> Result<Self, AnswerError> {
        let wrong = |problem: &str| AnswerError(problem.to_owned());
        let all = answer.concat();
        let (chain, roots) = chain::split(all.as_bytes()).map_err(AnswerError)?;
        let certificate = CertificatePem { chain, key: key.pem(), file: None };
        let trust = Validation::of_roots(roots);
        chain::holds(&certificate, &trust).map_err(|error| AnswerError(error.to_string()))?;
        let leaf = describe::certificates(&certificate.chain).into_iter().next().ok_or_else(|| wrong("it cannot be read"))?;
        let name = spiffe_id(&leaf).ok_or_else(|| wrong("it does not name one SPIFFE ID"))?.to_owned();
        // From now on it is known whose control plane it is: that of the same trust domain, and no other that has the same root.
        let trust = Validation { subject_alt_names: vec![control_plane(&name)], ..trust };
        Ok(Self { name, certificate, trust, expires: leaf.expires })
    }
}

/// A workload's certificate has one URI, and it is a SPIFFE ID (X509-SVID, 2).
fn spiffe_id(certificate: &Description) -> Option<&str> {
    let mut uris = certificate.names.iter().filter(|(kind, _)| *kind == SanKind::Uri).map(|(_, name)| name.as_str());
    let name = uris.next().filter(|name| name.starts_with("spiffe://"))?;
    uris.next().is_none().then_some(name)
}

/// The control plane of a workload's trust domain.
pub fn control_plane(name: &str) -> SanMatch {
    let domain = name.strip_prefix("spiffe://").unwrap_or_default();
    let domain = domain.split_once('/').map_or(domain, |(domain, _)| domain);
    let pattern = StringPattern::Exact(format!("spiffe://{domain}{CONTROL_PLANE}"));
    SanMatch { kind: SanKind::Uri, name: StringMatch::new(pattern, false) }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer, KeyPair, SanType};

    use super::*;

    struct Authority {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(by: &Authority, request: &str, names: &[&str]) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request).unwrap();
        request.params.subject_alt_names = names.iter().map(|name| SanType::URI((*name).try_into().unwrap())).collect();
        request.signed_by(&by.issuer).unwrap().pem()
    }

    const CART: &str = "spiffe://mesh.test/ns/shop/sa/cart";

    fn problem(answer: Result<Identity, AnswerError>) -> String {
        answer.unwrap_err().to_string()
    }

    #[test]
    fn a_chain_that_leads_to_its_root_is_an_identity() {
        let (ca, key) = (authority("ca"), Key::new().unwrap());
        let leaf = sign(&ca, &key.request().unwrap(), &[CART]);
        let identity = Identity::read(&key, &[leaf.clone(), ca.pem.clone()]).unwrap();
        assert_eq!(identity.name, CART);
        assert_eq!(describe::certificates(&identity.certificate.chain).len(), 1, "the root is not shown to peers");
        assert_eq!(identity.trust.trusted_ca.unwrap().as_ref(), ca.pem.as_bytes());
        let names = &identity.trust.subject_alt_names;
        let wanted = Some("spiffe://mesh.test/ns/ninon-system/sa/ninon");
        assert_eq!((names.len(), names[0].name.exact()), (1, wanted), "of no other trust domain");
        let next = authority("next");
        let both = Identity::read(&key, &[leaf, ca.pem, next.pem]).unwrap();
        assert_eq!(describe::certificates(&both.trust.trusted_ca.unwrap()).len(), 2, "while roots change there are two");
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        let (ca, other, key) = (authority("ca"), authority("other"), Key::new().unwrap());
        let request = key.request().unwrap();
        let leaf = sign(&ca, &request, &[CART]);
        let told = |answer: &[String]| problem(Identity::read(&key, answer));
        assert!(told(&[]).ends_with("it holds no certificate"), "{}", told(&[]));
        assert!(told(std::slice::from_ref(&leaf)).ends_with("it holds no root"));
        assert!(told(&[leaf, other.pem]).ends_with("no trusted authority issued it"));
        let of_another = sign(&ca, &Key::new().unwrap().request().unwrap(), &[CART]);
        assert!(told(&[of_another, ca.pem.clone()]).contains("does not belong to the first certificate"));
        for names in [&[][..], &["https://mesh.test/"], &[CART, "spiffe://mesh.test/ns/shop/sa/other"]] {
            assert!(told(&[sign(&ca, &request, names), ca.pem.clone()]).ends_with("it does not name one SPIFFE ID"));
        }
    }
}
