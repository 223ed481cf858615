use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Weak};

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use tracing::warn;

use crate::config::ClusterName;
use crate::config::cluster::{Cluster, UpstreamProtocol};
use crate::config::identity::ClientTls;
use crate::tls::{LONGEST_PROBLEM, TlsError, bounded, pem, provider, verify, versions};

/// Makes what handshakes with servers need. `default_alpn` is offered where the settings name no protocol.
///
/// Without a validation context every server is accepted, as Envoy does: whoever is there must hold the key of the certificate
/// that it shows, but may be anybody. With trusted authorities and no names, any certificate of theirs is accepted, for whatever
/// host. [`Source`] warns of the first.
///
/// # Errors
/// A certificate, key, authority or revocation list that cannot be used, a name that cannot be sent, and secrets by name.
pub fn client_config(tls: &ClientTls, default_alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
    tls.sni.as_deref().map(parse_name).transpose()?;
    let provider = provider();
    let servers = match &tls.validation {
        Some(validation) => verify::of_servers(validation, &provider)?,
        None => verify::of_nobody(&provider),
    };
    let identity = tls.certificate.as_ref().map(|source| pem::identity(source, &provider));
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
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Arc::new(config))
}

/// A cluster's endpoints are mostly known by one name, of which eight sessions are kept; for clusters that take the name from
/// requests, some more.
const SESSIONS: usize = 64;

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(bounded(name, LONGEST_PROBLEM)))
}

/// What handshakes with the servers of all clusters need, made when first asked for and kept. One for each worker.
///
/// A cluster whose settings changed has other settings in memory, and gets what they need.
#[derive(Debug, Default)]
pub struct Source {
    kept: RefCell<HashMap<ClusterName, Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// The settings that `config` was made of. They are not kept alive by this, but their place in memory is: so a new
    /// configuration is never taken for an old one.
    settings: Weak<ClientTls>,
    protocol: UpstreamProtocol,
    config: Result<Arc<ClientConfig>, String>,
}

impl Kept {
    fn is_of(&self, settings: &Arc<ClientTls>, protocol: &UpstreamProtocol) -> bool {
        std::ptr::eq(self.settings.as_ptr(), Arc::as_ptr(settings)) && self.protocol == *protocol
    }

    fn is_unused(&self) -> bool {
        self.settings.strong_count() == 0
    }
}

/// Configurations kept at once. Those of clusters that are gone leave before; a cluster too many is made anew each time.
const CONFIGS: usize = 4096;

impl Source {
    /// Nothing is made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a handshake with a server of `cluster` needs, and the server's name: the one that the request asks for, where the
    /// cluster takes it from there; else the configured one. Without a name none is sent.
    ///
    /// # Errors
    /// In a plain sentence: no TLS in this cluster, settings that cannot be used, or a request's host that is no name.
    pub fn target(&self, cluster: &Cluster, asked: Option<&str>) -> Result<(Arc<ClientConfig>, ServerName<'static>), String> {
        let settings = cluster.tls.as_ref().ok_or_else(|| String::from("the cluster has no TLS settings"))?;
        let config = self.config(cluster, settings)?;
        let asked = asked.filter(|name| settings.auto_host_sni && !name.is_empty());
        let name = asked.or(settings.sni.as_deref()).map_or_else(|| Ok(no_name()), parse_name);
        Ok((config, name.map_err(|error| error.to_string())?))
    }

    fn config(&self, cluster: &Cluster, settings: &Arc<ClientTls>) -> Result<Arc<ClientConfig>, String> {
        let mut kept = self.kept.borrow_mut();
        if let Some(found) = kept.get(&cluster.name).filter(|kept| kept.is_of(settings, &cluster.protocol)) {
            return found.config.clone();
        }
        kept.retain(|_, kept| !kept.is_unused());
        if settings.validation.is_none() && !kept.contains_key(&cluster.name) {
            warn!(cluster = %cluster.name, "TLS servers of this cluster are NOT verified: it has no validation_context with a trusted_ca");
        }
        let config = client_config(settings, default_alpn(&cluster.protocol)).map_err(|error| error.to_string());
        if kept.len() < CONFIGS || kept.contains_key(&cluster.name) {
            let settings = Arc::downgrade(settings);
            kept.insert(cluster.name.clone(), Kept { settings, protocol: cluster.protocol.clone(), config: config.clone() });
        }
        config
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
