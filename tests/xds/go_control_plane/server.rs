use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ninon_tests::eventually::eventually;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;

use super::journal::Journal;
use super::program;

/// A program starts, and a proxy answers to changes, well within a second on an idle machine.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A running server; killed when dropped.
pub(super) struct Server {
    child: Child,
    commands: ChildStdin,
    journal: Arc<Mutex<Journal>>,
    _reader: JoinSet<()>,
}

impl Server {
    /// It listens on `port` once something is set.
    pub(super) fn start(port: u16) -> Self {
        let mut command = Command::new(program::built());
        command.arg("-address").arg(format!("127.0.0.1:{port}"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("the program starts");
        let commands = child.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let journal = Arc::<Mutex<Journal>>::default();
        let mut reader = JoinSet::new();
        let writes = Arc::clone(&journal);
        reader.spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let event = serde_json::from_str(&line).expect("an event on each line");
                writes.lock().expect("no panic while locked").note(event);
            }
        });
        Self { child, commands, journal, _reader: reader }
    }

    /// Sets what is served, and waits until it is set.
    pub(super) async fn set(&mut self, resources: Value) {
        let sets = self.journal().sets();
        let line = serde_json::json!({ "set": resources }).to_string() + "\n";
        self.commands.write_all(line.as_bytes()).await.expect("the program reads");
        let set = eventually(LIMIT, || async { (self.journal().sets() > sets).then_some(()) }).await;
        assert!(set.is_some(), "the snapshot is not set; the program writes why");
    }

    /// What it told until now.
    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().expect("no panic while locked")
    }

    /// Waits until all that is set has been accepted.
    pub(super) async fn settled(&self) {
        if eventually(LIMIT, || async { self.journal().is_settled().then_some(()) }).await.is_none() {
            let journal = self.journal();
            let last = &journal.events[journal.events.len().saturating_sub(40)..];
            panic!("not accepted: {:#?}; refused: {:#?}; the end: {last:#?}", journal.unsettled(), journal.refusals.last());
        }
    }

    /// Ends it as a crash would.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}
