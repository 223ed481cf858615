//! Certificates to show, peers to accept. Key material is read when the configuration is, so that a bad file is refused there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::current::Current;
use crate::config::matcher::StringMatch;

/// How the proxy comes by an identity of its own, and what it is.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// From whom.
    pub means: Means,
    /// The proxy's certificate. Empty, and of no use, until there is one.
    pub certificate: CertificateSource,
    /// Who the control plane is. Nobody, until there is a certificate.
    pub trust: Current<Validation>,
    /// Workloads of the proxy's own trust domain, as the Workload API says.
    pub own_domain: Current<Validation>,
    /// And of those that it knows beside it.
    pub all_domains: Current<Validation>,
}

impl Enrolment {
    /// There is no certificate yet.
    pub fn new(means: Means) -> Self {
        let certificate = CertificatePem { chain: Vec::new(), key: Vec::new(), file: None }.into();
        let nobody = || Validation::nobody().into();
        Self { means, certificate, trust: nobody(), own_domain: nobody(), all_domains: nobody() }
    }
}

/// Who gives the proxy its identity.
#[derive(Clone, Debug)]
pub enum Means {
    /// An authority signs it, at first for a token, later for the identity before.
    Token(Joining),
    /// SPIFFE's Workload API hands it out.
    WorkloadApi(WorkloadApi),
}

/// What an authority is asked with.
#[derive(Clone, Debug)]
pub struct Joining {
    /// What the authority is shown while there is no certificate.
    pub token: Token,
    /// Authorities, PEM, one of which the first server must be from; else the token tells its key.
    pub trusted_ca: Option<PathBuf>,
    /// How long a certificate is asked for; `None` leaves it to the authority.
    pub lifetime: Option<Duration>,
}

/// Where the Workload API is.
#[derive(Clone, Debug)]
pub struct WorkloadApi {
    /// A Unix socket.
    pub socket: PathBuf,
    /// Authorities, PEM, one of which the control plane may be from, beside those of the trust domain.
    pub trusted_ca: Option<PathBuf>,
}

/// What the Workload API says: DER, certificates one after the other.
pub struct Svid {
    /// The SPIFFE ID.
    pub name: String,
    /// The certificate, and what lies between it and its root.
    pub chain: Vec<u8>,
    /// PKCS #8.
    pub key: Vec<u8>,
    /// Roots of its trust domain.
    pub roots: Vec<u8>,
    /// Those of others, by the name of the trust domain as an URI.
    pub federated: BTreeMap<String, Vec<u8>>,
    /// There are revocation lists.
    pub has_lists: bool,
}

impl std::fmt::Debug for Svid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Svid").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The name by which resources refer to the proxy's own certificate, as in Istio.
pub const OWN_CERTIFICATE: &str = "default";
/// The name by which the proxy's own bootstrap refers to those whom its authority trusts.
pub const OWN_TRUST: &str = "authorities";
/// The name of what workloads of the proxy's own trust domain show, as SPIRE has it.
pub const OWN_DOMAIN: &str = "ROOTCA";
/// The name of what workloads of all trust domains show that are known.
pub const ALL_DOMAINS: &str = "ALL";
/// What the SPIFFE ID of a control plane ends with, after the trust domain.
pub const CONTROL_PLANE: &str = "/ns/ninon-system/sa/ninon";

/// What shows that a workload may have an identity: `ID.SECRET`, or `ID.SECRET.PIN`.
#[derive(Clone)]
pub enum Token {
    /// This one.
    Given(Arc<str>),
    /// What is in a file, which is read whenever it is needed.
    File(PathBuf),
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// TLS on a listener's chain (`DownstreamTlsContext`).
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Certificates to show, the first that fits the client.
    pub certificates: Vec<CertificateSource>,
    /// Which client certificates to accept; `None` asks for none.
    pub validation: Option<Trust>,
    /// A client without a certificate is refused.
    pub require_client_certificate: bool,
    /// ALPN protocols, preferred first.
    pub alpn: Vec<Vec<u8>>,
    /// Oldest version.
    pub min_version: TlsVersion,
    /// Newest version.
    pub max_version: TlsVersion,
}

/// TLS to a cluster (`UpstreamTlsContext`).
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The certificate to show if asked.
    pub certificate: Option<CertificateSource>,
    /// What the server must show; `None` accepts any certificate (as Envoy does without a validation context).
    pub validation: Option<Trust>,
    /// Server name to send.
    pub sni: Option<String>,
    /// Send the request's host as server name.
    pub auto_host_sni: bool,
    /// ALPN protocols; empty: what the cluster's HTTP version needs.
    pub alpn: Vec<Vec<u8>>,
    /// Oldest version.
    pub min_version: TlsVersion,
    /// Newest version.
    pub max_version: TlsVersion,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// A certificate and its key; those that come by name are replaced when they are renewed.
pub type CertificateSource = Current<CertificatePem>;

/// A certificate chain and its key, both PEM.
#[derive(PartialEq, Eq)]
pub struct CertificatePem {
    /// Leaf first.
    pub chain: Vec<u8>,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key: Vec<u8>,
    /// The file of the chain; `None` if it is written in place.
    pub file: Option<String>,
}

impl std::fmt::Debug for CertificatePem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificatePem").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Whom to accept as a peer.
#[derive(Clone, Debug)]
pub struct Trust {
    /// What a certificate must satisfy; what comes by name is replaced when it changes.
    pub validation: Current<Validation>,
    /// Names that are accepted beside those.
    pub more_names: Vec<SanMatch>,
}

impl Trust {
    /// As it comes.
    pub fn of(validation: Current<Validation>) -> Self {
        Self { validation, more_names: Vec::new() }
    }
}

impl From<Validation> for Trust {
    fn from(validation: Validation) -> Self {
        Self::of(validation.into())
    }
}

/// What a peer's certificate must satisfy.
#[derive(Clone, Debug)]
pub struct Validation {
    /// Trusted roots, PEM.
    pub trusted_ca: Option<Arc<[u8]>>,
    /// Their file; `None` if they are written in place.
    pub trusted_ca_file: Option<Arc<str>>,
    /// One of these must fit a subject alternative name; empty: any name.
    pub subject_alt_names: Vec<SanMatch>,
    /// Revocation lists, PEM.
    pub crl: Option<Arc<[u8]>>,
    /// The lists tell of peers' own certificates, and not of authorities between them and a root.
    pub only_leaves: bool,
    /// Where there are any, these decide in the place of `trusted_ca` and `crl`: a peer's SPIFFE ID says which.
    pub trust_domains: Vec<TrustDomain>,
}

impl Validation {
    /// Whether its roots and lists are the same; of what is asked beside them, this says nothing.
    pub fn has_same_bytes(&self, other: &Self) -> bool {
        self.trusted_ca == other.trusted_ca && self.crl == other.crl && self.trust_domains == other.trust_domains
    }

    /// Nobody is trusted.
    pub fn nobody() -> Self {
        Self {
            trusted_ca: None,
            trusted_ca_file: None,
            subject_alt_names: Vec::new(),
            crl: None,
            only_leaves: false,
            trust_domains: Vec::new(),
        }
    }

    /// Roots (PEM), and nothing more is asked.
    pub fn of_roots(pem: impl Into<Arc<[u8]>>) -> Self {
        Self { trusted_ca: Some(pem.into()), ..Self::nobody() }
    }
}

/// Who may issue certificates of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain {
    /// As in SPIFFE IDs.
    pub name: String,
    /// Its roots, PEM.
    pub roots: Arc<[u8]>,
    /// Their file; `None` if they are written in place.
    pub file: Option<Arc<str>>,
    /// Its revocation lists, PEM.
    pub crl: Option<Arc<[u8]>>,
}

/// Bytes of a SPIFFE ID (SPIFFE-ID, 2.3).
const LONGEST_SPIFFE_ID: usize = 2048;
/// Bytes of a trust domain.
const LONGEST_TRUST_DOMAIN: usize = 255;

/// Whether this may name a trust domain (SPIFFE-ID, 2.1).
pub fn is_trust_domain(name: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    (1..=LONGEST_TRUST_DOMAIN).contains(&name.len()) && name.bytes().all(allowed)
}

/// Who a workload is, in whose trust domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpiffeId<'a> {
    /// Who says so.
    pub trust_domain: &'a str,
    /// Which workload of it, with the first slash.
    pub path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Of a workload: one without a path is the trust domain itself, and nobody's.
    pub fn parse(uri: &'a str) -> Option<Self> {
        let rest = uri.strip_prefix("spiffe://").filter(|_| uri.len() <= LONGEST_SPIFFE_ID)?;
        let (trust_domain, path) = rest.split_at_checked(rest.find('/')?)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed);
        let is_path = path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
        (is_trust_domain(trust_domain) && is_path).then_some(Self { trust_domain, path })
    }
}

/// A subject alternative name to accept.
#[derive(Clone, Debug)]
pub struct SanMatch {
    /// Which kind of name.
    pub kind: SanKind,
    /// What it must look like.
    pub name: StringMatch,
}

/// Kind of subject alternative name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// dNSName.
    Dns,
    /// uniformResourceIdentifier (SPIFFE).
    Uri,
    /// rfc822Name.
    Email,
    /// iPAddress.
    Ip,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spiffe_id_is_of_one_trust_domain_and_names_somebody() {
        let id = SpiffeId::parse("spiffe://mesh.test/ns/shop/sa/cart").unwrap();
        assert_eq!((id.trust_domain, id.path), ("mesh.test", "/ns/shop/sa/cart"));
        let long = format!("spiffe://mesh.test/{}", "a".repeat(LONGEST_SPIFFE_ID));
        let wide = format!("spiffe://{}/a", "a".repeat(LONGEST_TRUST_DOMAIN + 1));
        for none in [
            "spiffe://mesh.test",
            "spiffe://mesh.test/",
            "spiffe://mesh.test//a",
            "spiffe://mesh.test/a/",
            "spiffe://mesh.test/a/../b",
            "spiffe://mesh.test/./b",
            "spiffe://mesh.test/%61",
            "spiffe://mesh.test/a?b",
            "spiffe://mesh.test/a#b",
            "spiffe://Mesh.test/a",
            "spiffe://mesh.test:80/a",
            "spiffe://user@mesh.test/a",
            "spiffe:///a",
            "SPIFFE://mesh.test/a",
            "https://mesh.test/a",
            "",
            &long,
            &wide,
        ] {
            assert_eq!(SpiffeId::parse(none), None, "{none}");
        }
    }
}
