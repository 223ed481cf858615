//! HTTP/1 connections: one request at a time, handed back when both messages have ended.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use tokio::time::Instant;

use crate::codec::http1::{Connection, Reuse};
use crate::connect::io::CountedIo;
use crate::connect::pool::ConnectionFacts;
use crate::connect::pool::host::HostPool;

/// A connection without a request.
pub(super) struct Held {
    pub(super) connection: Connection<CountedIo>,
    pub(super) home: Rc<Home>,
}

/// Where a connection belongs, as long as it lives; made once per connection.
pub(super) struct Home {
    me: Weak<Self>,
    pool: Weak<HostPool>,
    pub(super) facts: Rc<ConnectionFacts>,
    pub(super) requests: Cell<u32>,
}

impl Home {
    pub(super) fn new(pool: &Rc<HostPool>, facts: Rc<ConnectionFacts>) -> Rc<Self> {
        let pool = Rc::downgrade(pool);
        Rc::new_cyclic(|me| Self { me: Weak::clone(me), pool, facts, requests: Cell::new(0) })
    }
}

impl Reuse<CountedIo> for Home {
    fn reuse(&self, connection: Connection<CountedIo>) {
        if let (Some(pool), Some(home)) = (self.pool.upgrade(), self.me.upgrade()) {
            pool.take_back(Held { connection, home });
        }
    }
}

impl Held {
    /// Without a system call: the runtime has noted what the system reported.
    pub(super) fn is_closed(&mut self) -> bool {
        self.connection.poll_idle_closed(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}

/// A connection that waits for a request.
pub(super) struct Idle {
    pub(super) held: Held,
    /// When it is closed for lack of requests.
    pub(super) until: Option<Instant>,
}

/// A connection for one request. Dropped unused, it goes back.
pub(super) struct Lease {
    pool: Rc<HostPool>,
    pub(super) home: Rc<Home>,
    connection: Option<Connection<CountedIo>>,
}

impl Lease {
    pub(super) fn new(pool: Rc<HostPool>, held: Held) -> Self {
        Self { pool, home: held.home, connection: Some(held.connection) }
    }

    /// The connection; the first time.
    pub(super) fn take(&mut self) -> Option<Connection<CountedIo>> {
        self.connection.take()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.take_back(Held { connection, home: Rc::clone(&self.home) });
        }
    }
}
