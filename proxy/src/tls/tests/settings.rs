//! Settings that can and cannot be used, and what is kept of them.

use super::*;

fn server_error(tls: &ServerTls) -> String {
    server::config(tls).unwrap_err().to_string()
}

fn client_error(tls: &ClientTls) -> String {
    client::client_config(tls, &[]).unwrap_err().to_string()
}

fn parts(source: &CertificateSource) -> (String, String) {
    let pem = source.load();
    (String::from_utf8(pem.chain.clone()).unwrap(), String::from_utf8(pem.key.clone()).unwrap())
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_with_its_number() {
    let ca = Authority::new("ca");
    let good = ca.issue(&["a.test"]);
    let (chain, key) = parts(&good);
    let (_, other_key) = parts(&ca.issue(&["b.test"]));
    let broken = format!("{}{}", chain.lines().next().unwrap(), "\n%%%\n-----END CERTIFICATE-----\n");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let no_key = "private_key: holds no private key in PEM (PKCS#8, SEC1 or PKCS#1, not encrypted)";
    for (bad, told) in [
        (pem(&chain, &other_key), "private_key: does not belong to the first certificate of certificate_chain"),
        (pem("", &key), "certificate_chain: holds no certificate in PEM"),
        (pem(&broken, &key), "certificate_chain: not PEM: "),
        (pem(not_a_certificate, &key), "certificate_chain: "),
        (pem(&chain, ""), no_key),
        (pem(&chain, &encrypted), no_key),
        (pem(&chain, not_a_key), "private_key: not a key that can be used for TLS"),
    ] {
        let error = server_error(&server_tls(vec![good.clone(), bad.clone()]));
        assert!(error.starts_with(&format!("tls_certificates[1]: {told}")), "{error}");
        let error = client_error(&ClientTls { certificate: Some(bad), ..client_tls() });
        assert!(error.starts_with(&format!("tls_certificates[0]: {told}")), "{error}");
    }
    assert_eq!(server::config(&server_tls(Vec::new())).unwrap_err(), TlsError::NoCertificate);
}

#[test]
fn a_validation_that_cannot_be_made_is_refused() {
    let ca = Authority::new("ca");
    let text = |text: &str| Some(Arc::from(text.as_bytes()));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken_list = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    for (validation, told) in [
        (Validation { trusted_ca: None, ..ca.trust() }, "trusted_ca: required, a peer cannot be checked without it"),
        (Validation { trusted_ca: text("none"), ..ca.trust() }, "trusted_ca: holds no certificate in PEM"),
        (Validation { trusted_ca: text(broken), ..ca.trust() }, "trusted_ca: certificate 0 (from 0): "),
        (Validation { crl: text(""), ..ca.trust() }, "crl: holds no revocation list in PEM"),
        (Validation { crl: text(broken_list), ..ca.trust() }, "provided CRL could not be parsed"),
    ] {
        let server = ServerTls { validation: Some(validation.clone().into()), ..server_tls(vec![ca.issue(&["a.test"])]) };
        let error = server_error(&server);
        assert!(error.starts_with(told), "{error}");
        let error = client_error(&ClientTls { validation: Some(validation.into()), ..client_tls() });
        assert!(error.starts_with(told), "{error}");
    }
    let server = ServerTls { require_client_certificate: true, ..server_tls(vec![ca.issue(&["a.test"])]) };
    assert_eq!(server::config(&server).unwrap_err(), TlsError::NoTrustedCa);
}

#[test]
fn a_server_name_that_is_none_is_refused() {
    let error = client_error(&ClientTls { sni: Some("not a name".into()), ..client_tls() });
    assert_eq!(error, "sni: \"not a name\" is not a host name");
}

#[test]
fn protocols_of_the_settings_come_before_the_clusters() {
    let plain = client::client_config(&client_tls(), &[b"h2", b"http/1.1"]).unwrap();
    assert_eq!(plain.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let own = ClientTls { alpn: vec![b"acme".to_vec()], ..client_tls() };
    assert_eq!(client::client_config(&own, &[b"h2"]).unwrap().alpn_protocols, [b"acme".to_vec()]);
}
