//! Clients that show a token, over real sockets: when they are said to serve, to say goodbye, to be gone.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use ninon_control_plane::proxies::Proxies;
use ninon_control_plane::proxies::node::{About, Node};
use ninon_control_plane::push::{self, Directory, Fault, Guest, Joined, Later, Push, Refusal, Settings};
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::snapshot::resource::Resource;
use ninon_control_plane::snapshot::set::Set;
use ninon_control_plane::snapshot::{Layer, Snapshot};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use xds_proto::envoy::config::core::v3 as core;
use xds_proto::envoy::service::discovery::v3 as wire;
use xds_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;

/// Far more than anything takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(10);

/// Lets in who shows `good`, and says what becomes of them.
struct Host {
    snapshots: watch::Sender<Arc<Snapshot>>,
    said: mpsc::Sender<&'static str>,
    expel: watch::Receiver<bool>,
}

struct Visitor {
    said: mpsc::Sender<&'static str>,
    expel: watch::Receiver<bool>,
}

impl Directory for Host {
    fn join(&self, _: &Node) -> Result<Joined, Refusal> {
        Ok(Joined { about: About::default(), snapshots: self.snapshots.subscribe(), alive: None })
    }

    fn admit<'a>(&'a self, _: &'a Node, token: Option<&'a str>) -> Later<'a, Result<Option<Box<dyn Guest>>, Refusal>> {
        Box::pin(async move {
            let Some(token) = token else { return Ok(None) };
            if token != "good" {
                return Err(Refusal::Unauthenticated("not good".to_owned()));
            }
            self.said.send("admitted").await.unwrap();
            let guest: Box<dyn Guest> = Box::new(Visitor { said: self.said.clone(), expel: self.expel.clone() });
            Ok(Some(guest))
        })
    }
}

impl Guest for Visitor {
    fn serves(&self) {
        self.said.try_send("serves").unwrap();
    }

    fn goodbye(&self) -> Later<'_, ()> {
        self.said.try_send("goodbye").unwrap();
        Box::pin(ready(()))
    }

    fn expelled(&self) -> Later<'_, Refusal> {
        let mut expel = self.expel.clone();
        Box::pin(async move {
            drop(expel.wait_for(|expel| *expel).await);
            Refusal::Unauthenticated("revoked".to_owned())
        })
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        // Who asked may have gone.
        let _unheard = self.said.try_send("gone").is_err();
    }
}

/// A server, and what it says.
struct World {
    port: u16,
    heard: mpsc::Receiver<&'static str>,
    expel: watch::Sender<bool>,
    _stop: watch::Sender<bool>,
    _serving: JoinSet<Result<(), Fault>>,
}

/// A client's stream.
struct Stream {
    say: mpsc::Sender<wire::DeltaDiscoveryRequest>,
    answers: Streaming<wire::DeltaDiscoveryResponse>,
}

impl World {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((stop, stopped), (expel, expelled), (said, heard)) = (watch::channel(false), watch::channel(false), mpsc::channel(100));
        let layer = Layer::new(|kind| {
            let listener = (kind == Kind::Listener).then(|| Arc::new(Resource::new("outbound", &"content".to_owned())));
            Arc::new(Set::new(listener))
        });
        let snapshots = watch::Sender::new(Arc::new(Snapshot { layers: vec![Arc::new(layer)] }));
        let push = Push::new(Host { snapshots, said, expel: expelled }, Proxies::new(10), Settings::default(), stopped);
        let mut serving = JoinSet::new();
        serving.spawn(push::serve(listener, push));
        Self { port, heard, expel, _stop: stop, _serving: serving }
    }

    async fn open(&self, authorization: Option<&str>) -> Result<Stream, Status> {
        open(self.port, authorization).await
    }

    async fn says(&mut self, wanted: &str) {
        assert_eq!(timeout(LIMIT, self.heard.recv()).await, Ok(Some(wanted)));
    }

    /// One that has its listeners.
    async fn serving(&mut self) -> Stream {
        let stream = self.open(Some("Bearer good")).await.unwrap();
        self.serves(stream).await
    }

    /// It takes its listeners.
    async fn serves(&mut self, mut stream: Stream) -> Stream {
        self.says("admitted").await;
        let answer = timeout(LIMIT, stream.answers.message()).await.unwrap().unwrap().unwrap();
        assert!(self.heard.is_empty(), "it has not taken them yet");
        stream.say.send(about(&answer.nonce)).await.unwrap();
        self.says("serves").await;
        stream
    }
}

async fn open(port: u16, authorization: Option<&str>) -> Result<Stream, Status> {
    let mut client = Client::connect(format!("http://127.0.0.1:{port}")).await.unwrap();
    let (say, requests) = mpsc::channel(10);
    let mut request = Request::new(ReceiverStream::new(requests));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    }
    let node = Some(core::Node { id: "cart-1".to_owned(), ..core::Node::default() });
    say.send(wire::DeltaDiscoveryRequest { node, ..about("") }).await.unwrap();
    let answers = client.delta_aggregated_resources(request).await?.into_inner();
    Ok(Stream { say, answers })
}

/// A request for listeners, or an answer to them.
fn about(nonce: &str) -> wire::DeltaDiscoveryRequest {
    let (type_url, response_nonce) = (Kind::Listener.type_url().to_owned(), nonce.to_owned());
    wire::DeltaDiscoveryRequest { type_url, response_nonce, ..wire::DeltaDiscoveryRequest::default() }
}

#[tokio::test]
async fn a_client_that_ends_its_side_says_goodbye() {
    let mut world = World::start().await;
    let Stream { say, mut answers } = world.serving().await;
    drop(say);
    world.says("goodbye").await;
    assert!(timeout(LIMIT, answers.message()).await.unwrap().unwrap().is_none(), "the server ends its side");
    world.says("gone").await;
}

#[tokio::test]
async fn a_client_that_is_cut_off_is_gone_without_goodbye() {
    let mut world = World::start().await;
    // With its runtime a client loses its connection, in the middle of everything.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let port = world.port;
    let stream = runtime.spawn(async move { open(port, Some("Bearer good")).await }).await.unwrap().unwrap();
    let _stream = world.serves(stream).await;
    runtime.shutdown_background();
    world.says("gone").await;
}

#[tokio::test]
async fn who_shows_no_good_token_is_refused_and_who_shows_none_is_no_guest() {
    let mut world = World::start().await;
    let mut bad = world.open(Some("Bearer bad")).await.unwrap();
    let status = timeout(LIMIT, bad.answers.message()).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "not good"));
    let status = world.open(Some("Basic good")).await.err().unwrap();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "`authorization` must be `Bearer TOKEN`"));
    let mut nobody = world.open(None).await.unwrap();
    assert!(timeout(LIMIT, nobody.answers.message()).await.unwrap().unwrap().is_some(), "it is served");
    drop(nobody);
    let _guest = world.serving().await;
}

#[tokio::test]
async fn a_guest_is_sent_away() {
    let mut world = World::start().await;
    let mut guest = world.serving().await;
    world.expel.send_replace(true);
    let status = timeout(LIMIT, guest.answers.message()).await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "revoked"));
    world.says("gone").await;
}
