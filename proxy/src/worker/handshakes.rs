use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;

use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::identity::ClientTls;
use crate::connect::bond::Certificates;
use crate::connect::tcp::{TlsFault, TlsFaultKind};
use crate::connect::{TlsSource, TlsTarget};
use crate::exchange::TlsInfo;
use crate::telemetry::sparse::Sparse;
use crate::tls::{HandshakeError, HandshakeFailure, client, describe};

/// What handshakes with the servers of all clusters need, on this thread.
pub fn tls_source() -> TlsSource {
    let source = client::Source::new();
    let certificates: Rc<dyn Certificates> = Rc::new(Shown { told: Some(Told::default()) });
    Rc::new(move |cluster, settings, asked| {
        let client::Ready { config, server_name, expires, trusted } = source.target(cluster, settings, asked)?;
        let (settings, certificates) = (Arc::clone(settings), Rc::clone(&certificates));
        Ok(TlsTarget { config, server_name, settings, expires, trusted, certificates })
    })
}

/// Certificates that servers show.
#[derive(Default)]
pub struct Shown {
    /// Else whoever dials tells of it.
    told: Option<Told>,
}

/// What is told now and then.
#[derive(Default)]
struct Told {
    /// Servers that are refused, or refuse us while hands are shaken.
    refused: Sparse,
    /// Those that do not speak TLS: they hide none of the others.
    plain: Sparse,
}

impl Told {
    fn tell(&self, error: &HandshakeError) -> Option<u64> {
        if error.is_refusal() {
            self.refused.tell()
        } else if matches!(error.cause, HandshakeFailure::NotTls) {
            self.plain.tell()
        } else {
            None
        }
    }
}

impl Certificates for Shown {
    fn expires(&self, certificate: &CertificateDer<'_>) -> Option<SystemTime> {
        describe::expires(certificate)
    }

    fn accepts(&self, settings: &ClientTls, chain: &[CertificateDer<'static>]) -> bool {
        client::accepts(settings, chain)
    }

    fn failed(&self, settings: &ClientTls, error: &io::Error, (cluster, server): (&ClusterName, &Address)) -> TlsFault {
        let error = client::failed(settings, error);
        match self.told.as_ref().and_then(|told| told.tell(&error)) {
            Some(untold) => tracing::warn!(%cluster, %server, untold, "TLS handshake: {error}"),
            None => tracing::debug!(%cluster, %server, %error, "TLS handshake"),
        }
        let kind = match error.cause {
            HandshakeFailure::Certificate(_) => TlsFaultKind::Certificate,
            HandshakeFailure::Name(_) => TlsFaultKind::Name,
            HandshakeFailure::Alert(_) => TlsFaultKind::Alert,
            HandshakeFailure::NoCertificate | HandshakeFailure::NotTls | HandshakeFailure::Protocol(_) => TlsFaultKind::Protocol,
            HandshakeFailure::TimedOut(_) | HandshakeFailure::HungUp | HandshakeFailure::Io(_) => TlsFaultKind::Lost,
        };
        TlsFault { why: error.to_string(), kind }
    }

    fn told(&self, connection: &ClientConnection) -> TlsInfo {
        client::info(connection)
    }
}
