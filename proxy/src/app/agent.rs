use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::dial::connect;
use crate::config::ClusterName;
use crate::config::identity::{CONTROL_PLANE, ClientTls, Enrolment, Joining, SanKind, SanMatch, TlsVersion, Trust, Validation};
use crate::config::matcher::{StringMatch, StringPattern};
use crate::connect::{TlsSource, TlsTarget};
use crate::dns::Book;
use crate::identity::{Identity, Key, Renewal, control_plane, token};
use crate::runtime::Shared;
use crate::task::{OwnedTask, sleep_by_either_clock};
use crate::tls::{chain, client};
use crate::worker::{Shown, tls_source};
use crate::xds::certificates::{SignError, Wish, sign};

/// How long an authority may take.
const LIMIT: Duration = Duration::from_secs(15);
/// Failures are told as warnings while this much of a certificate's life is left, then as errors.
const URGENT: Duration = Duration::from_secs(3600);
/// Authorities' file: some certificates.
const LARGEST_FILE: u64 = 1 << 20;

/// Gets the proxy's certificate from an authority, and renews it.
pub(super) struct Agent {
    shared: Arc<Shared>,
    enrolment: Enrolment,
    joining: Joining,
    authorities: Vec<ClusterName>,
    next: usize,
    tls: TlsSource,
    renewal: Renewal,
    expires: Option<SystemTime>,
    /// Who the control plane is.
    control_plane: Option<SanMatch>,
    /// Of an attempt that failed: an answer may have been lost, and tokens count keys.
    pending: Option<Key>,
    /// The authority did not take the certificate: the next attempt is by token.
    refused: bool,
    /// The control plane says that the certificate was revoked.
    revoked: watch::Receiver<u64>,
    /// Who knows services of the proxy's namespace by short names.
    book: Option<Rc<Book>>,
}

impl Agent {
    /// `authorities` are clusters, tried one after the other.
    pub(super) fn new(
        shared: &Arc<Shared>,
        enrolment: Enrolment,
        joining: Joining,
        authorities: Vec<ClusterName>,
        book: Option<Rc<Book>>,
    ) -> Self {
        let (shared, revoked) = (Arc::clone(shared), shared.revoked.subscribe());
        Self {
            shared,
            enrolment,
            joining,
            authorities,
            next: 0,
            tls: tls_source(),
            renewal: Renewal::new(),
            expires: None,
            control_plane: None,
            pending: None,
            refused: false,
            revoked,
            book,
        }
    }

    /// Returns when there is a certificate; then keeps it current as long as the task that it returns is kept.
    pub(super) async fn start(mut self) -> OwnedTask {
        let mut wait = self.renew().await;
        while self.expires.is_none() {
            tokio::time::sleep(wait).await;
            wait = self.renew().await;
        }
        OwnedTask::spawn(async move {
            loop {
                self.until(wait).await;
                wait = self.renew().await;
            }
        })
    }

    /// Waits, or hears that the certificate was revoked: then the next attempt is by token.
    async fn until(&mut self, wait: Duration) {
        tokio::select! {
            () = sleep_by_either_clock(wait, SystemTime::now) => {}
            Ok(()) = self.revoked.changed() => {
                tracing::error!("the control plane says that the certificate was revoked; another one is asked for by token");
                self.refused = true;
            }
        }
    }

    /// One attempt; how long to wait for the next.
    async fn renew(&mut self) -> Duration {
        let stats = Arc::clone(&self.shared.registry.ninon);
        let asked = match self.pending.take().map_or_else(Key::new, Ok) {
            Ok(key) => {
                let asked = timeout(LIMIT, self.ask(&key)).await;
                self.pending = Some(key);
                asked
            }
            Err(error) => Ok(Err(SignError::Failed(error.to_string()))),
        };
        let asked = asked.unwrap_or_else(|_| Err(SignError::Failed(format!("no answer within {}", humantime::format_duration(LIMIT)))));
        let now = SystemTime::now();
        match asked {
            Ok(identity) => {
                stats.identity_issued.inc();
                stats.identity_expires.set(seconds(identity.expires));
                let wait = self.renewal.succeeded(now, identity.expires, fastrand::f64());
                let expires = humantime::format_rfc3339_seconds(identity.expires);
                tracing::info!(identity = %identity.name, %expires, next_seconds = wait.as_secs(), "certificate");
                (self.expires, self.refused, self.pending) = (Some(identity.expires), false, None);
                // What was said was said of the one before.
                self.revoked.mark_unchanged();
                self.control_plane = Some(control_plane(&identity.name));
                if let (Some(book), Some(namespace)) = (&self.book, namespace(&identity.name)) {
                    book.move_to(namespace);
                }
                // First whom to trust: who is shown the new certificate may show one of a new authority.
                self.enrolment.trust.replace(Arc::new(identity.trust));
                self.enrolment.certificate.replace(Arc::new(identity.certificate));
                self.shared.renewals.send_modify(|count| *count = count.wrapping_add(1));
                wait
            }
            Err(error) => {
                stats.identity_failed.inc();
                self.refused = matches!(error, SignError::Refused(_)) && !self.refused;
                self.next = self.next.wrapping_add(1);
                let left = self.left(now);
                let wait = self.renewal.failed(left, fastrand::f64());
                tell_lost(&error, left, self.expires.is_some(), wait);
                wait
            }
        }
    }

    /// What is left of the certificate's life.
    fn left(&self, now: SystemTime) -> Option<Duration> {
        self.expires?.duration_since(now).ok()
    }

    async fn ask(&self, key: &Key) -> Result<Identity, SignError> {
        let failed = |error: String| SignError::Failed(error);
        let is_valid = self.left(SystemTime::now()).is_some_and(|left| !left.is_zero());
        let csr = key.request().map_err(|error| failed(error.to_string()))?;
        let (tls, token) = match is_valid && !self.refused {
            true => (Rc::clone(&self.tls), None),
            false => {
                let token = token::read(&self.joining.token).map_err(|error| failed(format!("the token: {error}")))?;
                (self.as_stranger(&token).map_err(failed)?, Some(token))
            }
        };
        let count = self.authorities.len().max(1);
        let server = self.authorities.get(self.next % count).ok_or_else(|| failed("no authority is named".to_owned()))?;
        let way = connect(Arc::clone(&self.shared), server.clone(), tls).await.map_err(failed)?;
        let answer = sign(way, server, Wish { csr, lifetime: self.joining.lifetime, token }).await?;
        Identity::read(key, &answer).map_err(|error| failed(error.to_string()))
    }

    /// Without one, to whom the token or the operator says.
    fn as_stranger(&self, token: &str) -> Result<TlsSource, String> {
        // Of which trust domain it is, is known by the first certificate.
        let first = || SanMatch { kind: SanKind::Uri, name: StringMatch::new(StringPattern::Suffix(CONTROL_PLANE.to_owned()), false) };
        let names = vec![self.control_plane.clone().unwrap_or_else(first)];
        let config = match (&self.joining.trusted_ca, token::pin(token)) {
            (Some(path), _) => {
                let pem = read(path).map_err(|error| format!("{}: {error}", path.display()))?;
                let trusted = Validation { subject_alt_names: names, ..Validation::of_roots(pem) };
                client::client_config(&stranger(Some(trusted)), &[])
            }
            (None, Some(pin)) => chain::pinned(pin, names),
            (None, None) => {
                return Err("the token does not tell the authority's key, and no --mesh-ca is given: nobody can be trusted".to_owned());
            }
        };
        let config = config.map_err(|error| error.to_string())?;
        // No name is sent.
        let server_name = ServerName::from(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
        let settings = Arc::new(stranger(None));
        let target = TlsTarget { config, server_name, settings, expires: None, trusted: None, certificates: Rc::new(Shown::default()) };
        Ok(Rc::new(move |_, _, _| Ok(target.clone())))
    }
}

/// Says what failed, and how much is left of the certificate's life; whether there has been one.
pub(super) fn tell_lost(error: &dyn fmt::Display, left: Option<Duration>, had: bool, wait: Duration) {
    let next_seconds = wait.as_secs_f64();
    match left {
        Some(left) if left > URGENT => {
            tracing::warn!(%error, next_seconds, left_seconds = left.as_secs(), "the certificate could not be renewed; it holds on");
        }
        Some(left) => {
            tracing::error!(%error, next_seconds, left_seconds = left.as_secs(), "the certificate could not be renewed; it soon expires");
        }
        None if had => tracing::error!(%error, next_seconds, "the certificate has expired, and could not be renewed"),
        None => tracing::warn!(%error, next_seconds, "no certificate yet; nothing is served before there is one"),
    }
}

/// Of a SPIFFE ID: `spiffe://<domain>/ns/<namespace>/sa/<account>`.
pub(super) fn namespace(identity: &str) -> Option<&str> {
    identity.split_once("/ns/")?.1.split('/').next()
}

fn stranger(trusted: Option<Validation>) -> ClientTls {
    ClientTls {
        certificate: None,
        validation: trusted.map(Trust::from),
        sni: None,
        auto_host_sni: false,
        alpn: vec![b"h2".to_vec()],
        min_version: TlsVersion::Tls13,
        max_version: TlsVersion::Tls13,
    }
}

pub(super) fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
