use std::sync::{Arc, Mutex};
use std::time::Duration;

use ninon_control_plane::proxies::Proxies;
use ninon_control_plane::proxies::node::{About, Node};
use ninon_control_plane::push::{self, Directory, Fault, Joined, Push, Refusal, Settings};
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::snapshot::resource::Resource;
use ninon_control_plane::snapshot::set::Set;
use ninon_control_plane::snapshot::{Layer, Snapshot};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use xds_proto::envoy::config::core::v3 as core;

/// Far more than anything takes on a crowded machine.
const LIMIT: Duration = Duration::from_secs(10);

type Sender = Arc<Mutex<Option<watch::Sender<Arc<Snapshot>>>>>;

/// A server that listens on this machine.
pub(crate) struct Server {
    port: u16,
    pub(crate) proxies: Arc<Proxies>,
    snapshots: Sender,
    stop: watch::Sender<bool>,
    serving: JoinSet<Result<(), Fault>>,
}

struct All(Sender);

impl Directory for All {
    fn join(&self, node: &Node) -> Result<Joined, Refusal> {
        if node.id == "stranger" {
            return Err(Refusal::Denied("no stranger is served".to_owned()));
        }
        let snapshots = self.0.lock().unwrap().as_ref().unwrap().subscribe();
        Ok(Joined { about: About::default(), snapshots, alive: None })
    }
}

impl Server {
    pub(crate) async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let snapshots: Sender = Arc::new(Mutex::new(Some(watch::channel(Arc::default()).0)));
        let proxies = Proxies::new(100);
        let push = Push::new(All(Arc::clone(&snapshots)), Arc::clone(&proxies), settings, stopped);
        let mut serving = JoinSet::new();
        serving.spawn(push::serve(listener, push));
        Self { port, proxies, snapshots, stop, serving }
    }

    /// Everything there is from now on.
    pub(crate) fn publish(&self, world: &[(Kind, &str, &str)]) {
        let layer = Layer::new(|kind| {
            let of_kind = world.iter().filter(|(of, ..)| *of == kind);
            Arc::new(Set::new(of_kind.map(|(_, name, content)| Arc::new(Resource::new(*name, &(*content).to_owned())))))
        });
        self.snapshots.lock().unwrap().as_ref().unwrap().send_replace(Arc::new(Snapshot { layers: vec![Arc::new(layer)] }));
    }

    /// There will be no more snapshots.
    pub(crate) fn forget(&self) {
        self.snapshots.lock().unwrap().take();
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end.
    pub(crate) async fn joined(&mut self) {
        tokio::time::timeout(LIMIT, self.serving.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url()).unwrap().connect().await.unwrap()
    }
}

/// Who asks.
pub(crate) fn node(id: &str) -> core::Node {
    core::Node { id: id.to_owned(), ..core::Node::default() }
}

/// Looks until there is something.
pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap()
}
