use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::app::live::Live;
use crate::config::ClusterName;
use crate::config::bootstrap::Dynamic;
use crate::config::cluster::Cluster;
use crate::connect::{TlsSource, TlsTarget};
use crate::runtime::Shared;
use crate::xds::follow::{Follower, Outcome};
use crate::xds::stream::{Answer, Attempt, Dialect, Opener, Opening, Pings, Stream, StreamError, Way};

/// Keeps what serves as the control plane says it is to be.
pub(super) struct Control {
    shared: Arc<Shared>,
    live: Live,
    warm: mpsc::Receiver<Arc<Cluster>>,
    follower: Follower,
    dialect: Dialect,
    opener: Opener,
    link: Link,
    wake: Option<Instant>,
    /// The last failure was told: one line for one outage.
    told: bool,
    tls: TlsSource,
}

enum Link {
    Opening(Attempt),
    Open(Box<Stream>),
}

enum Event {
    Opened(Result<Stream, (ClusterName, StreamError)>),
    Answer(Result<Answer, StreamError>),
    Warm(Arc<Cluster>),
    Time,
}

impl Control {
    /// Begins with the first attempt to reach the control plane.
    pub(super) fn new(shared: &Arc<Shared>, live: Live, warm: mpsc::Receiver<Arc<Cluster>>, follower: Follower, dynamic: &Dynamic) -> Self {
        let source = crate::tls::client::Source::new();
        let tls: TlsSource = std::rc::Rc::new(move |cluster, asked| {
            source.target(cluster, asked).map(|(config, server_name)| TlsTarget { config, server_name })
        });
        let dialect = if dynamic.delta { Dialect::Delta } else { Dialect::Sotw };
        let mut opener = Opener::new(dynamic.clone());
        let link = Link::Opening(opener.open(dialect, |server| connect(Arc::clone(shared), server, std::rc::Rc::clone(&tls))));
        Self { shared: Arc::clone(shared), live, warm, follower, dialect, opener, link, wake: None, told: false, tls }
    }

    /// Follows for ever.
    pub(super) async fn run(&mut self) {
        let outcome = self.follower.look(Instant::now());
        self.carry_out(outcome).await;
        loop {
            let event = self.next().await;
            self.handle(event).await;
        }
    }

    async fn next(&mut self) -> Event {
        let wake = self.wake;
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
            }
        };
        tokio::select! {
            event = link => event,
            Some(cluster) = self.warm.recv() => Event::Warm(cluster),
            () = time => Event::Time,
        }
    }

    async fn handle(&mut self, event: Event) {
        let outcome = match event {
            Event::Opened(Ok(stream)) => {
                tracing::info!(server = %stream.server, "connected to the control plane");
                self.shared.registry.control_plane.connects.inc();
                self.shared.registry.control_plane.connected_state.set(1);
                self.told = false;
                self.link = Link::Open(Box::new(stream));
                Outcome { requests: self.follower.opened(), ..Outcome::default() }
            }
            Event::Opened(Err((server, error))) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%server, %error, "the control plane cannot be reached; what serves goes on");
                }
                self.shared.registry.control_plane.connect_fail.inc();
                self.opener.failed();
                self.reopen();
                return;
            }
            Event::Answer(Ok(answer)) => self.follower.received(answer),
            Event::Answer(Err(error)) => return self.lost(&error),
            Event::Warm(cluster) => {
                self.follower.cascade.resolved(&cluster);
                self.follower.look(Instant::now())
            }
            Event::Time => self.follower.look(Instant::now()),
        };
        self.carry_out(outcome).await;
    }

    async fn carry_out(&mut self, outcome: Outcome) {
        let stats = &self.shared.registry.control_plane;
        for (kind, refusal) in &outcome.refused {
            stats.update_rejected.inc();
            tracing::warn!(%kind, %refusal, "refused; the last good one stays");
        }
        self.wake = outcome.step.wake;
        // What is there serves before the server hears that it was taken.
        self.live.apply(outcome.step).await;
        if let Link::Open(stream) = &mut self.link {
            let sent = outcome.requests.into_iter().try_for_each(|request| stream.send(request));
            if let Err(error) = sent {
                self.lost(&error);
            }
        }
    }

    fn lost(&mut self, error: &StreamError) {
        let stats = &self.shared.registry.control_plane;
        stats.disconnects.inc();
        stats.connected_state.set(0);
        if let Link::Open(stream) = &self.link {
            if !std::mem::replace(&mut self.told, true) {
                tracing::warn!(server = %stream.server, %error, "the stream of the control plane ended; what serves goes on");
            }
            self.opener.lost(stream);
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        let (shared, tls) = (&self.shared, &self.tls);
        self.link = Link::Opening(self.opener.open(self.dialect, |server| connect(Arc::clone(shared), server, std::rc::Rc::clone(tls))));
    }
}

/// A connection to one of a cluster's endpoints, TLS included where the cluster says so.
fn connect(shared: Arc<Shared>, server: ClusterName, tls: TlsSource) -> Opening {
    Box::pin(async move {
        let generation = shared.current.load_full();
        let cluster = generation.clusters.get(&server).ok_or_else(|| format!("there is no cluster {:?} yet", server.as_str()))?;
        let endpoints = cluster.endpoints();
        let members = endpoints.members();
        let at = fastrand::usize(..members.len().max(1));
        let endpoint = members.get(at).ok_or("the cluster has no endpoints")?.endpoint.clone();
        drop(endpoints);
        let opened = crate::connect::tcp::open(&endpoint, cluster, Some(&tls)).await.map_err(|error| error.to_string())?;
        let settings = &cluster.config().http2;
        let pings = settings.keepalive_interval.map(|interval| Pings { interval, timeout: settings.keepalive_timeout });
        Ok(Way { bytes: Box::new(opened.io), pings: pings.unwrap_or_default() })
    })
}
