//! Certificates to show, peers to accept. Key material is read when the configuration is, so that a bad file is refused there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::current::Current;
use crate::config::matcher::StringMatch;

/// How the proxy comes by an identity of its own: an authority signs it, at first for a token, later for the identity before.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// What the authority is shown while there is no certificate.
    pub token: Token,
    /// Authorities, PEM, one of which the first server must be from; else the token tells its key.
    pub trusted_ca: Option<PathBuf>,
    /// How long a certificate is asked for; `None` leaves it to the authority.
    pub lifetime: Option<Duration>,
    /// The proxy's certificate. Empty, and of no use, until there is one.
    pub certificate: CertificateSource,
    /// Whom the authority trusts. Nobody, until there is a certificate.
    pub trust: Current<Validation>,
}

impl Enrolment {
    /// There is no certificate yet.
    pub fn new(token: Token, trusted_ca: Option<PathBuf>, lifetime: Option<Duration>) -> Self {
        let certificate = CertificatePem { chain: Vec::new(), key: Vec::new(), file: None }.into();
        let trust =
            Validation { trusted_ca: None, trusted_ca_file: None, subject_alt_names: Vec::new(), crl: None, only_leaves: false }.into();
        Self { token, trusted_ca, lifetime, certificate, trust }
    }
}

/// The name by which resources refer to the proxy's own certificate, as in Istio.
pub const OWN_CERTIFICATE: &str = "default";
/// The name by which the proxy's own bootstrap refers to those whom its authority trusts.
pub const OWN_TRUST: &str = "authorities";
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
