//! All sidecars of a run.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::board::Board;
use crate::mesh::Mesh;
use crate::sidecar::{Dialect, Sidecar};

/// Many connections at once overflow the queue of a listener.
const TOGETHER: u32 = 50;

/// Connected until it is dropped.
pub struct Fleet {
    /// What they note.
    pub board: Arc<Board>,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// None yet.
    pub fn new() -> Self {
        Self { board: Arc::new(Board::new()), tasks: JoinSet::new() }
    }

    /// Connects the first `count` sidecars of a mesh.
    pub async fn connect(&mut self, mesh: Mesh, dialect: Dialect, port: u16, resume: bool) {
        for number in 0..mesh.sidecars {
            self.tasks.spawn(Sidecar::new(number, mesh, dialect, &self.board).run(port, resume));
            if number % TOGETHER == TOGETHER - 1 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }

    /// Ends all connections.
    pub async fn leave(&mut self) {
        self.tasks.shutdown().await;
    }
}
