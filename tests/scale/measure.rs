//! What is measured: each on a server that has a mesh and sidecars that hold it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::board::Board;
use crate::fleet::Fleet;
use crate::mesh::{Mesh, list};
use crate::server::{Caller, Server};
use crate::sidecar::Dialect;

/// Far more than anything is to take.
const LIMIT: Duration = Duration::from_secs(60);
/// Changes of the storm: so many calls a second, and objects in each.
const CALLS: u32 = 100;
const OBJECTS: u32 = 10;
/// Calls of the storm at a time.
const CALLERS: u32 = 4;

/// A mesh with its sidecars.
pub struct Scene {
    pub mesh: Mesh,
    pub dialect: Dialect,
    pub server: Server,
    pub fleet: Fleet,
    caller: Caller,
    /// Changes until now. The first is numbered as many as there are services.
    next: u32,
}

/// What came of a start.
pub struct Cold {
    pub seconds: f64,
    pub bytes: f64,
    pub cpu: f64,
}

impl Scene {
    /// Starts a server and has all sidecars come at once.
    pub async fn start(mesh: Mesh, dialect: Dialect) -> Result<(Self, Cold), String> {
        let server = Server::start(&mesh).await?;
        let (mut fleet, caller) = (Fleet::new(), server.caller().await?);
        let before = server.cpu();
        let began = Instant::now();
        fleet.connect(mesh, dialect, server.xds, false).await;
        fleet.board.all_complete(size(mesh.sidecars), LIMIT).await?;
        let seconds = began.elapsed().as_secs_f64();
        let cold = Cold { seconds, bytes: bytes(&fleet.board) / f64::from(mesh.sidecars), cpu: server.cpu() - before };
        server.settled().await?;
        let next = mesh.services;
        Ok((Self { mesh, dialect, server, fleet, caller, next }, cold))
    }

    /// Changes one endpoint and waits until all that see it have acknowledged it; milliseconds.
    async fn change(&mut self) -> Result<f64, String> {
        let (change, service) = (self.next, self.next % self.mesh.services);
        self.next += 1;
        let board = &self.fleet.board;
        board.expect(change);
        board.sends(change);
        self.caller.apply(list([self.mesh.slice(service, change)].into_iter())).await?;
        let last = board.all_arrived(size(self.mesh.seeing(service)), LIMIT).await?;
        Ok(millis(last.saturating_sub(board.sent(change))))
    }

    /// Single changes, one after the other: the 99th percentile of the time to the last acknowledgement, and bytes for a stream.
    pub async fn changes(&mut self, count: u32) -> Result<(f64, f64), String> {
        let before = bytes(&self.fleet.board);
        let mut streams = 0;
        let mut times = Vec::new();
        for _ in 0..count {
            streams += self.mesh.seeing(self.next % self.mesh.services);
            times.push(self.change().await?);
        }
        Ok((high(times), (bytes(&self.fleet.board) - before) / f64::from(streams)))
    }

    /// A thousand changes a second.
    pub async fn storm(&mut self, seconds: u32) -> Result<Storm, String> {
        let (mesh, first) = (self.mesh, self.next);
        let count = seconds * CALLS * OBJECTS;
        self.next += count;
        // Of each service the last change is awaited, of all that see it.
        self.fleet.board.expect(self.next - mesh.services.min(count));
        self.fleet.board.delays([]);
        let callers = Callers { mesh, board: Arc::clone(&self.fleet.board), port: self.server.api, token: self.server.token()?, first };
        // As a program of its own: thousands of sidecars are not in its way.
        let calls = tokio::task::spawn_blocking(move || callers.run(seconds)).await.map_err(|error| error.to_string())??;
        let ended = self.fleet.board.now();
        let changed = (0..mesh.services.min(count)).map(|back| (self.next - 1 - back) % mesh.services);
        let last = self.fleet.board.all_arrived(changed.map(|service| size(mesh.seeing(service))).sum(), LIMIT).await?;
        let [median, p99] = self.fleet.board.delays([0.5, 0.99]);
        Ok(Storm { median, p99, call: high(calls), quiet: millis(last.saturating_sub(ended)) })
    }

    /// Sidecars that stop reading, while everything changes; the others' changes and the server's memory before and with them.
    pub async fn stuck(&mut self, count: u32, changes: u32) -> Result<Stuck, String> {
        let (before, _) = self.changes(changes).await?;
        let mut others = Fleet::new();
        let mesh = Mesh { sidecars: count, ..self.mesh };
        others.connect(mesh, self.dialect, self.server.xds, false).await;
        others.board.all_complete(size(count), LIMIT).await?;
        self.server.settled().await?;
        let memory = self.server.memory();
        others.board.is_stuck.store(true, Relaxed);
        for _ in 0..STUCK_ROUNDS {
            self.change_all().await?;
        }
        let (after, _) = self.changes(changes).await?;
        self.server.settled().await?;
        let grown = self.server.memory() - memory;
        others.leave().await;
        Ok(Stuck { before, after, grown })
    }

    /// Changes every service's endpoints in one call.
    async fn change_all(&mut self) -> Result<(), String> {
        let first = self.next;
        self.next += self.mesh.services;
        self.fleet.board.expect(first);
        let mesh = self.mesh;
        let changes = first..self.next;
        changes.clone().for_each(|change| self.fleet.board.sends(change));
        self.caller.apply(list(changes.clone().map(|change| mesh.slice(change % mesh.services, change)))).await?;
        let all = changes.map(|change| size(mesh.seeing(change % mesh.services))).sum();
        self.fleet.board.all_arrived(all, LIMIT).await.map(drop)
    }

    /// All sidecars go and come back after one change: bytes for each, and seconds.
    pub async fn reconnect(&mut self) -> Result<(f64, f64), String> {
        self.fleet.leave().await;
        let (change, mesh) = (self.next, self.mesh);
        let service = change % mesh.services;
        self.next += 1;
        self.fleet.board.expect(change);
        self.fleet.board.sends(change);
        self.caller.apply(list([mesh.slice(service, change)].into_iter())).await?;
        self.server.settled().await?;
        let before = bytes(&self.fleet.board);
        let began = Instant::now();
        self.fleet.connect(mesh, self.dialect, self.server.xds, true).await;
        self.fleet.board.all_arrived(size(mesh.seeing(service)), LIMIT).await?;
        let seconds = began.elapsed().as_secs_f64();
        self.server.settled().await?;
        Ok(((bytes(&self.fleet.board) - before) / f64::from(mesh.sidecars), seconds))
    }

    /// Nothing went wrong on any stream.
    pub fn check(&self) -> Result<(), String> {
        match self.fleet.board.faults.load(Relaxed) {
            0 => Ok(()),
            faults => Err(format!("{faults} streams ended or were told what they did not understand")),
        }
    }
}

/// How often everything is changed while some do not read: more than sockets hold.
const STUCK_ROUNDS: u32 = 4;

/// Those who make a storm.
struct Callers {
    mesh: Mesh,
    board: Arc<Board>,
    port: u16,
    token: String,
    /// The first change's number.
    first: u32,
}

impl Callers {
    /// The time that each call took, in milliseconds.
    fn run(self, seconds: u32) -> Result<Vec<f64>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let (began, this) = (Instant::now(), Arc::new(self));
        runtime.block_on(async {
            let mut callers = JoinSet::new();
            for at in 0..CALLERS {
                let this = Arc::clone(&this);
                callers.spawn(async move { this.call(at, seconds, began).await });
            }
            let mut calls = Vec::new();
            while let Some(done) = callers.join_next().await {
                calls.extend(done.map_err(|error| error.to_string())??);
            }
            Ok(calls)
        })
    }

    async fn call(&self, at: u32, seconds: u32, began: Instant) -> Result<Vec<f64>, String> {
        let mut caller = Caller::connect(self.port, &self.token).await?;
        let mut calls = Vec::new();
        for call in (at..seconds * CALLS).step_by(size(CALLERS)) {
            sleep_until(began + Duration::from_secs(1) * call / CALLS).await;
            let changes = (0..OBJECTS).map(|object| self.first + call * OBJECTS + object);
            let objects =
                changes.inspect(|change| self.board.sends(*change)).map(|change| self.mesh.slice(change % self.mesh.services, change));
            let sent = Instant::now();
            caller.apply(list(objects)).await?;
            calls.push(sent.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(calls)
    }
}

/// A thousand changes a second, in milliseconds.
pub struct Storm {
    /// From a change to a sidecar's acknowledgement, and the 99th percentile of that.
    pub median: f64,
    pub p99: f64,
    /// A call of the API, the 99th percentile.
    pub call: f64,
    /// From the last change until all have it.
    pub quiet: f64,
}

/// What sidecars that do not read do to the others.
pub struct Stuck {
    pub before: f64,
    pub after: f64,
    pub grown: f64,
}

/// The 99th percentile.
pub fn high(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or(f64::NAN)
}

fn bytes(board: &Board) -> f64 {
    board.bytes.load(Relaxed) as f64
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn size(count: u32) -> usize {
    usize::try_from(count).expect("32 bits")
}
