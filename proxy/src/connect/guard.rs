use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::Version;
use tokio::time::Instant;

use crate::config::route::Priority;
use crate::connect::tcp::{DialCause, DialError, Dialed, TlsFaultKind};
use crate::telemetry::metrics::{ClusterStats, Gauge};
use crate::upstream::{ClusterState, LimitKind, Permit};

/// Counts a connection from the moment it is dialled until it is dropped.
pub struct ConnectionGuard {
    _permit: Permit,
    stats: Arc<ClusterStats>,
    began: Instant,
    version: Option<Version>,
    gone: Option<Rc<dyn Gone>>,
}

/// Whom to tell that a connection is gone. Called while the connection is being dropped: it must only take note.
pub(super) trait Gone {
    /// One connection less.
    fn gone(&self);
}

impl ConnectionGuard {
    /// Counts a connection if the cluster's limit allows one more.
    pub fn acquire(cluster: &Arc<ClusterState>, priority: Priority) -> Option<Self> {
        let permit = Permit::acquire(cluster, LimitKind::Connections, priority);
        if permit.is_none() {
            cluster.stats().upstream_cx_overflow.inc();
        }
        permit.map(|permit| Self::new(cluster, permit))
    }

    /// Counts a connection whatever the limit says.
    pub(super) fn acquire_over_limit(cluster: &Arc<ClusterState>, priority: Priority) -> Self {
        Self::new(cluster, Permit::acquire_over_limit(cluster, LimitKind::Connections, priority))
    }

    fn new(cluster: &Arc<ClusterState>, permit: Permit) -> Self {
        let stats = Arc::clone(cluster.stats());
        stats.upstream_cx_total.inc();
        stats.upstream_cx_active.inc();
        Self { _permit: permit, stats, began: Instant::now(), version: None, gone: None }
    }

    /// When dialling began.
    pub fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn tell(&mut self, gone: Rc<dyn Gone>) {
        self.gone = Some(gone);
    }

    /// Counts it as a connection of an HTTP version.
    pub(super) fn set_version(&mut self, version: Version) {
        self.version = Some(version);
        if version == Version::HTTP_2 {
            self.stats.upstream_cx_http2_total.inc();
            self.stats.upstream_cx_http2_active.inc();
        } else {
            self.stats.upstream_cx_http1_total.inc();
            self.stats.upstream_cx_http1_active.inc();
        }
    }

    pub(super) fn count_dial(&self, result: &Result<Dialed, DialError>) {
        match result {
            Ok(dialed) => {
                self.stats.upstream_cx_connect_ms.record(self.began.elapsed());
                if dialed.tls.is_some() {
                    self.stats.ssl_handshake.inc();
                }
            }
            Err(error) => {
                self.stats.upstream_cx_connect_fail.inc();
                if error.is_timeout() {
                    self.stats.upstream_cx_connect_timeout.inc();
                }
                if let DialCause::Tls(fault) = &error.cause {
                    match fault.kind {
                        TlsFaultKind::Unready => {}
                        TlsFaultKind::Lost | TlsFaultKind::Alert | TlsFaultKind::Protocol => self.stats.ssl_connection_error.inc(),
                        TlsFaultKind::Certificate => self.stats.ssl_fail_verify_error.inc(),
                        TlsFaultKind::Name => self.stats.ssl_fail_verify_san.inc(),
                    }
                }
            }
        }
    }

    /// Counts bytes from the endpoint.
    pub fn received(&self, bytes: usize) {
        if bytes > 0 {
            self.stats.upstream_cx_rx_bytes_total.add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// Counts bytes to the endpoint.
    pub fn sent(&self, bytes: usize) {
        if bytes > 0 {
            self.stats.upstream_cx_tx_bytes_total.add(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn count_sent(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = result {
            self.sent(*bytes);
        }
    }

    fn version_gauge(&self) -> Option<&Gauge> {
        let http2 = self.version? == Version::HTTP_2;
        Some(if http2 { &self.stats.upstream_cx_http2_active } else { &self.stats.upstream_cx_http1_active })
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.stats.upstream_cx_active.dec();
        self.stats.upstream_cx_destroy.inc();
        self.stats.upstream_cx_length_ms.record(self.began.elapsed());
        if let Some(gauge) = self.version_gauge() {
            gauge.dec();
        }
        if let Some(gone) = self.gone.take() {
            gone.gone();
        }
    }
}

impl std::fmt::Debug for ConnectionGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionGuard").field("version", &self.version).finish_non_exhaustive()
    }
}
