use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::identity::{CertificatePem, ServerTls, Validation};
use crate::exchange::info::TlsInfo;
use crate::tls::handshake::{HandshakeError, HandshakeFailure, Peer};
use crate::tls::{TlsError, names, pem, provider, verify, versions};

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
}

impl Source {
    /// Of settings that can be used now.
    ///
    /// # Errors
    /// A certificate, key, authority or revocation list that cannot be used.
    pub fn new(settings: &Arc<ServerTls>) -> Result<Self, TlsError> {
        let material = Material::of(settings);
        let config = with(settings, &material)?;
        Ok(Self { settings: Arc::clone(settings), made: ArcSwap::from_pointee(Made { material, config }) })
    }

    /// What handshakes need now. A certificate or authority that cannot be used is told, and the one before goes on.
    pub fn config(&self) -> Arc<ServerConfig> {
        let made = self.made.load();
        if made.material.is_current(&self.settings) {
            return Arc::clone(&made.config);
        }
        let material = Material::of(&self.settings);
        let config = with(&self.settings, &material).unwrap_or_else(|error| {
            tracing::error!(%error, "what has come in place of a certificate or an authority cannot be used; the one before goes on");
            Arc::clone(&made.config)
        });
        self.made.store(Arc::new(Made { material, config: Arc::clone(&config) }));
        config
    }
}

/// Certificates and authorities as they were when a configuration was made of them.
#[derive(Debug)]
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
    with(tls, &Material::of(tls))
}

fn with(tls: &ServerTls, material: &Material) -> Result<Arc<ServerConfig>, TlsError> {
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
    let mut config = builder.with_client_cert_verifier(clients).with_cert_resolver(Arc::new(Identities(identities)));
    config.alpn_protocols.clone_from(&tls.alpn);
    // A resumed session would skip the check of the client's certificate: it may be revoked by now.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Does the handshake with a client, within `limit`.
///
/// # Errors
/// Who broke it off and why. The client was sent the fitting alert; the connection is closed.
pub async fn accept<IO>(io: IO, config: Arc<ServerConfig>, limit: Duration) -> Result<(TlsStream<IO>, TlsInfo), HandshakeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        let config = lenient(config, &begun.client_hello());
        begun.into_stream(config).await
    };
    match timeout(limit, handshake).await {
        Ok(Ok(stream)) => {
            let told = info(stream.get_ref().1);
            Ok((stream, told))
        }
        Ok(Err(error)) => Err(HandshakeError::new(Peer::Client, &error)),
        Err(_) => Err(HandshakeError { peer: Peer::Client, cause: HandshakeFailure::TimedOut(limit) }),
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
    let facts = certificate.map(names::facts);
    let (uris, subject) = facts.map(|facts| (facts.uris, facts.subject)).unzip();
    TlsInfo {
        sni: connection.server_name().map(str::to_ascii_lowercase),
        terminated: true,
        version: connection.protocol_version().and_then(version_name),
        cipher: connection.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())),
        alpn: connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        peer_presented: certificate.is_some(),
        // A certificate that was not accepted ends the handshake.
        peer_validated: certificate.is_some(),
        peer_uri_sans: uris.unwrap_or_default(),
        peer_subject: subject,
    }
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    if version == ProtocolVersion::TLSv1_3 { Some("TLSv1.3") } else { (version == ProtocolVersion::TLSv1_2).then_some("TLSv1.2") }
}

/// IANA has no `13` in the names of TLS 1.3's.
fn cipher_name(suite: CipherSuite) -> String {
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
