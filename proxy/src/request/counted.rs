use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use http::Version;

use crate::codec::Drain;
use crate::exchange::ConnectionInfo;
use crate::telemetry::metrics::HttpStats;

/// Counts a client's HTTP connection until dropped.
pub(super) struct Counted {
    stats: Arc<HttpStats>,
    info: Rc<ConnectionInfo>,
    drain: Drain,
    version: Cell<Option<Version>>,
}

impl Counted {
    pub(super) fn new(stats: &Arc<HttpStats>, info: &Rc<ConnectionInfo>, drain: Drain) -> Self {
        stats.downstream_cx_total.inc();
        stats.downstream_cx_active.inc();
        if is_tls(info) {
            stats.downstream_cx_ssl_total.inc();
            stats.downstream_cx_ssl_active.inc();
        }
        Self { stats: Arc::clone(stats), info: Rc::clone(info), drain, version: Cell::new(None) }
    }

    /// It is known what the client speaks.
    pub(super) fn speaks(&self, version: Version) {
        self.version.set(Some(version));
        if version == Version::HTTP_2 {
            self.stats.downstream_cx_http2_total.inc();
            self.stats.downstream_cx_http2_active.inc();
        } else {
            self.stats.downstream_cx_http1_total.inc();
            self.stats.downstream_cx_http1_active.inc();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let stats = &self.stats;
        stats.downstream_cx_active.dec();
        stats.downstream_cx_destroy.inc();
        stats.downstream_cx_length_ms.record(self.info.started.elapsed());
        if is_tls(&self.info) {
            stats.downstream_cx_ssl_active.dec();
        }
        if self.drain.is_draining() {
            stats.downstream_cx_drain_close.inc();
        }
        match self.version.get() {
            Some(Version::HTTP_2) => stats.downstream_cx_http2_active.dec(),
            Some(_) => stats.downstream_cx_http1_active.dec(),
            None => {}
        }
    }
}

fn is_tls(info: &ConnectionInfo) -> bool {
    info.tls.as_ref().is_some_and(|tls| tls.terminated)
}

/// Counts a connection that changed to another protocol, until dropped.
pub(super) struct Upgraded(Arc<HttpStats>);

impl Upgraded {
    pub(super) fn new(stats: &Arc<HttpStats>) -> Self {
        stats.downstream_cx_upgrades_total.inc();
        stats.downstream_cx_upgrades_active.inc();
        Self(Arc::clone(stats))
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.0.downstream_cx_upgrades_active.dec();
    }
}
