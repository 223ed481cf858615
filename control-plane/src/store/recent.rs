//! The latest revisions, for those who follow. Nothing is queued for a follower: it takes the next from here at its own pace, and
//! one that is too slow is told so.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::store::Limits;
use crate::store::error::StoreError;
use crate::store::revision::Revision;

/// The latest revisions.
#[derive(Debug)]
pub(super) struct Recent {
    kept: RwLock<Kept>,
    latest: watch::Sender<u64>,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Kept {
    /// Without a gap.
    revisions: VecDeque<Arc<Revision>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new(limits: Limits, latest: u64) -> Self {
        Self { kept: RwLock::default(), latest: watch::Sender::new(latest), limits }
    }

    /// Adds a revision.
    pub(super) fn push(&self, revision: Arc<Revision>) {
        let number = revision.number;
        {
            let mut kept = self.kept.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.bytes += revision.size();
            kept.revisions.push_back(revision);
            while kept.revisions.len() > self.limits.recent || (kept.bytes > self.limits.recent_bytes && kept.revisions.len() > 1) {
                let Some(oldest) = kept.revisions.pop_front() else { break };
                kept.bytes -= oldest.size();
            }
        }
        self.latest.send_replace(number);
    }

    /// Forgets all revisions; the latest is another one now.
    pub(super) fn forget(&self, latest: u64) {
        *self.kept.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Kept::default();
        self.latest.send_replace(latest);
    }

    pub(super) fn latest(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Waits until a revision has been.
    pub(super) async fn reached(&self, number: u64) {
        // It ends only with this.
        let _reached = self.latest.subscribe().wait_for(|latest| *latest >= number).await.is_ok();
    }

    pub(super) fn watch(self: &Arc<Self>, since: u64) -> Watch {
        Watch { seen: since, latest: self.latest.subscribe(), recent: Arc::clone(self) }
    }

    /// The revision after `seen`, which is not the latest.
    fn after(&self, seen: u64) -> Result<Arc<Revision>, StoreError> {
        let kept = self.kept.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let oldest = kept.revisions.front().map_or(u64::MAX, |revision| revision.number);
        let index = (seen + 1).checked_sub(oldest).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| kept.revisions.get(index));
        found.cloned().ok_or_else(|| StoreError::Gone { asked: seen, oldest: oldest.min(self.latest()) })
    }
}

/// Follows the revisions after one.
#[derive(Debug)]
pub struct Watch {
    seen: u64,
    latest: watch::Receiver<u64>,
    recent: Arc<Recent>,
}

impl Watch {
    /// The next revision, as soon as there is one. [`StoreError::Gone`] when it is no longer kept here: list again. Nothing is lost
    /// when this is given up while waiting.
    pub async fn next(&mut self) -> Result<Arc<Revision>, StoreError> {
        let seen = self.seen;
        if self.latest.wait_for(|latest| *latest > seen).await.is_err() {
            return Err(StoreError::Closed);
        }
        let revision = self.recent.after(seen)?;
        self.seen = revision.number;
        Ok(revision)
    }

    /// The last revision that was seen.
    pub const fn seen(&self) -> u64 {
        self.seen
    }
}
