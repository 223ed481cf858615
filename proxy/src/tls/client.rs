use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection};
use tracing::warn;

use crate::config::ClusterName;
use crate::config::cluster::{Cluster, UpstreamProtocol};
use crate::config::identity::{CertificatePem, ClientTls, Validation};
use crate::exchange::TlsInfo;
use crate::tls::handshake::{HandshakeError, Peer};
use crate::tls::server::{cipher_name, version_name};
use crate::tls::{LONGEST_PROBLEM, TlsError, bounded, describe, names, pem, provider, verify, versions};

/// Makes what handshakes with servers need. `default_alpn` is offered where the settings name no protocol.
///
/// Without a validation context every server is accepted, as Envoy does: whoever is there must hold the key of the certificate
/// that it shows, but may be anybody. With trusted authorities and no names, any certificate of theirs is accepted, for whatever
/// host. [`Source`] warns of the first.
///
/// # Errors
/// A certificate, key, authority or revocation list that cannot be used, a name that cannot be sent, and secrets by name.
pub fn client_config(tls: &ClientTls, default_alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    config(tls, &Material::of(tls), default_alpn)
}

/// Certificates and authorities as they were when a configuration was made of them.
#[derive(Debug)]
struct Material {
    certificate: Option<Arc<CertificatePem>>,
    validation: Option<Arc<Validation>>,
}

impl Material {
    fn of(tls: &ClientTls) -> Self {
        Self {
            certificate: tls.certificate.as_ref().map(|certificate| certificate.load()),
            validation: tls.validation.as_ref().map(|trust| trust.validation.load()),
        }
    }

    fn is_current(&self, tls: &ClientTls) -> bool {
        let certificate = tls.certificate.as_ref().zip(self.certificate.as_ref()).is_none_or(|(source, used)| source.is(used));
        certificate && tls.validation.as_ref().zip(self.validation.as_ref()).is_none_or(|(trust, used)| trust.validation.is(used))
    }
}

fn config(tls: &ClientTls, material: &Material, default_alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    tls.sni.as_deref().map(parse_name).transpose()?;
    let provider = provider();
    let servers = match tls.validation.as_ref().zip(material.validation.as_ref()) {
        Some((trust, validation)) => verify::of_servers(trust, validation, &provider)?,
        None => verify::of_nobody(&provider),
    };
    let identity = material.certificate.as_ref().map(|pem| pem::identity(pem, &provider));
    // A session remembers the server's certificate of before: where both show theirs, each connection is to last as long as both hold.
    let resumption = if identity.is_some() { Resumption::disabled() } else { Resumption::in_memory_sessions(SESSIONS) };
    let identity = identity.transpose().map_err(|error| TlsError::Certificate(0, Box::new(error)))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(tls.min_version, tls.max_version))
        .map_err(|error| TlsError::library(&error))?
        .dangerous()
        .with_custom_certificate_verifier(servers);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match tls.alpn.as_slice() {
        [] => default_alpn.iter().map(|protocol| protocol.to_vec()).collect(),
        protocols => protocols.to_vec(),
    };
    config.resumption = resumption;
    Ok(Arc::new(config))
}

/// A cluster's endpoints are mostly known by one name, of which eight sessions are kept; for clusters that take the name from
/// requests, some more.
const SESSIONS: usize = 64;

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(bounded(name, LONGEST_PROBLEM)))
}

/// What one handshake needs.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Certificates, roots, ALPN.
    pub config: Arc<ClientConfig>,
    /// Who the server should be.
    pub server_name: ServerName<'static>,
    /// When our own certificate ends.
    pub expires: Option<SystemTime>,
    /// Whom `config` trusts.
    pub trusted: Option<Arc<Validation>>,
}

/// A configuration, when its own certificate ends, and whom it trusts.
type Usable = (Arc<ClientConfig>, Option<SystemTime>, Option<Arc<Validation>>);

/// Whether a server that shows these certificates would be accepted by settings as they are now. One that cannot be looked at is not.
pub fn accepts(settings: &ClientTls, chain: &[CertificateDer<'_>]) -> bool {
    let (Some(trust), Some((leaf, intermediates))) = (&settings.validation, chain.split_first()) else {
        return settings.validation.is_none();
    };
    let Ok(servers) = verify::of_servers(trust, &trust.validation.load(), &provider()) else { return false };
    servers.verify_server_cert(leaf, intermediates, &no_name(), &[], UnixTime::now()).is_ok()
}

/// What handshakes with the servers of all clusters need, made when first asked for and kept. One for each worker.
///
/// A cluster whose settings changed has other settings in memory, and gets what they need; one whose certificate was renewed, too.
#[derive(Debug, Default)]
pub struct Source {
    /// By the settings' place in memory.
    kept: RefCell<HashMap<usize, Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// The settings that `config` was made of. They are not kept alive by this, but their place in memory is: so a new
    /// configuration is never taken for an old one.
    settings: Weak<ClientTls>,
    material: Material,
    cluster: ClusterName,
    protocol: UpstreamProtocol,
    config: Result<Arc<ClientConfig>, String>,
    expires: Option<SystemTime>,
}

impl Kept {
    fn is_of(&self, settings: &ClientTls, protocol: &UpstreamProtocol) -> bool {
        self.protocol == *protocol && self.material.is_current(settings)
    }

    fn is_unused(&self) -> bool {
        self.settings.strong_count() == 0
    }
}

/// Configurations kept at once. Those of settings that are gone leave before; one too many is made anew each time.
const CONFIGS: usize = 4096;

impl Source {
    /// Nothing is made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a handshake with a server of `cluster` needs by these settings of it, and the server's name: the one that the request asks for, where the
    /// cluster takes it from there; else the configured one. Without a name none is sent.
    ///
    /// # Errors
    /// In a plain sentence: settings that cannot be used, or a request's host that is no name.
    pub fn target(&self, cluster: &Cluster, settings: &Arc<ClientTls>, asked: Option<&str>) -> Result<Ready, String> {
        let (config, expires, trusted) = self.config(cluster, settings)?;
        let asked = asked.filter(|name| settings.auto_host_sni && !name.is_empty());
        let name = asked.or(settings.sni.as_deref()).map_or_else(|| Ok(no_name()), parse_name);
        Ok(Ready { config, server_name: name.map_err(|error| error.to_string())?, expires, trusted })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.kept.borrow().len()
    }

    fn config(&self, cluster: &Cluster, settings: &Arc<ClientTls>) -> Result<Usable, String> {
        let mut kept = self.kept.borrow_mut();
        let place = Arc::as_ptr(settings).addr();
        if let Some(found) = kept.get(&place).filter(|kept| kept.is_of(settings, &cluster.protocol)) {
            return found.config.clone().map(|config| (config, found.expires, found.material.validation.clone()));
        }
        let known = kept.values().any(|kept| kept.cluster == cluster.name);
        kept.retain(|_, kept| !kept.is_unused());
        if settings.validation.is_none() && !known {
            warn!(cluster = %cluster.name, "TLS servers of this cluster are NOT verified: it has no validation_context with a trusted_ca");
        }
        let material = Material::of(settings);
        let config = config(settings, &material, default_alpn(&cluster.protocol)).map_err(|error| error.to_string());
        let trusted = material.validation.clone();
        let expires = material.certificate.as_ref().and_then(|pem| describe::certificates(&pem.chain).first().map(|leaf| leaf.expires));
        if kept.len() < CONFIGS || kept.contains_key(&place) {
            let (cluster, protocol) = (cluster.name.clone(), cluster.protocol.clone());
            kept.insert(place, Kept { settings: Arc::downgrade(settings), material, cluster, protocol, config: config.clone(), expires });
        }
        config.map(|config| (config, expires, trusted))
    }
}

/// Why a handshake by these settings failed, by an error of its stream.
pub fn failed(settings: &ClientTls, error: &std::io::Error) -> HandshakeError {
    let error = HandshakeError::new(Peer::Server, error);
    let pem = settings.certificate.as_ref().map(|source| source.load());
    let own = pem.and_then(|pem| CertificateDer::from_pem_slice(&pem.chain).ok());
    error.of_ours(own.map(|leaf| names::of(&leaf)))
}

/// What a handshake said.
pub fn info(connection: &ClientConnection) -> TlsInfo {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    TlsInfo {
        terminated: true,
        version: connection.protocol_version().and_then(version_name),
        cipher: connection.negotiated_cipher_suite().map(|suite| cipher_name(suite.suite())),
        alpn: connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        peer_presented: certificate.is_some(),
        peer: certificate.map(|certificate| Box::new(names::facts(certificate))),
        ..TlsInfo::default()
    }
}

/// An address instead of a name: the library sends no name for one, and verifies none here.
fn no_name() -> ServerName<'static> {
    ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// HTTP/1.1 and protocols that are not HTTP go without, as Envoy: a server may refuse what it does not know.
fn default_alpn(protocol: &UpstreamProtocol) -> &'static [&'static [u8]] {
    match protocol {
        UpstreamProtocol::Auto => &[b"h2", b"http/1.1"],
        UpstreamProtocol::Http2 => &[b"h2"],
        UpstreamProtocol::Http1 | UpstreamProtocol::UseDownstream => &[],
    }
}
