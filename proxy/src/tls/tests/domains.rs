//! Peers of several trust domains.

use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::config::identity::{Trust, TrustDomain};
use crate::tls::{provider, verify};

const CART: &str = "spiffe://a.test/ns/shop/sa/cart";
const BANK: &str = "spiffe://b.test/ns/bank/sa/till";

/// A workload's certificate.
fn svid(authority: &Authority, names: &[&str]) -> CertificateSource {
    svid_with(authority, names, |_| {})
}

fn svid_with(authority: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateSource {
    authority.issue_with(names, |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(params);
    })
}

fn trust(domains: &[(&str, &Authority)]) -> Validation {
    let one = |(name, authority): &(&str, &Authority)| TrustDomain {
        name: (*name).to_owned(),
        roots: Arc::from(authority.certificate.pem().into_bytes()),
        file: None,
        crl: None,
    };
    Validation { trust_domains: domains.iter().map(one).collect(), ..Validation::nobody() }
}

/// What either side says of the other's certificate, where clients are checked so and servers too; `None` is that it is accepted.
async fn seen(validation: &Validation, certificate: &CertificateSource) -> Option<String> {
    let server = ServerTls { validation: Some(validation.clone().into()), ..server_tls(vec![Authority::new("any").issue(&["a.test"])]) };
    let told = |told: String, peer: &str| told.strip_prefix(&format!("the {peer}'s certificate was refused: ")).unwrap_or(&told).to_owned();
    let mut all = Vec::new();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = ClientTls { certificate: Some(certificate.clone()), min_version: version, max_version: version, ..client_tls() };
        let met = meet(&server, &client).await;
        assert_eq!(met.server.is_ok(), met.client.is_ok(), "{version:?}");
        all.push(met.server.err().map(|error| told(plain(error), "client")));
        let client = ClientTls { validation: Some(validation.clone().into()), min_version: version, max_version: version, ..client_tls() };
        let met = meet(&server_tls(vec![certificate.clone()]), &client).await;
        assert_eq!(met.server.is_ok(), met.client.is_ok(), "{version:?}");
        all.push(met.client.err().map(|error| told(plain(error), "server")));
    }
    assert!(all.windows(2).all(|two| two[0] == two[1]), "clients and servers alike, by each version: {all:?}");
    all.swap_remove(0)
}

async fn refused(validation: &Validation, certificate: &CertificateSource) -> String {
    seen(validation, certificate).await.expect("it is refused")
}

#[tokio::test]
async fn each_trust_domain_is_checked_by_its_own_roots() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let both = trust(&[("a.test", &a), ("b.test", &b)]);
    assert_eq!(seen(&both, &svid(&a, &[CART])).await, None);
    assert_eq!(seen(&both, &svid(&b, &["bank.test", BANK])).await, None, "other names beside the URI are as they are");
}

#[tokio::test]
async fn no_authority_issues_for_another_trust_domain() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let both = trust(&[("a.test", &a), ("b.test", &b)]);
    // Accepted before, so that nothing that is remembered of them lets the others in.
    assert_eq!(seen(&both, &svid(&a, &[CART])).await, None);
    assert_eq!(seen(&both, &svid(&b, &[BANK])).await, None);
    assert_eq!(refused(&both, &svid(&b, &[CART])).await, "no authority of its trust domain, a.test, issued it");
    assert_eq!(refused(&both, &svid(&a, &[BANK])).await, "no authority of its trust domain, b.test, issued it");
    // The same name, another key.
    let same = trust(&[("a.test", &Authority::new("a")), ("b.test", &b)]);
    assert_eq!(refused(&same, &svid(&a, &[CART])).await, "no authority of its trust domain, a.test, issued it");
}

#[tokio::test]
async fn what_is_no_workloads_certificate_is_refused_by_its_rule() {
    let a = Authority::new("a");
    let trust = trust(&[("a.test", &a)]);
    assert_eq!(refused(&trust, &svid(&a, &[BANK])).await, "its trust domain, b.test, is not known here");
    let none = "it has no SPIFFE ID (no URI among its subject alternative names)";
    assert_eq!(refused(&trust, &svid(&a, &["a.test", "10.0.0.1"])).await, none);
    assert_eq!(refused(&trust, &svid(&a, &[])).await, none);
    let several = "it has several URIs, and a SPIFFE ID is the only one";
    assert_eq!(refused(&trust, &svid(&a, &[CART, "spiffe://a.test/other"])).await, several);
    assert_eq!(refused(&trust, &svid(&a, &[CART, "https://a.test/"])).await, several);
    for none in ["https://a.test/cart", "spiffe://a.test", "spiffe://a.test/", "spiffe://a.test/a/../b", "spiffe://A.test/cart"] {
        assert_eq!(refused(&trust, &svid(&a, &[none])).await, format!("{none} is not a SPIFFE ID"));
    }
    let authority = "it is an authority's (it may sign certificates or revocation lists), not a workload's";
    let ca = svid_with(&a, &[CART], |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(refused(&trust, &ca).await, authority);
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let signs = svid_with(&a, &[CART], |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage]);
        assert_eq!(refused(&trust, &signs).await, authority);
    }
    let silent = a.issue(&[CART]);
    assert_eq!(refused(&trust, &silent).await, "it does not say what its key is for (key usage)");
    let expired = svid_with(&a, &[CART], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(refused(&trust, &expired).await, "it has expired");
}

#[tokio::test]
async fn names_are_of_spiffe_ids() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let both = trust(&[("a.test", &a), ("b.test", &b)]);
    let only =
        Validation { subject_alt_names: vec![san(SanKind::Uri, exact(CART)), san(SanKind::Dns, exact("bank.test"))], ..both.clone() };
    assert_eq!(seen(&only, &svid(&a, &[CART])).await, None);
    let told = refused(&only, &svid(&b, &[BANK, "bank.test"])).await;
    assert_eq!(told, format!("it is for {BANK}, bank.test, which is not accepted here"), "a DNS name is anybody's");
    let none = Validation { subject_alt_names: vec![san(SanKind::Dns, exact("bank.test"))], ..both };
    let error = verify::of_clients(&Trust::from(none.clone()), &none, true, &provider()).unwrap_err();
    assert_eq!(error.to_string(), "match_typed_subject_alt_names: of trust domains, only names of type URI can be asked for");
    assert!(verify::of_servers(&Trust::from(none.clone()), &none, &provider()).is_err());
}

#[tokio::test]
async fn names_beside_a_secret_count_as_well() {
    let a = Authority::new("a");
    let validation = trust(&[("a.test", &a)]);
    let certificate = leaf(&svid(&a, &[CART])).into();
    let verified = |name: &str| {
        let trust = Trust { more_names: vec![san(SanKind::Uri, exact(name))], ..Trust::from(validation.clone()) };
        let clients = verify::of_clients(&trust, &validation, true, &provider()).unwrap();
        clients.verify_client_cert(&certificate, &[], UnixTime::now()).is_ok()
    };
    assert!(verified(CART));
    assert!(!verified(BANK));
}

#[tokio::test]
async fn a_client_shows_a_certificate_whatever_the_listener_requires() {
    let a = Authority::new("a");
    let server = ServerTls { validation: Some(trust(&[("a.test", &a)]).into()), ..server_tls(vec![svid(&a, &["a.test"])]) };
    assert!(!server.require_client_certificate);
    let met = meet(&server, &client_tls()).await;
    assert_eq!(plain(met.server.unwrap_err()), "the client showed no certificate, which is required");
}

#[tokio::test]
async fn each_trust_domain_has_its_own_revocation_lists() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let numbered = |number: u64| move |params: &mut CertificateParams| params.serial_number = Some(SerialNumber::from(number));
    let mut both = trust(&[("a.test", &a), ("b.test", &b)]);
    both.trust_domains[0].crl = Some(a.crl(&[7], 4000));
    assert_eq!(refused(&both, &svid_with(&a, &[CART], numbered(7))).await, "it is revoked");
    assert_eq!(seen(&both, &svid_with(&a, &[CART], numbered(8))).await, None);
    assert_eq!(seen(&both, &svid_with(&b, &[BANK], numbered(7))).await, None);
}

#[tokio::test]
async fn connections_are_looked_at_again_when_trust_domains_change() {
    let (a, b) = (Authority::new("a"), Authority::new("b"));
    let both = trust(&[("a.test", &a), ("b.test", &b)]);
    let settings = Arc::new(ServerTls { validation: Some(both.into()), ..server_tls(vec![svid(&a, &["a.test"])]) });
    let source = server::Source::new(&settings).unwrap();
    let clients = ClientTls { validation: settings.validation.clone(), ..client_tls() };
    let accepted = |certificate: &CertificateSource| {
        let chain = [rustls::pki_types::CertificateDer::from_pem_slice(&certificate.load().chain).unwrap()];
        let servers = client::accepts(&clients, &chain);
        let now = source.ready().config();
        (servers, now)
    };
    let (cart, till) = (svid(&a, &[CART]), svid(&b, &[BANK]));
    let (is_accepted, before) = accepted(&till);
    assert!(is_accepted && accepted(&cart).0);
    settings.validation.as_ref().unwrap().validation.replace(Arc::new(trust(&[("a.test", &a)])));
    let (is_accepted, after) = accepted(&till);
    assert!(!is_accepted && accepted(&cart).0);
    assert!(!Arc::ptr_eq(&before, &after), "the server's configuration is made anew");
}

#[test]
fn a_bundle_that_cannot_be_used_names_its_trust_domain() {
    let a = Authority::new("a");
    let mut broken = trust(&[("a.test", &a), ("b.test", &a)]);
    broken.trust_domains[1].roots = Arc::from(b"none".as_slice());
    let error = verify::of_servers(&Trust::from(broken.clone()), &broken, &provider()).unwrap_err();
    assert_eq!(error.to_string(), "trust_domains \"b.test\": trusted_ca: holds no certificate in PEM");
}
