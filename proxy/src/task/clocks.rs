use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

/// How often the time of day is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Waits so long by either clock: certificates hold by the time of day, and tokio's clock stands still while a machine is suspended or
/// a copy of it lies on a disk. `now` is the time of day.
pub async fn sleep_by_either_clock(wait: Duration, now: impl Fn() -> SystemTime) {
    let (begun, due) = (Instant::now(), now().checked_add(wait));
    loop {
        let rest = wait.saturating_sub(begun.elapsed());
        if rest.is_zero() || due.is_some_and(|due| due <= now()) {
            return;
        }
        sleep(rest.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::UNIX_EPOCH;

    use super::*;

    /// How long it took by tokio's clock, with a time of day that jumps after so long.
    async fn took(wait: Duration, after: Duration, jump: impl Fn(SystemTime) -> SystemTime) -> Duration {
        let begun = Instant::now();
        let (start, looked) = (UNIX_EPOCH + Duration::from_secs(1_000_000_000), Cell::new(0));
        sleep_by_either_clock(wait, || {
            looked.set(looked.get() + 1);
            let passed = begun.elapsed();
            if passed < after { start + passed } else { jump(start + passed) }
        })
        .await;
        assert!(looked.get() <= 2 + wait.as_secs() / LOOK.as_secs());
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_was_suspended_has_not_slept_through_its_time() {
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
        assert_eq!(took(hour, day, |now| now).await, hour);
        let woken = took(hour, Duration::from_secs(100), |now| now + day).await;
        assert!((Duration::from_secs(100)..=Duration::from_secs(110)).contains(&woken), "{woken:?}");
        assert_eq!(took(hour, Duration::from_secs(100), |now| now - day).await, hour, "a clock that was set back keeps nobody waiting");
        assert_eq!(took(Duration::ZERO, day, |now| now).await, Duration::ZERO);
        assert_eq!(took(Duration::from_millis(300), day, |now| now).await, Duration::from_millis(300));
    }
}
