//! HTTP/2 connections: shared, up to their streams.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use crate::codec::http2::Client;
use crate::connect::pool::ConnectionFacts;
use crate::connect::pool::host::HostPool;

/// A connection that requests share. It ends with the last of them, once the pool has let go of it.
pub(super) struct Multiplexed {
    pub(super) client: Client,
    pub(super) facts: Rc<ConnectionFacts>,
    /// Requests that hold it.
    pub(super) active: Cell<usize>,
    /// Requests it has carried.
    pub(super) requests: Cell<u32>,
    /// Since when it has no request.
    pub(super) idle_since: Cell<Instant>,
}

impl Multiplexed {
    pub(super) fn new(client: Client, facts: Rc<ConnectionFacts>) -> Rc<Self> {
        let idle_since = Cell::new(Instant::now());
        Rc::new(Self { client, facts, active: Cell::new(0), requests: Cell::new(0), idle_since })
    }

    /// Whether one more request fits. Those that hold it but have not sent yet count.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.active.get() < limit && self.client.is_usable() && self.client.has_capacity()
    }
}

/// A share in a connection, for one request.
pub(super) struct Lease {
    pool: Rc<HostPool>,
    pub(super) connection: Rc<Multiplexed>,
    pub(super) reused: bool,
}

impl Lease {
    pub(super) fn new(pool: Rc<HostPool>, connection: Rc<Multiplexed>) -> Self {
        connection.active.set(connection.active.get().saturating_add(1));
        let reused = connection.requests.get() > 0;
        connection.requests.set(connection.requests.get().saturating_add(1));
        Self { pool, connection, reused }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.active.set(connection.active.get().saturating_sub(1));
        self.pool.stream_ended(connection);
    }
}
