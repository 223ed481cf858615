use std::fmt::Write as _;
use std::rc::Rc;

use tokio::time::Instant;

use crate::config::ClusterName;
use crate::dns::Book;
use crate::telemetry::metrics::ControlPlaneStats;
use crate::xds::follow::Follower;
use crate::xds::resource::Kind;
use crate::xds::view::{self, Count};

/// What the control thread knows of resources that come from elsewhere, for the pages to tell.
pub(super) struct Following {
    /// What was said.
    pub(super) follower: Follower,
    /// How the server is reached, if there is one.
    pub(super) link: Option<LinkStatus>,
    /// When the process began.
    pub(super) started: Instant,
    /// What serves began with what an earlier run had left.
    pub(super) restored: bool,
    /// What the DNS knows, if there is one.
    pub(super) book: Option<Rc<Book>>,
}

/// How the control plane is reached.
pub(super) struct LinkStatus {
    /// The server, while there is a stream.
    pub(super) server: Option<ClusterName>,
    /// Since when there is one, or none.
    pub(super) since: Instant,
    /// Why there is none.
    pub(super) error: Option<String>,
    /// Attempts that failed since.
    pub(super) attempts: u64,
}

impl LinkStatus {
    pub(super) fn new() -> Self {
        Self { server: None, since: Instant::now(), error: None, attempts: 0 }
    }

    pub(super) fn connected(&mut self, server: ClusterName) {
        *self = Self { server: Some(server), ..Self::new() };
    }

    pub(super) fn failed(&mut self, error: String) {
        if self.server.take().is_some() {
            *self = Self::new();
        }
        self.attempts = self.attempts.saturating_add(1);
        self.error = Some(error);
    }
}

impl LinkStatus {
    fn text(&self) -> String {
        let seconds = self.since.elapsed().as_secs();
        match (&self.server, &self.error) {
            (Some(server), _) => format!("control plane: connected to \"{server}\" for {seconds}s\n"),
            (None, Some(error)) => format!("control plane: not connected for {seconds}s, {} attempts failed: {error}\n", self.attempts),
            (None, None) => format!("control plane: connecting for {seconds}s\n"),
        }
    }
}

impl Following {
    /// Lines for people.
    pub(super) fn text(&self) -> String {
        let mut text = self.link.as_ref().map_or_else(String::new, LinkStatus::text);
        if self.restored {
            text.push_str("configuration: began with the last good one of --state-dir\n");
        }
        for (kind, count) in view::count(&self.follower.seen()) {
            let _to_text = writeln!(text, "{kind}: {} serve, {} wait, {} refused", count.active, count.warming, count.refused);
        }
        text
    }
}

impl Following {
    /// The DNS hears of hosts; how many there are, if that is news.
    pub(super) fn tell_names(&self) -> Option<usize> {
        let inventory = &self.follower.inventory;
        let book = self.book.as_ref().filter(|_| self.follower.names_told)?;
        book.tell(inventory.names.changes(), inventory.names.values())
    }

    /// Counts as metrics, when somebody asks for metrics.
    pub(super) fn show(&self, stats: &ControlPlaneStats) {
        show(&view::count(&self.follower.seen()), stats);
    }
}

fn show(counts: &[(Kind, Count)], stats: &ControlPlaneStats) {
    for (kind, count) in counts {
        let (active, warming, refused) = match kind {
            Kind::Cluster => (&stats.clusters_active, &stats.clusters_warming, &stats.clusters_refused),
            Kind::Endpoint => (&stats.endpoints_active, &stats.endpoints_warming, &stats.endpoints_refused),
            Kind::Listener => (&stats.listeners_active, &stats.listeners_warming, &stats.listeners_refused),
            Kind::ScopedRoute => (&stats.scoped_routes_active, &stats.scoped_routes_warming, &stats.scoped_routes_refused),
            Kind::Route => (&stats.routes_active, &stats.routes_warming, &stats.routes_refused),
            Kind::Secret => (&stats.secrets_active, &stats.secrets_warming, &stats.secrets_refused),
            Kind::Names => (&stats.names_active, &stats.names_warming, &stats.names_refused),
        };
        active.set(count.active);
        warming.set(count.warming);
        refused.set(count.refused);
    }
}
