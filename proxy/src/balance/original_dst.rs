//! Endpoints of original-destination clusters: made when first gone to, forgotten when unused.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::config::address::Address;
use crate::config::cluster::OriginalDst;
use crate::config::endpoint::Health;
use crate::upstream::EndpointState;

/// Where clients of this worker went.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    known: HashMap<SocketAddr, Destination>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Destination {
    endpoint: Arc<EndpointState>,
    used: Instant,
}

/// Where the connection goes.
pub(super) fn address(mut destination: SocketAddr, settings: &OriginalDst) -> SocketAddr {
    if let Some(port) = settings.port_override {
        destination.set_port(port);
    }
    destination
}

impl Destinations {
    pub(super) fn endpoint(&mut self, address: SocketAddr, settings: &OriginalDst) -> &Arc<EndpointState> {
        let now = Instant::now();
        self.sweep(now, settings);
        let destination = self
            .known
            .entry(address)
            .or_insert_with(|| Destination { endpoint: EndpointState::new(Address::Ip(address), "", Health::Healthy), used: now });
        destination.used = now;
        &destination.endpoint
    }

    /// At most once in an interval. One that connections or requests hold stays.
    fn sweep(&mut self, now: Instant, settings: &OriginalDst) {
        let last = *self.swept.get_or_insert(now);
        if now.duration_since(last) < settings.cleanup_interval {
            return;
        }
        self.swept = Some(now);
        self.known.retain(|_, destination| {
            Arc::strong_count(&destination.endpoint) > 1 || now.duration_since(destination.used) < settings.cleanup_interval
        });
    }
}
