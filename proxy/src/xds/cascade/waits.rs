use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::xds::resource::Kind;

/// What is waited for, and since when.
pub(super) struct Waits<'a> {
    pub(super) since: &'a mut HashMap<(Kind, String), Instant>,
    pub(super) still: HashSet<(Kind, String)>,
    pub(super) wake: Option<Instant>,
    pub(super) now: Instant,
}

impl Waits<'_> {
    /// Waits for at most `limit` from the first time; `false` once that is over.
    pub(super) fn wait(&mut self, kind: Kind, name: &str, limit: Option<Duration>) -> bool {
        let key = (kind, name.to_owned());
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
