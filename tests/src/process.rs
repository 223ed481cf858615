//! A proxy process in its own folder: started, waited for, stopped on drop.

use crate::eventually::eventually;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Start-up is well under 0.2 s on an idle machine; this is for a crowded one.
const READY_LIMIT: Duration = Duration::from_secs(15);

/// Killed and its folder removed when dropped.
pub struct Process {
    child: Child,
    folder: Folder,
}

impl Process {
    /// Starts `command` with its output going to a file of `folder`.
    pub fn start(mut command: Command, folder: Folder) -> Result<Self, String> {
        let log = File::create(folder.path().join("output.log")).map_err(|e| format!("creating the log: {e}"))?;
        let errors = log.try_clone().map_err(|e| format!("creating the log: {e}"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("starting {:?}: {e}", command.get_program()))?;
        Ok(Self { child, folder })
    }

    /// Waits until the admin port says that the proxy is ready, or until the process has ended.
    pub async fn wait_until_ready(&mut self, admin: u16) -> Result<(), String> {
        let child = std::cell::RefCell::new(&mut self.child);
        let ready = eventually(READY_LIMIT, || async {
            if let Ok(Some(status)) = child.borrow_mut().try_wait() {
                return Some(Err(format!("it ended with {status}")));
            }
            is_ready(admin).await.then_some(Ok(()))
        });
        let outcome = ready.await.unwrap_or_else(|| Err("it was not ready in time".to_owned()));
        outcome.map_err(|problem| format!("{problem}; it wrote:\n{}", self.log()))
    }

    /// What the process wrote until now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("output.log")).unwrap_or_default()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, KiB; 0 when it has ended.
    pub fn rss(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Where its log and whatever else it writes is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for its end; `None` when it runs still after `limit`.
    pub async fn ended(&mut self, limit: Duration) -> Option<ExitStatus> {
        let child = std::cell::RefCell::new(&mut self.child);
        eventually(limit, || async { child.borrow_mut().try_wait().ok().flatten() }).await
    }

    /// Whether it runs still; a crash must not look like a closed connection.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET on the admin port, true when the answer is 200.
async fn is_ready(admin: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", admin)).await else {
        return false;
    };
    let request = b"GET /ready HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n";
    let mut status = [0; 12];
    let answer = async {
        stream.write_all(request).await?;
        stream.read_exact(&mut status).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
    matches!(answer, Ok(Ok(_))) && status.ends_with(b"200")
}

/// A folder for one run, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A new empty folder under the system's temporary one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ninon-tests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
