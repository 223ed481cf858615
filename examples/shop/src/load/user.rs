//! One user: a connection, and requests on it, one after the other.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::answer::{Cart, TRACEPARENT};
use crate::load::Times;
use crate::load::tally::{Failure, Tally};
use crate::next::told;

/// An answer that has not come by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A user of the gateway.
pub(super) struct User {
    gateway: SocketAddr,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// Reads and writes, until this is dropped.
    _driver: JoinSet<()>,
}

impl User {
    pub(super) fn new(gateway: SocketAddr) -> Self {
        Self { gateway, connection: None }
    }

    /// Asks at these times until it is stopped.
    pub(super) async fn run(mut self, mut times: Times, tally: Arc<Mutex<Tally>>, mut stopped: watch::Receiver<bool>) {
        loop {
            let due = times.next();
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = sleep_until(due) => {}
            }
            let asked = timeout(PATIENCE, self.ask()).await;
            let outcome = asked.unwrap_or_else(|_late| Err(Failure::without(format!("no answer in {PATIENCE:?}"))));
            if outcome.is_err() {
                self.connection = None;
            }
            tally.lock().unwrap_or_else(PoisonError::into_inner).add(outcome, due.elapsed());
        }
    }

    async fn ask(&mut self) -> Result<Cart, Failure> {
        let traceparent = format!("00-{:032x}-{:016x}-01", fastrand::u128(1..), fastrand::u64(1..));
        let request = Request::get("/cart/ada").header(header::HOST, self.gateway.to_string()).header(TRACEPARENT, &traceparent);
        let request = request.body(Empty::new()).map_err(|error| Failure::without(error.to_string()))?;
        let sender = self.sender().await?;
        let response = sender.send_request(request).await.map_err(|error| Failure::without(told(&error)))?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|error| Failure::with(status, told(&error)))?.to_bytes();
        if status != 200 {
            return Err(Failure::with(status, String::from_utf8_lossy(&body).into_owned()));
        }
        let cart: Cart = serde_json::from_slice(&body).map_err(|error| Failure::with(status, error.to_string()))?;
        if trace_id(&cart.traceparent) != trace_id(&traceparent) {
            return Err(Failure::with(status, "the answer is of another trace".to_owned()));
        }
        Ok(cart)
    }

    /// The connection; a new one when the gateway has closed the last between two requests, as it may.
    async fn sender(&mut self) -> Result<&mut SendRequest<Empty<Bytes>>, Failure> {
        let usable = match &mut self.connection {
            Some(connection) => connection.sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(&mut connection.sender),
            empty => Ok(&mut empty.insert(connect(self.gateway).await?).sender),
        }
    }
}

async fn connect(gateway: SocketAddr) -> Result<Connection, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::without(format!("connecting: {}", told(error)));
    let stream = TcpStream::connect(gateway).await.map_err(|error| failed(&error))?;
    stream.set_nodelay(true).map_err(|error| failed(&error))?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    let mut driver = JoinSet::new();
    // How it ends is seen by the request.
    driver.spawn(async move { drop(connection.await) });
    Ok(Connection { sender, _driver: driver })
}

/// The trace that a `traceparent` is of; who passes it on has spans of its own in it.
fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_a_trace_have_its_id() {
        assert_eq!(trace_id("00-abc-1-01"), Some("abc"));
        assert_eq!(trace_id("00-abc-1-01"), trace_id("00-abc-2-01"));
        assert_eq!(trace_id(""), None);
    }
}
