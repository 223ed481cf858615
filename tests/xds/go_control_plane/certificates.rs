use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// How many there are.
pub(super) const COUNT: usize = 4;

/// Certificates for `localhost`.
pub(super) struct Certificates {
    made: Vec<rcgen::CertifiedKey<rcgen::KeyPair>>,
}

impl Certificates {
    pub(super) fn new() -> Self {
        let one = |_| rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        Self { made: (0..COUNT).map(one).collect() }
    }

    /// Certificate and key in PEM.
    pub(super) fn pem(&self, which: usize) -> (String, String) {
        (self.made[which].cert.pem(), self.made[which].signing_key.serialize_pem())
    }

    /// Which one this is.
    pub(super) fn which(&self, certificate: &CertificateDer<'_>) -> Option<usize> {
        self.made.iter().position(|made| made.cert.der() == certificate)
    }

    /// Clients that trust all of them and speak one protocol.
    pub(super) fn client(&self, protocol: &str) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for made in &self.made {
            roots.add(made.cert.der().clone()).expect("a good certificate");
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Arc::new(config)
    }
}
