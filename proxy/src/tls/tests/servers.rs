//! What a server agrees on with clients.

use super::*;

#[tokio::test]
async fn both_versions_are_spoken_with_ciphers_named_as_iana_does() {
    let ca = Authority::new("ca");
    for (version, name, cipher) in [
        (TlsVersion::Tls13, "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (TlsVersion::Tls12, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ] {
        let client = ClientTls { min_version: version, max_version: version, sni: Some("a.test".into()), ..client_tls() };
        let met = meet(&server_tls(vec![ca.issue(&["a.test"])]), &client).await;
        met.client.unwrap();
        let info = met.server.unwrap();
        assert_eq!(info.version, Some(name));
        assert_eq!(info.cipher.as_deref(), Some(cipher));
        assert_eq!(info.sni.as_deref(), Some("a.test"));
        assert!(info.terminated && !info.peer_presented && !info.peer_validated);
    }
}

#[tokio::test]
async fn a_client_that_is_too_old_is_refused() {
    let server = ServerTls { min_version: TlsVersion::Tls13, ..server_tls(vec![Authority::new("ca").issue(&["a.test"])]) };
    let client = ClientTls { max_version: TlsVersion::Tls12, ..client_tls() };
    let met = meet(&server, &client).await;
    let refused = met.server.unwrap_err();
    assert!(matches!(refused.cause, HandshakeFailure::Protocol(_)));
    assert!(refused.to_string().starts_with("no agreement with the client: "), "{refused}");
    assert_eq!(plain(met.client.unwrap_err()), "the server refused the handshake with the alert protocol_version");
}

#[tokio::test]
async fn the_servers_order_of_protocols_decides() {
    let alpn = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    let server = ServerTls { alpn: alpn(&["h2", "http/1.1"]), ..server_tls(vec![Authority::new("ca").issue(&["a.test"])]) };
    for (offered, agreed) in
        [(vec!["http/1.1", "h2"], Some("h2")), (vec!["http/1.1"], Some("http/1.1")), (vec!["acme"], None), (vec![], None)]
    {
        let met = meet(&server, &ClientTls { alpn: alpn(&offered), ..client_tls() }).await;
        assert_eq!(met.client.unwrap().alpn.as_deref(), agreed.map(str::as_bytes), "{offered:?}");
        assert_eq!(met.server.unwrap().alpn.as_deref(), agreed, "{offered:?}");
    }
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked_for() {
    let ca = Authority::new("ca");
    let first = ca.issue(&["first.test"]);
    let wild = ca.issue(&["*.shop.test"]);
    let named = ca.issue(&["a.shop.test"]);
    let common = ca.issue_with(&[], |params| params.distinguished_name.push(DnType::CommonName, "Common.test"));
    let server = server_tls(vec![first.clone(), wild.clone(), named.clone(), common.clone()]);
    for (asked, shown) in [
        (Some("a.shop.test"), &named),
        (Some("A.Shop.test"), &named),
        (Some("b.shop.test"), &wild),
        (Some("x.b.shop.test"), &first),
        (Some("shop.test"), &first),
        (Some("common.test"), &common),
        (Some("other.test"), &first),
        (None, &first),
    ] {
        let met = meet(&server, &ClientTls { sni: asked.map(str::to_owned), ..client_tls() }).await;
        assert_eq!(met.client.unwrap().certificate, leaf(shown), "{asked:?}");
        assert_eq!(met.server.unwrap().sni, asked.map(str::to_ascii_lowercase));
    }
}

#[tokio::test]
async fn the_post_quantum_group_comes_first() {
    let server = server_tls(vec![Authority::new("ca").issue(&["a.test"])]);
    let met = meet(&server, &client_tls()).await;
    assert_eq!(met.client.unwrap().group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn clients_with_older_groups_are_served() {
    use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, X25519};
    let server = server::config(&server_tls(vec![Authority::new("ca").issue(&["a.test"])])).unwrap();
    for group in [X25519, SECP256R1] {
        let mut client = ClientConfig::clone(&client::client_config(&client_tls(), &[]).unwrap());
        client = with_group(client, group);
        let met = meet_as(Arc::clone(&server), Arc::new(client), "a.test").await;
        assert_eq!(met.client.unwrap().group, group.name());
    }
}

fn with_group(like: ClientConfig, group: &'static dyn rustls::crypto::SupportedKxGroup) -> ClientConfig {
    let provider = rustls::crypto::CryptoProvider { kx_groups: vec![group], ..like.crypto_provider().as_ref().clone() };
    let servers = crate::tls::verify::of_nobody(&provider);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions().unwrap();
    builder.dangerous().with_custom_certificate_verifier(servers).with_no_client_auth()
}

#[tokio::test]
async fn sessions_are_not_resumed() {
    let server = server::config(&server_tls(vec![Authority::new("ca").issue(&["a.test"])])).unwrap();
    for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let client = client::client_config(&ClientTls { min_version: version, max_version: version, ..client_tls() }, &[]).unwrap();
        for _ in 0..2 {
            let met = meet_as(Arc::clone(&server), Arc::clone(&client), "a.test").await;
            assert!(!met.client.unwrap().resumed);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_given_up_after_the_limit() {
    let config = server::config(&server_tls(vec![Authority::new("ca").issue(&["a.test"])])).unwrap();
    let (_silent, io) = duplex(1024);
    let began = tokio::time::Instant::now();
    let error = server::accept(io, config, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(error.to_string(), "the handshake with the client took longer than 3s");
    assert!(matches!(error.cause, HandshakeFailure::TimedOut(_)));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_after_the_hello_too() {
    let ca = Authority::new("ca");
    let config = server::config(&server_tls(vec![ca.issue(&["a.test"])])).unwrap();
    let mut client =
        rustls::ClientConnection::new(client::client_config(&client_tls(), &[]).unwrap(), ServerName::try_from("a.test").unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let (mut near, io) = duplex(65536);
    near.write_all(&hello).await.unwrap();
    let error = server::accept(io, config, Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(error.cause, HandshakeFailure::TimedOut(Duration::from_secs(3)));
}

#[tokio::test]
async fn garbage_and_hang_ups_are_told_apart() {
    let config = server::config(&server_tls(vec![Authority::new("ca").issue(&["a.test"])])).unwrap();
    for (bytes, told) in [
        (&b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"[..], "the client does not speak TLS"),
        (&[0x16, 3, 1, 0xff, 0xff, 1, 2, 3][..], "the client does not speak TLS"),
        (&[0; 64][..], "the client does not speak TLS"),
        (&b"\x16\x03\x01"[..], "the client hung up during the handshake"),
        (&b""[..], "the client hung up during the handshake"),
    ] {
        let (mut near, io) = duplex(1024);
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        let error = server::accept(io, Arc::clone(&config), LIMIT).await.unwrap_err();
        assert_eq!(error.to_string(), told, "{bytes:?}");
    }
}

#[tokio::test]
async fn the_key_that_the_client_can_use_is_chosen() {
    let ca = Authority::new("ca");
    let ecdsa = ca.issue(&["a.test"]);
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "ed25519");
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let edwards = pem(&params.signed_by(&key, &ca.issuer).unwrap().pem(), &key.serialize_pem());
    // TLS 1.2 with these cipher suites and an Ed25519 key works too; a client that says it verifies ECDSA only must get that.
    let server = server::config(&server_tls(vec![edwards, ecdsa.clone()])).unwrap();
    let like = client::client_config(&client_tls(), &[]).unwrap();
    let algorithms = like.crypto_provider().signature_verification_algorithms;
    let only: &'static [_] =
        Vec::leak(algorithms.mapping.iter().filter(|(scheme, _)| format!("{scheme:?}").starts_with("ECDSA")).copied().collect());
    let algorithms = rustls::crypto::WebPkiSupportedAlgorithms { mapping: only, ..algorithms };
    let provider =
        rustls::crypto::CryptoProvider { signature_verification_algorithms: algorithms, ..like.crypto_provider().as_ref().clone() };
    let servers = crate::tls::verify::of_nobody(&provider);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions().unwrap();
    let client = builder.dangerous().with_custom_certificate_verifier(servers).with_no_client_auth();
    let met = meet_as(server, Arc::new(client), "a.test").await;
    assert_eq!(met.client.unwrap().certificate, leaf(&ecdsa));
}
