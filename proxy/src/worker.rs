//! One data-plane thread: its runtime, its listeners' sockets, its pools. Nothing here is shared with another thread but
//! what `Shared` holds.

/// What handshakes with servers need.
mod handshakes;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::accept::listeners::{Acceptor, Bound, is_of_one_connection};
use crate::accept::spread::Held;
use crate::balance::{BalanceError, Balancer};
use crate::config::ClusterName;
use crate::config::address::Address;
use crate::connect::TlsSource;
use crate::connect::bond::Bond;
use crate::connect::pool::Pools;
use crate::connection;
use crate::detect::DetectError;
use crate::drain::{DRAIN_POLL, Phase, Watcher};
use crate::exchange::ConnectionInfo;
use crate::request::keys;
use crate::runtime::{ActiveListener, Door, OpenConnection, Shared};
use crate::stream::Socket;
use crate::task::{OwnedTask, spawn_bounded_by_connection};
use crate::telemetry::access_log::WorkerLog;
use crate::telemetry::sparse::Sparse;
use crate::tls::{HandshakeError, HandshakeFailure};

/// Connections on their way from one worker to another. When it is full, a connection stays where it was accepted.
const HANDOVER_QUEUE: usize = 256;

/// How long a worker waits after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What a worker's tasks share.
pub struct Worker {
    /// Shared by all workers.
    pub shared: Arc<Shared>,
    /// This worker's connections to endpoints.
    pub pools: Pools,
    /// This worker's side of balancing.
    pub balancer: Balancer,
    /// TLS towards endpoints.
    pub tls: TlsSource,
    /// This worker's access-log lines.
    pub log: WorkerLog,
    /// Graceful stop.
    pub drain: Watcher,
    /// Services that do not answer are told of now and then.
    pub silent: Sparse,
    refusals: Sparse,
    handshakes: Sparse,
    unserved: Sparse,
    /// Of clients that do not speak TLS, or not in time: they hide none of those that are refused.
    plain: Sparse,
    connections: Cell<u64>,
    index: usize,
    peers: Vec<mpsc::Sender<Handover>>,
}

/// A connection on its way to the worker that serves it.
pub struct Handover {
    socket: Socket2,
    peer: Address,
    listener: Arc<ActiveListener>,
    held: Held,
    open: OpenConnection,
}

/// A socket that belongs to no runtime.
enum Socket2 {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// What a worker is started with.
pub struct Start {
    /// Which one it is.
    pub index: usize,
    /// Shared by all.
    pub shared: Arc<Shared>,
    /// What it is told from the control thread.
    pub commands: mpsc::Receiver<Command>,
    /// Graceful stop.
    pub drain: Watcher,
    /// Ways to the other workers.
    pub peers: Vec<mpsc::Sender<Handover>>,
    /// Connections from the other workers.
    pub incoming: mpsc::Receiver<Handover>,
}

pub use handshakes::{Shown, tls_source};

/// What the control thread tells a worker.
#[derive(Debug)]
pub enum Command {
    /// Take connections here.
    Open(Arc<Door>, Vec<Bound>),
    /// Clusters have changed: close connections to those that are gone.
    Tidy,
}

impl Worker {
    /// Says why a connection was refused, where somebody tried to go past the redirection, or in a circle.
    pub fn tell_refused(&self, info: &ConnectionInfo, cluster: &ClusterName, reason: BalanceError) {
        if !info.dialled_proxy && reason != BalanceError::ToItself {
            return;
        }
        let Some(untold) = self.refusals.tell() else { return };
        let past = if info.dialled_proxy { "; it was not redirected here: the client dialled the proxy itself" } else { "" };
        let ConnectionInfo { listener, client, local: destination, .. } = info;
        tracing::warn!(%listener, %client, %destination, %cluster, untold, "refused: {reason}{past}");
    }

    /// Returns when the server of a connection is not accepted any more.
    pub async fn refuses(&self, bond: Option<&Bond>) {
        let Some(bond) = bond else { return std::future::pending().await };
        let mut changes = self.shared.trust.subscribe();
        while bond.is_accepted() {
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Tells now and then of clients of TLS that no filter chain is for; of others, that may be anything, only to whoever asks for
    /// everything.
    pub fn tell_no_chain(&self, info: &ConnectionInfo) {
        let ConnectionInfo { listener, client, local: destination, tls, .. } = info;
        match tls.as_ref().and_then(|tls| Some((tls.sni.as_deref().unwrap_or_default(), self.unserved.tell()?))) {
            Some((server_name, untold)) => {
                tracing::warn!(%listener, %client, %destination, server_name, untold, "TLS handshake: no filter chain fits");
            }
            None => tracing::debug!(%listener, %client, %destination, "no filter chain fits"),
        }
    }

    /// Tells now and then of clients that have not said in time what they speak; of others that went before, only to whoever asks for
    /// everything.
    pub fn tell_undetected(&self, listener: &dyn fmt::Display, client: &Address, error: &DetectError) {
        match if matches!(error, DetectError::TimedOut) { self.plain.tell() } else { None } {
            Some(untold) => tracing::warn!(%listener, %client, untold, "refused: {error}"),
            None => tracing::debug!(%listener, %client, %error, "detection"),
        }
    }

    /// Tells now and then of clients that are refused in the handshake, or refuse it, or have not spoken TLS in time; of those that went
    /// before, only to whoever asks for everything.
    pub fn tell_no_handshake(&self, info: &ConnectionInfo, error: &HandshakeError) {
        let ConnectionInfo { listener, client, .. } = info;
        let told = if matches!(error.cause, HandshakeFailure::NotTls | HandshakeFailure::TimedOut(_)) {
            self.plain.tell()
        } else if error.is_refusal() {
            self.handshakes.tell()
        } else {
            None
        };
        match told {
            Some(untold) => tracing::warn!(%listener, %client, untold, "TLS handshake: {error}"),
            None => tracing::debug!(%listener, %client, %error, "TLS handshake"),
        }
    }
}

/// The ways between workers: a sender to each, and each one's receiver.
pub fn handover_channels(workers: usize) -> (Vec<mpsc::Sender<Handover>>, Vec<mpsc::Receiver<Handover>>) {
    (0..workers).map(|_| mpsc::channel(HANDOVER_QUEUE)).unzip()
}

/// Serves until the drain is over.
///
/// # Errors
/// When the runtime or a listening socket cannot be set up.
pub fn run(start: Start) -> io::Result<()> {
    // Not a LocalSet in a runtime: whatever wakes that writes to the runtime's own event descriptor first.
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve(start))
}

async fn serve(start: Start) -> io::Result<()> {
    let Start { index, shared, commands, drain, peers, incoming } = start;
    let tls = tls_source();
    let log = shared.logs.worker();
    let worker = Rc::new(Worker {
        pools: Pools::new(Some(Rc::clone(&tls))),
        balancer: Balancer::new(shared.own.clone()),
        tls,
        log,
        drain,
        silent: Sparse::default(),
        refusals: Sparse::default(),
        handshakes: Sparse::default(),
        unserved: Sparse::default(),
        plain: Sparse::default(),
        connections: Cell::new(0),
        index,
        peers,
        shared,
    });
    let _handovers = OwnedTask::spawn(take_over(Rc::clone(&worker), incoming));
    let mut drain = worker.drain.clone();
    let acceptors = obey(&worker, commands, drain.reached(Phase::Draining)).await;
    for acceptor in acceptors {
        let _ended = acceptor.join().await;
    }
    let mut drain = worker.drain.clone();
    let idle = async {
        while worker.connections.get() > 0 || worker.shared.spread.on(worker.index) > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    tokio::select! {
        () = idle => {}
        () = drain.reached(Phase::Stopping) => {}
    }
    worker.log.flush();
    Ok(())
}

/// Does what the control thread says until the drain begins. What takes connections then is still to end.
async fn obey(worker: &Rc<Worker>, mut commands: mpsc::Receiver<Command>, drain: impl Future<Output = ()>) -> Vec<OwnedTask> {
    let mut drain = std::pin::pin!(drain);
    let mut acceptors: Vec<OwnedTask> = Vec::new();
    loop {
        let command = tokio::select! {
            () = &mut drain => return acceptors,
            Some(command) = commands.recv() => command,
        };
        if worker.index == 0 {
            let generation = worker.shared.current.load();
            generation.listeners.iter().flat_map(|listener| listener.fetched()).for_each(|fetched| keys::keep(worker, &fetched));
        }
        match command {
            Command::Open(door, sockets) => {
                acceptors.retain(|acceptor| !acceptor.is_finished());
                for socket in sockets {
                    match socket.into_acceptor() {
                        Ok(acceptor) => acceptors.push(OwnedTask::spawn(accept(Rc::clone(worker), Arc::clone(&door), acceptor))),
                        Err(error) => tracing::error!(worker = worker.index, %error, "a listening socket cannot be watched"),
                    }
                }
            }
            Command::Tidy => {
                let generation = worker.shared.current.load();
                worker
                    .pools
                    .retain(|cluster| generation.clusters.get(&cluster.config().name).is_some_and(|live| Arc::ptr_eq(live, cluster)));
                worker.balancer.retain_live();
            }
        }
    }
}

/// Takes connections until the gate is shut, and those that the kernel had accepted by then.
async fn accept(worker: Rc<Worker>, door: Arc<Door>, acceptor: Acceptor) {
    let closed = door.gate.closed();
    tokio::pin!(closed);
    loop {
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = &mut closed => break,
        };
        match accepted {
            Ok((socket, peer)) => place(&worker, &door, socket, peer),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    acceptor.close(|socket, peer| place(&worker, &door, socket, peer));
    door.socket_ended();
}

/// Serves the connection here, or hands it to the worker that has the fewest.
fn place(worker: &Rc<Worker>, door: &Door, socket: Socket, peer: Address) {
    let Some(listener) = &door.listener() else { return };
    let Some(open) = listener.admit(worker.shared.limit.as_ref()) else { return };
    let held = worker.shared.spread.place(worker.index);
    let target = held.worker();
    let Some(way) = worker.peers.get(target).filter(|_| target != worker.index) else {
        return begin(worker, listener, socket, (peer, held, open));
    };
    let Ok(permit) = way.try_reserve() else {
        return begin(worker, listener, socket, (peer, held, open));
    };
    let socket = match socket {
        Socket::Tcp(stream) => stream.into_std().map(Socket2::Tcp),
        Socket::Unix(stream) => stream.into_std().map(Socket2::Unix),
    };
    match socket {
        Ok(socket) => permit.send(Handover { socket, peer, listener: Arc::clone(listener), held, open }),
        Err(error) => tracing::warn!(%error, "a connection was lost between workers"),
    }
}

async fn take_over(worker: Rc<Worker>, mut incoming: mpsc::Receiver<Handover>) {
    while let Some(Handover { socket, peer, listener, held, open }) = incoming.recv().await {
        let socket = match socket {
            Socket2::Tcp(stream) => tokio::net::TcpStream::from_std(stream).map(Socket::Tcp),
            Socket2::Unix(stream) => tokio::net::UnixStream::from_std(stream).map(Socket::Unix),
        };
        match socket {
            Ok(socket) => begin(&worker, &listener, socket, (peer, held, open)),
            Err(error) => tracing::warn!(%error, "a connection was lost between workers"),
        }
    }
}

fn begin(worker: &Rc<Worker>, listener: &Arc<ActiveListener>, socket: Socket, (peer, held, open): (Address, Held, OpenConnection)) {
    let counted = Counted::new(worker);
    let listener = Arc::clone(listener);
    spawn_bounded_by_connection(async move {
        let mut drain = counted.0.drain.clone();
        tokio::select! {
            () = connection::serve(Rc::clone(&counted.0), listener, socket, peer) => {}
            () = drain.reached(Phase::Stopping) => {}
        }
        drop((held, open, counted));
    });
}

/// One connection of this worker's; counts until dropped.
struct Counted(Rc<Worker>);

impl Counted {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.connections.set(worker.connections.get().saturating_add(1));
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get().saturating_sub(1));
    }
}
