//! An endpoint to a connection that can be used, and a request over it.
//!
//! `tcp` dials; `pool` keeps HTTP connections and sends requests over them. Limits hold for both. Retries are decided
//! elsewhere: only a request that was never sent is sent again here.

/// How long mutual TLS lasts.
pub mod bond;
/// Permits and statistics of one connection.
pub mod guard;
/// Bytes to and from an endpoint.
pub mod io;
/// HTTP connections, kept and shared.
pub mod pool;
mod socket_option;
/// Dialling.
pub mod tcp;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::cluster::Cluster;
use crate::config::identity::{ClientTls, Validation};
use crate::connect::bond::Certificates;

/// What a TLS handshake with an endpoint needs.
#[derive(Clone)]
pub struct TlsTarget {
    /// Certificates, roots, ALPN.
    pub config: Arc<ClientConfig>,
    /// Who the server should be.
    pub server_name: ServerName<'static>,
    /// What `config` was made of.
    pub settings: Arc<ClientTls>,
    /// When our own certificate ends.
    pub expires: Option<SystemTime>,
    /// Whom `config` trusts.
    pub trusted: Option<Arc<Validation>>,
    /// What certificates say.
    pub certificates: Rc<dyn Certificates>,
}

impl TlsTarget {
    /// A protocol is not offered.
    fn without(self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols.retain(|offered| offered != protocol);
        Self { config: Arc::new(config), ..self }
    }
}

impl fmt::Debug for TlsTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTarget").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Makes what a TLS handshake needs: of a cluster's TLS settings, for the server name that a request asks for (where the cluster takes
/// it from requests). An error is a plain sentence; the connection fails with it.
pub type TlsSource = Rc<dyn Fn(&Cluster, &Arc<ClientTls>, Option<&str>) -> Result<TlsTarget, String>>;
