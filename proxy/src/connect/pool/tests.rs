use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::{Exchange, ExchangeError, Failure, Pools, Sending, Target};
use crate::codec::{Body, Informational, Spelling};
use crate::config::address::Address;
use crate::config::cluster::{Cluster, UpstreamProtocol};
use crate::config::endpoint::Health;
use crate::config::route::Priority;
use crate::connect::tcp::DialCause;
use crate::task::spawn_bounded_by_connection;
use crate::upstream::tests::listed;
use crate::upstream::{ClusterState, EndpointState, LimitKind};

mod http1;
mod http2;

/// A server, and how many connections it has taken.
struct Server {
    address: Address,
    accepted: Rc<Cell<u32>>,
}

impl Server {
    /// Serves each connection with `serve`, which gets the connection's number, from 0.
    async fn start<F: Future<Output = ()> + 'static>(serve: impl Fn(TcpStream, u32) -> F + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Ip(listener.local_addr().unwrap());
        let accepted = Rc::new(Cell::new(0));
        let count = Rc::clone(&accepted);
        spawn_bounded_by_connection(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = count.replace(count.get() + 1);
                spawn_bounded_by_connection(serve(stream, number));
            }
        });
        Self { address, accepted }
    }
}

/// One cluster with one endpoint, and a worker's pools.
struct Client {
    pools: Pools,
    cluster: Arc<ClusterState>,
    endpoint: Arc<EndpointState>,
}

impl Client {
    fn of(address: &Address, change: impl FnOnce(&mut Cluster)) -> Self {
        let mut config = listed(Vec::new());
        change(&mut config);
        let endpoint = EndpointState::new(address.clone(), "", Health::Healthy);
        Self { pools: Pools::new(None), cluster: ClusterState::new(Arc::new(config)), endpoint }
    }

    async fn send(&self) -> Result<Exchange, ExchangeError> {
        self.send_request(Request::get("http://shop/").body(Body::Empty).unwrap()).await
    }

    async fn send_request(&self, request: Request<Body>) -> Result<Exchange, ExchangeError> {
        let target = Target {
            cluster: &self.cluster,
            endpoint: &self.endpoint,
            version: Version::HTTP_11,
            priority: Priority::Default,
            server_name: None,
            from: None,
        };
        let sending = Sending { request, spelling: Spelling::Lower, informational: Informational::default() };
        self.pools.exchange(&target, sending).await
    }

    /// Sends, reads the answer to its end, and says whether the connection was reused.
    async fn get(&self) -> bool {
        finish(self.send().await.unwrap()).await
    }

    fn clone_of(&self) -> Self {
        let (cluster, endpoint) = (Arc::clone(&self.cluster), Arc::clone(&self.endpoint));
        Self { pools: self.pools.clone(), cluster, endpoint }
    }
}

async fn finish(exchange: Exchange) -> bool {
    exchange.outgoing.response.into_body().collect().await.unwrap();
    exchange.upstream.reused
}

/// Lets all other tasks run.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), LocalSet::new().run_until(test)).await.unwrap()
}

/// Reads one request head; `None` at the end.
async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.extend(byte);
    }
    Some(head)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers every request on a connection.
async fn answer(mut stream: TcpStream, _number: u32) {
    while read_head(&mut stream).await.is_some() {
        if stream.write_all(OK).await.is_err() {
            return;
        }
    }
}

/// Answers every request on a connection; the last byte comes late.
async fn answer_slowly(mut stream: TcpStream, _number: u32) {
    let (early, late) = OK.split_at(OK.len() - 1);
    while read_head(&mut stream).await.is_some() {
        if stream.write_all(early).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        if stream.write_all(late).await.is_err() {
            return;
        }
    }
}
