use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ninon_control_plane::proxies::Proxies;
use ninon_control_plane::proxies::node::{About, Node};
use ninon_control_plane::proxies::status::TypeStatus;
use ninon_control_plane::push::{self, Directory, Joined, Push, Refusal, Settings};
use ninon_control_plane::snapshot::kind::Kind;
use ninon_control_plane::snapshot::resource::Resource;
use ninon_control_plane::snapshot::set::Set;
use ninon_control_plane::snapshot::{Layer, Snapshot};
use ninon_tests::eventually::eventually;
use ninon_tests::{named, sidecar};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use xds_proto::envoy::config::cluster::v3::Cluster;
use xds_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use xds_proto::envoy::config::listener::v3::Listener;
use xds_proto::envoy::config::route::v3::RouteConfiguration;

/// Far more than anything takes on a crowded machine, and less than Envoy's patience with endpoints that do not come.
pub const LIMIT: Duration = Duration::from_secs(10);

/// Resources by type and name.
#[derive(Clone, Default)]
pub struct World(BTreeMap<(usize, String), Arc<Resource>>);

impl World {
    /// Adds a resource, or changes it.
    pub fn put(&mut self, kind: Kind, content: Value) -> &mut Self {
        let name = content["name"].as_str().or(content["cluster_name"].as_str()).unwrap().to_owned();
        let resource = match kind {
            Kind::Cluster => Resource::new(name.as_str(), &parse::<Cluster>(content)),
            Kind::Endpoint => Resource::new(name.as_str(), &parse::<ClusterLoadAssignment>(content)),
            Kind::Listener => Resource::new(name.as_str(), &parse::<Listener>(content)),
            Kind::Route => Resource::new(name.as_str(), &parse::<RouteConfiguration>(content)),
            Kind::Secret | Kind::Names => panic!("no test has {kind}"),
        };
        self.0.insert((kind.index(), name), Arc::new(resource));
        self
    }

    /// Takes one out.
    pub fn remove(&mut self, kind: Kind, name: &str) -> &mut Self {
        self.0.remove(&(kind.index(), name.to_owned())).unwrap();
        self
    }

    /// A cluster of type EDS; `seconds` is how long a connection may take.
    pub fn cluster(&mut self, name: &str, seconds: u32) -> &mut Self {
        let config = json!({ "eds_config": { "ads": {}, "resource_api_version": "V3" } });
        self.put(
            Kind::Cluster,
            json!({ "name": name, "type": "EDS", "eds_cluster_config": config, "connect_timeout": format!("{seconds}s") }),
        )
    }

    /// Its endpoints.
    pub fn endpoints(&mut self, name: &str, ports: &[u16]) -> &mut Self {
        let endpoint = |port: &u16| json!({ "endpoint": { "address": sidecar::address(*port) } });
        let endpoints: Vec<_> = ports.iter().map(endpoint).collect();
        let locality = json!({ "locality": { "region": "r" }, "load_balancing_weight": 1, "lb_endpoints": endpoints });
        self.put(Kind::Endpoint, json!({ "cluster_name": name, "endpoints": [locality] }))
    }

    /// A table with one route.
    pub fn route(&mut self, name: &str, domain: &str, cluster: &str) -> &mut Self {
        let route = json!({ "match": { "prefix": "" }, "route": { "cluster": cluster } });
        self.put(Kind::Route, json!({ "name": name, "virtual_hosts": [{ "name": "all", "domains": [domain], "routes": [route] }] }))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let layer = Layer::new(|kind| {
            let of_kind = self.0.iter().filter(|((index, _), _)| *index == kind.index());
            Arc::new(Set::new(of_kind.map(|(_, resource)| Arc::clone(resource))))
        });
        Arc::new(Snapshot { layers: vec![Arc::new(layer)] })
    }
}
/// A connection manager that takes its routes from the server.
pub fn manager(route: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "rds": { "route_config_name": route, "config_source": { "ads": {}, "resource_api_version": "V3" } },
        "http_filters": [{
            "name": "router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    })
}

fn parse<M: prost::Message + prost::Name + Default>(content: Value) -> M {
    let pool = xds_proto::descriptor_pool().unwrap();
    let (message, unknown) = xds_proto::json::from_json::<M>(&pool, &content).unwrap();
    assert!(unknown.is_empty());
    message
}

/// A server of one world to all who come.
pub struct Server {
    pub port: u16,
    pub proxies: Arc<Proxies>,
    snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
}

struct Everyone(Arc<watch::Sender<Arc<Snapshot>>>);

impl Directory for Everyone {
    fn join(&self, node: &Node) -> Result<Joined, Refusal> {
        if node.id.is_empty() {
            return Err(Refusal::Invalid("a node has to have an id".to_owned()));
        }
        Ok(Joined { about: About::default(), snapshots: self.0.subscribe(), alive: None })
    }
}

impl Server {
    pub async fn start(world: &World) -> Self {
        Self::start_on(0, world).await
    }

    pub async fn start_on(port: u16, world: &World) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = watch::channel(false);
        let (snapshots, _) = watch::channel(world.snapshot());
        let snapshots = Arc::new(snapshots);
        let proxies = Proxies::new(100);
        let push = Push::new(Everyone(Arc::clone(&snapshots)), Arc::clone(&proxies), Settings::default(), stopped);
        let mut serving = JoinSet::new();
        serving.spawn(async move { push::serve(listener, push).await.unwrap() });
        Self { port, proxies, snapshots, stop, serving }
    }

    pub fn publish(&self, world: &World) {
        self.snapshots.send_replace(world.snapshot());
    }

    /// Streams end, and then the server.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.serving.join_next().await.is_some() {}
    }

    /// What the one client was sent, by type.
    pub fn types(&self) -> Vec<TypeStatus> {
        let connected: Vec<_> = self.proxies.list().into_iter().filter(|proxy| proxy.gone.is_none()).collect();
        assert!(connected.len() < 2, "{connected:#?}");
        connected.into_iter().next().map(|proxy| proxy.types).unwrap_or_default()
    }

    /// Waits until the client has taken the newest of these types.
    pub async fn taken(&self, kinds: &[Kind]) {
        let look = || async {
            let newest = self.snapshots.borrow().clone();
            let types = self.types();
            let taken = kinds.iter().all(|kind| {
                types.iter().any(|of| {
                    of.kind == *kind && !of.waiting && of.acknowledged.is_some_and(|(version, _)| version == newest.version(*kind))
                })
            });
            taken.then_some(())
        };
        eventually(LIMIT, look).await.unwrap_or_else(|| panic!("it does not take {kinds:?}: {:#?}", self.types()));
    }

    /// How many answers were refused.
    pub fn refusals(&self) -> u64 {
        self.proxies.counters.read().types.iter().map(|of| of.refusals).sum()
    }

    /// How many resources were sent, of a type.
    pub fn sent(&self, kind: Kind) -> u64 {
        self.proxies.counters.read().types[kind.index()].resources
    }
}

/// One request; the status and the body, or nothing if there was no answer.
pub async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    named::get(port, path, "host: a\r\n", LIMIT).await
}
