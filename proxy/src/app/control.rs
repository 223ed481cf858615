use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::admin::ServerState;
use crate::app::cache::Cache;
use crate::app::dial::connect;
use crate::app::files::Files;
use crate::app::heap;
use crate::app::live::Live;
use crate::app::signals::Signals;
use crate::app::status::Following;
use crate::config::ClusterName;
use crate::config::bootstrap::Server;
use crate::config::cluster::Cluster;
use crate::config::source::ResourceFile;
use crate::connect::TlsSource;
use crate::runtime::Shared;
use crate::xds::cache;
use crate::xds::follow::Outcome;
use crate::xds::resource::{Kind, Offered};
use crate::xds::stream::{Answer, Attempt, Dialect, Opener, Request, Stream, StreamError};

/// How long a control plane may take for its first answer before the last good configuration of an earlier run serves.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// How long a control plane may take until nobody is sent here any more.
const PARTING: Duration = Duration::from_secs(30);

/// An answer of so many resources leaves room in the heap that is given back.
const MANY_RESOURCES: u64 = 200;

/// Keeps what serves as the control plane says it is to be.
pub(super) struct Control {
    shared: Arc<Shared>,
    live: Live,
    warm: mpsc::Receiver<Arc<Cluster>>,
    following: Rc<RefCell<Following>>,
    server: Option<(Dialect, Opener)>,
    link: Link,
    files: Files,
    wake: Option<Instant>,
    /// The outage was told: one line for one. It ends with an answer.
    told: bool,
    /// The server of this stream has answered.
    answered: bool,
    cache: Option<Cache>,
    earlier: Option<Earlier>,
    tls: TlsSource,
    /// The proxy has an identity of its own.
    is_known: bool,
    renewals: watch::Receiver<u64>,
}

/// What an earlier run has left, until it is used or the control plane answers.
struct Earlier {
    resources: Vec<(Kind, Offered)>,
    until: Instant,
}

enum Link {
    Opening(Attempt),
    Open(Box<Stream>),
    /// There is no server.
    None,
}

enum Event {
    Opened(Result<Stream, (ClusterName, StreamError)>),
    Answer(Result<Answer, StreamError>),
    Warm(Arc<Cluster>),
    Cache(bool),
    Files(Vec<(Kind, ResourceFile)>),
    Renewed,
    Time,
}

impl Control {
    /// Begins with the first attempt to reach the control plane.
    pub(super) fn new(
        shared: &Arc<Shared>,
        (live, warm): (Live, mpsc::Receiver<Arc<Cluster>>),
        following: Rc<RefCell<Following>>,
        (cache, files): (Option<Cache>, Files),
        (server, is_known): (Option<&Server>, bool),
    ) -> Self {
        let tls = crate::worker::tls_source();
        let until = Instant::now().checked_add(FIRST_ANSWER);
        let resources = cache.as_ref().and_then(Cache::load);
        let earlier = resources.zip(until).map(|(resources, until)| Earlier { resources, until });
        let mut control = Self {
            shared: Arc::clone(shared),
            live,
            warm,
            following,
            server: server.map(|server| (dialect(server), Opener::new(server.clone()))),
            link: Link::None,
            files,
            wake: None,
            told: false,
            answered: false,
            cache,
            earlier,
            tls,
            is_known,
            renewals: shared.renewals.subscribe(),
        };
        control.reopen();
        control
    }

    /// Follows for ever. `state` hears when everything serves that was told at first.
    pub(super) async fn run(&mut self, state: &watch::Sender<ServerState>) {
        let outcome = self.following.borrow_mut().follower.look(Instant::now());
        self.carry_out(outcome).await;
        loop {
            if *state.borrow() == ServerState::Initializing && self.following.borrow().follower.cascade.is_complete() {
                super::ready(&self.shared, state, self.following.borrow().started);
            }
            let event = self.next().await;
            self.handle(event).await;
        }
    }

    /// The process ends: what was good is kept, and the control plane hears of it. Whether it is to end at once.
    pub(super) async fn end(&mut self, state: &watch::Sender<ServerState>, signals: &mut Signals) -> bool {
        self.finish();
        state.send_replace(ServerState::Draining);
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = self.part() => false,
            () = signals.until_stop(|| shared.logs.reopen()) => true,
        }
    }

    fn finish(&self) {
        if let Some(cache) = &self.cache {
            let following = self.following.borrow();
            let inventory = &following.follower.inventory;
            cache.write_now(inventory.changes(), |node| cache::collect(inventory, node));
        }
    }

    /// The process is to end. A control plane that knows who it is may have told others of it: it is told, and this goes on
    /// serving until it lets go.
    async fn part(&mut self) {
        if !self.is_known && !self.server.as_ref().is_some_and(|(_, opener)| opener.shows_token()) {
            return;
        }
        if let Link::Open(stream) = std::mem::replace(&mut self.link, Link::None) {
            tracing::info!(server = %stream.server, "says goodbye to the control plane");
            if tokio::time::timeout(PARTING, stream.part()).await.is_err() {
                tracing::warn!("the control plane does not let go; no longer waited for");
            }
        }
    }

    async fn next(&mut self) -> Event {
        let wake = [self.wake, self.earlier.as_ref().map(|earlier| earlier.until)].into_iter().flatten().min();
        let time = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        let link = async {
            match &mut self.link {
                Link::Opening(attempt) => Event::Opened(attempt.await),
                Link::Open(stream) => Event::Answer(stream.receive().await),
                Link::None => std::future::pending().await,
            }
        };
        let cache = async {
            match &mut self.cache {
                Some(cache) => cache.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = link => event,
            Some(cluster) = self.warm.recv() => Event::Warm(cluster),
            due = cache => Event::Cache(due),
            changed = self.files.changed() => Event::Files(changed),
            Ok(()) = self.renewals.changed() => Event::Renewed,
            () = time => Event::Time,
        }
    }

    async fn handle(&mut self, event: Event) {
        let begun = Instant::now();
        match event {
            Event::Opened(Ok(stream)) => self.opened(stream),
            Event::Opened(Err((server, error))) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%server, %error, "the control plane cannot be reached; what serves goes on");
                }
                self.shared.registry.control_plane.connect_fail.inc();
                self.note_failure(&error);
                if let Some((_, opener)) = &mut self.server {
                    opener.failed();
                }
                self.reopen();
                self.restore().await;
            }
            Event::Answer(Ok(answer)) => {
                self.heard();
                let outcome = self.following.borrow_mut().follower.received(answer);
                self.carry_out(outcome).await;
                self.shared.registry.control_plane.update_time_ms.record(begun.elapsed());
            }
            Event::Answer(Err(error)) => {
                self.lost(&error);
                self.restore().await;
            }
            Event::Warm(cluster) => {
                let outcome = {
                    let follower = &mut self.following.borrow_mut().follower;
                    follower.cascade.resolved(&cluster);
                    follower.look(begun)
                };
                self.carry_out(outcome).await;
            }
            Event::Cache(true) => {
                let following = self.following.borrow();
                let inventory = &following.follower.inventory;
                if let Some(cache) = &mut self.cache {
                    let collected = cache::collect(inventory, cache.node());
                    cache.write(inventory.changes(), collected);
                }
            }
            Event::Cache(false) => {}
            Event::Files(changed) => self.read(changed).await,
            Event::Renewed => self.renewed(),
            Event::Time => {
                if self.earlier.as_ref().is_some_and(|earlier| earlier.until <= begun) {
                    self.restore().await;
                }
                let outcome = self.following.borrow_mut().follower.look(begun);
                self.carry_out(outcome).await;
            }
        }
    }

    fn opened(&mut self, stream: Stream) {
        let stats = &self.shared.registry.control_plane;
        stats.connects.inc();
        stats.connected_state.set(1);
        let requests = {
            let mut following = self.following.borrow_mut();
            if let Some(link) = &mut following.link {
                link.connected(stream.server.clone());
            }
            following.follower.opened()
        };
        self.answered = false;
        self.link = Link::Open(Box::new(stream));
        self.send(requests);
    }

    /// The control plane answers: the outage is over, and what an earlier run has left is not needed.
    fn heard(&mut self) {
        self.earlier = None;
        if let (false, Link::Open(stream)) = (self.answered, &self.link) {
            tracing::info!(server = %stream.server, "connected to the control plane");
        }
        (self.answered, self.told) = (true, false);
    }

    /// Serves what an earlier run has left, once, where nothing else is known.
    async fn restore(&mut self) {
        let Some(Earlier { resources, .. }) = self.earlier.take() else { return };
        tracing::warn!(resources = resources.len(), "the control plane does not answer; the last good configuration serves");
        let outcome = {
            let mut following = self.following.borrow_mut();
            following.restored = true;
            following.follower.restore(&resources)
        };
        self.carry_out(outcome).await;
    }

    /// Reads files, and those that they refer to.
    async fn read(&mut self, mut files: Vec<(Kind, ResourceFile)>) {
        while let Some((kind, file)) = files.pop() {
            let Some(content) = self.files.read(kind, &file).await else { continue };
            let mut outcome = self.following.borrow_mut().follower.read(kind, &file, content);
            files.append(&mut outcome.read);
            self.make_serve(outcome).await;
        }
        let following = self.following.borrow();
        self.files.retain(|kind, file| following.follower.wants_file(kind, file));
    }

    async fn carry_out(&mut self, mut outcome: Outcome) {
        let files = std::mem::take(&mut outcome.read);
        self.make_serve(outcome).await;
        if !files.is_empty() {
            self.read(files).await;
        }
    }

    async fn make_serve(&mut self, outcome: Outcome) {
        let Outcome { requests, step, accepted, refused, unsent, .. } = outcome;
        self.wake = step.wake;
        // What is there serves before the server hears that it was taken.
        let served = self.live.apply(step).await;
        let verdict = self.following.borrow_mut().follower.serves(served, unsent, Instant::now());
        self.wake = [self.wake, verdict.wake].into_iter().flatten().min();
        let stats = &self.shared.registry.control_plane;
        for (kind, refusal) in refused.iter().chain(&verdict.refused) {
            stats.update_rejected.inc();
            tracing::warn!(%kind, %refusal, "refused; the last good one stays");
        }
        stats.update_accepted.add(accepted.saturating_sub(verdict.taken_back));
        let secrets = self.following.borrow().follower.inventory.secrets.changes();
        self.shared.trust.send_if_modified(|seen| std::mem::replace(seen, secrets) != secrets);
        if let (Some(names), Some(dns)) = (self.following.borrow().tell_names(), self.shared.registry.dns.get()) {
            dns.names.set(u64::try_from(names).unwrap_or(u64::MAX));
        }
        if accepted >= MANY_RESOURCES {
            heap::give_back();
        }
        if let Some(cache) = &mut self.cache {
            cache.note(self.following.borrow().follower.inventory.changes());
        }
        self.send(requests.into_iter().chain(verdict.requests).collect());
    }

    fn send(&mut self, requests: Vec<Request>) {
        if let Link::Open(stream) = &mut self.link {
            let sent = requests.into_iter().try_for_each(|request| stream.send(request));
            if let Err(error) = sent {
                self.lost(&error);
            }
        }
    }

    fn lost(&mut self, error: &StreamError) {
        let stats = &self.shared.registry.control_plane;
        stats.disconnects.inc();
        stats.connected_state.set(0);
        self.note_failure(error);
        if matches!(error, StreamError::Revoked(_)) {
            self.shared.revoked.send_modify(|count| *count = count.wrapping_add(1));
        }
        if let (Link::Open(stream), Some((_, opener))) = (&self.link, &mut self.server) {
            let was_good = opener.lost(stream.lived());
            let told = std::mem::replace(&mut self.told, true);
            if was_good || !told {
                tracing::warn!(server = %stream.server, %error, "the stream of the control plane ended; what serves goes on");
            }
        }
        self.reopen();
    }

    /// The control plane knows the proxy by a certificate that soon ends: it is shown the next in good time, on another stream.
    fn renewed(&mut self) {
        if let (Link::Open(_) | Link::Opening(_), Some((_, opener))) = (&self.link, &mut self.server) {
            if matches!(self.link, Link::Open(_)) {
                let stats = &self.shared.registry.control_plane;
                stats.disconnects.inc();
                stats.connected_state.set(0);
            }
            opener.again();
            self.reopen();
        }
    }

    fn note_failure(&self, error: &StreamError) {
        if let Some(link) = &mut self.following.borrow_mut().link {
            link.failed(error.to_string());
        }
    }

    fn reopen(&mut self) {
        let (shared, tls) = (&self.shared, &self.tls);
        if let Some((dialect, opener)) = &mut self.server {
            self.link = Link::Opening(opener.open(*dialect, |server| connect(Arc::clone(shared), server, Rc::clone(tls))));
        }
    }
}

/// Which protocol the bootstrap file asks for.
pub(super) fn dialect(server: &Server) -> Dialect {
    if server.delta { Dialect::Delta } else { Dialect::Sotw }
}
