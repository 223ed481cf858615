//! Which clients a server accepts.

use super::*;

const SHOP: &str = "spiffe://mesh.test/ns/shop/sa/cart";

/// Client certificates are required and checked as `validation` says; the client shows `certificate`.
async fn visit(validation: Validation, certificate: Option<CertificateSource>, version: TlsVersion) -> Met {
    let server = ServerTls {
        validation: Some(validation.into()),
        require_client_certificate: true,
        ..server_tls(vec![Authority::new("servers").issue(&["a.test"])])
    };
    let client = ClientTls { certificate, min_version: version, max_version: version, ..client_tls() };
    meet(&server, &client).await
}

async fn refused(validation: Validation, certificate: CertificateSource) -> String {
    let old = visit(validation.clone(), Some(certificate.clone()), TlsVersion::Tls12).await;
    let new = visit(validation, Some(certificate), TlsVersion::Tls13).await;
    let told = plain(new.server.unwrap_err());
    assert_eq!(plain(old.server.unwrap_err()), told);
    assert!(old.client.is_err() && new.client.is_err());
    told
}

#[tokio::test]
async fn an_accepted_client_is_known_by_its_names() {
    let ca = Authority::new("ca");
    let certificate = ca.issue_with(&[SHOP, "cart.shop.test"], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "NO");
        params.distinguished_name.push(DnType::OrganizationName, "Shop, the \"best\"");
        params.distinguished_name.push(DnType::CommonName, " cart");
    });
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let met = visit(ca.trust(), Some(certificate.clone()), version).await;
        met.client.unwrap();
        let info = met.server.unwrap();
        assert!(info.peer_presented && info.peer_validated);
        assert_eq!(info.peer.as_ref().unwrap().uris, [SHOP]);
        assert_eq!(info.peer.as_ref().unwrap().subject, r#"CN=\ cart,O=Shop\, the \"best\",C=NO"#);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let met = visit(Authority::new("ca").trust(), None, version).await;
        assert_eq!(plain(met.server.unwrap_err()), "the client showed no certificate, which is required");
        assert!(matches!(met.client.unwrap_err().cause, HandshakeFailure::Alert(_)));
    }
}

#[tokio::test]
async fn an_optional_certificate_may_be_missing_but_not_wrong() {
    let ca = Authority::new("ca");
    let server = ServerTls { validation: Some(ca.trust().into()), ..server_tls(vec![ca.issue(&["a.test"])]) };
    let met = meet(&server, &client_tls()).await;
    assert!(!met.server.unwrap().peer_presented);
    let stranger = Some(Authority::new("others").issue(&[SHOP]));
    let met = meet(&server, &ClientTls { certificate: stranger, ..client_tls() }).await;
    assert!(matches!(met.server.unwrap_err().cause, HandshakeFailure::Certificate(_)));
}

#[tokio::test]
async fn no_certificate_is_asked_for_without_validation() {
    let ca = Authority::new("ca");
    let client = ClientTls { certificate: Some(ca.issue(&[SHOP])), ..client_tls() };
    let met = meet(&server_tls(vec![ca.issue(&["a.test"])]), &client).await;
    assert!(!met.server.unwrap().peer_presented);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    // The same name, another key.
    let told = refused(Authority::new("ca").trust(), Authority::new("ca").issue(&[SHOP])).await;
    assert!(told.starts_with("the client's certificate was refused: "), "{told}");
    let told = refused(Authority::new("ca").trust(), Authority::new("others").issue(&[SHOP])).await;
    assert_eq!(told, "the client's certificate was refused: no trusted authority issued it");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let ca = Authority::new("ca");
    let expired = ca.issue_with(&[SHOP], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(refused(ca.trust(), expired).await, "the client's certificate was refused: it has expired");
    let early = ca.issue_with(&[SHOP], |params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_eq!(refused(ca.trust(), early).await, "the client's certificate was refused: it is not valid yet");
}

#[tokio::test]
async fn a_refusal_says_who_they_are_and_who_we_are() {
    let ca = Authority::new("ca");
    let expired = ca.issue_with(&[SHOP], |params| params.not_after = date_time_ymd(2020, 1, 1));
    let server = ServerTls { validation: Some(ca.trust().into()), ..server_tls(vec![ca.issue(&["spiffe://mesh.test/ns/shop/sa/bank"])]) };
    let met = meet(&server, &ClientTls { certificate: Some(expired.clone()), ..client_tls() }).await;
    let told = format!("the client's certificate was refused: it has expired (theirs: {SHOP}; ours: spiffe://mesh.test/ns/shop/sa/bank)");
    assert_eq!(met.server.unwrap_err().to_string(), told);
    let error = std::io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateExpired));
    let told = client::failed(&ClientTls { certificate: Some(expired), ..client_tls() }, &error).to_string();
    assert_eq!(told, format!("the server refused the handshake with the alert certificate_expired (ours: {SHOP})"));
}

#[tokio::test]
async fn a_certificate_for_servers_only_is_refused() {
    let ca = Authority::new("ca");
    let certificate = ca.issue_with(&[SHOP], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let told = refused(ca.trust(), certificate).await;
    assert_eq!(told, "the client's certificate was refused: it is not for this use (extended key usage)");
}

#[tokio::test]
async fn a_name_that_is_not_accepted_is_refused_and_told() {
    let ca = Authority::new("ca");
    let only = ca.trust_only(SanKind::Uri, exact("spiffe://mesh.test/ns/shop/sa/checkout"));
    let told = refused(only.clone(), ca.issue(&[SHOP])).await;
    assert_eq!(told, format!("the client's certificate was refused: it is for {SHOP}, which is not accepted here"));
    let told = refused(only.clone(), ca.issue(&["a.test", "b.test", "c.test", "d.test", "10.0.0.1"])).await;
    assert!(told.ends_with("it is for a.test, b.test, c.test and 2 more, which is not accepted here"), "{told}");
    let told = refused(only.clone(), ca.issue(&[])).await;
    assert!(told.ends_with("it has no subject alternative name, and only certain ones are accepted"), "{told}");
    let told = refused(only, ca.issue(&[&format!("spiffe://mesh.test/{}", "x".repeat(2000))])).await;
    assert!(told.chars().count() < 600, "{told}");
}

#[tokio::test]
async fn each_kind_of_name_is_matched_in_each_way() {
    let ca = Authority::new("ca");
    let certificate = ca.issue(&[SHOP, "cart.shop.test", "*.wild.test", "cart@shop.test", "10.1.2.3", "2001:db8::1"]);
    let regex = |pattern: &str| StringPattern::Regex(full_match_regex(pattern).unwrap());
    let prefix = |text: &str| StringPattern::Prefix(text.to_owned());
    let suffix = |text: &str| StringPattern::Suffix(text.to_owned());
    for (kind, pattern, accepted) in [
        (SanKind::Uri, exact(SHOP), true),
        (SanKind::Uri, prefix("spiffe://mesh.test/ns/shop/"), true),
        (SanKind::Uri, prefix("spiffe://mesh.test/ns/bank/"), false),
        (SanKind::Uri, suffix("/sa/cart"), true),
        (SanKind::Uri, regex("spiffe://mesh\\.test/ns/[a-z]+/sa/cart"), true),
        (SanKind::Uri, regex("spiffe://mesh\\.test/ns"), false),
        (SanKind::Uri, exact("cart.shop.test"), false),
        (SanKind::Dns, exact("cart.shop.test"), true),
        (SanKind::Dns, exact("CART.shop.test"), true),
        (SanKind::Dns, exact("a.wild.test"), true),
        (SanKind::Dns, exact("a.b.wild.test"), false),
        (SanKind::Dns, exact(".wild.test"), false),
        (SanKind::Dns, exact("wild.test"), false),
        (SanKind::Dns, suffix(".shop.test"), true),
        (SanKind::Dns, exact(SHOP), false),
        (SanKind::Email, exact("cart@shop.test"), true),
        (SanKind::Email, suffix("@bank.test"), false),
        (SanKind::Ip, exact("10.1.2.3"), true),
        (SanKind::Ip, exact("2001:db8::1"), true),
        (SanKind::Ip, prefix("10.1."), true),
        (SanKind::Ip, exact("10.1.2.4"), false),
    ] {
        let met = visit(ca.trust_only(kind, pattern.clone()), Some(certificate.clone()), TlsVersion::Tls13).await;
        assert_eq!(met.server.is_ok(), accepted, "{kind:?} {pattern:?}");
    }
}

#[tokio::test]
async fn one_fitting_name_of_several_is_enough() {
    let ca = Authority::new("ca");
    let mut validation = ca.trust_only(SanKind::Uri, exact("spiffe://mesh.test/ns/bank/sa/vault"));
    validation.subject_alt_names.push(san(SanKind::Uri, exact(SHOP)));
    visit(validation, Some(ca.issue(&["a.test", SHOP])), TlsVersion::Tls13).await.server.unwrap();
}

#[tokio::test]
async fn a_fitting_name_of_another_authority_is_refused() {
    let only = Authority::new("ca").trust_only(SanKind::Uri, exact(SHOP));
    let told = refused(only, Authority::new("others").issue(&[SHOP])).await;
    assert_eq!(told, "the client's certificate was refused: no trusted authority issued it");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused() {
    let ca = Authority::new("ca");
    let serial = |number: u64| ca.issue_with(&[SHOP], |params| params.serial_number = Some(SerialNumber::from(number)));
    let with = |crl: Arc<[u8]>| Validation { crl: Some(crl), ..ca.trust() };
    visit(with(ca.crl(&[7], 4000)), Some(serial(8)), TlsVersion::Tls13).await.server.unwrap();
    assert_eq!(refused(with(ca.crl(&[7], 4000)), serial(7)).await, "the client's certificate was refused: it is revoked");
    let told = refused(with(ca.crl(&[7], 2021)), serial(8)).await;
    assert_eq!(told, "the client's certificate was refused: the revocation list has expired");
    let told = refused(with(Authority::new("others").crl(&[7], 4000)), serial(8)).await;
    assert_eq!(told, "the client's certificate was refused: no revocation list tells of it");
}

#[tokio::test]
async fn a_server_shows_a_renewed_certificate_and_forgets_whom_it_no_longer_trusts() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let own = ca.issue(&["spiffe://mesh.test/old"]);
    let trust = crate::config::identity::Trust::from(ca.trust());
    let settings = ServerTls { validation: Some(trust.clone()), require_client_certificate: true, ..server_tls(vec![own.clone()]) };
    let source = server::Source::new(&Arc::new(settings)).unwrap();
    let first = source.config();
    assert!(Arc::ptr_eq(&first, &source.config()));
    own.replace(ca.issue(&["spiffe://mesh.test/new"]).load());
    let second = source.config();
    assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &source.config()));
    // What cannot be used changes nothing.
    own.replace(pem("", "").load());
    assert!(Arc::ptr_eq(&second, &source.config()));
    own.replace(ca.issue(&["spiffe://mesh.test/newer"]).load());
    let client =
        ClientTls { certificate: Some(ca.issue_with(&[SHOP], |params| params.serial_number = Some(7_u64.into()))), ..client_tls() };
    let client = client::client_config(&client, &[]).unwrap();
    let before = source.ready();
    let bond = bond_of(&before, Arc::clone(&client)).await;
    assert!(bond.until.is_some() && source.accepts(&bond));
    trust.validation.replace(Arc::new(Validation { crl: Some(ca.crl(&[8], 2099)), ..ca.trust() }));
    assert!(source.accepts(&bond), "another one is revoked");
    trust.validation.replace(Arc::new(Validation { crl: Some(ca.crl(&[7], 2099)), ..ca.trust() }));
    assert!(!source.accepts(&bond), "it is revoked");
    assert!(!source.accepts(&bond_of(&before, client).await), "it was revoked while the handshake went on");
    trust.validation.replace(Arc::new(ca.trust()));
    assert!(source.accepts(&bond));
    trust.validation.replace(Arc::new(other.trust()));
    assert!(!source.accepts(&bond), "its authority is not trusted any more");
}

/// What the server and the client have shown each other.
async fn bond_of(ready: &server::Ready, client: Arc<ClientConfig>) -> server::Bond {
    let (near, far) = duplex(64 * 1024);
    let connector = tokio_rustls::TlsConnector::from(client);
    let server_name = ServerName::try_from("a.test").unwrap();
    let (connected, accepted) = tokio::join!(connector.connect(server_name, near), server::accept(far, ready.config(), LIMIT));
    let _client = connected.unwrap();
    ready.bond(accepted.unwrap().0.get_ref().1).unwrap()
}
