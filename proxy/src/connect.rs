//! An endpoint to a connection that can be used, and a request over it.
//!
//! `tcp` dials; `pool` keeps HTTP connections and sends requests over them. Limits hold for both. Retries are decided
//! elsewhere: only a request that was never sent is sent again here.

/// Permits and statistics of one connection.
pub mod guard;
/// Bytes to and from an endpoint.
pub mod io;
/// HTTP connections, kept and shared.
pub mod pool;
mod socket_option;
/// Dialling.
pub mod tcp;

use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::config::cluster::Cluster;
use crate::config::identity::ClientTls;

/// What a TLS handshake with an endpoint needs.
#[derive(Clone, Debug)]
pub struct TlsTarget {
    /// Certificates, roots, ALPN.
    pub config: Arc<ClientConfig>,
    /// Who the server should be.
    pub server_name: ServerName<'static>,
}

/// Makes what a TLS handshake needs: of a cluster's TLS settings, for the server name that a request asks for (where the cluster takes
/// it from requests). An error is a plain sentence; the connection fails with it.
pub type TlsSource = Rc<dyn Fn(&Cluster, &Arc<ClientTls>, Option<&str>) -> Result<TlsTarget, String>>;
