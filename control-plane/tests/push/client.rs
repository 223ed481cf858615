use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};
use xds_proto::envoy::service::discovery::v3 as wire;
use xds_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use xds_proto::google::rpc;

use super::server::{Server, node};

/// Far more than an answer takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Requests as they are sent.
pub(crate) struct Requests<T>(mpsc::Receiver<T>);

impl<T> Stream for Requests<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(cx)
    }
}

/// A way to say them.
pub(crate) fn requests<T>() -> (mpsc::Sender<T>, Requests<T>) {
    let (sender, receiver) = mpsc::channel(10);
    (sender, Requests(receiver))
}

/// A stream, from the client's end.
pub(crate) struct Conversation<Q, A> {
    say: mpsc::Sender<Q>,
    answers: Streaming<A>,
}

impl<Q, A> Conversation<Q, A> {
    pub(crate) async fn say(&self, request: Q) {
        self.say.send(request).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<A, Status> {
        let answer = tokio::time::timeout(LIMIT, self.answers.message()).await.unwrap()?;
        answer.ok_or_else(|| Status::ok("it ended"))
    }

    /// How it ends, when nothing else comes.
    pub(crate) async fn ended(&mut self) -> Status {
        self.next().await.err().unwrap()
    }
}

pub(crate) type Delta = Conversation<wire::DeltaDiscoveryRequest, wire::DeltaDiscoveryResponse>;
pub(crate) type Sotw = Conversation<wire::DiscoveryRequest, wire::DiscoveryResponse>;

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Delta {
    pub(crate) async fn open(server: &Server) -> Self {
        let (say, requests) = requests();
        let answers = Client::new(server.channel().await).delta_aggregated_resources(requests).await.unwrap().into_inner();
        Self { say, answers }
    }

    pub(crate) fn request(type_url: &str) -> wire::DeltaDiscoveryRequest {
        wire::DeltaDiscoveryRequest { node: Some(node("client")), type_url: type_url.to_owned(), ..wire::DeltaDiscoveryRequest::default() }
    }

    pub(crate) async fn subscribe(&self, type_url: &str, names: &[&str]) {
        self.say(wire::DeltaDiscoveryRequest { resource_names_subscribe: texts(names), ..Self::request(type_url) }).await;
    }

    pub(crate) async fn acknowledge(&self, answer: &wire::DeltaDiscoveryResponse) {
        self.say(wire::DeltaDiscoveryRequest { response_nonce: answer.nonce.clone(), ..Self::request(&answer.type_url) }).await;
    }

    pub(crate) async fn refuse(&self, answer: &wire::DeltaDiscoveryResponse, message: &str) {
        let detail = rpc::Status { code: Code::InvalidArgument.into(), message: message.to_owned(), ..rpc::Status::default() };
        let (response_nonce, error_detail) = (answer.nonce.clone(), Some(detail));
        self.say(wire::DeltaDiscoveryRequest { response_nonce, error_detail, ..Self::request(&answer.type_url) }).await;
    }
}

impl Sotw {
    pub(crate) async fn open(server: &Server) -> Self {
        let (say, requests) = requests();
        let answers = Client::new(server.channel().await).stream_aggregated_resources(requests).await.unwrap().into_inner();
        Self { say, answers }
    }

    pub(crate) fn request(type_url: &str) -> wire::DiscoveryRequest {
        wire::DiscoveryRequest { node: Some(node("client")), type_url: type_url.to_owned(), ..wire::DiscoveryRequest::default() }
    }

    pub(crate) async fn ask(&self, type_url: &str, names: &[&str]) {
        self.say(wire::DiscoveryRequest { resource_names: texts(names), ..Self::request(type_url) }).await;
    }
}
