//! Which servers a client accepts.

use super::*;

async fn call(server: CertificateSource, client: &ClientTls) -> Met {
    meet(&server_tls(vec![server]), client).await
}

async fn refused(server: CertificateSource, validation: Validation) -> String {
    let mut told = Vec::new();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let tls = ClientTls {
            validation: Some(validation.clone().into()),
            sni: Some("wanted.test".into()),
            min_version: version,
            max_version: version,
            ..client_tls()
        };
        let met = call(server.clone(), &tls).await;
        assert!(matches!(met.server.unwrap_err().cause, HandshakeFailure::Alert(_)));
        told.push(plain(met.client.unwrap_err()));
    }
    assert_eq!(told[0], told[1]);
    told.remove(0)
}

#[tokio::test]
async fn any_server_is_accepted_without_validation() {
    let expired = Authority::new("whoever").issue_with(&["x.test"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = ClientTls { min_version: version, max_version: version, ..client_tls() };
        call(expired.clone(), &client).await.client.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_does_not_hold_its_key_is_refused_even_then() {
    let ca = Authority::new("ca");
    let (one, other) = (ca.issue(&["a.test"]), ca.issue(&["a.test"]));
    let provider = crate::tls::provider();
    let stolen = crate::tls::pem::identity(&one.load(), &provider).unwrap();
    let own = crate::tls::pem::identity(&other.load(), &provider).unwrap();
    let liar = rustls::sign::CertifiedKey::new(stolen.cert.clone(), Arc::clone(&own.key));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]).unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(liar.clone());
        let server = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        let met = meet_as(Arc::new(server), client::client_config(&client_tls(), &[]).unwrap(), "a.test").await;
        assert_eq!(plain(met.client.unwrap_err()), "the server's certificate was refused: a signature is wrong");
    }
}

#[tokio::test]
async fn the_host_name_is_not_compared_unless_names_are_given() {
    let ca = Authority::new("ca");
    let client = ClientTls { validation: Some(ca.trust().into()), sni: Some("wanted.test".into()), ..client_tls() };
    call(ca.issue(&["other.test"]), &client).await.client.unwrap();
    call(ca.issue(&[]), &client).await.client.unwrap();
    call(ca.issue(&["spiffe://mesh.test/ns/a/sa/b"]), &client).await.client.unwrap();
    let told = refused(ca.issue(&["other.test"]), ca.trust_only(SanKind::Dns, exact("wanted.test"))).await;
    assert_eq!(told, "the server's certificate was refused: it is for other.test, which is not accepted here");
    let named = Some(ca.trust_only(SanKind::Dns, exact("wanted.test")).into());
    call(ca.issue(&["wanted.test"]), &ClientTls { validation: named, ..client }).await.client.unwrap();
}

#[tokio::test]
async fn all_but_the_host_name_is_checked_though_it_differs() {
    let ca = Authority::new("ca");
    let told = refused(Authority::new("others").issue(&["other.test"]), ca.trust()).await;
    assert_eq!(told, "the server's certificate was refused: no trusted authority issued it");
    let expired = ca.issue_with(&["other.test"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(refused(expired, ca.trust()).await, "the server's certificate was refused: it has expired");
    let early = ca.issue_with(&["other.test"], |params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_eq!(refused(early, ca.trust()).await, "the server's certificate was refused: it is not valid yet");
    let for_clients = ca.issue_with(&["other.test"], |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let told = refused(for_clients, ca.trust()).await;
    assert_eq!(told, "the server's certificate was refused: it is not for this use (extended key usage)");
    let revoked = ca.issue_with(&["other.test"], |params| params.serial_number = Some(SerialNumber::from(7)));
    let validation = Validation { crl: Some(ca.crl(&[7], 4000)), ..ca.trust() };
    assert_eq!(refused(revoked, validation).await, "the server's certificate was refused: it is revoked");
    // No authority by its own word.
    let key = KeyPair::generate().unwrap();
    let alone = CertificateParams::new(vec!["other.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let told = refused(pem(&alone.pem(), &key.serialize_pem()), ca.trust()).await;
    assert_eq!(told, "the server's certificate was refused: no trusted authority issued it");
}

#[tokio::test]
async fn a_leaf_that_signs_is_no_authority() {
    let ca = Authority::new("ca");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "rogue");
    let key = KeyPair::generate().unwrap();
    let rogue = params.signed_by(&key, &ca.issuer).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["wanted.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "victim");
    let key = KeyPair::generate().unwrap();
    let chain = format!("{}{}", params.signed_by(&key, &issuer).unwrap().pem(), rogue.pem());
    let told = refused(pem(&chain, &key.serialize_pem()), ca.trust()).await;
    assert!(told.starts_with("the server's certificate was refused: "), "{told}");
}

#[tokio::test]
async fn a_chain_with_an_intermediate_authority_is_accepted() {
    let ca = Authority::new("ca");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "intermediate");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    let middle = params.signed_by(&key, &ca.issuer).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let client = ClientTls { validation: Some(ca.trust().into()), ..client_tls() };
    let chain = format!("{}{}", leaf.pem(), middle.pem());
    call(pem(&chain, &key.serialize_pem()), &client).await.client.unwrap();
    // A list of the intermediate one tells nothing of the root's.
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let crl: Option<Arc<[u8]>> = Some(Arc::from(list.signed_by(&issuer).unwrap().pem().unwrap().into_bytes()));
    let listed = Validation { crl, ..ca.trust() };
    let told = refused(pem(&chain, &key.serialize_pem()), listed.clone()).await;
    assert_eq!(told, "the server's certificate was refused: no revocation list tells of it");
    let only_leaves = ClientTls { validation: Some(Validation { only_leaves: true, ..listed }.into()), ..client_tls() };
    call(pem(&chain, &key.serialize_pem()), &only_leaves).await.client.unwrap();
    let told = plain(call(pem(&leaf.pem(), &key.serialize_pem()), &client).await.client.unwrap_err());
    assert_eq!(told, "the server's certificate was refused: no trusted authority issued it");
}

/// What `openssl req -x509` makes: an authority that is its own server.
fn own_authority(change: impl FnOnce(&mut CertificateParams)) -> (CertificateSource, Validation) {
    let mut params = CertificateParams::new(vec!["own.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "own.test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let trusted_ca = Some(Arc::from(certificate.pem().into_bytes()));
    let trust = Validation { trusted_ca, ..Validation::nobody() };
    (pem(&certificate.pem(), &key.serialize_pem()), trust)
}

#[tokio::test]
async fn an_authority_that_is_its_own_server_is_accepted_where_it_is_trusted() {
    let (server, trust) = own_authority(|_| {});
    let client = ClientTls { validation: Some(trust.clone().into()), sni: Some("wanted.test".into()), ..client_tls() };
    call(server.clone(), &client).await.client.unwrap();
    // The same as a client.
    let tls = ServerTls { validation: Some(trust.clone().into()), require_client_certificate: true, ..server_tls(vec![server.clone()]) };
    let info = meet(&tls, &ClientTls { certificate: Some(server.clone()), ..client_tls() }).await.server.unwrap();
    assert!(info.peer_validated);
    let named = Validation { subject_alt_names: vec![san(SanKind::Dns, exact("other.test"))], ..trust };
    let told = refused(server, named).await;
    assert_eq!(told, "the server's certificate was refused: it is for own.test, which is not accepted here");
}

#[tokio::test]
async fn such_an_authority_is_refused_otherwise() {
    let (stranger, _) = own_authority(|_| {});
    let (_, trust) = own_authority(|_| {});
    let told = refused(stranger, trust).await;
    assert!(told.starts_with("the server's certificate was refused: "), "{told}");
    let (expired, trust) = own_authority(|params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(refused(expired, trust).await, "the server's certificate was refused: it has expired");
    let (early, trust) = own_authority(|params| params.not_before = date_time_ymd(4000, 1, 1));
    assert_eq!(refused(early, trust).await, "the server's certificate was refused: it is not valid yet");
    let (for_clients, trust) = own_authority(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let told = refused(for_clients, trust).await;
    assert_eq!(told, "the server's certificate was refused: it is not for this use (extended key usage)");
    let (server, trust) = own_authority(|_| {});
    let told = refused(server, Validation { crl: Some(Authority::new("ca").crl(&[], 4000)), ..trust }).await;
    assert!(told.starts_with("the server's certificate was refused: "), "{told}");
}

/// An authority for URIs of one trust domain.
fn of_domain(domain: &str) -> Authority {
    Authority::with(domain, |params| params.custom_extensions = vec![only_uris_of(domain, &[])])
}

#[tokio::test]
async fn an_authority_issues_only_for_its_own_trust_domain() {
    let ca = of_domain("mesh.test");
    let client = |validation: Validation| ClientTls { validation: Some(validation.into()), ..client_tls() };
    call(ca.issue(&["spiffe://mesh.test/ns/a/sa/b"]), &client(ca.trust())).await.client.unwrap();
    let told = refused(ca.issue(&["spiffe://bank.test/ns/a/sa/b"]), ca.trust()).await;
    let rule = "its authority may not issue for spiffe://bank.test/ns/a/sa/b: another trust domain";
    assert_eq!(told, format!("the server's certificate was refused: {rule}"));
    assert!(refused(ca.issue(&["spiffe://mesh.test/a", "spiffe://bank.test/b"]), ca.trust()).await.ends_with("another trust domain"));
}

#[tokio::test]
async fn each_of_several_authorities_issues_only_for_its_own_trust_domain() {
    let (shop, bank) = (of_domain("shop.test"), of_domain("bank.test"));
    let both = [shop.certificate.pem(), bank.certificate.pem()].concat();
    let trust = Validation { trusted_ca: Some(Arc::from(both.into_bytes())), ..shop.trust() };
    let client = ClientTls { validation: Some(trust.clone().into()), ..client_tls() };
    call(shop.issue(&["spiffe://shop.test/a"]), &client).await.client.unwrap();
    call(bank.issue(&["spiffe://bank.test/a"]), &client).await.client.unwrap();
    assert!(refused(bank.issue(&["spiffe://shop.test/a"]), trust).await.ends_with("another trust domain"));
}

#[test]
fn an_authority_with_constraints_of_several_kinds_is_refused() {
    // A DNS name: [2] within a sequence.
    let dns = [&[0x30, 0x0b, 0x82, 0x09][..], b"mesh.test"].concat();
    let ca = Authority::with("mixed", |params| params.custom_extensions = vec![only_uris_of("mesh.test", &dns)]);
    let error = client::client_config(&ClientTls { validation: Some(ca.trust().into()), ..client_tls() }, &[]).unwrap_err();
    assert!(error.to_string().contains("its name constraints are of URIs and of other names"), "{error}");
}
