use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::channels::Channels;
use crate::runtime::Shared;
use crate::task::OwnedTask;
use crate::telemetry::trace::ExportTask;

/// The task that exports spans.
pub(super) struct Spans {
    task: OwnedTask,
    finish: oneshot::Sender<()>,
}

impl Spans {
    pub(super) fn start(export: ExportTask, shared: &Arc<Shared>) -> Self {
        let channels = Channels::start(shared);
        let (finish, told) = oneshot::channel();
        let last = async {
            // A sender that is gone says the same.
            let _told = told.await.is_ok();
        };
        let task = OwnedTask::spawn(async move { export.run(|provider| channels.to(&provider.cluster), last).await });
        Self { task, finish }
    }

    /// Waits until what was handed over is sent, at most so long.
    pub(super) async fn finish(self, limit: Duration) {
        // An error means that the task has ended.
        let _told = self.finish.send(()).is_ok();
        if tokio::time::timeout(limit, self.task.join()).await.is_err() {
            tracing::warn!("the last spans were not sent in time");
        }
    }
}
