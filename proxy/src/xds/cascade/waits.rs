use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::xds::resource::Kind;

/// Why time passes for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// It is to serve, and waits for others.
    Warming,
    /// It was taken away, and serves what still names it.
    Farewell,
}

/// A wait.
pub(super) type Key = (Reason, Kind, String);

/// What is waited for, and since when.
pub(super) struct Waits<'a> {
    pub(super) since: &'a mut HashMap<Key, Instant>,
    pub(super) still: HashSet<Key>,
    pub(super) wake: Option<Instant>,
    pub(super) now: Instant,
}

impl Waits<'_> {
    /// Waits for at most `limit` from the first time; `false` once that is over.
    pub(super) fn wait(&mut self, kind: Kind, name: &str, limit: Option<Duration>) -> bool {
        self.pass(Reason::Warming, kind, name, limit)
    }

    /// Likewise of what was taken away.
    pub(super) fn farewell(&mut self, kind: Kind, name: &str, limit: Duration) -> bool {
        self.pass(Reason::Farewell, kind, name, Some(limit))
    }

    fn pass(&mut self, reason: Reason, kind: Kind, name: &str, limit: Option<Duration>) -> bool {
        let key = (reason, kind, name.to_owned());
        let since = *self.since.entry(key.clone()).or_insert(self.now);
        self.still.insert(key);
        let Some(limit) = limit else { return true };
        let Some(until) = since.checked_add(limit) else { return true };
        if until <= self.now {
            return false;
        }
        self.wake = Some(self.wake.map_or(until, |wake| wake.min(until)));
        true
    }
}
