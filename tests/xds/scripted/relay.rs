use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use ninon_tests::control_plane::LIMIT;
use ninon_tests::eventually::eventually;
use ninon_tests::ports;

/// No HTTP/2, and no TLS.
const GARBAGE: &[u8] = b"\x00\xffSSH-2.0-not an xDS server\r\n\r\n\x16\x03\x01";
/// A slow network: so many bytes, so often.
const SLOW: (usize, Duration) = (64, Duration::from_millis(2));

/// What happens to bytes between the proxy and its control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// They arrive.
    Passes,
    /// Connections are accepted; nothing arrives on any, and none is closed.
    Swallows,
    /// The server's arrive slowly.
    Crawls,
    /// The server says what no xDS server says, to all connections.
    Babbles,
    /// After so many bytes of the server each connection is closed.
    Cuts(usize),
}

/// A port that leads to the control plane, more or less.
pub struct Relay {
    pub port: u16,
    network: watch::Sender<Network>,
    connections: Arc<AtomicUsize>,
    server: u16,
    task: JoinSet<()>,
}

impl Relay {
    pub async fn start(server: u16, network: Network) -> Self {
        let (network, _) = watch::channel(network);
        let mut relay = Self { port: ports::free(), network, connections: Arc::default(), server, task: JoinSet::new() };
        relay.revive().await;
        relay
    }

    /// Changes the network for all connections, those that are open, too.
    pub fn becomes(&self, network: Network) {
        self.network.send_replace(network);
    }

    /// Closes all connections; further ones are refused.
    pub async fn kill(&mut self) {
        self.task.shutdown().await;
    }

    /// Listens again.
    pub async fn revive(&mut self) {
        let bind = || async { TcpListener::bind(("127.0.0.1", self.port)).await.ok() };
        let listener = eventually(LIMIT, bind).await.expect("the port is free");
        let (server, network, count) = (self.server, self.network.subscribe(), Arc::clone(&self.connections));
        self.task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let network = network.clone();
                connections.spawn(async move {
                    // That one side is gone is what is tried here.
                    let _ = carry(client, server, network).await;
                });
            }
        });
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn carry(mut client: TcpStream, server: u16, mut network: watch::Receiver<Network>) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut there, mut back) = (vec![0; 65_536], vec![0; 65_536]);
    let mut passed = 0;
    loop {
        let state = *network.borrow_and_update();
        let most = match state {
            Network::Passes => back.len(),
            Network::Crawls => SLOW.0,
            Network::Cuts(after) if passed >= after => return Ok(()),
            Network::Cuts(after) => (after - passed).min(back.len()),
            Network::Swallows => {
                let _ = network.changed().await;
                continue;
            }
            Network::Babbles => {
                client.write_all(GARBAGE).await?;
                while client.read(&mut there).await? > 0 {}
                return Ok(());
            }
        };
        tokio::select! {
            _ = network.changed() => {}
            count = client.read(&mut there) => match count? {
                0 => return Ok(()),
                count => upstream.write_all(&there[..count]).await?,
            },
            count = upstream.read(&mut back[..most]) => match count? {
                0 => return Ok(()),
                count => {
                    if state == Network::Crawls {
                        tokio::time::sleep(SLOW.1).await;
                    }
                    client.write_all(&back[..count]).await?;
                    passed += count;
                }
            },
        }
    }
}
