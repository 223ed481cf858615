use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::authority::caller::By;
use crate::authority::certify::Refused;

/// What callers were authenticated by, in the order of the figures.
pub const PROOFS: [&str; 3] = ["token", "service_account", "certificate"];
/// Why requests were refused, in the order of the figures.
pub const REASONS: [&str; 5] = ["invalid", "unauthenticated", "denied", "exhausted", "unavailable"];

/// What happened since the start.
#[derive(Debug, Default)]
pub struct Counters {
    issued: [AtomicU64; PROOFS.len()],
    refused: [AtomicU64; REASONS.len()],
    revoked: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Certificates by [`PROOFS`].
    pub issued: [u64; PROOFS.len()],
    /// Refusals by [`REASONS`].
    pub refused: [u64; REASONS.len()],
    /// Certificates that are revoked and may still hold.
    pub revoked: u64,
}

impl Counters {
    /// At this moment.
    pub fn read(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Figures { issued: self.issued.each_ref().map(read), refused: self.refused.each_ref().map(read), revoked: read(&self.revoked) }
    }

    pub(super) fn issued(&self, by: &By) {
        let [token, service_account, certificate] = &self.issued;
        let counter = match by {
            By::Token(_) => token,
            By::ServiceAccount(_) => service_account,
            By::Certificate(_) => certificate,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn revoked(&self, count: usize) {
        self.revoked.store(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn refused(&self, refused: &Refused) {
        let [invalid, unauthenticated, denied, exhausted, unavailable] = &self.refused;
        let counter = match refused {
            Refused::Invalid(_) => invalid,
            Refused::Unauthenticated(_) => unauthenticated,
            Refused::Denied(_) => denied,
            Refused::Exhausted(_) => exhausted,
            Refused::Unavailable(_) => unavailable,
        };
        counter.fetch_add(1, Relaxed);
    }
}
