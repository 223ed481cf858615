//! The only waiting loop: asks again until the answer is there or the limit is over.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// The first answer that `ask` gives within `limit`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(limit: Duration, mut ask: impl FnMut() -> F) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(PAUSE).await;
    }
}
