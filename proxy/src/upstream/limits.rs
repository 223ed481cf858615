use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::cluster::{Limits, RetryBudget};
use crate::config::route::Priority;
use crate::upstream::ClusterState;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// Connections.
    Connections,
    /// Requests that wait for a connection.
    PendingRequests,
    /// Requests in flight.
    Requests,
    /// Retries in flight.
    Retries,
}

/// What is in use of a cluster's limits, by priority.
#[derive(Debug, Default)]
pub(super) struct InUse {
    default: Counts,
    high: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU32,
    pending: AtomicU32,
    requests: AtomicU32,
    retries: AtomicU32,
}

impl InUse {
    fn count(&self, kind: LimitKind, priority: Priority) -> &AtomicU32 {
        let counts = match priority {
            Priority::Default => &self.default,
            Priority::High => &self.high,
        };
        match kind {
            LimitKind::Connections => &counts.connections,
            LimitKind::PendingRequests => &counts.pending,
            LimitKind::Requests => &counts.requests,
            LimitKind::Retries => &counts.retries,
        }
    }
}

/// Counts against a limit until dropped.
#[derive(Debug)]
#[must_use = "the limit is free again when this is dropped"]
pub struct Permit {
    cluster: Arc<ClusterState>,
    kind: LimitKind,
    priority: Priority,
}

impl Permit {
    /// Counts one more if the limit allows.
    pub fn acquire(cluster: &Arc<ClusterState>, kind: LimitKind, priority: Priority) -> Option<Self> {
        let limits = limits(cluster, priority);
        // Counted first, so that two workers cannot both take the last one.
        let (permit, others) = Self::count(cluster, kind, priority);
        let allowed = match (kind, limits.retry_budget) {
            (LimitKind::Retries, Some(budget)) => within_budget(cluster, priority, budget, others),
            (LimitKind::Retries, None) => others < limits.retries,
            (LimitKind::Connections, _) => others < limits.connections,
            (LimitKind::PendingRequests, _) => others < limits.pending_requests,
            (LimitKind::Requests, _) => others < limits.requests,
        };
        allowed.then_some(permit)
    }

    /// Counts one more whatever the limit says.
    pub fn acquire_over_limit(cluster: &Arc<ClusterState>, kind: LimitKind, priority: Priority) -> Self {
        Self::count(cluster, kind, priority).0
    }

    fn count(cluster: &Arc<ClusterState>, kind: LimitKind, priority: Priority) -> (Self, u32) {
        let others = cluster.in_use.count(kind, priority).fetch_add(1, Ordering::Relaxed);
        (Self { cluster: Arc::clone(cluster), kind, priority }, others)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.cluster.in_use.count(self.kind, self.priority).fetch_sub(1, Ordering::Relaxed);
    }
}

impl ClusterState {
    /// How much of a limit is in use.
    pub fn in_use(&self, kind: LimitKind, priority: Priority) -> u32 {
        self.in_use.count(kind, priority).load(Ordering::Relaxed)
    }
}

fn limits(cluster: &ClusterState, priority: Priority) -> &Limits {
    match priority {
        Priority::Default => &cluster.config.limits,
        Priority::High => &cluster.config.high_priority_limits,
    }
}

/// As Envoy: the share is of requests in flight and waiting, rounded down.
fn within_budget(cluster: &ClusterState, priority: Priority, budget: RetryBudget, others: u32) -> bool {
    let requests = cluster.in_use(LimitKind::Requests, priority);
    let waiting = cluster.in_use(LimitKind::PendingRequests, priority);
    let share = budget.percent * f64::from(requests.saturating_add(waiting)) / 100.0;
    others < budget.min_concurrency || f64::from(others) + 1.0 <= share
}
