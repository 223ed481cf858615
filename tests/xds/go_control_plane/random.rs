use fastrand::Rng;
use ninon_tests::{ports, settings};
use serde_json::Value;

use super::certificates;
use super::load::{Done, Load, PACE};
use super::mesh::{Cluster, Listener, Mesh, Resources, Table};
use super::upstreams;
use super::world::{Dialect, World};

/// As many changes may follow one another before all of them are waited for.
const BURST: u32 = 4;
/// The listener that clients ask all the time; it changes and does not move.
pub(super) const EDGE: &str = "edge";
const PATHS: [&str; 4] = ["/a", "/b", "/c", "/d"];
const TABLES: [&str; 3] = ["table-0", "table-1", "table-2"];
const SECRETS: [&str; 2] = ["secret-0", "secret-1"];
const CLUSTERS: [&str; 6] = ["cluster-0", "cluster-1", "cluster-2", "cluster-3", "cluster-4", "cluster-5"];
const LISTENERS: [&str; 2] = ["more-0", "more-1"];

/// Makes one change after the other; the same seed makes the same ones.
pub(super) struct Changes {
    pub(super) random: Rng,
    /// Where listeners other than the edge may be.
    ports: Vec<u16>,
    stamps: usize,
}

impl Changes {
    /// Prints the seed: `XDS_SEED`, or a random one.
    pub(super) fn new() -> Self {
        let seed = settings::xds_seed().unwrap_or_else(|| fastrand::u64(..));
        println!("XDS_SEED={seed}");
        Self { random: Rng::with_seed(seed), ports: (0..4).map(|_| ports::free()).collect(), stamps: 0 }
    }

    /// Ports that are in no listener of a mesh, but may be in the next one's.
    fn unused(&self, mesh: &Mesh) -> Vec<u16> {
        let is_unused = |port: &u16| mesh.listeners.values().all(|listener| listener.port != *port);
        self.ports.iter().copied().filter(is_unused).collect()
    }

    /// What all begins with.
    pub(super) fn first(&mut self) -> Mesh {
        let mut mesh = Mesh::default();
        for name in &CLUSTERS[..3] {
            mesh.clusters.insert((*name).into(), self.cluster());
        }
        for name in TABLES {
            let table = self.table(&mesh);
            mesh.tables.insert(name.into(), table);
        }
        mesh.secrets = SECRETS.iter().zip(0..).map(|(name, which)| ((*name).into(), which)).collect();
        let edge = Listener { port: ports::free(), ..self.listener(&mesh) };
        mesh.listeners.insert(EDGE.into(), edge);
        mesh
    }

    fn cluster(&mut self) -> Cluster {
        let all: Vec<usize> = (0..upstreams::COUNT).collect();
        let count = self.random.usize(1..=3);
        Cluster { endpoints: self.random.choose_multiple(all, count).into_iter().collect(), http2: self.random.bool() }
    }

    fn table(&mut self, mesh: &Mesh) -> Table {
        let routes = PATHS.iter().map(|path| ((*path).into(), self.known(mesh))).collect();
        Table { stamp: self.stamp(), routes }
    }

    /// Of all, on a port that no other has.
    fn listener(&mut self, mesh: &Mesh) -> Listener {
        let unused = self.unused(mesh);
        let port = *self.random.choice(&unused).expect("there are more ports than listeners");
        let (table, secret) = (*self.random.choice(&TABLES).unwrap(), *self.random.choice(&SECRETS).unwrap());
        Listener { port, table: table.into(), secret: secret.into(), server: self.stamp() }
    }

    fn known(&mut self, mesh: &Mesh) -> String {
        self.random.choice(mesh.clusters.keys()).expect("there are clusters").clone()
    }

    fn stamp(&mut self) -> String {
        self.stamps += 1;
        format!("state-{}", self.stamps)
    }

    fn make(&mut self, mesh: &mut Mesh) {
        let (cluster, table, path) = (self.known(mesh), *self.random.choice(&TABLES).unwrap(), *self.random.choice(&PATHS).unwrap());
        let listener = self.random.choice(mesh.listeners.keys()).expect("one is always there").clone();
        match self.random.u8(0..12) {
            0 | 1 => drop(mesh.tables.get_mut(table).unwrap().routes.insert(path.into(), cluster)),
            2 => mesh.tables.get_mut(table).unwrap().stamp = self.stamp(),
            3 | 4 => mesh.clusters.get_mut(&cluster).unwrap().endpoints = self.cluster().endpoints,
            5 => mesh.clusters.get_mut(&cluster).unwrap().http2 ^= true,
            6 => self.add_cluster(mesh, table, path),
            7 => self.remove_cluster(mesh, &cluster),
            8 => drop(mesh.secrets.insert((*self.random.choice(&SECRETS).unwrap()).into(), self.random.usize(..certificates::COUNT))),
            9 => self.change_listener(mesh, &listener),
            10 => drop(mesh.listeners.insert((*self.random.choice(&LISTENERS).unwrap()).into(), self.listener(mesh))),
            _ => drop(mesh.listeners.remove(*self.random.choice(&LISTENERS).unwrap())),
        }
    }

    /// One change, served from now on.
    pub(super) async fn serve_next(&mut self, mesh: &mut Mesh, world: &mut World, load: &Load, dialect: Dialect) {
        let before = names(&world.resources(mesh));
        self.make(mesh);
        load.may_see(mesh);
        let resources = world.resources(mesh);
        let same = names(&resources) == before;
        world.set(resources).await;
        // With an aggregated stream of the state of the world, the cache forgets a request whose names are not all that it has
        // now, and counts on another; there is none where the next snapshot has the old names again.
        if dialect == Dialect::Sotw && !same {
            world.server.settled().await;
        }
    }

    /// Waits until all of it is accepted and can be seen, and nothing else.
    pub(super) async fn are_seen(&self, mesh: &Mesh, world: &World, load: &Load) {
        world.server.settled().await;
        world.shows(mesh).await;
        load.settled();
        for port in self.unused(mesh) {
            world.refuses(port).await;
        }
    }

    /// A cluster and a route that leads to it, at once.
    fn add_cluster(&mut self, mesh: &mut Mesh, table: &str, path: &str) {
        let name = *self.random.choice(&CLUSTERS).unwrap();
        mesh.clusters.insert(name.into(), self.cluster());
        mesh.tables.get_mut(table).unwrap().routes.insert(path.into(), name.into());
    }

    /// A cluster goes, and routes that led to it lead to others, at once.
    fn remove_cluster(&mut self, mesh: &mut Mesh, name: &str) {
        if mesh.clusters.len() == 1 {
            return;
        }
        mesh.clusters.remove(name);
        for route in mesh.tables.values_mut().flat_map(|table| table.routes.values_mut()).filter(|route| *route == name) {
            *route = self.random.choice(mesh.clusters.keys()).expect("there are clusters").clone();
        }
    }

    fn change_listener(&mut self, mesh: &mut Mesh, name: &str) {
        let other = self.listener(mesh);
        let listener = mesh.listeners.get_mut(name).unwrap();
        match self.random.u8(0..4) {
            0 => listener.table = other.table,
            1 => listener.secret = other.secret,
            2 => listener.server = other.server,
            _ if name == EDGE => {}
            _ => listener.port = other.port,
        }
    }
}

/// Of resources that are asked for by name.
fn names(resources: &Resources) -> Vec<Value> {
    let name = |resource: &Value| resource.get("cluster_name").unwrap_or(&resource["name"]).clone();
    ["endpoints", "routes", "secret"].iter().flat_map(|kind| resources[kind].iter().map(name)).collect()
}

async fn no_change_fails_a_request(dialect: Dialect) {
    let mut changes = Changes::new();
    let mut mesh = changes.first();
    let mut world = World::start(dialect, &mesh).await;
    world.shows(&mesh).await;
    let load = Load::start(&world, EDGE, &mesh, PACE);
    let mut made = 0;
    while made < settings::xds_changes() {
        let burst = changes.random.u32(1..=BURST);
        for _ in 0..burst {
            changes.serve_next(&mut mesh, &mut world, &load, dialect).await;
        }
        made += burst;
        changes.are_seen(&mesh, &world, &load).await;
    }
    let Done { requests, crossed } = load.end(&world).await;
    println!("{dialect:?}: {requests} requests; {crossed} crossed with the end of their connection");
    assert_eq!(world.server.journal().refusals, [], "all of it is good");
    let world = world.restart_proxy().await;
    world.server.settled().await;
    world.shows(&mesh).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_fails_a_request_sotw() {
    no_change_fails_a_request(Dialect::Sotw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_fails_a_request_delta() {
    no_change_fails_a_request(Dialect::Delta).await;
}
