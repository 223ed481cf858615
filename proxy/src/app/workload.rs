use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::app::agent::{namespace, read, seconds, tell_lost};
use crate::config::identity::{Enrolment, WorkloadApi};
use crate::dns::Book;
use crate::identity::{Given, Renewal};
use crate::runtime::Shared;
use crate::task::OwnedTask;
use crate::xds::stream::{Pings, Way};
use crate::xds::workload::Svids;

/// How long the socket may take, and the first answer.
const LIMIT: Duration = Duration::from_secs(15);

/// Follows SPIFFE's Workload API, which gives the proxy its certificates as it sees fit.
pub(super) struct Follower {
    shared: Arc<Shared>,
    enrolment: Enrolment,
    api: WorkloadApi,
    renewal: Renewal,
    expires: Option<SystemTime>,
    /// The certificate that is in use.
    shown: Option<Vec<u8>>,
    /// Is told of the first certificate.
    first: Option<oneshot::Sender<()>>,
    /// Who knows services of the proxy's namespace by short names.
    book: Option<Rc<Book>>,
}

impl Follower {
    pub(super) fn new(shared: &Arc<Shared>, enrolment: Enrolment, api: WorkloadApi, book: Option<Rc<Book>>) -> Self {
        Self { shared: Arc::clone(shared), enrolment, api, renewal: Renewal::new(), expires: None, shown: None, first: None, book }
    }

    /// Returns when there is a certificate; then keeps it current as long as the task that it returns is kept.
    pub(super) async fn start(mut self) -> OwnedTask {
        let (first, had) = oneshot::channel();
        self.first = Some(first);
        let task = OwnedTask::spawn(async move {
            loop {
                let problem = self.follow().await;
                let wait = self.failed(&problem);
                tokio::time::sleep(wait).await;
            }
        });
        if had.await.is_err() {
            // It never ends by itself.
            std::future::pending::<()>().await;
        }
        task
    }

    /// Takes what comes, until nothing does any more; why.
    async fn follow(&mut self) -> String {
        let late = |limit: Duration| format!("no answer within {}", humantime::format_duration(limit));
        let opened = timeout(LIMIT, open(&self.api.socket)).await.unwrap_or_else(|_| Err(late(LIMIT)));
        let mut svids = match opened {
            Ok(svids) => svids,
            Err(problem) => return problem,
        };
        let mut limit = LIMIT;
        loop {
            let answer = match timeout(limit, svids.next()).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(problem)) => return problem,
                Err(_) if self.expires.is_some() && self.left().is_none() => return "nothing newer came".to_owned(),
                Err(_) => return late(limit),
            };
            let more = self.api.trusted_ca.as_deref().map_or_else(|| Ok(Vec::new()), authorities);
            let given = more.and_then(|more| Given::read(answer, &more).map_err(|error| error.to_string()));
            // What cannot be used takes nothing away. It is asked for again, after a while: whoever sends nothing else must not keep us busy.
            limit = match given {
                Ok(given) => self.take(given),
                Err(problem) => return problem,
            };
        }
    }

    /// How long the next one may be waited for: as long as this one holds.
    fn take(&mut self, given: Given) -> Duration {
        let stats = &self.shared.registry.ninon;
        stats.identity_issued.inc();
        stats.identity_expires.set(seconds(given.expires));
        // When the next is due, who gives them knows.
        self.renewal.succeeded(SystemTime::now(), given.expires, 0.5);
        let expires = humantime::format_rfc3339_seconds(given.expires);
        tracing::info!(identity = %given.name, %expires, trust_domains = given.all.trust_domains.len(), "certificate");
        for problem in &given.left_out {
            tracing::warn!(%problem, "a federated trust domain is left out, and nobody of it is trusted");
        }
        self.expires = Some(given.expires);
        if let (Some(book), Some(namespace)) = (&self.book, namespace(&given.name)) {
            book.move_to(namespace);
        }
        // First whom to trust: who is shown the new certificate may show one of a new authority.
        self.enrolment.trust.replace(Arc::new(given.trust));
        self.enrolment.own_domain.replace(Arc::new(given.own));
        self.enrolment.all_domains.replace(Arc::new(given.all));
        // It is sent again whenever authorities change, also those of others: connections go on that have shown it.
        if self.shown.as_ref() != Some(&given.certificate.chain) {
            self.shown = Some(given.certificate.chain.clone());
            self.enrolment.certificate.replace(Arc::new(given.certificate));
            self.shared.renewals.send_modify(|count| *count = count.wrapping_add(1));
        }
        self.shared.looks_again();
        if let Some(first) = self.first.take() {
            // Who started this has gone if nobody listens.
            let _told = first.send(());
        }
        self.left().unwrap_or_default()
    }

    /// What is left of the certificate's life.
    fn left(&self) -> Option<Duration> {
        self.expires?.duration_since(SystemTime::now()).ok()
    }

    /// What there is goes on; how long to wait for the next attempt.
    fn failed(&mut self, problem: &str) -> Duration {
        self.shared.registry.ninon.identity_failed.inc();
        let left = self.left();
        let wait = self.renewal.failed(left, fastrand::f64());
        let error = format!("the Workload API at {}: {problem}", self.api.socket.display());
        tell_lost(&error, left, self.expires.is_some(), wait);
        wait
    }
}

async fn open(socket: &Path) -> Result<Svids, String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    Svids::open(Way { bytes: Box::new(stream), pings: Pings::default() }).await
}

fn authorities(path: &Path) -> Result<Vec<u8>, String> {
    read(path).map_err(|error| format!("{}: {error}", path.display()))
}
