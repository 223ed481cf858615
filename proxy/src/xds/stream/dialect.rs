use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::{Status, Streaming};
use xds_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use xds_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};

use crate::xds::stream::StreamError;
use crate::xds::stream::channel::Channel;

/// Requests that a server has not read yet. One for each type and each answer is what it comes to; a server that lets so many
/// lie reads nothing.
const MAX_WAITING: usize = 256;
/// Bytes of an answer: far more than any configuration, and what one message may take of this process.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// Which of the two protocols is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// State of the world.
    Sotw,
    /// Incremental.
    Delta,
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// State of the world.
    Sotw(DiscoveryRequest),
    /// Incremental.
    Delta(DeltaDiscoveryRequest),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// State of the world.
    Sotw(DiscoveryResponse),
    /// Incremental.
    Delta(DeltaDiscoveryResponse),
}

/// Both directions of a stream.
pub(super) enum Link {
    Sotw(mpsc::Sender<DiscoveryRequest>, Answers<DiscoveryResponse>),
    Delta(mpsc::Sender<DeltaDiscoveryRequest>, Answers<DeltaDiscoveryResponse>),
}

/// A call that the server has not begun to answer: it may do so only when it has been asked.
/// By this name Ninon's control plane says that another certificate is needed, and not only another attempt.
const CERTIFICATE: &str = "ninon-certificate";

type Called<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<Streaming<T>>, Status>>>>;

/// What comes from the server.
pub(super) enum Answers<T> {
    Called(Called<T>),
    Begun(Box<Streaming<T>>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sotw(..) => "Sotw",
            Self::Delta(..) => "Delta",
        })
    }
}

impl Link {
    /// Begins a stream; nothing is waited for.
    pub(super) fn open(dialect: Dialect, channel: &Channel, metadata: &[(String, String)]) -> Self {
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        match dialect {
            Dialect::Sotw => {
                let (sender, requests) = mpsc::channel(MAX_WAITING);
                let requests = with_metadata(requests, metadata);
                let call = Box::pin(async move { client.stream_aggregated_resources(requests).await });
                Self::Sotw(sender, Answers::Called(call))
            }
            Dialect::Delta => {
                let (sender, requests) = mpsc::channel(MAX_WAITING);
                let requests = with_metadata(requests, metadata);
                let call = Box::pin(async move { client.delta_aggregated_resources(requests).await });
                Self::Delta(sender, Answers::Called(call))
            }
        }
    }

    pub(super) fn send(&mut self, request: Request) -> Result<(), StreamError> {
        match (self, request) {
            (Self::Sotw(sender, _), Request::Sotw(request)) => queue(sender, request),
            (Self::Delta(sender, _), Request::Delta(request)) => queue(sender, request),
            (Self::Sotw(..), Request::Delta(_)) | (Self::Delta(..), Request::Sotw(_)) => {
                Err(StreamError::Failed("a request of the other protocol".to_owned()))
            }
        }
    }

    /// Says that no more is asked, and hears the server out.
    pub(super) async fn part(self) {
        match self {
            Self::Sotw(sender, answers) => answers.rest(sender).await,
            Self::Delta(sender, answers) => answers.rest(sender).await,
        }
    }

    pub(super) async fn receive(&mut self) -> Result<Answer, StreamError> {
        let answer = match self {
            Self::Sotw(_, answers) => answers.next().await.map(|answer| answer.map(Answer::Sotw)),
            Self::Delta(_, answers) => answers.next().await.map(|answer| answer.map(Answer::Delta)),
        };
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(StreamError::Failed("the server closed the stream".to_owned())),
            Err(status) => {
                let is_revoked = status.metadata().get(CERTIFICATE).is_some_and(|said| said == "revoked");
                let problem = format!("{:?}: {}", status.code(), status.message());
                Err(if is_revoked { StreamError::Revoked(problem) } else { StreamError::Failed(problem) })
            }
        }
    }
}

impl<T> Answers<T> {
    /// Without more requests, until the server has ended its side, too.
    async fn rest<R>(mut self, requests: mpsc::Sender<R>) {
        drop(requests);
        while let Ok(Some(_unheard)) = self.next().await {}
    }

    async fn next(&mut self) -> Result<Option<T>, Status> {
        if let Self::Called(call) = self {
            let begun = call.await?.into_inner();
            *self = Self::Begun(Box::new(begun));
        }
        match self {
            Self::Begun(answers) => answers.message().await,
            Self::Called(_) => Ok(None),
        }
    }
}

fn queue<R>(sender: &mpsc::Sender<R>, request: R) -> Result<(), StreamError> {
    sender.try_send(request).map_err(|_| StreamError::Failed("the server reads no requests".to_owned()))
}

fn with_metadata<R>(requests: mpsc::Receiver<R>, metadata: &[(String, String)]) -> tonic::Request<ReceiverStream<R>> {
    let mut request = tonic::Request::new(ReceiverStream::new(requests));
    let map: &mut MetadataMap = request.metadata_mut();
    for (name, value) in metadata {
        if let (Ok(name), Ok(value)) = (MetadataKey::from_bytes(name.as_bytes()), MetadataValue::try_from(value.as_str())) {
            map.append(name, value);
        }
    }
    request
}
