use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// What strangers can bring about is told once in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps those who can make the proxy say something from filling its log. One worker's.
#[derive(Debug, Default)]
pub struct Sparse {
    told: Cell<Option<Instant>>,
    untold: Cell<u64>,
}

impl Sparse {
    /// Whether to tell now, and if so, how often it was not told before.
    pub fn tell(&self) -> Option<u64> {
        let now = Instant::now();
        if self.told.get().is_some_and(|told| now.duration_since(told) < PAUSE) {
            self.untold.set(self.untold.get().saturating_add(1));
            return None;
        }
        self.told.set(Some(now));
        Some(self.untold.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_often_is_told_once_a_second() {
        let sparse = Sparse::default();
        assert_eq!((sparse.tell(), sparse.tell(), sparse.tell()), (Some(0), None, None));
        tokio::time::advance(PAUSE).await;
        assert_eq!((sparse.tell(), sparse.tell()), (Some(2), None));
        tokio::time::advance(PAUSE).await;
        assert_eq!(sparse.tell(), Some(1));
    }
}
