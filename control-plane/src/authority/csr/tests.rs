use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};

use super::*;
use crate::authority::text::pem;

fn me() -> Identity {
    Identity::new("cluster.local", "shop", "cart").unwrap()
}

fn with(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn one_asks_for_nothing_or_for_what_its_bearer_is() {
    let own = me().to_string();
    assert_eq!(read(&with(|_| ())).unwrap().asks_for(&me()), Ok(()));
    assert_eq!(read(&with(|params| params.subject_alt_names = vec![uri(&own)])).unwrap().asks_for(&me()), Ok(()));
    let no = |change: &dyn Fn(&mut CertificateParams)| read(&with(change)).unwrap().asks_for(&me()).unwrap_err();
    let other = no(&|params| params.subject_alt_names = vec![uri(&own), uri("spiffe://cluster.local/ns/bank/sa/admin")]);
    assert_eq!(other, format!("the request asks for \"spiffe://cluster.local/ns/bank/sa/admin\", and its bearer is {own}"));
    assert!(no(&|params| params.subject_alt_names = vec![SanType::DnsName("bank.example".try_into().unwrap())]).contains("bank.example"));
    assert!(no(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).contains("an authority's certificate"));
}

#[test]
fn keys_of_four_kinds_are_taken() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let read = read(&CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()).unwrap();
        assert_eq!(read.key, rcgen::PublicKeyData::subject_public_key_info(&key));
    }
    let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    assert!(read(&CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()).is_ok());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
    let refused = read(&CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap()).unwrap_err();
    assert!(refused.starts_with("keys of this kind"), "{refused}");
}

#[test]
fn who_does_not_have_the_key_is_refused() {
    let good = with(|_| ());
    let same = read(&good).unwrap();
    let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
    let forged = |at: usize| {
        let mut bytes = der.to_vec();
        bytes[at] ^= 1;
        read(&pem("CERTIFICATE REQUEST", &bytes)).map_or(true, |read| read == same)
    };
    assert!((0..der.len()).all(forged), "nothing else comes of it");
    for wrong in ["", "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n", &good[..good.len() / 2]] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    assert!(read(&good.repeat(100)).unwrap_err().contains("16384 at most"));
    let mut longer = der.to_vec();
    longer.push(0);
    assert_eq!(read(&pem("CERTIFICATE REQUEST", &longer)).unwrap_err(), "there are bytes behind the certificate request");
}
