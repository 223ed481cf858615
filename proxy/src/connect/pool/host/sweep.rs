//! What the worker's task does for one pool.

use std::mem;
use std::rc::Rc;
use std::task::Context;

use tokio::time::Instant;

use super::HostPool;
use crate::connect::bond::Bond;
use crate::connect::pool::ConnectionFacts;
use crate::connect::pool::http1::Idle;
use crate::connect::pool::http2::Multiplexed;

impl HostPool {
    /// Closes what is over and serves who waits; returns when to look again.
    pub(in crate::connect::pool) fn sweep(self: &Rc<Self>, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        if !self.watched.get() {
            self.watched.set(self.counts.keeper.watch(&self.endpoint));
        }
        let idle = self.sweep_idle(now, cx);
        let shared = self.sweep_shared(now);
        self.serve_waiters();
        self.dial_as_needed();
        idle.into_iter().chain(shared).min()
    }

    fn sweep_idle(&self, now: Instant, cx: &mut Context<'_>) -> Option<Instant> {
        // Taken out, so that connections are dropped while nothing is borrowed.
        let mut idle = mem::take(&mut *self.idle.borrow_mut());
        idle.retain_mut(|idle| self.is_wanted(idle, now) && idle.held.connection.poll_idle_closed(cx).is_pending());
        let next = idle.iter().filter_map(|idle| self.due_of(idle)).min();
        *self.idle.borrow_mut() = idle;
        next
    }

    fn is_wanted(&self, idle: &Idle, now: Instant) -> bool {
        if idle.until.is_some_and(|until| until <= now) {
            self.cluster.stats().upstream_cx_idle_timeout.inc();
            return false;
        }
        !self.is_retired() && self.due_of(idle).is_none_or(|due| now < due)
    }

    fn due_of(&self, idle: &Idle) -> Option<Instant> {
        idle.until.into_iter().chain(self.grows_old(&idle.held.home.facts)).min()
    }

    /// When nothing more is begun on a connection.
    pub(super) fn grows_old(&self, facts: &ConnectionFacts) -> Option<Instant> {
        let longest = self.cluster.config().max_connection_duration.map(|longest| facts.began + longest);
        longest.into_iter().chain(facts.bond.as_ref().and_then(Bond::last_call)).min()
    }

    fn sweep_shared(&self, now: Instant) -> Option<Instant> {
        let mut shared = mem::take(&mut *self.shared.borrow_mut());
        shared.retain(|connection| {
            let idle = self.idle_until(connection).is_some_and(|until| until <= now);
            if idle {
                self.cluster.stats().upstream_cx_idle_timeout.inc();
            }
            let old = self.grows_old(&connection.facts).is_some_and(|due| due <= now);
            // One that has not been used waits for the requests it was dialled for.
            let retired = self.is_retired() && self.counts.waiting.get() == 0;
            !idle && !old && !retired && connection.client.is_usable()
        });
        let next = shared.iter().filter_map(|connection| self.due_of_shared(connection)).min();
        *self.shared.borrow_mut() = shared;
        next
    }

    /// Has the task look when a shared connection may have to be closed.
    pub(super) fn look_after(&self, connection: &Multiplexed) {
        if self.is_retired() {
            self.counts.keeper.wake();
        } else if let Some(due) = self.due_of_shared(connection) {
            self.counts.keeper.wake_by(due);
        }
    }

    fn due_of_shared(&self, connection: &Multiplexed) -> Option<Instant> {
        self.idle_until(connection).into_iter().chain(self.grows_old(&connection.facts)).min()
    }

    fn idle_until(&self, connection: &Multiplexed) -> Option<Instant> {
        let longest = self.cluster.config().idle_timeout?;
        (connection.active.get() == 0).then(|| connection.idle_since.get() + longest)
    }
}
