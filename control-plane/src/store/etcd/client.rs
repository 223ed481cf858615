//! Calls of etcd.

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::store::error::StoreError;
use crate::store::etcd::wire;

/// A member of etcd that does not answer is given up, and another one asked.
const CONNECT: Duration = Duration::from_secs(2);
/// An election of etcd takes a second or two.
const CALL: Duration = Duration::from_secs(10);
/// A connection that is silent is asked whether it lives.
const PING: Duration = Duration::from_secs(10);
/// Messages of a list; etcd's own bound is on requests.
const LONGEST: usize = 256 << 20;

/// A client of the members of etcd.
#[derive(Clone, Debug)]
pub(super) struct Client(Channel);

/// A watch, which ends when this is dropped.
pub(super) struct Events {
    responses: Streaming<wire::WatchResponse>,
    /// etcd ends a watch whose requests end.
    _requests: mpsc::Sender<wire::WatchRequest>,
}

impl Client {
    pub(super) fn new(endpoints: &[String]) -> Result<Self, StoreError> {
        let each = endpoints.iter().map(|endpoint| {
            let built = Endpoint::from_shared(format!("http://{endpoint}"));
            let built = built.map_err(|error| StoreError::Etcd(format!("{endpoint:?} is not HOST:PORT: {error}")))?;
            Ok(built.connect_timeout(CONNECT).http2_keep_alive_interval(PING).keep_alive_while_idle(true))
        });
        Ok(Self(Channel::balance_list(each.collect::<Result<Vec<_>, StoreError>>()?.into_iter())))
    }

    pub(super) async fn range(&self, request: wire::RangeRequest) -> Result<wire::RangeResponse, StoreError> {
        self.unary("/etcdserverpb.KV/Range", request).await
    }

    pub(super) async fn txn(&self, request: wire::TxnRequest) -> Result<wire::TxnResponse, StoreError> {
        self.unary("/etcdserverpb.KV/Txn", request).await
    }

    pub(super) async fn watch(&self, create: wire::WatchCreateRequest) -> Result<Events, StoreError> {
        let (requests, receiver) = mpsc::channel(1);
        requests.send(wire::WatchRequest { create: Some(create) }).await.map_err(|_| StoreError::Closed)?;
        let mut grpc = self.grpc().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<wire::WatchRequest, wire::WatchResponse>::default();
        let call = grpc.streaming(Request::new(ReceiverStream::new(receiver)), path, codec);
        let response = tokio::time::timeout(CALL, call).await.map_err(|_| late())?.map_err(|status| refused(&status))?;
        Ok(Events { responses: response.into_inner(), _requests: requests })
    }

    async fn unary<Q, A>(&self, path: &'static str, request: Q) -> Result<A, StoreError>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc().await?;
        let call = grpc.unary(Request::new(request), PathAndQuery::from_static(path), ProstCodec::<Q, A>::default());
        let answered = tokio::time::timeout(CALL, call).await.map_err(|_| late())?;
        answered.map(tonic::Response::into_inner).map_err(|status| refused(&status))
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, StoreError> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(LONGEST);
        let ready = tokio::time::timeout(CALL, grpc.ready()).await.map_err(|_| late())?;
        ready.map_err(|error| StoreError::Etcd(error.to_string()))?;
        Ok(grpc)
    }
}

impl Events {
    /// What happened next; none when etcd ends the watch.
    pub(super) async fn next(&mut self) -> Result<Option<wire::WatchResponse>, StoreError> {
        self.responses.message().await.map_err(|status| refused(&status))
    }
}

fn late() -> StoreError {
    StoreError::Etcd(format!("no answer within {CALL:?}"))
}

fn refused(status: &Status) -> StoreError {
    let message = status.message();
    let is_large =
        message.contains("too many operations") || message.contains("request is too large") || status.code() == Code::ResourceExhausted;
    if is_large && !message.contains("space exceeded") {
        StoreError::TooLarge(message.to_owned())
    } else {
        StoreError::Etcd(message.to_owned())
    }
}
