use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// When something last moved on a stream, either way.
#[derive(Clone, Debug)]
pub struct Activity(Rc<Cell<Instant>>);

impl Activity {
    /// Now.
    pub fn new() -> Self {
        Self(Rc::new(Cell::new(Instant::now())))
    }

    /// At a time that is known already.
    pub fn at(time: Instant) -> Self {
        Self(Rc::new(Cell::new(time)))
    }

    /// Something moved.
    pub fn touch(&self) {
        self.touch_at(Instant::now());
    }

    /// Something moved at a time that is known already.
    pub fn touch_at(&self, time: Instant) {
        self.0.set(time);
    }

    fn last(&self) -> Instant {
        self.0.get()
    }

    /// Waits until nothing has moved for so long.
    pub async fn idle_for(&self, limit: Duration) {
        while let Some(until) = self.last().checked_add(limit) {
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
        std::future::pending().await
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// The route's: from the request's end to the response's end.
    Route,
    /// One attempt's.
    PerTry,
    /// One attempt without anything moving.
    PerTryIdle,
    /// Nothing moved on the stream.
    Idle,
    /// The stream's life.
    MaxStream,
    /// The request did not arrive in whole.
    Request,
}

/// A timer that requests of one connection hand on as it is: it fires once too early at most, and a busy connection
/// does not set it at all.
pub type Timer = Pin<Box<Sleep>>;

/// The deadlines of one request, on one timer that is set again only when it fires or a deadline comes nearer.
#[derive(Debug)]
pub struct Deadlines {
    /// Whatever it is set to.
    pub timer: Option<Timer>,
    /// When something last moved.
    pub activity: Activity,
    /// Limit for [`Expired::Idle`].
    pub idle: Option<Duration>,
    /// Limit for [`Expired::PerTryIdle`], and when the attempt began.
    pub per_try_idle: Option<(Duration, Instant)>,
    /// [`Expired::Route`].
    pub route: Option<Instant>,
    /// [`Expired::PerTry`].
    pub per_try: Option<Instant>,
    /// [`Expired::MaxStream`].
    pub max_stream: Option<Instant>,
    /// [`Expired::Request`].
    pub request: Option<Instant>,
}

impl Deadlines {
    /// Without any limit.
    pub fn new(activity: Activity) -> Self {
        Self { timer: None, activity, idle: None, per_try_idle: None, route: None, per_try: None, max_stream: None, request: None }
    }

    /// Whether nothing has moved for the idle limit.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.idle.and_then(|limit| self.activity.last().checked_add(limit)).is_some_and(|end| now >= end)
    }

    /// Ready when the earliest deadline has passed.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let Some((earliest, which)) = self.earliest() else { return Poll::Pending };
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(earliest)));
            if timer.deadline() > earliest || timer.is_elapsed() {
                timer.as_mut().reset(earliest);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // The timer may have been set for an earlier moment, before something moved.
            if Instant::now() >= earliest {
                return Poll::Ready(which);
            }
        }
    }

    fn earliest(&self) -> Option<(Instant, Expired)> {
        let after_activity = |limit: Option<Duration>| limit.and_then(|limit| self.activity.last().checked_add(limit));
        let per_try_idle = self.per_try_idle.and_then(|(limit, began)| self.activity.last().max(began).checked_add(limit));
        let all = [
            (self.route, Expired::Route),
            (self.per_try, Expired::PerTry),
            (self.max_stream, Expired::MaxStream),
            (self.request, Expired::Request),
            (per_try_idle, Expired::PerTryIdle),
            (after_activity(self.idle), Expired::Idle),
        ];
        all.into_iter().filter_map(|(at, which)| at.map(|at| (at, which))).min_by_key(|(at, _)| *at)
    }
}

/// Waits for `future`, or for the first deadline.
///
/// # Errors
/// The deadline that passed.
pub async fn within<T>(deadlines: &mut Deadlines, future: impl Future<Output = T>) -> Result<T, Expired> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        deadlines.poll_expired(cx).map(Err)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_deadline_passes_first() {
        let mut deadlines = Deadlines::new(Activity::new());
        deadlines.route = Some(Instant::now() + Duration::from_secs(15));
        deadlines.per_try = Some(Instant::now() + Duration::from_secs(2));
        let began = Instant::now();
        assert_eq!(within(&mut deadlines, std::future::pending::<()>()).await, Err(Expired::PerTry));
        assert_eq!(began.elapsed().as_secs(), 2);
        deadlines.per_try = None;
        assert_eq!(within(&mut deadlines, std::future::pending::<()>()).await, Err(Expired::Route));
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn what_moves_puts_the_idle_limit_off() {
        let activity = Activity::new();
        let mut deadlines = Deadlines::new(activity.clone());
        deadlines.idle = Some(Duration::from_secs(10));
        let began = Instant::now();
        let mover = async {
            tokio::time::sleep(Duration::from_secs(8)).await;
            activity.touch();
            std::future::pending::<()>().await;
        };
        assert_eq!(within(&mut deadlines, mover).await, Err(Expired::Idle));
        assert_eq!(began.elapsed().as_secs(), 18);
    }
}
