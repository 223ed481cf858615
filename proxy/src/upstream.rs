//! What all workers share of a cluster: its endpoints, what is in use of its limits, its statistics.
//!
//! Plain data with atomics; it chooses nothing and connects nothing. Whoever finds endpoints replaces the set as a whole.

/// Endpoints, grouped as balancing needs them.
pub mod endpoint;
/// What is in use of a cluster's limits.
pub mod limits;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use crate::config::cluster::{Cluster, Discovery};
use crate::config::endpoint::{Assignment, Health, Target};
use crate::telemetry::metrics::{ClusterMetrics, ClusterStats};

pub use endpoint::{EndpointSet, EndpointState, Group, Level, Member, Split};
pub use limits::{LimitKind, Permit};

use limits::InUse;

/// One configured cluster as it runs.
#[derive(Debug)]
pub struct ClusterState {
    config: Arc<Cluster>,
    endpoints: ArcSwap<EndpointSet>,
    stats: OnceLock<Arc<ClusterStats>>,
    /// Changes of its endpoints before it had statistics: thousands of clusters are never used, and theirs are never made.
    changes: AtomicU64,
    in_use: InUse,
    warm: AtomicBool,
    warmed: Notify,
}

impl ClusterState {
    /// A cluster that begins now. Listed endpoints are there at once; others come with [`Self::replace`].
    pub fn new(config: Arc<Cluster>) -> Arc<Self> {
        let (members, overprovisioning, warm) = match &config.discovery {
            Discovery::Static(assignment) => (listed(assignment), assignment.overprovisioning_factor, true),
            Discovery::StrictDns(assignment) | Discovery::LogicalDns(assignment) => (Vec::new(), assignment.overprovisioning_factor, false),
            Discovery::OriginalDst(_) => (Vec::new(), 0, true),
            Discovery::Eds { .. } => (Vec::new(), 0, false),
        };
        Arc::new(Self {
            endpoints: ArcSwap::from_pointee(EndpointSet::new(members, overprovisioning)),
            config,
            stats: OnceLock::new(),
            changes: AtomicU64::new(0),
            in_use: InUse::default(),
            warm: AtomicBool::new(warm),
            warmed: Notify::new(),
        })
    }

    /// As configured.
    pub fn config(&self) -> &Arc<Cluster> {
        &self.config
    }

    /// The endpoints of this moment.
    pub fn endpoints(&self) -> Guard<Arc<EndpointSet>> {
        self.endpoints.load()
    }

    /// Its statistics, made when first touched.
    pub fn stats(&self) -> &Arc<ClusterStats> {
        self.stats.get_or_init(|| {
            let stats = Arc::new(ClusterStats::default());
            stats.membership_change.add(self.changes.swap(0, Ordering::Relaxed));
            self.endpoints.load().write_gauges(&stats);
            stats
        })
    }

    /// Its statistics, if anything has touched them.
    pub fn touched_stats(&self) -> Option<&Arc<ClusterStats>> {
        self.stats.get()
    }

    /// Publishes new endpoints. One that stays keeps its state (load, connections).
    pub fn replace(&self, members: Vec<Member>, overprovisioning: u32) {
        let members = self.keep_states(members);
        let new = EndpointSet::new(members, overprovisioning);
        let old = self.endpoints.load_full();
        if !old.same_endpoints(&new) {
            match self.touched_stats() {
                Some(stats) => stats.membership_change.inc(),
                None => drop(self.changes.fetch_add(1, Ordering::Relaxed)),
            }
        }
        let staying: HashSet<_> = new.members().iter().map(|member| member.endpoint.id()).collect();
        self.publish(new);
        for gone in old.members().iter().filter(|member| !staying.contains(&member.endpoint.id())) {
            gone.endpoint.remove();
        }
    }

    /// Publishes the endpoints that an assignment lists; the cluster is warm now.
    pub fn replace_assignment(&self, assignment: &Assignment) {
        self.replace(listed(assignment), assignment.overprovisioning_factor);
        self.set_warm();
    }

    /// Sets an endpoint's health and groups the endpoints anew.
    pub fn set_health(&self, endpoint: &EndpointState, health: Health) {
        endpoint.set_health(health);
        let current = self.endpoints.load_full();
        self.publish(EndpointSet::new(current.members().to_vec(), current.overprovisioning()));
    }

    fn publish(&self, set: EndpointSet) {
        if let Some(stats) = self.stats.get() {
            set.write_gauges(stats);
        }
        self.endpoints.store(Arc::new(set));
    }

    fn keep_states(&self, mut members: Vec<Member>) -> Vec<Member> {
        let current = self.endpoints.load();
        let known: std::collections::HashMap<_, _> =
            current.members().iter().map(|member| (member.endpoint.key(), &member.endpoint)).collect();
        for member in &mut members {
            if let Some(state) = known.get(&member.endpoint.key()) {
                state.set_health(member.endpoint.health());
                member.endpoint = Arc::clone(state);
            }
        }
        members
    }

    /// Whether the first endpoints are there, or were found not to come.
    pub fn is_warm(&self) -> bool {
        self.warm.load(Ordering::Acquire)
    }

    /// Says that waiting for the first endpoints is over.
    pub fn set_warm(&self) {
        if !self.warm.swap(true, Ordering::AcqRel) {
            self.warmed.notify_waiters();
        }
    }

    /// Waits until the first endpoints are there. The caller sets the limit.
    pub async fn warmed(&self) {
        loop {
            let warmed = self.warmed.notified();
            tokio::pin!(warmed);
            warmed.as_mut().enable();
            if self.is_warm() {
                return;
            }
            warmed.await;
        }
    }
}

impl ClusterMetrics for ClusterState {
    fn stat_name(&self) -> &str {
        &self.config.stat_name
    }

    fn touched(&self) -> Option<&Arc<ClusterStats>> {
        self.touched_stats()
    }

    fn go_on_with(&self, stats: &Arc<ClusterStats>) {
        if self.stats.set(Arc::clone(stats)).is_ok() {
            stats.membership_change.add(self.changes.swap(0, Ordering::Relaxed));
            self.endpoints.load().write_gauges(stats);
        }
    }
}

/// The endpoints of an assignment whose addresses are known.
fn listed(assignment: &Assignment) -> Vec<Member> {
    let mut members = Vec::new();
    for group in &assignment.localities {
        let locality = Arc::new(group.locality.clone());
        for endpoint in &group.endpoints {
            let Target::Address(address) = &endpoint.target else { continue };
            members.push(Member {
                endpoint: EndpointState::labelled(address.clone(), &endpoint.hostname, endpoint.health, endpoint.labels.clone()),
                weight: endpoint.weight,
                priority: group.priority,
                locality: Arc::clone(&locality),
                locality_weight: group.weight,
            });
        }
    }
    members
}

#[cfg(test)]
pub(crate) mod tests;
