use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ninon_tests::case::Case;
use ninon_tests::control_plane::{ControlPlane, Dialect, LIMIT};
use ninon_tests::eventually::eventually;
use ninon_tests::process::{Folder, Process};
use ninon_tests::upstream::Upstreams;
use ninon_tests::wire;
use ninon_tests::{ports, proxy};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub use xds_proto::type_url::{
    CLUSTER, CLUSTER_LOAD_ASSIGNMENT as ENDPOINTS, LISTENER, ROUTE_CONFIGURATION as ROUTES, SCOPED_ROUTE_CONFIGURATION as SCOPES, SECRET,
};

/// Services that answer with their names.
pub struct Services(Upstreams);

impl Services {
    pub async fn start(names: &[&str]) -> Self {
        let upstreams: Value = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>().into();
        let case = json!({ "description": "", "upstreams": upstreams, "steps": [], "expect": {} });
        let case: Case = serde_json::from_value(case).unwrap();
        // None of them listens at a path.
        Self(Upstreams::start(&case, Path::new("")).await.unwrap())
    }

    pub fn port(&self, name: &str) -> u16 {
        self.0.ports().find(|(known, _)| *known == name).unwrap().1
    }
}

/// A proxy that knows nothing but where its control plane is.
pub struct Sidecar {
    pub process: Process,
    pub admin: u16,
    /// Where resources are to have it listen.
    pub port: u16,
}

impl Sidecar {
    /// Starts one; it need not be ready.
    pub fn start(control_plane: &ControlPlane) -> Self {
        Self::start_with(control_plane, &[control_plane.port()], json!({}))
    }

    /// Starts another program on the same bootstrap.
    pub fn start_as(control_plane: &ControlPlane, program: impl FnOnce(&Path) -> Command) -> Self {
        Self::launch(control_plane, &[control_plane.port()], |_| {}, program)
    }

    /// Starts one that finds its control plane on these ports, with other fields of `dynamic_resources`.
    pub fn start_with(control_plane: &ControlPlane, servers: &[u16], more: Value) -> Self {
        let change = |bootstrap: &mut Value| {
            for (name, value) in more.as_object().unwrap() {
                bootstrap["dynamic_resources"][name] = value.clone();
            }
        };
        Self::launch(control_plane, servers, change, proxy::command)
    }

    /// Starts any program, with a changed bootstrap.
    pub fn launch(
        control_plane: &ControlPlane,
        servers: &[u16],
        change: impl FnOnce(&mut Value),
        program: impl FnOnce(&Path) -> Command,
    ) -> Self {
        let admin = ports::free();
        let mut bootstrap = bootstrap(&control_plane.node, control_plane.dialect, servers, admin);
        change(&mut bootstrap);
        Self::of(&bootstrap, admin, program)
    }

    /// Starts a program on a bootstrap with this port for the admin page.
    pub fn of(bootstrap: &Value, admin: u16, program: impl FnOnce(&Path) -> Command) -> Self {
        let folder = Folder::new();
        let file = folder.path().join("bootstrap.json");
        std::fs::write(&file, bootstrap.to_string()).unwrap();
        let process = Process::start(program(&file), folder).unwrap();
        Self { process, admin, port: ports::free() }
    }

    /// The body of a request's answer; `None` where there is none, or it is an error.
    pub async fn get(&self, path: &str) -> Option<String> {
        match wire::get(self.port, path).await.ok()? {
            (200, body) => Some(body),
            _ => None,
        }
    }

    /// Waits until requests are answered so.
    pub async fn answers(&self, path: &str, body: &str) {
        let holds = || async { (self.get(path).await.as_deref() == Some(body)).then_some(()) };
        if eventually(LIMIT, holds).await.is_none() {
            let last = wire::get(self.port, path).await;
            panic!("{path} is answered {last:?} instead of {body:?}; the proxy wrote:\n{}", self.process.log());
        }
    }

    /// Waits until requests are answered with this status.
    pub async fn is_answered_with(&self, path: &str, status: u16) {
        let holds = || async { wire::get(self.port, path).await.ok().filter(|answer| answer.0 == status) };
        assert!(eventually(LIMIT, holds).await.is_some(), "{path} is answered {:?}", wire::get(self.port, path).await);
    }

    /// Waits until nothing listens.
    pub async fn is_closed(&self) {
        let refused = || async { TcpStream::connect(("127.0.0.1", self.port)).await.err() };
        assert!(eventually(LIMIT, refused).await.is_some(), "nothing is to listen");
    }

    /// Whether something listens.
    pub async fn is_open(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).await.is_ok()
    }

    /// A page of the admin port.
    pub async fn page(&self, path: &str) -> String {
        wire::get(self.admin, path).await.unwrap().1
    }

    /// A number of the admin page `/stats`.
    pub async fn stat(&self, name: &str) -> Option<u64> {
        let (_, page) = wire::get(self.admin, "/stats").await.ok()?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        line.parse().ok()
    }

    /// Waits until a number of `/stats` is at least this.
    pub async fn counts(&self, name: &str, least: u64) {
        let holds = || async { self.stat(name).await.filter(|count| *count >= least) };
        assert!(eventually(LIMIT, holds).await.is_some(), "{name} is {:?}", self.stat(name).await);
    }

    /// Lines of its log that speak of trouble with the control plane.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.process.log();
        let lines = log.lines().filter(|line| line.contains("control plane") && !line.contains(" INFO "));
        lines.map(str::to_owned).collect()
    }
}

/// Requests one after the other until it is asked how they went.
pub struct Load {
    _task: JoinSet<()>,
    done: Arc<AtomicUsize>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Load {
    /// Begins; everything but 200 counts as failed.
    pub fn start(port: u16) -> Self {
        let (done, failed) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let counts = (Arc::clone(&done), Arc::clone(&failed));
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let answer = wire::get(port, "/").await;
                if !matches!(answer, Ok((200, _))) {
                    counts.1.lock().unwrap().push(format!("{answer:?}"));
                }
                counts.0.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { _task: task, done, failed }
    }

    /// Waits for some more, and ends; none has failed.
    pub async fn went_well(self) {
        let enough = self.done.load(Ordering::Relaxed) + 10;
        let more = || async { (self.done.load(Ordering::Relaxed) >= enough).then_some(()) };
        assert!(eventually(LIMIT, more).await.is_some(), "requests are answered");
        let failed: &[String] = &self.failed.lock().unwrap();
        assert_eq!(failed, &[] as &[String], "of {}", self.done.load(Ordering::Relaxed));
    }
}

fn bootstrap(node: &str, dialect: Dialect, servers: &[u16], admin: u16) -> Value {
    let options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        // Not to wait as long as one would at real distances.
        "explicit_http_config": { "http2_protocol_options": { "connection_keepalive": { "interval": "3s", "timeout": "2s" } } },
    });
    let server = |(index, port): (usize, &u16)| {
        let name = format!("xds-{index}");
        let mut cluster = static_cluster(&name, *port);
        cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options });
        cluster.as_object_mut().unwrap().remove("@type");
        cluster
    };
    let clusters: Vec<Value> = servers.iter().enumerate().map(server).collect();
    let services: Vec<Value> = clusters.iter().map(|cluster| json!({ "envoy_grpc": { "cluster_name": cluster["name"] } })).collect();
    json!({
        "node": { "id": node, "cluster": "scripted" },
        "admin": { "address": address(admin) },
        "static_resources": { "clusters": clusters },
        "dynamic_resources": {
            "ads_config": { "api_type": dialect.api_type(), "transport_api_version": "V3", "grpc_services": services },
            "cds_config": ads(),
            "lds_config": ads(),
        },
    })
}

pub fn ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3" })
}

pub fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// A cluster whose endpoints the server has.
pub fn cluster(name: &str) -> Value {
    json!({ "@type": CLUSTER, "name": name, "type": "EDS", "eds_cluster_config": { "eds_config": ads() }, "connect_timeout": "1s" })
}

/// A cluster of one endpoint.
pub fn static_cluster(name: &str, port: u16) -> Value {
    let mut assignment = endpoints(name, &[port]);
    assignment.as_object_mut().unwrap().remove("@type");
    json!({ "@type": CLUSTER, "name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment })
}

pub fn endpoints(cluster: &str, ports: &[u16]) -> Value {
    let endpoints: Vec<Value> = ports.iter().map(|port| json!({ "endpoint": { "address": address(*port) } })).collect();
    json!({ "@type": ENDPOINTS, "cluster_name": cluster, "endpoints": [{ "lb_endpoints": endpoints }] })
}

/// A listener whose routes the server has.
pub fn listener(name: &str, port: u16, routes: &str) -> Value {
    listener_with(name, port, json!({ "rds": { "route_config_name": routes, "config_source": ads() } }))
}

/// A listener with these fields of the connection manager.
pub fn listener_with(name: &str, port: u16, fields: Value) -> Value {
    let types = "type.googleapis.com/envoy.extensions.filters";
    let router = json!({ "name": "router", "typed_config": { "@type": format!("{types}.http.router.v3.Router") } });
    let mut manager = json!({
        "@type": format!("{types}.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": name,
        "http_filters": [router],
    });
    for (field, value) in fields.as_object().unwrap() {
        manager[field] = value.clone();
    }
    let chain = json!({ "filters": [{ "name": "http", "typed_config": manager }] });
    json!({ "@type": LISTENER, "name": name, "address": address(port), "filter_chains": [chain] })
}

/// Everything to one cluster.
pub fn routes(name: &str, cluster: &str) -> Value {
    routes_with(name, json!([{ "match": { "prefix": "/" }, "route": { "cluster": cluster } }]))
}

/// Everything is answered by the proxy itself.
pub fn says(name: &str, body: &str) -> Value {
    let direct = json!({ "status": 200, "body": { "inline_string": body } });
    routes_with(name, json!([{ "match": { "prefix": "/" }, "direct_response": direct }]))
}

pub fn routes_with(name: &str, routes: Value) -> Value {
    json!({ "@type": ROUTES, "name": name, "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] })
}

/// A proxy that serves: `/` leads through the listener `in` and the routes `table` to the cluster `web`.
pub async fn serving(dialect: Dialect, services: &Services, service: &str) -> (ControlPlane, Sidecar) {
    let control_plane = ControlPlane::new(dialect);
    let sidecar = Sidecar::start(&control_plane);
    set_up(&control_plane, &sidecar, services.port(service)).await;
    sidecar.answers("/", service).await;
    (control_plane, sidecar)
}

/// Gives all that `/` needs, version `1`, and takes all that is said to that.
pub async fn set_up(control_plane: &ControlPlane, sidecar: &Sidecar, service: u16) {
    control_plane.request_of(CLUSTER).await;
    let clusters = control_plane.send(CLUSTER, "1", &[cluster("web")]);
    control_plane.request_of(ENDPOINTS).await;
    let endpoints = control_plane.send(ENDPOINTS, "1", &[endpoints("web", &[service])]);
    control_plane.request_of(LISTENER).await;
    let listeners = control_plane.send(LISTENER, "1", &[listener("in", sidecar.port, "table")]);
    control_plane.request_of(ROUTES).await;
    let routes = control_plane.send(ROUTES, "1", &[routes("table", "web")]);
    for nonce in [clusters, endpoints, listeners, routes] {
        control_plane.accepted(&nonce).await;
    }
}
