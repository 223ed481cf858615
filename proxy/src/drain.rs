//! Graceful stop: what a worker has been told, and who is still busy.

use std::time::Duration;

use tokio::sync::watch;

use crate::codec::Drain;

/// How far the process has come on its way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    #[default]
    Serving,
    /// No new connections; requests finish, HTTP connections close after them.
    Draining,
    /// The time is up.
    Stopping,
}

/// Tells workers how far it has come.
#[derive(Debug)]
pub struct Announcer {
    phase: watch::Sender<Phase>,
    http: watch::Sender<bool>,
}

/// A worker's view.
#[derive(Clone, Debug)]
pub struct Watcher {
    phase: watch::Receiver<Phase>,
    http: watch::Receiver<bool>,
}

/// Both ends.
pub fn channel() -> (Announcer, Watcher) {
    let (phase, phase_seen) = watch::channel(Phase::Serving);
    let (http, http_seen) = watch::channel(false);
    (Announcer { phase, http }, Watcher { phase: phase_seen, http: http_seen })
}

impl Announcer {
    /// Goes on to `phase`; never back.
    pub fn announce(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
        self.http.send_replace(phase >= Phase::Draining);
    }
}

impl Watcher {
    /// What HTTP connections watch.
    pub fn http(&self) -> Drain {
        Drain::new(self.http.clone())
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until `phase`, or the end of the process, is reached.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the announcer is gone: the process ends.
        let _gone = self.phase.wait_for(|now| *now >= phase).await.is_err();
    }
}

/// Between looks at whether connections are still open, when draining.
pub const DRAIN_POLL: Duration = Duration::from_millis(50);
