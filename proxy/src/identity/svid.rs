use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::identity::{CertificatePem, SpiffeId, Svid, TrustDomain, Validation, is_trust_domain};
use crate::identity::answer::AnswerError;
use crate::identity::control_plane;
use crate::tls::chain;
use crate::tls::describe;

/// What the Workload API said of this workload, and it holds.
#[derive(Debug)]
pub struct Given {
    /// Its SPIFFE ID.
    pub name: String,
    /// Its certificate and its key.
    pub certificate: CertificatePem,
    /// Who the control plane is: that of the same trust domain.
    pub trust: Validation,
    /// Workloads of the same trust domain.
    pub own: Validation,
    /// And of those that it knows beside it.
    pub all: Validation,
    /// When the certificate's life is over.
    pub expires: SystemTime,
    /// Trust domains that are left out, and why: nobody of them is trusted.
    pub left_out: Vec<String>,
}

impl Given {
    /// Of an answer. Those of `more` (PEM) may be the control plane's authorities as well.
    ///
    /// # Errors
    /// It is not an identity that holds.
    pub fn read(answer: Svid, more: &[u8]) -> Result<Self, AnswerError> {
        let wrong = AnswerError::new;
        if answer.has_lists {
            return Err(wrong("it has revocation lists, which are not looked at here".to_owned()));
        }
        let id = SpiffeId::parse(&answer.name).ok_or_else(|| wrong(format!("{:?} is not a SPIFFE ID", answer.name)))?;
        let domain = id.trust_domain.to_owned();
        let of = |part: &str, der: &[u8]| chain::to_pems(der).map_err(|problem| wrong(format!("{part}: {problem}")));
        let (shown, roots) = (of("x509_svid", &answer.chain)?, of("bundle", &answer.roots)?);
        let certificate = CertificatePem { chain: shown, key: chain::key_to_pem(&answer.key), file: None };
        let own = domains(vec![TrustDomain { name: domain.clone(), roots: Arc::from(roots.as_slice()), file: None, crl: None }]);
        chain::holds(&certificate, &own).map_err(|error| wrong(error.to_string()))?;
        let leaf = describe::certificates(&certificate.chain).into_iter().next().ok_or_else(|| wrong("it cannot be read".to_owned()))?;
        if !leaf.names.iter().any(|(_, name)| *name == answer.name) {
            return Err(wrong(format!("it says {}, and its certificate does not", answer.name)));
        }
        let (federated, left_out) = federated(&domain, &answer.federated);
        let all = domains(own.trust_domains.iter().cloned().chain(federated).collect());
        let control = [roots.as_slice(), more].concat();
        let trust = Validation { subject_alt_names: vec![control_plane(&answer.name)], ..Validation::of_roots(control) };
        Ok(Self { name: answer.name, certificate, trust, own, all, expires: leaf.expires, left_out })
    }
}

fn domains(trust_domains: Vec<TrustDomain>) -> Validation {
    Validation { trust_domains, ..Validation::nobody() }
}

/// One that cannot be read takes nothing from the others.
fn federated(own: &str, bundles: &BTreeMap<String, Vec<u8>>) -> (Vec<TrustDomain>, Vec<String>) {
    let (mut read, mut left_out) = (Vec::new(), Vec::new());
    for (name, der) in bundles {
        let domain = name.strip_prefix("spiffe://").unwrap_or(name);
        match (is_trust_domain(domain) && domain != own, chain::to_roots(der)) {
            (true, Ok(pem)) => read.push(TrustDomain { name: domain.to_owned(), roots: Arc::from(pem), file: None, crl: None }),
            (true, Err(problem)) => left_out.push(format!("{domain}: {problem}")),
            (false, _) => left_out.push(format!("{name:?} is not the name of another trust domain")),
        }
    }
    (read, left_out)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd};

    use super::*;

    struct Authority {
        der: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let der = params.self_signed(&key).unwrap().der().to_vec();
            Self { der, issuer: Issuer::new(params, key) }
        }

        fn gives(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Svid {
            let mut params = CertificateParams::default();
            params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            change(&mut params);
            let key = KeyPair::generate().unwrap();
            let chain = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
            let (name, key, roots) = (name.to_owned(), key.serialize_der(), self.der.clone());
            Svid { name, chain, key, roots, federated: BTreeMap::new(), has_lists: false }
        }
    }

    const CART: &str = "spiffe://a.test/ns/shop/sa/cart";

    fn read(answer: Svid) -> Result<Given, String> {
        Given::read(answer, b"").map_err(|error| error.to_string())
    }

    #[test]
    fn an_identity_is_the_first_of_its_trust_domain() {
        let (a, b) = (Authority::new("a"), Authority::new("b"));
        let mut answer = a.gives(CART, |_| {});
        answer.federated = BTreeMap::from([("spiffe://b.test".to_owned(), [b.der.as_slice(), a.der.as_slice()].concat())]);
        let given = Given::read(answer, b"more").unwrap();
        assert_eq!(given.name, CART);
        let names = |trust: &Validation| trust.trust_domains.iter().map(|domain| domain.name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&given.own), names(&given.all)), (vec!["a.test".to_owned()], vec!["a.test".to_owned(), "b.test".to_owned()]));
        assert_eq!(describe::certificates(&given.all.trust_domains[1].roots).len(), 2);
        let control_plane = given.trust.subject_alt_names[0].name.exact();
        assert_eq!(control_plane, Some("spiffe://a.test/ns/ninon-system/sa/ninon"));
        assert!(given.trust.trusted_ca.unwrap().ends_with(b"more"));
        assert!(given.left_out.is_empty());
    }

    #[test]
    fn what_does_not_hold_is_refused() {
        let (a, b) = (Authority::new("a"), Authority::new("b"));
        let good = || a.gives(CART, |_| {});
        let told = |answer: Svid| read(answer).unwrap_err();
        for (answer, problem) in [
            (Svid { name: String::new(), ..good() }, "\"\" is not a SPIFFE ID"),
            (Svid { name: "spiffe://a.test".to_owned(), ..good() }, "is not a SPIFFE ID"),
            (Svid { name: "spiffe://a.test/other".to_owned(), ..good() }, "and its certificate does not"),
            (Svid { name: "spiffe://c.test/ns/shop/sa/cart".to_owned(), ..good() }, "its trust domain, a.test, is not known here"),
            (Svid { chain: Vec::new(), ..good() }, "x509_svid: it holds no certificate"),
            (Svid { chain: b"none".to_vec(), ..good() }, "x509_svid: certificate 0 cannot be read"),
            (Svid { key: b"none".to_vec(), ..good() }, "private_key: "),
            (Svid { key: good().key, ..good() }, "does not belong to the first certificate"),
            (Svid { roots: Vec::new(), ..good() }, "bundle: it holds no certificate"),
            (Svid { roots: b.der, ..good() }, "no authority of its trust domain, a.test, issued it"),
            (Svid { has_lists: true, ..good() }, "revocation lists"),
            (a.gives(CART, |params| params.not_after = date_time_ymd(2020, 1, 1)), "it has expired"),
            (a.gives(CART, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), "it is an authority's"),
        ] {
            let error = told(answer);
            assert!(error.starts_with("what the authority answered cannot be used: ") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_federated_bundle_that_cannot_be_read_takes_nothing_from_the_others() {
        let (a, b) = (Authority::new("a"), Authority::new("b"));
        let mut answer = a.gives(CART, |_| {});
        let bundle = |name: &str, der: &[u8]| (format!("spiffe://{name}"), der.to_vec());
        answer.federated =
            BTreeMap::from([bundle("a.test", &b.der), bundle("b.test", &b.der), bundle("c.test", b"none"), bundle("D", b"")]);
        let given = read(answer).unwrap();
        assert_eq!(given.all.trust_domains.iter().map(|domain| domain.name.as_str()).collect::<Vec<_>>(), ["a.test", "b.test"]);
        assert_eq!(given.all.trust_domains[0].roots, given.own.trust_domains[0].roots, "nobody else says who is of our own");
        assert_eq!(
            given.left_out,
            [
                "\"spiffe://D\" is not the name of another trust domain",
                "\"spiffe://a.test\" is not the name of another trust domain",
                "c.test: certificate 0 cannot be read",
            ]
        );
    }

    #[test]
    fn a_key_is_told_to_nobody() {
        let answer = Authority::new("a").gives(CART, |_| {});
        assert_eq!(format!("{answer:?}"), format!("Svid {{ name: {CART:?}, .. }}"));
        assert!(!format!("{:?}", read(answer).unwrap()).contains("key"));
    }
}
