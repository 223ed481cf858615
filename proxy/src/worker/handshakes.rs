use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;

use crate::config::identity::ClientTls;
use crate::connect::bond::Certificates;
use crate::connect::tcp::{TlsFault, TlsFaultKind};
use crate::connect::{TlsSource, TlsTarget};
use crate::exchange::TlsInfo;
use crate::tls::{HandshakeFailure, client, describe};

/// What handshakes with the servers of all clusters need, on this thread.
pub fn tls_source() -> TlsSource {
    let source = client::Source::new();
    let certificates: Rc<dyn Certificates> = Rc::new(Shown);
    Rc::new(move |cluster, settings, asked| {
        let client::Ready { config, server_name, expires, trusted } = source.target(cluster, settings, asked)?;
        let (settings, certificates) = (Arc::clone(settings), Rc::clone(&certificates));
        Ok(TlsTarget { config, server_name, settings, expires, trusted, certificates })
    })
}

/// Certificates that servers show.
pub struct Shown;

impl Certificates for Shown {
    fn expires(&self, certificate: &CertificateDer<'_>) -> Option<SystemTime> {
        describe::expires(certificate)
    }

    fn accepts(&self, settings: &ClientTls, chain: &[CertificateDer<'static>]) -> bool {
        client::accepts(settings, chain)
    }

    fn failed(&self, settings: &ClientTls, error: &io::Error) -> TlsFault {
        let error = client::failed(settings, error);
        let kind = match error.cause {
            HandshakeFailure::Certificate(_) => TlsFaultKind::Certificate,
            HandshakeFailure::Name(_) => TlsFaultKind::Name,
            HandshakeFailure::TimedOut(_)
            | HandshakeFailure::HungUp
            | HandshakeFailure::Alert(_)
            | HandshakeFailure::NoCertificate
            | HandshakeFailure::NotTls
            | HandshakeFailure::Protocol(_)
            | HandshakeFailure::Io(_) => TlsFaultKind::Handshake,
        };
        TlsFault { why: error.to_string(), kind }
    }

    fn told(&self, connection: &ClientConnection) -> TlsInfo {
        client::info(connection)
    }
}
