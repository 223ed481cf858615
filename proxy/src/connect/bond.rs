use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConnection;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use crate::config::ClusterName;
use crate::config::address::Address;
use crate::config::identity::{ClientTls, Validation};
use crate::connect::TlsTarget;
use crate::connect::tcp::TlsFault;
use crate::exchange::TlsInfo;

/// No request is begun on a connection so long before its certificates' end: the other side ends it then.
const MARGIN: Duration = Duration::from_secs(2);

/// What a certificate says, and whether it is accepted.
pub trait Certificates {
    /// When it ends.
    fn expires(&self, certificate: &CertificateDer<'_>) -> Option<SystemTime>;

    /// Whether a server that shows these would be accepted now.
    fn accepts(&self, own: &ClientTls, chain: &[CertificateDer<'static>]) -> bool;

    /// Why a handshake by these settings failed, by an error of its stream.
    fn failed(&self, own: &ClientTls, error: &io::Error, server: (&ClusterName, &Address)) -> TlsFault;

    /// What a handshake said.
    fn told(&self, connection: &ClientConnection) -> TlsInfo;
}

/// Two that have shown each other who they are: a connection of mutual TLS lasts no longer than the certificates, and no longer than
/// the server's is accepted.
pub struct Bond {
    settings: Arc<ClientTls>,
    certificates: Rc<dyn Certificates>,
    chain: Vec<CertificateDer<'static>>,
    until: Option<Instant>,
    margin: Duration,
    /// By whom the server was accepted last.
    accepted_by: RefCell<Option<Arc<Validation>>>,
}

impl fmt::Debug for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bond").field("until", &self.until).finish_non_exhaustive()
    }
}

impl Bond {
    /// Of a handshake by these settings in which the server showed this; nothing where we show no certificate, or it did not.
    pub(super) fn new(target: &TlsTarget, chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let TlsTarget { settings, certificates, expires, trusted, .. } = target;
        let chain: Vec<CertificateDer<'static>> = chain?.iter().map(|certificate| certificate.clone().into_owned()).collect();
        let leaf = chain.first().filter(|_| settings.certificate.is_some())?;
        let until = certificates.expires(leaf).into_iter().chain(*expires).min();
        let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        let margin = left.map(|left| MARGIN.min(left / 10)).unwrap_or_default();
        let until = left.and_then(|left| Instant::now().checked_add(left));
        let accepted_by = RefCell::new(trusted.clone());
        Some(Self { settings: Arc::clone(settings), certificates: Rc::clone(certificates), chain, until, margin, accepted_by })
    }

    /// When it ends.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// When no more requests are to be begun.
    pub fn last_call(&self) -> Option<Instant> {
        self.until.and_then(|until| until.checked_sub(self.margin))
    }

    /// Whether more requests may be begun.
    pub fn holds(&self) -> bool {
        self.last_call().is_none_or(|last| Instant::now() < last) && self.is_accepted()
    }

    /// Whether the server still is accepted: looked at again whenever those change whom we trust.
    pub fn is_accepted(&self) -> bool {
        let Some(trust) = &self.settings.validation else { return true };
        let mut accepted_by = self.accepted_by.borrow_mut();
        if accepted_by.as_ref().is_some_and(|by| trust.validation.is(by)) {
            return true;
        }
        let now = trust.validation.load();
        let accepted = self.certificates.accepts(&self.settings, &self.chain);
        *accepted_by = accepted.then_some(now);
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::current::Current;
    use crate::config::identity::{CertificatePem, TlsVersion, Trust};
    use crate::connect::tcp::TlsFaultKind;
    use std::cell::Cell;
    use std::net::{IpAddr, Ipv4Addr};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Servers whose certificates end in an hour, and who is accepted.
    struct Known(Cell<bool>, Cell<u32>);

    impl Certificates for Known {
        fn expires(&self, _: &CertificateDer<'_>) -> Option<SystemTime> {
            Some(SystemTime::now() + HOUR)
        }

        fn failed(&self, _: &ClientTls, error: &io::Error, _: (&ClusterName, &Address)) -> TlsFault {
            TlsFault { why: error.to_string(), kind: TlsFaultKind::Protocol }
        }

        fn accepts(&self, _: &ClientTls, _: &[CertificateDer<'static>]) -> bool {
            self.1.set(self.1.get() + 1);
            self.0.get()
        }

        fn told(&self, _: &ClientConnection) -> TlsInfo {
            TlsInfo::default()
        }
    }

    fn target(certificate: bool, own: Option<Duration>, known: &Rc<Known>) -> TlsTarget {
        let pem = CertificatePem { chain: Vec::new(), key: Vec::new(), file: None };
        let settings = ClientTls {
            certificate: certificate.then(|| Current::new(pem)),
            validation: Some(Trust::from(Validation::nobody())),
            sni: None,
            auto_host_sni: false,
            alpn: Vec::new(),
            min_version: TlsVersion::Tls13,
            max_version: TlsVersion::Tls13,
        };
        let trusted = settings.validation.as_ref().map(|trust| trust.validation.load());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        TlsTarget {
            config: Arc::new(config),
            server_name: IpAddr::V4(Ipv4Addr::LOCALHOST).into(),
            settings: Arc::new(settings),
            expires: own.map(|left| SystemTime::now() + left),
            trusted,
            certificates: known.clone(),
        }
    }

    fn bond(target: &TlsTarget) -> Option<Bond> {
        Bond::new(target, Some(&[CertificateDer::from(vec![0])]))
    }

    #[tokio::test(start_paused = true)]
    async fn it_lasts_no_longer_than_the_first_certificate_that_ends() {
        let known = Rc::new(Known(Cell::new(true), Cell::new(0)));
        let left = |own| bond(&target(true, own, &known)).unwrap().last_call().unwrap().duration_since(Instant::now());
        let near = |left: Duration, expected: Duration| left <= expected && expected - left < Duration::from_secs(5);
        assert!(near(left(None), HOUR - MARGIN));
        assert!(near(left(Some(HOUR / 2)), HOUR / 2 - MARGIN));
        assert!(near(left(Some(Duration::from_secs(10))), Duration::from_secs(9)), "of short lives a tenth is left");
        let bond = bond(&target(true, Some(HOUR / 2), &known)).unwrap();
        assert_eq!(bond.until().unwrap() - bond.last_call().unwrap(), MARGIN);
        assert!(bond.holds());
        tokio::time::advance(HOUR).await;
        assert!(!bond.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_looked_at_again_when_those_change_whom_we_trust() {
        let known = Rc::new(Known(Cell::new(true), Cell::new(0)));
        let target = target(true, None, &known);
        let bond = bond(&target).unwrap();
        assert!(bond.holds() && bond.holds());
        assert_eq!(known.1.get(), 0, "it was accepted in the handshake");
        let trust = target.settings.validation.as_ref().unwrap();
        trust.validation.replace(Arc::new(Validation::nobody()));
        assert!(bond.holds() && bond.holds());
        assert_eq!(known.1.get(), 1, "once for each change");
        known.0.set(false);
        assert!(bond.holds());
        trust.validation.replace(Arc::new(Validation::nobody()));
        assert!(!bond.holds() && !bond.holds());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_none_where_we_show_nothing() {
        let known = Rc::new(Known(Cell::new(true), Cell::new(0)));
        assert!(bond(&target(false, None, &known)).is_none());
        assert!(Bond::new(&target(true, None, &known), None).is_none());
    }
}
