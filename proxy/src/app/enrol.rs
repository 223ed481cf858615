use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::admin::Action;
use crate::app::agent::Agent;
use crate::app::signals::Signals;
use crate::app::watch_names;
use crate::app::workload::Follower;
use crate::config::bootstrap::Bootstrap;
use crate::config::identity::{Enrolment, Means};
use crate::dns::Book;
use crate::runtime::Shared;
use crate::task::OwnedTask;

/// What came of the wish for an identity.
pub(super) enum Enrolled {
    /// There is none.
    Not,
    /// There is one, and this keeps it current.
    As(OwnedTask),
    /// The process is to end before there was one.
    Ended,
}

/// Waits for the proxy's own certificate, if it is to have one: nothing is served before.
pub(super) async fn enrol(
    bootstrap: &Bootstrap,
    shared: &Arc<Shared>,
    book: Option<Rc<Book>>,
    signals: &mut Signals,
    actions: &mut mpsc::Receiver<Action>,
) -> Enrolled {
    let Some(enrolment) = bootstrap.enrolment.clone() else { return Enrolled::Not };
    let generation = shared.current.load_full();
    let watches = watch_names(&generation).await;
    let enrolled = tokio::select! {
        task = start(bootstrap, shared, enrolment, book) => Enrolled::As(task),
        () = signals.until_stop(|| shared.logs.reopen()) => Enrolled::Ended,
        () = quit(actions) => Enrolled::Ended,
    };
    drop(watches);
    enrolled
}

async fn start(bootstrap: &Bootstrap, shared: &Arc<Shared>, enrolment: Enrolment, book: Option<Rc<Book>>) -> OwnedTask {
    match enrolment.means.clone() {
        Means::Token(joining) => {
            let server = bootstrap.dynamic.as_ref().and_then(|dynamic| dynamic.server.as_ref());
            let authorities = server.map(|server| server.servers.clone()).unwrap_or_default();
            Agent::new(shared, enrolment, joining, authorities, book).start().await
        }
        Means::WorkloadApi(api) => Follower::new(shared, enrolment, api, book).start().await,
    }
}

async fn quit(actions: &mut mpsc::Receiver<Action>) {
    while let Some(action) = actions.recv().await {
        if matches!(action, Action::Quit) {
            return;
        }
    }
    std::future::pending().await
}
