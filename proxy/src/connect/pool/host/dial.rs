//! New connections: as many as the waiting requests need.

use std::rc::Rc;
use std::time::Duration;

use http::Version;
use tokio::time::timeout;

use super::{HostPool, Lease};
use crate::codec::{http1, http2};
use crate::config::address::Address;
use crate::config::cluster::UpstreamProtocol;
use crate::connect::TlsTarget;
use crate::connect::guard::ConnectionGuard;
use crate::connect::io::CountedIo;
use crate::connect::pool::http1::{Held, Home};
use crate::connect::pool::http2::Multiplexed;
use crate::connect::pool::{ConnectionFacts, Wanted};
use crate::connect::tcp::{self, DialCause, DialError, Dialed};
use crate::task::spawn_bounded_by_connection;

/// Streams that a new connection surely takes (RFC 9113, 6.5.2, recommends no fewer).
const STREAMS_OF_NEW_CONNECTION: u32 = 100;

enum Established {
    Http1(Held),
    Http2(Rc<Multiplexed>),
}

impl HostPool {
    /// Dials until those under way suffice for who waits, or the limit is reached. A pool without any connection may
    /// pass the limit: else its requests would wait for good while others hold all connections.
    pub(super) fn dial_as_needed(self: &Rc<Self>) {
        self.waiters.borrow_mut().retain(|waiter| !waiter.is_closed());
        while self.waiters.borrow().len() > self.dialing.get().saturating_mul(self.requests_per_dial()) {
            let none = self.dialing.get() == 0 && self.open() == 0;
            let guard = ConnectionGuard::acquire(&self.cluster, self.priority);
            let over_limit = || none.then(|| ConnectionGuard::acquire_over_limit(&self.cluster, self.priority));
            let Some(guard) = guard.or_else(over_limit) else { return };
            self.dialing.set(self.dialing.get().saturating_add(1));
            // Goes on when the request that began it is gone: the connection serves the next.
            spawn_bounded_by_connection(Rc::clone(self).dial(guard));
        }
    }

    fn requests_per_dial(&self) -> usize {
        if !self.speaks_http2.get() {
            return 1;
        }
        let streams = self.http2.max_concurrent_streams.clamp(1, STREAMS_OF_NEW_CONNECTION);
        usize::try_from(streams).unwrap_or(1)
    }

    async fn dial(self: Rc<Self>, guard: ConnectionGuard) {
        let established = self.establish(guard).await;
        self.dialing.set(self.dialing.get().saturating_sub(1));
        match established {
            Ok(Established::Http1(held)) => self.take_back(held),
            Ok(Established::Http2(connection)) => self.take_shared(connection),
            Err(error) => self.fail_excess(&error),
        }
        self.dial_as_needed();
    }

    async fn establish(self: &Rc<Self>, mut guard: ConnectionGuard) -> Result<Established, DialError> {
        let config = self.cluster.config();
        let remote = self.endpoint.address().clone();
        if self.wanted != Wanted::Negotiated {
            guard.set_version(self.version());
        }
        let result = match tcp::tls_target(config, &self.endpoint, self.tls.as_ref(), self.server_name.as_deref()) {
            Ok(target) => tcp::dial(&remote, config, target.map(|target| self.offers(target)), self.from).await,
            Err(cause) => Err(DialError { address: remote.clone(), cause }),
        };
        guard.count_dial(&result);
        let mut dialed = result?;
        if self.wanted == Wanted::Negotiated {
            self.speaks_http2.set(dialed.alpn.as_deref() == Some(b"h2"));
            guard.set_version(self.version());
        }
        self.counts.open.set(self.open().saturating_add(1));
        let counts = Rc::clone(&self.counts);
        guard.tell(counts);
        let facts = ConnectionFacts {
            local: dialed.local.clone(),
            remote,
            version: self.version(),
            connect_time: guard.began().elapsed(),
            began: guard.began(),
            bond: dialed.bond.take(),
            tls: dialed.tls.take(),
        };
        self.speak(dialed, guard, facts).await
    }

    /// HTTP/2 is not offered where HTTP/1.1 is wanted of a cluster that has both.
    fn offers(&self, target: TlsTarget) -> TlsTarget {
        let is_one_of_two = self.cluster.config().protocol == UpstreamProtocol::Auto && self.wanted == Wanted::Http1;
        if is_one_of_two { target.without(b"h2") } else { target }
    }

    fn version(&self) -> Version {
        if self.speaks_http2.get() { Version::HTTP_2 } else { Version::HTTP_11 }
    }

    async fn speak(self: &Rc<Self>, dialed: Dialed, guard: ConnectionGuard, facts: ConnectionFacts) -> Result<Established, DialError> {
        let io = CountedIo::new(dialed.io, guard);
        if facts.version != Version::HTTP_2 {
            let connection = http1::Connection::new(io, Rc::clone(&self.http1));
            return Ok(Established::Http1(Held { connection, home: Home::new(self, Rc::new(facts)) }));
        }
        let limit = self.cluster.config().connect_timeout;
        let client = preface(io, Rc::clone(&self.http2), limit, &facts.remote).await?;
        Ok(Established::Http2(Multiplexed::new(client, Rc::new(facts))))
    }

    fn take_shared(self: &Rc<Self>, connection: Rc<Multiplexed>) {
        let closed = connection.client.closed();
        let (pool, watched) = (Rc::downgrade(self), Rc::downgrade(&connection));
        spawn_bounded_by_connection(async move {
            closed.await;
            if let (Some(pool), Some(connection)) = (pool.upgrade(), watched.upgrade()) {
                // Who waits is served when the connection is gone.
                pool.let_go(&connection);
            }
        });
        self.shared.borrow_mut().push(Rc::clone(&connection));
        self.serve_waiters();
        self.look_after(&connection);
    }

    /// Gives room on shared connections to those who wait.
    pub(super) fn serve_waiters(self: &Rc<Self>) {
        loop {
            let waiter = self.next_waiter();
            let Some(waiter) = waiter else { return };
            if waiter.is_closed() {
                continue;
            }
            let Some(lease) = self.share() else {
                self.waiters.borrow_mut().push_front(waiter);
                return;
            };
            // Gone in between: the lease gives its share back.
            drop(waiter.send(Ok(lease)));
        }
    }

    /// Fails those who wait and for whom the dials still under way do not suffice.
    fn fail_excess(&self, error: &DialError) {
        self.waiters.borrow_mut().retain(|waiter| !waiter.is_closed());
        let expected = self.dialing.get().saturating_mul(self.requests_per_dial());
        while self.waiters.borrow().len() > expected {
            let Some(waiter) = self.next_waiter() else { return };
            drop(waiter.send(Err::<Lease, _>(error.clone())));
        }
    }
}

async fn preface(
    io: CountedIo,
    options: Rc<crate::codec::Http2Options>,
    limit: Duration,
    remote: &Address,
) -> Result<http2::Client, DialError> {
    let cause = match timeout(limit, http2::connect(io, options)).await {
        Ok(Ok(client)) => return Ok(client),
        Ok(Err(error)) => DialCause::Http(error.to_string()),
        Err(_) => DialCause::TimedOut(limit),
    };
    Err(DialError { address: remote.clone(), cause })
}
