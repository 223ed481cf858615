use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};

use crate::balance::{Balancer, PickContext};
use crate::config::ClusterName;
use crate::connect::io::UpstreamIo;
use crate::connect::{TlsSource, tcp};
use crate::runtime::Shared;
use crate::task::{OwnedTask, spawn_bounded_by_connection};

/// Connections that may be wanted at once: a channel wants one at a time, and there are few channels.
const MAX_ORDERS: usize = 64;

/// Channels for gRPC from the control thread to clusters. Each connection goes to an endpoint that balancing picks, with the
/// cluster's TLS, time limit and limit of connections.
#[derive(Debug)]
pub(super) struct Channels {
    orders: mpsc::Sender<Order>,
    _dialler: OwnedTask,
}

/// A connection that a channel wants. Channels are driven by tasks that may change threads; connecting may not.
#[derive(Debug)]
struct Order {
    cluster: ClusterName,
    answer: oneshot::Sender<io::Result<Connected>>,
}

impl Channels {
    pub(super) fn start(shared: &Arc<Shared>) -> Self {
        let (orders, incoming) = mpsc::channel(MAX_ORDERS);
        let tls = crate::worker::tls_source();
        let dialler = Rc::new(Dialler { shared: Arc::clone(shared), balancer: Balancer::new(shared.own.clone()), tls });
        Self { orders, _dialler: OwnedTask::spawn(serve(dialler, incoming)) }
    }

    /// A channel to a cluster that need not exist yet. It connects when it is used, and again when a connection has ended.
    pub(super) fn to(&self, cluster: &ClusterName) -> Channel {
        // The authority is the cluster's name, as in Envoy, where that can be one.
        let named = Endpoint::from_shared(format!("http://{cluster}"));
        let endpoint = named.unwrap_or_else(|_| Endpoint::from_static("http://cluster"));
        endpoint.connect_with_connector_lazy(Connector { cluster: cluster.clone(), orders: self.orders.clone() })
    }
}

async fn serve(dialler: Rc<Dialler>, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        let dialler = Rc::clone(&dialler);
        // Bounded by the cluster's `connect_timeout`, then by the connection.
        spawn_bounded_by_connection(async move { dialler.fill(order).await });
    }
}

struct Dialler {
    shared: Arc<Shared>,
    balancer: Balancer,
    tls: TlsSource,
}

impl Dialler {
    async fn fill(&self, order: Order) {
        let opened = self.open(&order.cluster).await;
        let (io, guard) = match opened {
            Ok(opened) => opened.io.into_parts(),
            // A channel that is gone does not want to know.
            Err(error) => return drop(order.answer.send(Err(error))),
        };
        let (open, closed) = oneshot::channel();
        if order.answer.send(Ok(Connected { io, _open: open })).is_ok() {
            // Nothing is ever sent: the other end is dropped with the connection.
            let _closed = closed.await.is_err();
        }
        drop(guard);
    }

    async fn open(&self, name: &ClusterName) -> io::Result<tcp::Opened> {
        let generation = self.shared.current.load_full();
        let cluster = generation.clusters.get(name);
        let cluster = cluster.ok_or_else(|| io::Error::other(format!("there is no cluster \"{name}\"")))?;
        let picked = self.balancer.pick(cluster, &PickContext::default()).map_err(|error| io::Error::other(error.to_string()))?;
        tcp::open(picked.endpoint(), cluster, Some(&self.tls), None).await.map_err(|error| io::Error::other(error.to_string()))
    }
}

/// A connection of a channel; it is counted until this is dropped.
#[derive(Debug)]
struct Connected {
    io: UpstreamIo,
    _open: oneshot::Sender<()>,
}

impl AsyncRead for Connected {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connected {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[derive(Clone, Debug)]
struct Connector {
    cluster: ClusterName,
    orders: mpsc::Sender<Order>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connected>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Connected>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (answer, connected) = oneshot::channel();
        let (orders, order) = (self.orders.clone(), Order { cluster: self.cluster.clone(), answer });
        Box::pin(async move {
            orders.send(order).await.map_err(|_| io::Error::other("the process ends"))?;
            connected.await.map_err(|_| io::Error::other("the process ends"))?.map(TokioIo::new)
        })
    }
}
