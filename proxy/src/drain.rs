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
pub struct Announcer(watch::Sender<Phase>);

/// A worker's view.
#[derive(Clone, Debug)]
pub struct Watcher(watch::Receiver<Phase>);

/// Both ends.
pub fn channel() -> (Announcer, Watcher) {
    let (phase, seen) = watch::channel(Phase::Serving);
    (Announcer(phase), Watcher(seen))
}

impl Announcer {
    /// Goes on to `phase`; never back.
    pub fn announce(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }
}

impl Watcher {
    /// Waits until `phase`, or the end of the process, is reached.
    pub async fn reached(&mut self, phase: Phase) {
        // An error means that the announcer is gone: the process ends.
        let _gone = self.0.wait_for(|now| *now >= phase).await.is_err();
    }
}

/// Whether a listener takes connections; it may stop while the process goes on.
#[derive(Debug)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Gate {
    /// No connection is taken any more.
    pub fn shut(&self) {
        self.0.send_replace(false);
    }

    /// Whether connections are taken.
    pub fn is_open(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until no connection is taken any more.
    pub async fn closed(&self) {
        let mut open = self.0.subscribe();
        // The sender lives as long as this.
        let _gone = open.wait_for(|open| !*open).await.is_err();
    }
}

/// Tells the connections of a filter chain to go when their requests have ended.
#[derive(Debug)]
pub struct Farewell(watch::Sender<bool>);

impl Default for Farewell {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Farewell {
    /// Tells them.
    pub fn tell(&self) {
        self.0.send_replace(true);
    }

    /// Waits until they were told.
    pub async fn told(&self) {
        let mut told = self.0.subscribe();
        // The sender lives as long as this.
        let _gone = told.wait_for(|told| *told).await.is_err();
    }

    /// Waits until they were told, and then for so long: whoever has not gone by then is sent.
    pub async fn over(&self, limit: Duration) {
        self.told().await;
        tokio::time::sleep(limit).await;
    }

    /// What HTTP connections watch.
    pub fn http(&self) -> Drain {
        Drain::new(self.0.subscribe())
    }
}

/// Between looks at whether connections are still open, when draining.
pub const DRAIN_POLL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_stays_is_sent_when_the_time_is_over() {
        let farewell = Farewell::default();
        let limit = Duration::from_secs(600);
        let silent = tokio::time::timeout(Duration::from_secs(86_400), farewell.over(limit)).await;
        assert!(silent.is_err(), "nobody was told anything");
        let told = Instant::now();
        farewell.tell();
        farewell.over(limit).await;
        assert_eq!(told.elapsed(), limit);
    }
}
