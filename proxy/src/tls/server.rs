use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::identity::{CertificatePem, ServerTls, Validation};
use crate::exchange::Certificate;
use crate::exchange::info::TlsInfo;
use crate::tls::handshake::{HandshakeError, Peer};
use crate::tls::{TlsError, describe, names, pem, provider, verify, versions};

/// What handshakes with clients need, made anew when a certificate or an authority is replaced.
#[derive(Debug)]
pub struct Source {
    settings: Arc<ServerTls>,
    made: ArcSwap<Made>,
}

#[derive(Debug)]
struct Made {
    material: Material,
    config: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
    /// When the first of the certificates ends.
    expires: Option<SystemTime>,
}

impl Source {
    /// Of settings that can be used now.
    ///
    /// # Errors
    /// A certificate, key, authority or revocation list that cannot be used.
    pub fn new(settings: &Arc<ServerTls>) -> Result<Self, TlsError> {
        let material = Material::of(settings);
        Ok(Self { settings: Arc::clone(settings), made: ArcSwap::from_pointee(with(settings, material)?) })
    }

    /// What handshakes need now. A certificate or authority that cannot be used is told, and the one before goes on.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.made().config)
    }

    fn made(&self) -> Arc<Made> {
        let made = self.made.load_full();
        if made.material.is_current(&self.settings) {
            return made;
        }
        let material = Material::of(&self.settings);
        let next = with(&self.settings, material.clone()).unwrap_or_else(|error| {
            tracing::error!(%error, "what has come in place of a certificate or an authority cannot be used; the one before goes on");
            let (config, clients) = (Arc::clone(&made.config), Arc::clone(&made.clients));
            Made { material, config, clients, expires: made.expires }
        });
        let next = Arc::new(next);
        self.made.store(Arc::clone(&next));
        next
    }

    /// For one handshake.
    pub fn ready(&self) -> Ready {
        Ready(self.made())
    }

    /// Whether the client would be accepted now: looked at again whenever those have changed whom we trust.
    pub fn accepts(&self, bond: &Bond) -> bool {
        let made = self.made();
        let mut accepted_by = bond.accepted_by.borrow_mut();
        let same = |by: &Arc<Validation>| made.material.validation.as_ref().is_some_and(|now| Arc::ptr_eq(by, now));
        if accepted_by.as_ref().is_some_and(same) {
            return true;
        }
        let Some((leaf, intermediates)) = bond.chain.split_first() else { return false };
        let accepted = made.clients.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok();
        *accepted_by = made.material.validation.clone().filter(|_| accepted);
        accepted
    }
}

/// What one handshake needs.
#[derive(Clone, Debug)]
pub struct Ready(Arc<Made>);

impl Ready {
    /// Certificates, roots, ALPN.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config)
    }

    /// What a client and we have shown each other in it; nothing where it has shown nothing.
    pub fn bond(&self, connection: &ServerConnection) -> Option<Bond> {
        let chain: Vec<CertificateDer<'static>> = connection.peer_certificates()?.iter().map(|one| one.clone().into_owned()).collect();
        let until = chain.first().and_then(describe::expires).into_iter().chain(self.0.expires).min();
        Some(Bond { chain, until, accepted_by: RefCell::new(self.0.material.validation.clone()) })
    }
}

/// Two that have shown each other who they are.
#[derive(Debug)]
pub struct Bond {
    chain: Vec<CertificateDer<'static>>,
    /// When the first of the certificates ends.
    pub until: Option<SystemTime>,
    /// By whom the client was accepted last.
    accepted_by: RefCell<Option<Arc<Validation>>>,
}

/// Certificates and authorities as they were when a configuration was made of them.
#[derive(Clone, Debug)]
struct Material {
    certificates: Vec<Arc<CertificatePem>>,
    validation: Option<Arc<Validation>>,
}

impl Material {
    fn of(tls: &ServerTls) -> Self {
        Self {
            certificates: tls.certificates.iter().map(|certificate| certificate.load()).collect(),
            validation: tls.validation.as_ref().map(|trust| trust.validation.load()),
        }
    }

    fn is_current(&self, tls: &ServerTls) -> bool {
        tls.certificates.iter().zip(&self.certificates).all(|(source, used)| source.is(used))
            && tls.validation.as_ref().zip(self.validation.as_ref()).is_none_or(|(trust, used)| trust.validation.is(used))
    }
}

/// Makes what handshakes with clients need.
///
/// # Errors
/// A certificate, key, authority or revocation list that cannot be used.
pub fn config(tls: &ServerTls) -> Result<Arc<ServerConfig>, TlsError> {
    with(tls, Material::of(tls)).map(|made| made.config)
}

fn with(tls: &ServerTls, material: Material) -> Result<Made, TlsError> {
    let provider = provider();
    let identity = |(index, pem): (usize, &Arc<CertificatePem>)| match pem::identity(pem, &provider) {
        Ok(key) => Ok(Identity::new(key)),
        Err(error) => Err(TlsError::Certificate(index, Box::new(error))),
    };
    let identities: Vec<Identity> = material.certificates.iter().enumerate().map(identity).collect::<Result<_, _>>()?;
    if identities.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let clients = match tls.validation.as_ref().zip(material.validation.as_ref()) {
        Some((trust, validation)) => verify::of_clients(trust, validation, tls.require_client_certificate, &provider)?,
        None if tls.require_client_certificate => return Err(TlsError::NoTrustedCa),
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(tls.min_version, tls.max_version))
        .map_err(|error| TlsError::library(&error))?;
    let mut config = builder.with_client_cert_verifier(Arc::clone(&clients)).with_cert_resolver(Arc::new(Identities(identities)));
    config.alpn_protocols.clone_from(&tls.alpn);
    // A resumed session would skip the check of the client's certificate: it may be revoked by now.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let leaves = material.certificates.iter().filter_map(|pem| describe::certificates(&pem.chain).into_iter().next());
    let expires = leaves.map(|leaf| leaf.expires).min();
    Ok(Made { material, config: Arc::new(config), clients, expires })
}

/// Does the handshake with a client, within `limit`.
///
/// # Errors
/// Who broke it off and why. The client was sent the fitting alert; the connection is closed.
pub async fn accept<IO>(io: IO, config: Arc<ServerConfig>, limit: Duration) -> Result<(TlsStream<IO>, TlsInfo), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut local = None;
    let handshake = async {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(|error| HandshakeError::new(Peer::Client, &error))?;
        let config = lenient(config, &begun.client_hello());
        local = config.cert_resolver.resolve(begun.client_hello());
        begun.into_stream(config).await.map_err(|error| HandshakeError::new(Peer::Client, &error))
    };
    let outcome = timeout(limit, handshake).await.unwrap_or_else(|_| Err(HandshakeError::timed_out(Peer::Client, limit)));
    match outcome {
        Ok(stream) => {
            let told = TlsInfo { local: local.and_then(|key| facts_of(&key)), ..info(stream.get_ref().1) };
            Ok((stream, told))
        }
        Err(error) => Err(error.of_ours(local.and_then(|key| key.cert.first().map(names::of)))),
    }
}

/// As Envoy: a client that offers only protocols which are not spoken here goes on without one. The library would refuse it.
fn lenient(config: Arc<ServerConfig>, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
    let Some(mut offered) = hello.alpn() else { return config };
    let spoken = |protocol: &[u8]| config.alpn_protocols.iter().any(|ours| ours == protocol);
    if config.alpn_protocols.is_empty() || offered.any(spoken) {
        return config;
    }
    let mut without = ServerConfig::clone(&config);
    without.alpn_protocols.clear();
    Arc::new(without)
}

/// What a handshake said.
pub fn info(connection: &ServerConnection) -> TlsInfo {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    TlsInfo {
        sni: connection.server_name().map(str::to_ascii_lowercase),
        terminated: true,
        version: connection.protocol_version().and_then(version_name),
        cipher: connection.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())),
        alpn: connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        peer_presented: certificate.is_some(),
        // A certificate that was not accepted ends the handshake.
        peer_validated: certificate.is_some(),
        peer: certificate.map(|certificate| Box::new(names::facts(certificate))),
        peer_chain: Vec::new(),
        local: None,
    }
}

thread_local! {
    /// What the certificates that this thread showed last say.
    static SHOWN: RefCell<VecDeque<(Weak<CertifiedKey>, Arc<Certificate>)>> = const { RefCell::new(VecDeque::new()) };
}

/// Certificates of so many chains are known at once.
const SHOWN_AT_ONCE: usize = 8;

/// Read once, not with every connection.
fn facts_of(key: &Arc<CertifiedKey>) -> Option<Arc<Certificate>> {
    SHOWN.with_borrow_mut(|shown| {
        shown.retain(|(known, _)| known.strong_count() > 0);
        if let Some((_, facts)) = shown.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(key))) {
            return Some(Arc::clone(facts));
        }
        let facts = Arc::new(names::facts(key.cert.first()?));
        if shown.len() >= SHOWN_AT_ONCE {
            shown.pop_front();
        }
        shown.push_back((Arc::downgrade(key), Arc::clone(&facts)));
        Some(facts)
    })
}

pub(super) fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    if version == ProtocolVersion::TLSv1_3 { Some("TLSv1.3") } else { (version == ProtocolVersion::TLSv1_2).then_some("TLSv1.2") }
}

/// IANA has no `13` in the names of TLS 1.3's.
pub(super) fn cipher_name(suite: CipherSuite) -> String {
    format!("{suite:?}").replacen("TLS13_", "TLS_", 1)
}

/// A certificate with its key, and the hosts it is for.
#[derive(Debug)]
struct Identity {
    key: Arc<CertifiedKey>,
    hosts: Vec<String>,
}

impl Identity {
    fn new(key: Arc<CertifiedKey>) -> Self {
        let hosts = key.cert.first().map(names::hosts).unwrap_or_default();
        Self { key, hosts }
    }

    fn usable(&self, hello: &ClientHello<'_>) -> bool {
        self.key.key.choose_scheme(hello.signature_schemes()).is_some()
    }
}

/// Certificates to choose from. The one that names the host, else one whose wildcard covers it, else the first; among
/// equals the first whose key (ECDSA, RSA) the client can use.
#[derive(Debug)]
struct Identities(Vec<Identity>);

impl Identities {
    fn find(&self, hello: &ClientHello<'_>, fits: impl Fn(&str) -> bool) -> Option<&Identity> {
        self.0.iter().find(|identity| identity.hosts.iter().any(|host| fits(host)) && identity.usable(hello))
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let exact = self.find(&hello, |host| host.eq_ignore_ascii_case(name));
            exact.or_else(|| self.find(&hello, |host| names::host_fits(host, name)))
        });
        let any = || self.0.iter().find(|identity| identity.usable(&hello)).or_else(|| self.0.first());
        named.or_else(any).map(|identity| Arc::clone(&identity.key))
    }
}
