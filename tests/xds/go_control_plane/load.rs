use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::client::{Answer, Connection, Failure};
use super::mesh::Mesh;
use super::world::World;

/// Between two requests of a client, as long as nothing else is wanted.
pub(super) const PACE: Duration = Duration::from_millis(4);

/// Clients at a time.
pub(super) const CLIENTS: u32 = 4;
/// Changes that a failure tells of.
const TOLD: usize = 100;

/// Clients that ask for one path of a listener after the other until this is ended: over kept connections and over new ones, in
/// HTTP/1.1 and in HTTP/2. An answer that no configuration asked for is a failure.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

struct Shared {
    listener: String,
    port: u16,
    paths: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All configurations that were ever set.
    history: Vec<Mesh>,
    /// The first of them that may still be seen.
    first: usize,
    requests: usize,
    /// Requests that crossed with the end of an idle connection and were sent again, over another.
    crossed: usize,
    failures: Vec<String>,
}

/// What the clients did.
pub(super) struct Done {
    pub(super) requests: usize,
    pub(super) crossed: usize,
}

impl Load {
    /// Each of the clients asks once in `pace`, if it can.
    pub(super) fn start(world: &World, listener: &str, mesh: &Mesh, pace: Duration) -> Self {
        let Some(known) = mesh.listeners.get(listener) else { panic!("no listener {listener}") };
        let paths = mesh.tables[&known.table].routes.keys().cloned().collect();
        let state = Mutex::new(State { history: vec![mesh.clone()], ..State::default() });
        let shared = Arc::new(Shared { listener: listener.to_owned(), port: known.port, paths, state });
        let mut clients = JoinSet::new();
        for config in world.clients() {
            for keeps in [true, false] {
                clients.spawn(ask(Arc::clone(&shared), Arc::clone(&config), keeps, pace));
            }
        }
        Self { shared, clients }
    }

    /// From now on this may be seen, too.
    pub(super) fn may_see(&self, mesh: &Mesh) {
        self.shared.state().history.push(mesh.clone());
    }

    /// From now on nothing may be seen but what was told last.
    pub(super) fn settled(&self) {
        let mut state = self.shared.state();
        state.first = state.history.len() - 1;
    }

    /// Ends the clients.
    pub(super) async fn end(mut self, world: &World) -> Done {
        self.clients.shutdown().await;
        let state = self.shared.state();
        let (requests, crossed) = (state.requests, state.crossed);
        assert!(requests > 20, "only {requests} requests were made");
        if let Some(failures) = state.failures.get(..state.failures.len().min(20)).filter(|failures| !failures.is_empty()) {
            panic!("{} of {requests} failed: {failures:#?}\nthe proxy wrote:\n{}", state.failures.len(), world.proxy.log());
        }
        Done { requests, crossed }
    }
}

async fn ask(shared: Arc<Shared>, config: Arc<ClientConfig>, keeps: bool, pace: Duration) {
    let mut pace = tokio::time::interval(pace);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection: Option<Connection> = None;
    for path in shared.paths.iter().cycle() {
        pace.tick().await;
        // A connection may end between two requests, again and again; each time another is opened.
        loop {
            let first = shared.state().first;
            let kept = connection.take().filter(|kept| keeps && !kept.is_closed());
            let opened = match kept {
                Some(kept) => Ok(kept),
                None => Connection::open(shared.port, &config).await,
            };
            let mut opened = match opened {
                Ok(opened) => opened,
                Err(problem) => break shared.failed(format!("{path}: {problem}")),
            };
            match opened.get(path).await {
                Ok(answer) => shared.answered(first, path, &answer),
                Err(Failure::Unsent) => continue,
                Err(Failure::Crossed) => {
                    shared.state().crossed += 1;
                    continue;
                }
                Err(Failure::Failed(problem)) => shared.failed(problem),
            }
            break connection = Some(opened);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while locked")
    }

    fn failed(&self, problem: String) {
        let mut state = self.state();
        state.requests += 1;
        let newest = state.history.len() - 1;
        state.failures.push(format!("change {newest}: {problem}"));
    }

    /// A part of the configuration may be newer than another while it changes.
    fn answered(&self, first: usize, path: &str, answer: &Answer) {
        let mut state = self.state();
        let seen = &state.history[first..];
        let listeners = seen.iter().filter_map(|mesh| mesh.listeners.get(&self.listener));
        let tables: BTreeSet<&str> = listeners.map(|listener| listener.table.as_str()).collect();
        let tables = seen.iter().flat_map(|mesh| tables.iter().filter_map(|name| mesh.tables.get(*name)));
        let clusters: BTreeSet<&str> = tables.filter_map(|table| table.routes.get(path)).map(String::as_str).collect();
        let clusters = seen.iter().flat_map(|mesh| clusters.iter().filter_map(|name| mesh.clusters.get(*name)));
        let upstreams: BTreeSet<usize> = clusters.flat_map(|cluster| cluster.endpoints.iter().copied()).collect();
        let fits = answer.status == 200 && answer.upstream.is_some_and(|upstream| upstreams.contains(&upstream));
        let newest = state.history.len() - 1;
        state.requests += 1;
        if !fits {
            let story = story(&state.history, &self.listener, path);
            state.failures.push(format!("changes {first} to {newest}: {path}: {answer:?} is not one of {upstreams:?}; {story}"));
        }
    }
}

/// What was set of late and an answer depends on: where it changed, which table and cluster, and the cluster's endpoints.
fn story(history: &[Mesh], listener: &str, path: &str) -> String {
    let mut story = String::new();
    let mut before = None;
    for (at, mesh) in history.iter().enumerate().skip(history.len().saturating_sub(TOLD)) {
        let Some(listener) = mesh.listeners.get(listener) else { continue };
        let cluster = mesh.tables.get(&listener.table).and_then(|table| table.routes.get(path));
        let endpoints = cluster.and_then(|cluster| mesh.clusters.get(cluster)).map(|cluster| &cluster.endpoints);
        let now = Some((&listener.table, cluster, endpoints));
        if now != before {
            let _ = write!(story, "{at}: {now:?} ");
        }
        before = now;
    }
    story
}
