//! Chooses one of a cluster's endpoints.
//!
//! Priority first (by how many endpoints of each are healthy), then place (where places have weights), then the cluster's
//! policy. What a policy remembers belongs to a worker; load and health are shared. Nothing here waits or locks.

mod original_dst;
mod priority;
mod schedule;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use fastrand::Rng;

use crate::config::cluster::{BalancingPolicy, Cluster, Discovery};
use crate::own::OwnAddresses;
use crate::upstream::{EndpointSet, EndpointState, Group, Level, Split};

pub use crate::upstream::ClusterState;

use original_dst::Destinations;
use priority::{Availability, LevelLoad};
use schedule::Cursor;

/// Why there is no endpoint to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceError {
    /// The cluster has none.
    NoEndpoints,
    /// None of them may take load.
    NoHealthyEndpoint,
    /// It is not known where the client meant to go.
    NoOriginalDestination,
    /// The client meant to go to this proxy itself.
    ToItself,
}

impl fmt::Display for BalanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoints => "the cluster has no endpoints",
            Self::NoHealthyEndpoint => "the cluster has no healthy endpoint",
            Self::NoOriginalDestination => "the original destination is not known",
            Self::ToItself => "the original destination is an address that this proxy listens on: the connection would come back",
        })
    }
}

impl std::error::Error for BalanceError {}

/// What a choice depends on beside the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickContext<'a> {
    /// Endpoints to avoid: those of earlier attempts.
    pub tried: &'a [Arc<EndpointState>],
    /// How often to choose again to avoid them (`host_selection_retry_max_attempts`).
    pub reselections: u32,
    /// Where the client meant to go, for original-destination clusters: the header's address if allowed, else the socket's.
    pub original_dst: Option<SocketAddr>,
}

/// A chosen endpoint. It counts one request more until this is dropped.
#[derive(Debug)]
#[must_use = "the endpoint's load counts until this is dropped"]
pub struct Picked(Arc<EndpointState>);

impl Picked {
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.0
    }

    fn new(endpoint: &Arc<EndpointState>) -> Self {
        endpoint.begin_request();
        Self(Arc::clone(endpoint))
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// One worker's side of balancing.
#[derive(Debug, Default)]
pub struct Balancer {
    own: OwnAddresses,
    clusters: RefCell<HashMap<usize, Local>>,
    rng: RefCell<Rng>,
}

/// What a worker remembers of a cluster.
#[derive(Debug)]
struct Local {
    /// Keeps the cluster's address from being used again.
    alive: Weak<ClusterState>,
    set: Arc<EndpointSet>,
    loads: Vec<LevelLoad>,
    cursors: Vec<Option<Cursor>>,
    destinations: Destinations,
}

impl Balancer {
    /// Starts at random places, so that many proxies do not march in step. `own` is where no original destination may lead.
    pub fn new(own: OwnAddresses) -> Self {
        Self { own, ..Self::default() }
    }

    /// The same choices each time, for tests.
    pub fn with_seed(seed: u64) -> Self {
        Self { rng: RefCell::new(Rng::with_seed(seed)), ..Self::default() }
    }

    /// Chooses an endpoint.
    pub fn pick(&self, cluster: &Arc<ClusterState>, context: &PickContext<'_>) -> Result<Picked, BalanceError> {
        let mut clusters = self.clusters.borrow_mut();
        let mut rng = self.rng.borrow_mut();
        let local = clusters.entry(Arc::as_ptr(cluster).addr()).or_insert_with(|| Local::new(cluster));
        if let Discovery::OriginalDst(settings) = &cluster.config().discovery {
            let destination = context.original_dst.ok_or_else(|| {
                cluster.stats().upstream_cx_none_healthy.inc();
                BalanceError::NoOriginalDestination
            })?;
            let destination = original_dst::address(destination, settings);
            if self.own.include(destination) {
                cluster.stats().original_dst_host_invalid.inc();
                return Err(BalanceError::ToItself);
            }
            return Ok(Picked::new(local.destinations.endpoint(destination, settings)));
        }
        local.refresh(cluster);
        let mut chosen = local.choose(cluster, &mut rng)?;
        for _ in 0..context.reselections {
            if !context.tried.iter().any(|tried| Arc::ptr_eq(tried, &chosen)) {
                break;
            }
            chosen = local.choose(cluster, &mut rng)?;
        }
        Ok(Picked::new(&chosen))
    }

    /// Forgets clusters that are gone.
    pub fn retain_live(&self) {
        self.clusters.borrow_mut().retain(|_, local| local.alive.strong_count() > 0);
    }
}

impl Local {
    fn new(cluster: &Arc<ClusterState>) -> Self {
        let mut local = Self {
            alive: Arc::downgrade(cluster),
            set: Arc::default(),
            loads: Vec::new(),
            cursors: Vec::new(),
            destinations: Destinations::default(),
        };
        local.adopt(Arc::clone(&cluster.endpoints()), cluster.config());
        local
    }

    fn refresh(&mut self, cluster: &ClusterState) {
        let current = cluster.endpoints();
        if !Arc::ptr_eq(&current, &self.set) {
            self.adopt(Arc::clone(&current), cluster.config());
        }
    }

    fn adopt(&mut self, set: Arc<EndpointSet>, config: &Cluster) {
        self.loads = priority::loads(set.levels(), set.overprovisioning(), config.panic_threshold);
        self.cursors.clear();
        self.set = set;
    }

    fn choose(&mut self, cluster: &ClusterState, rng: &mut Rng) -> Result<Arc<EndpointState>, BalanceError> {
        let chosen = self.group(cluster, rng).and_then(|group| self.within(group, &cluster.config().policy, rng));
        chosen.ok_or_else(|| {
            cluster.stats().upstream_cx_none_healthy.inc();
            if self.set.members().is_empty() { BalanceError::NoEndpoints } else { BalanceError::NoHealthyEndpoint }
        })
    }

    /// The endpoints to choose among: of one priority, place and health.
    fn group(&self, cluster: &ClusterState, rng: &mut Rng) -> Option<Group> {
        let (index, availability) = priority::choose(&self.loads, rng)?;
        let level = self.set.levels().get(index)?;
        if availability == Availability::Any {
            cluster.stats().lb_healthy_panic.inc();
        }
        place(level, availability, self.set.overprovisioning(), rng)
    }

    fn within(&mut self, group: Group, policy: &BalancingPolicy, rng: &mut Rng) -> Option<Arc<EndpointState>> {
        if self.cursors.len() <= group.id {
            self.cursors.resize_with(group.id.saturating_add(1), || None);
        }
        let members = self.set.members_of(group);
        let cursor = self.cursors.get_mut(group.id)?;
        let cursor = cursor.get_or_insert_with(|| Cursor::new(policy, members, group.uniform, rng));
        let index = cursor.next(policy, members, rng)?;
        members.get(index).map(|member| Arc::clone(&member.endpoint))
    }
}

/// The place, where places have weights: each counts as far as it has endpoints that take load.
fn place(level: &Level, availability: Availability, overprovisioning: u32, rng: &mut Rng) -> Option<Group> {
    let places = match &level.split {
        Split::Flat(groups) => return Some(availability.group(groups)),
        Split::Localities(places) => places,
    };
    let effective = |(weight, groups): &(std::num::NonZeroU32, crate::upstream::endpoint::Groups)| {
        let total = count(groups.all.len()).max(1.0);
        let available = count(availability.group(groups).len()) / total;
        f64::from(weight.get()) * (available * f64::from(overprovisioning) / 100.0).min(1.0)
    };
    let sum: f64 = places.iter().map(effective).sum();
    let mut draw = rng.f64() * sum;
    let mut last = None;
    for place in places.iter().filter(|place| effective(place) > 0.0) {
        last = Some(availability.group(&place.1));
        draw -= effective(place);
        if draw < 0.0 {
            break;
        }
    }
    last
}

fn count(endpoints: usize) -> f64 {
    f64::from(u32::try_from(endpoints).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
