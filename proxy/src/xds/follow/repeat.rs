//! Refusals that only say again what was said.
//!
//! There are servers that send an answer of the state of the world again as soon as it is refused. The second refusal waits, so
//! that both sides do not go round as fast as they can.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::xds::resource::{Kind, Refusal};
use crate::xds::stream::Request;

/// How long a refusal waits that has been said already: at first, and at most, twice as long each time. A server that has better
/// news in the meantime is heard so much later.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// What was refused last, and what waits to be said.
#[derive(Debug, Default)]
pub(super) struct Repeats(BTreeMap<Kind, Repeat>);

#[derive(Debug)]
struct Repeat {
    version: String,
    refused: Vec<Refusal>,
    held: Option<(Instant, Request)>,
    /// For the next one that says the same.
    pause: Duration,
}

impl Repeats {
    /// An answer of this version was taken, or refused for these reasons, and `reply` says so. What is to be sent at once, and
    /// what of the reasons is new.
    pub(super) fn answered(
        &mut self,
        kind: Kind,
        version: &str,
        refused: Vec<Refusal>,
        reply: Request,
        now: Instant,
    ) -> (Option<Request>, Vec<Refusal>) {
        let Some(before) = self.0.remove(&kind) else {
            self.remember(kind, version, &refused, PAUSES.0);
            return (Some(reply), refused);
        };
        let is_said = before.version == version && before.refused == refused;
        let pause = if is_said { before.pause.saturating_mul(2).min(PAUSES.1) } else { PAUSES.0 };
        self.remember(kind, version, &refused, pause);
        let news = refused.into_iter().filter(|refusal| !before.refused.contains(refusal)).collect();
        match self.0.get_mut(&kind).filter(|_| is_said).zip(now.checked_add(before.pause)) {
            Some((repeat, until)) => {
                repeat.held = Some((until, reply));
                (None, news)
            }
            None => (Some(reply), news),
        }
    }

    fn remember(&mut self, kind: Kind, version: &str, refused: &[Refusal], pause: Duration) {
        if !refused.is_empty() {
            self.0.insert(kind, Repeat { version: version.to_owned(), refused: refused.to_vec(), held: None, pause });
        }
    }

    /// What has waited long enough.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Request> {
        let due = |repeat: &mut Repeat| repeat.held.take_if(|(until, _)| *until <= now).map(|(_, request)| request);
        self.0.values_mut().filter_map(due).collect()
    }

    /// When something will have waited long enough.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|repeat| repeat.held.as_ref()).map(|(until, _)| *until).min()
    }

    /// Nothing has been said on a new stream.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
