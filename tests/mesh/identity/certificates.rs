use rcgen::CertificateParams;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

use super::nearly::{Signer, all, good};
use super::*;

const ME: &str = "spiffe://cluster.local/ns/shop/sa/cart";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_a_certificate_by_a_token_and_a_clear_refusal_without() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let one = token(&world, "shop", &["--uses", "1"]);
    let csr = stranger.csr("cart", &format!(" -addext subjectAltName=URI:{ME}"));
    let (code, chain) = stranger.certify(&csr, &json!({"token": one, "seconds": 600}));
    assert_eq!(code, "", "{chain}");
    fs::write(stranger.path("cart.pem"), chain).unwrap();
    assert_eq!(stranger.openssl("verify -x509_strict -CAfile root.pem cart.pem"), "cart.pem: OK\n");
    for purpose in ["sslclient", "sslserver"] {
        stranger.openssl(&format!("verify -purpose {purpose} -CAfile root.pem cart.pem"));
    }
    let shown = stranger.openssl("x509 -in cart.pem -noout -text");
    assert!(shown.contains(&format!("X509v3 Subject Alternative Name: critical\n                URI:{ME}")), "{shown}");
    assert!(shown.contains("CA:FALSE") && !shown.contains("O = tests"), "{shown}");
    let root = stranger.openssl("x509 -in root.pem -noout -text");
    assert!(root.contains("X509v3 Name Constraints: critical\n                Permitted:\n                  URI:cluster.local"), "{root}");

    let other = stranger.csr("other", "");
    let (code, why) = stranger.certify(&other, &json!({}));
    assert_eq!((code.as_str(), why.contains("nothing says who asks")), ("UNAUTHENTICATED", true), "{why}");
    let (code, why) = stranger.certify(&other, &json!({"token": one}));
    assert_eq!((code.as_str(), why.contains("used up")), ("PERMISSION_DENIED", true), "replayed: {why}");
    let any = token(&world, "shop", &[]);
    let bank = stranger.csr("bank", " -addext subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/admin");
    let (code, why) = stranger.certify(&bank, &json!({"token": any}));
    assert_eq!((code.as_str(), why.contains("ns/bank/sa/admin")), ("PERMISSION_DENIED", true), "{why}");
    let (code, _) = stranger.certify("not a request", &json!({"token": any}));
    assert_eq!(code, "INVALID_ARGUMENT");
    let (code, _) = stranger.certify(&other.repeat(200), &json!({"token": any}));
    assert_eq!(code, "OUT_OF_RANGE", "it is larger than any");
    let id = any.strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0;
    world.does(&["token", "revoke", id]);
    let (code, why) = stranger.certify(&other, &json!({"token": any}));
    assert_eq!((code.as_str(), why.contains("was revoked")), ("UNAUTHENTICATED", true), "{why}");

    let short = token(&world, "shop", &["--ttl", "1s"]);
    let expired = || async { Some(stranger.certify(&other, &json!({"token": short}))).filter(|(code, _)| code == "UNAUTHENTICATED") };
    let (_, why) = eventually(LIMIT, expired).await.expect("it expires");
    assert!(why.contains("the token expired at"), "{why}");
    let control_plane = world.ninon(&["token", "create", "-n", "ninon-system", "--service-account", "ninon"]);
    assert!(String::from_utf8_lossy(&control_plane.stderr).contains("is the control plane"), "{control_plane:?}");

    // Each of them is told, and nobody's secret: to whom, by what, which, until when; or why not.
    let log = world.log();
    let id = |token: &str| token.strip_prefix("ninon-join-").and_then(|rest| rest.split_once('.')).unwrap().0.to_owned();
    let serial = stranger.openssl("x509 -in cart.pem -noout -serial").trim().to_lowercase().replace("serial=", "");
    let (by_one, serial) = (format!("token {}", id(&one)), format!("serial=\"{serial}\""));
    let audited = |words: &[&str]| log.lines().any(|line| line.contains(" audit: ") && words.iter().all(|word| line.contains(word)));
    assert!(audited(&["INFO", "a certificate was issued", ME, &by_one, &serial, "until=2"]), "{serial}: {log}");
    for why in ["nothing says who asks", "used up", "ns/bank/sa/admin", "was revoked", "the token expired at"] {
        assert!(audited(&["WARN", "a certificate was refused", "from=\"127.0.0.1\"", why]), "{why}: {log}");
    }
    assert!(!log.contains(one.split('.').nth(1).unwrap()), "{log}");
    assert!(world.metric("ninon_certificates_issued_total").await >= 1.0);
    assert!(world.metric("ninon_certificate_refusals_total").await >= 6.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_certificate_renews_it_as_long_as_it_holds() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let one = token(&world, "shop", &["--uses", "1"]);
    stranger.joins("cart", &one, 10);
    let mut by_certificate = stranger.with("cart");
    let (code, chain) = stranger.certify(&stranger.csr("next", ""), &by_certificate);
    assert_eq!(code, "", "{chain}");
    fs::write(stranger.path("next.pem"), &chain).unwrap();
    assert!(stranger.openssl("x509 -in next.pem -noout -ext subjectAltName").contains(ME));
    by_certificate["token"] = json!(one);
    let (code, _) = stranger.certify(&stranger.csr("third", ""), &by_certificate);
    assert_eq!(code, "", "the token has done its part");
    let bank = stranger.csr("bank", " -addext subjectAltName=URI:spiffe://cluster.local/ns/bank/sa/cart");
    assert_eq!(stranger.certify(&bank, &stranger.with("next")).0, "PERMISSION_DENIED");

    // Ten seconds after it was given, nobody is let in by the first one.
    let csr = stranger.csr("late", "");
    let refused = || async { (stranger.certify(&csr, &stranger.with("cart")).0 == "UNAVAILABLE").then_some(()) };
    eventually(LIMIT, refused).await.expect("it expires");
    logged(&world, "certificate expired").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_authority_says_is_not_believed() {
    let world = World::start().await;
    let stranger = Stranger::new(&world);
    let authority = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 1";
    // It says of itself what ours does.
    let subject = stranger.openssl("x509 -in root.pem -noout -subject -nameopt compat").trim().replace("subject=", "");
    let words = format!("req {authority} -keyout rogue.key -out rogue.pem -addext keyUsage=critical,keyCertSign -subj");
    let output = Command::new("openssl").args(words.split(' ')).arg(subject).current_dir(stranger.folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, says, root) in [("rogue", ME, "rogue"), ("domain", "spiffe://other.example/ns/shop/sa/cart", "rogue")] {
        fs::write(stranger.path("extensions"), format!("subjectAltName=critical,URI:{says}\nextendedKeyUsage=clientAuth\n")).unwrap();
        stranger.csr(&format!("{name}-leaf"), "");
        let sign =
            format!("x509 -req -in {name}-leaf.csr -CA {root}.pem -CAkey {root}.key -days 1 -extfile extensions -out {name}-leaf.pem");
        stranger.openssl(&sign);
        let (code, why) = stranger.certify(&stranger.csr("x", ""), &stranger.with(&format!("{name}-leaf")));
        assert_eq!(code, "UNAVAILABLE", "{why}");
    }
    stranger.openssl(&format!("req {authority} -keyout self.key -out self.pem -subj /O=tests -addext subjectAltName=URI:{ME}"));
    assert_eq!(stranger.certify(&stranger.csr("x", ""), &stranger.with("self")).0, "UNAVAILABLE");
    logged(&world, "a TLS handshake failed").await;
    assert_eq!(world.metric("ninon_certificates_issued_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_our_own_root_that_are_not_quite_right_are_not_believed() {
    let signer = Signer::new();
    let world = signer.mesh().await;
    let stranger = Stranger::new(&world);
    let asks = |name: &str, params: &CertificateParams| {
        signer.issue(&stranger, name, params);
        stranger.certify(&stranger.csr("x", ""), &stranger.with(name))
    };
    for (name, params, _) in all(|| good("cart", ClientAuth)).into_iter().chain([("server", good("cart", ServerAuth), "")]) {
        let why = match name {
            "early" => "certificate not valid yet",
            "late" => "certificate expired",
            "foreign" => "the certificate is of trust domain \\\"elsewhere\\\", and this is \\\"cluster.local\\\"",
            "longer" => "the certificate is of trust domain \\\"cluster.local.evil\\\", and this is \\\"cluster.local\\\"",
            "nobody" | "host" => "the certificate has to name one URI, its SPIFFE ID",
            _ => "certificate does not allow extended key usage for client authentication",
        };
        assert_eq!(asks(name, &params).0, "UNAVAILABLE", "{name}");
        logged(&world, why).await;
    }
    assert_eq!(world.metric("ninon_certificates_issued_total").await, 0.0);
    let (code, why) = asks("good", &good("cart", ClientAuth));
    assert_eq!(code, "", "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_outlives_restarts_and_needs_its_key_file() {
    let mut world = World::start().await;
    let (stranger, roots) = (Stranger::new(&world), world.does(&["ca", "roots"]));
    stranger.joins("cart", &token(&world, "shop", &[]), 600);
    world.kill();
    world.serve().await;
    assert_eq!(world.does(&["ca", "roots"]), roots);
    let (code, why) = stranger.certify(&stranger.csr("next", ""), &stranger.with("cart"));
    assert_eq!(code, "", "{why}");
    world.kill();
    let key = world.path("data/ca.key");
    assert!(key.exists());
    fs::write(&key, "11".repeat(32)).unwrap();
    let (status, log) = world.serve_in_vain().await;
    assert_eq!(status.and_then(|status| status.code()), Some(1));
    assert!(log.contains("the authority's key in the store was encrypted with another key file"), "{log}");
}
