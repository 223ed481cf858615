use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::config::address::Address;
use crate::config::endpoint::{Health, Labels, Locality};
use crate::telemetry::metrics::ClusterStats;

/// One endpoint as it runs; shared by all workers, kept while its address stays.
#[derive(Debug)]
pub struct EndpointState {
    address: Address,
    hostname: Box<str>,
    labels: Option<Arc<Labels>>,
    active: AtomicU32,
    health: AtomicU8,
    removed: AtomicBool,
    /// Woken when it leaves its cluster: one task of each worker that has connections to it.
    watchers: Mutex<Vec<Waker>>,
}

impl EndpointState {
    /// An endpoint without load.
    pub fn new(address: Address, hostname: &str, health: Health) -> Arc<Self> {
        Self::labelled(address, hostname, health, None)
    }

    /// An endpoint without load, of which something is said.
    pub fn labelled(address: Address, hostname: &str, health: Health, labels: Option<Arc<Labels>>) -> Arc<Self> {
        Arc::new(Self {
            address,
            hostname: Box::from(hostname),
            labels,
            active: AtomicU32::new(0),
            health: AtomicU8::new(encode(health)),
            removed: AtomicBool::new(false),
            watchers: Mutex::new(Vec::new()),
        })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it has left its cluster: its connections end with their requests.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// Wakes a task when the endpoint leaves its cluster; at once if it has.
    pub fn wake_when_removed(&self, waker: &Waker) {
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if !watchers.iter().any(|known| known.will_wake(waker)) {
            watchers.push(waker.clone());
        }
        drop(watchers);
        if self.is_removed() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn remove(&self) {
        self.removed.store(true, Ordering::Relaxed);
        let watchers = std::mem::take(&mut *self.watchers.lock().unwrap_or_else(PoisonError::into_inner));
        watchers.into_iter().for_each(Waker::wake);
    }

    /// The name to show as host where the cluster asks for it; empty for none.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// By which its cluster chooses TLS to it.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_deref()
    }

    /// Requests in flight, of all workers.
    pub fn active_requests(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Its health now.
    pub fn health(&self) -> Health {
        decode(self.health.load(Ordering::Relaxed))
    }

    /// Identifies it among the endpoints that exist: valid while it does.
    pub fn id(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// What makes an endpoint the same one in a new set.
    pub(super) fn key(&self) -> (&Address, &str, Option<&Labels>) {
        (&self.address, &self.hostname, self.labels())
    }

    pub(super) fn set_health(&self, health: Health) {
        self.health.store(encode(health), Ordering::Relaxed);
    }

    /// Counts a request until [`Self::end_request`].
    pub fn begin_request(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends what [`Self::begin_request`] began.
    pub fn end_request(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }
}

fn encode(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Unhealthy => 2,
        Health::Draining => 3,
    }
}

fn decode(code: u8) -> Health {
    match code {
        0 => Health::Healthy,
        1 => Health::Degraded,
        3 => Health::Draining,
        _ => Health::Unhealthy,
    }
}

/// An endpoint's place in a set.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its running state.
    pub endpoint: Arc<EndpointState>,
    /// Share of load within the locality.
    pub weight: NonZeroU32,
    /// 0 is used first.
    pub priority: u32,
    /// Its place.
    pub locality: Arc<Locality>,
    /// The place's share among those of a priority.
    pub locality_weight: Option<NonZeroU32>,
}

/// The endpoints of a cluster at one moment, ordered by priority, place (where places are weighted) and health.
#[derive(Debug, Default)]
pub struct EndpointSet {
    members: Box<[Member]>,
    levels: Box<[Level]>,
    overprovisioning: u32,
    groups: usize,
}

/// The endpoints of one priority.
#[derive(Debug)]
pub struct Level {
    /// All.
    pub total: usize,
    /// Those that take load.
    pub healthy: usize,
    /// Those that take load when the healthy ones do not suffice.
    pub degraded: usize,
    /// How they are grouped.
    pub split: Split,
}

/// How the endpoints of a priority are grouped.
#[derive(Debug)]
pub enum Split {
    /// As one.
    Flat(Groups),
    /// By place, each with its weight.
    Localities(Box<[(NonZeroU32, Groups)]>),
}

/// A run of endpoints, by health.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    /// Healthy ones.
    pub healthy: Group,
    /// Degraded ones.
    pub degraded: Group,
    /// All, whatever their health.
    pub all: Group,
}

/// Endpoints to choose among.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Its number within the set.
    pub id: usize,
    start: usize,
    end: usize,
    /// All weights are the same.
    pub uniform: bool,
}

impl Group {
    /// How many.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl EndpointSet {
    /// Groups endpoints. Where any place of a priority has a weight, places without one take no load.
    pub fn new(mut members: Vec<Member>, overprovisioning: u32) -> Self {
        members.sort_by(|a, b| place_of(a).cmp(&place_of(b)).then_with(|| rank(a).cmp(&rank(b))));
        let mut set = Self { members: members.into_boxed_slice(), levels: Box::default(), overprovisioning, groups: 0 };
        let count = set.members.last().map_or(0, |member| member.priority.saturating_add(1));
        let mut levels = Vec::new();
        let mut start = 0;
        for priority in 0..count {
            let end = set.end_of_run(start, |member| member.priority == priority);
            levels.push(set.level(start..end));
            start = end;
        }
        set.levels = levels.into_boxed_slice();
        set
    }

    fn level(&mut self, range: Range<usize>) -> Level {
        let weighted = self.slice(range.clone()).iter().any(|member| member.locality_weight.is_some());
        let split = if weighted { self.by_locality(range.clone()) } else { Split::Flat(self.groups(range.clone())) };
        let members = self.slice(range);
        let count = |health| members.iter().filter(|member| member.endpoint.health() == health).count();
        Level { total: members.len(), healthy: count(Health::Healthy), degraded: count(Health::Degraded), split }
    }

    fn by_locality(&mut self, range: Range<usize>) -> Split {
        let mut places = Vec::new();
        let mut start = range.start;
        while start < range.end {
            let Some(first) = self.members.get(start) else { break };
            let (priority, locality) = (first.priority, Arc::clone(&first.locality));
            let weight = first.locality_weight;
            let end = self.end_of_run(start, |member| member.priority == priority && member.locality == locality);
            let groups = self.groups(start..end);
            places.extend(weight.map(|weight| (weight, groups)));
            start = end;
        }
        Split::Localities(places.into_boxed_slice())
    }

    fn groups(&mut self, range: Range<usize>) -> Groups {
        let degraded = self.end_of_run(range.start, |member| rank(member) == 0).min(range.end);
        let unhealthy = self.end_of_run(degraded, |member| rank(member) == 1).min(range.end);
        Groups { healthy: self.group(range.start..degraded), degraded: self.group(degraded..unhealthy), all: self.group(range) }
    }

    fn group(&mut self, range: Range<usize>) -> Group {
        let mut weights = self.slice(range.clone()).iter().map(|member| member.weight);
        let first = weights.next();
        let uniform = weights.all(|weight| Some(weight) == first);
        let id = self.groups;
        self.groups = self.groups.saturating_add(1);
        Group { id, start: range.start, end: range.end, uniform }
    }

    fn end_of_run(&self, start: usize, belongs: impl Fn(&Member) -> bool) -> usize {
        let run = self.slice(start..self.members.len()).iter().take_while(|member| belongs(member)).count();
        start.saturating_add(run)
    }

    fn slice(&self, range: Range<usize>) -> &[Member] {
        self.members.get(range).unwrap_or_default()
    }

    /// All of them.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Those of a group of this set.
    pub fn members_of(&self, group: Group) -> &[Member] {
        self.slice(group.start..group.end)
    }

    /// By priority.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Percentage: how far a priority may shrink before the next one shares its load.
    pub fn overprovisioning(&self) -> u32 {
        self.overprovisioning
    }

    pub(super) fn same_endpoints(&self, other: &Self) -> bool {
        let mut ours: Vec<_> = self.members.iter().map(|member| member.endpoint.id()).collect();
        let mut theirs: Vec<_> = other.members.iter().map(|member| member.endpoint.id()).collect();
        ours.sort_unstable();
        theirs.sort_unstable();
        ours == theirs
    }

    pub(super) fn write_gauges(&self, stats: &ClusterStats) {
        let sum = |count: fn(&Level) -> usize| u64::try_from(self.levels.iter().map(count).sum::<usize>()).unwrap_or(u64::MAX);
        stats.membership_total.set(sum(|level| level.total));
        stats.membership_healthy.set(sum(|level| level.healthy));
        stats.membership_degraded.set(sum(|level| level.degraded));
    }
}

/// Endpoints that are balanced together stand together.
fn place_of(member: &Member) -> (u32, Option<&Locality>) {
    (member.priority, member.locality_weight.map(|_| &*member.locality))
}

fn rank(member: &Member) -> u8 {
    match member.endpoint.health() {
        Health::Healthy => 0,
        Health::Degraded => 1,
        Health::Unhealthy | Health::Draining => 2,
    }
}
