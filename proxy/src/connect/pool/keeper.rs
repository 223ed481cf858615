//! The task that closes idle connections, and serves who waits when a connection is gone.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Weak;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, sleep_until};

use crate::connect::pool::Shared;
use crate::upstream::EndpointState;

/// How pools reach the task.
#[derive(Default)]
pub(super) struct Keeper {
    waker: RefCell<Option<Waker>>,
    due: Cell<Option<Instant>>,
}

impl Keeper {
    /// Looks at all pools soon.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has the task look at all pools when the endpoint leaves its cluster; `false` if the task has not begun.
    pub(super) fn watch(&self, endpoint: &EndpointState) -> bool {
        let waker = self.waker.borrow();
        waker.iter().for_each(|waker| endpoint.wake_when_removed(waker));
        waker.is_some()
    }

    /// Looks at all pools at this time, or before.
    pub(super) fn wake_by(&self, time: Instant) {
        if self.due.get().is_none_or(|due| time < due) {
            self.due.set(Some(time));
            self.wake();
        }
    }

    /// Polls something so that the task hears of it.
    pub(super) fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let waker = self.waker.borrow().clone();
        poll(&mut Context::from_waker(waker.as_ref().unwrap_or(Waker::noop())))
    }
}

/// Runs until the pools are gone. Without connections it sleeps for good.
pub(super) async fn keep(shared: Weak<Shared>) {
    let mut timer = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        let Some(shared) = shared.upgrade() else { return Poll::Ready(()) };
        shared.keeper.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        loop {
            // Cleared first: what is due from here on is counted anew.
            shared.keeper.due.set(None);
            let next = shared.sweep(cx);
            shared.keeper.due.set(next);
            let Some(next) = next else { return Poll::Pending };
            timer.as_mut().reset(next);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await;
}
