//! Certificates for a pair of proxies, in files.

use ninon_tests::process::Folder;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use std::fs;

const CLIENT: &str = "spiffe://cluster.local/ns/bench/sa/client";
const SERVER: &str = "spiffe://cluster.local/ns/bench/sa/server";

/// Certificates of P-256 of one authority, as the control plane makes them.
pub struct Identity(Folder);

impl Identity {
    pub fn new() -> Self {
        let folder = Folder::new();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the temporary folder is writable");
        let mut params = named("bench root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let root = params.self_signed(&key).expect("a root can be made");
        write("ca.pem", &root.pem());
        let issuer = Issuer::new(params, key);
        for (name, id) in [("client", CLIENT), ("server", SERVER)] {
            let mut params = named(name);
            params.subject_alt_names = vec![SanType::URI(id.try_into().expect("the name is ASCII"))];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate().expect("a key can be made");
            let certificate = params.signed_by(&key, &issuer).expect("a certificate can be made");
            write(&format!("{name}.pem"), &certificate.pem());
            write(&format!("{name}.key"), &key.serialize_pem());
            write(&format!("{name}.both"), &format!("{}{}", certificate.pem(), key.serialize_pem()));
        }
        Self(folder)
    }

    /// For configurations: where the files are, and who is who.
    pub fn places(&self) -> [(&'static str, String); 3] {
        let folder = self.0.path().display().to_string();
        [("identity", folder), ("client_id", CLIENT.to_owned()), ("server_id", SERVER.to_owned())]
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
