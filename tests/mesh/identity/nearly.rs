//! Certificates that are good but for one thing.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};

use super::Stranger;
use super::*;

/// An authority of files: its root has no constraint, so two control planes may have it.
pub(super) fn given(stranger: &Stranger) -> Vec<String> {
    let words = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -x509 -days 1 -keyout ca.key -out ca.pem -subj /CN=shared -addext \
                 keyUsage=critical,keyCertSign,cRLSign";
    stranger.openssl(words);
    let path = |name: &str| stranger.path(name).to_str().unwrap().to_owned();
    let flags = [("--ca-certificate", "ca.pem"), ("--ca-key", "ca.key"), ("--ca-root", "ca.pem")];
    flags.into_iter().flat_map(|(flag, name)| [flag.to_owned(), path(name)]).collect()
}

/// Who can sign in a mesh's authority's place.
pub(super) struct Signer {
    files: Stranger,
    /// What makes this the authority of a control plane.
    pub(super) flags: Vec<String>,
}

impl Signer {
    pub(super) fn new() -> Self {
        let files = Stranger { folder: Folder::new(), port: 0 };
        let flags = given(&files);
        Self { files, flags }
    }

    /// The mesh whose authority it is.
    pub(super) async fn mesh(&self) -> World {
        World::start_with(&self.flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// A certificate and its key, in somebody's folder.
    pub(super) fn issue(&self, to: &Stranger, name: &str, params: &CertificateParams) {
        let issuer = Issuer::from_ca_cert_pem(&self.files.text("ca.pem"), KeyPair::from_pem(&self.files.text("ca.key")).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        fs::write(to.path(&format!("{name}.pem")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(to.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

/// A good one: of an account, for one use.
pub(super) fn good(account: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![usage];
    params.subject_alt_names = vec![id(&format!("spiffe://cluster.local/ns/shop/sa/{account}"))];
    params
}

/// Such with a time or a name that is wrong, and what is said to that.
pub(super) fn all(good: impl Fn() -> CertificateParams) -> [(&'static str, CertificateParams, &'static str); 6] {
    let nearly = |change: fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        params
    };
    [
        ("early", nearly(|params| params.not_before = rcgen::date_time_ymd(2090, 1, 1)), "it is not valid yet"),
        ("late", nearly(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)), "it has expired"),
        (
            "foreign",
            nearly(|params| params.subject_alt_names = vec![id("spiffe://elsewhere/ns/shop/sa/web")]),
            "it is for spiffe://elsewhere/ns/shop/sa/web, which is not accepted here",
        ),
        (
            "longer",
            nearly(|params| params.subject_alt_names = vec![id("spiffe://cluster.local.evil/ns/shop/sa/web")]),
            "it is for spiffe://cluster.local.evil/ns/shop/sa/web, which is not accepted here",
        ),
        ("nobody", nearly(|params| params.subject_alt_names.clear()), "it has no subject alternative name"),
        (
            "host",
            nearly(|params| params.subject_alt_names = vec![SanType::DnsName("cart.shop".try_into().unwrap())]),
            "it is for cart.shop, which is not accepted here",
        ),
    ]
}

fn id(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}
