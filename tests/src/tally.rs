//! Counts how cases ended, and says so when the last one has.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Both sides did the same; with one side alone: its facts held.
    Equal,
    /// The sides differ as the case says.
    DifferentOnPurpose,
    /// Neither.
    Failed,
}

/// Cases of one run by how they ended.
#[derive(Debug)]
pub struct Tally {
    left: AtomicUsize,
    equal: AtomicUsize,
    on_purpose: AtomicUsize,
    failed: AtomicUsize,
}

impl Tally {
    /// Of a run of this many cases.
    pub fn new(cases: usize) -> Self {
        Self {
            left: AtomicUsize::new(cases),
            equal: AtomicUsize::default(),
            on_purpose: AtomicUsize::default(),
            failed: AtomicUsize::default(),
        }
    }

    /// Counts one; the summary after the last one.
    pub fn count(&self, ended: Ended) -> Option<String> {
        let counter = match ended {
            Ended::Equal => &self.equal,
            Ended::DifferentOnPurpose => &self.on_purpose,
            Ended::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::AcqRel);
        (self.left.fetch_sub(1, Ordering::AcqRel) == 1).then(|| self.summary())
    }

    fn summary(&self) -> String {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Acquire);
        let (equal, on_purpose, failed) = (count(&self.equal), count(&self.on_purpose), count(&self.failed));
        format!("{} cases ran: {equal} equal, {on_purpose} different on purpose, {failed} failed", equal + on_purpose + failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_case_brings_the_summary() {
        let tally = Tally::new(4);
        assert_eq!(tally.count(Ended::Equal), None);
        assert_eq!(tally.count(Ended::DifferentOnPurpose), None);
        assert_eq!(tally.count(Ended::Failed), None);
        assert_eq!(tally.count(Ended::Equal).as_deref(), Some("4 cases ran: 2 equal, 1 different on purpose, 1 failed"));
    }
}
