//! Names to addresses, on the control thread: keeps the endpoints of `STRICT_DNS` and `LOGICAL_DNS` clusters current.
//!
//! Each name is looked up on its own time. An answer that is empty or fails changes nothing: the last good one stays,
//! also where Envoy would empty the set (NXDOMAIN), because a name server's bad moment must not be an outage. A host
//! that is an address needs no look-up; names in the hosts file, and `localhost`, need no server.

mod lookup;
mod refresh;

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::address::Address;
use crate::config::cluster::{Discovery, Dns, DnsFamily};
use crate::config::endpoint::{Assignment, Health, Labels, Locality, Target};
use crate::task::OwnedTask;
use crate::upstream::{ClusterState, EndpointState, Member};

use lookup::Lookup;
use refresh::Refresh;

/// Resolvers, shared by clusters that ask the same servers in the same way.
#[derive(Default)]
pub struct Resolvers(RefCell<HashMap<Servers, Rc<Lookup>>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Servers {
    /// None: the system's.
    addresses: Vec<SocketAddr>,
    tcp: bool,
    family: DnsFamily,
}

/// Keeps a cluster's endpoints current until dropped.
#[derive(Debug)]
#[must_use = "the names are no longer looked up when this is dropped"]
pub struct Watch {
    _tasks: Vec<OwnedTask>,
}

impl Resolvers {
    /// Begins to look up the names of a cluster; `None` where it has none. The cluster is warm when each name was
    /// looked up once, whatever the outcome.
    pub fn watch(&self, cluster: &Arc<ClusterState>) -> Option<Watch> {
        let config = cluster.config();
        let (assignment, logical) = match &config.discovery {
            Discovery::StrictDns(assignment) => (assignment, false),
            Discovery::LogicalDns(assignment) => (assignment, true),
            Discovery::Static(_) | Discovery::OriginalDst(_) | Discovery::Eds { .. } => return None,
        };
        let lookup = self.lookup(&config.dns);
        let names = Rc::new(Names::of(cluster, assignment, logical));
        let tasks = (0..names.slots.len()).filter(|slot| names.is_name(*slot));
        let watch =
            Watch { _tasks: tasks.map(|slot| OwnedTask::spawn(keep_current(Rc::clone(&names), slot, Rc::clone(&lookup)))).collect() };
        names.publish();
        Some(watch)
    }

    fn lookup(&self, dns: &Dns) -> Rc<Lookup> {
        let servers = Servers { addresses: dns.resolvers.clone(), tcp: dns.use_tcp, family: dns.family };
        let mut known = self.0.borrow_mut();
        Rc::clone(known.entry(servers).or_insert_with(|| Rc::new(Lookup::new(dns))))
    }
}

/// Waits until clusters have their first endpoints, at most this long; says whether all have.
pub async fn all_warm(clusters: impl IntoIterator<Item = Arc<ClusterState>>, limit: Duration) -> bool {
    let warming = async {
        for cluster in clusters {
            cluster.warmed().await;
        }
    };
    tokio::time::timeout(limit, warming).await.is_ok()
}

/// The endpoints of a cluster as configured, each with the newest answer.
struct Names {
    cluster: Arc<ClusterState>,
    logical: bool,
    overprovisioning: u32,
    slots: Vec<Slot>,
}

/// One configured endpoint.
struct Slot {
    target: Target,
    hostname: String,
    weight: NonZeroU32,
    health: Health,
    labels: Option<Arc<Labels>>,
    priority: u32,
    locality: Arc<Locality>,
    locality_weight: Option<NonZeroU32>,
    /// Addresses; `None` until the first answer, good or bad.
    answer: RefCell<Option<Vec<Address>>>,
}

impl Names {
    fn of(cluster: &Arc<ClusterState>, assignment: &Assignment, logical: bool) -> Self {
        let mut slots = Vec::new();
        for group in &assignment.localities {
            let locality = Arc::new(group.locality.clone());
            slots.extend(group.endpoints.iter().map(|endpoint| Slot {
                target: endpoint.target.clone(),
                hostname: hostname(&endpoint.hostname, &endpoint.target),
                weight: endpoint.weight,
                health: endpoint.health,
                labels: endpoint.labels.clone(),
                priority: group.priority,
                locality: Arc::clone(&locality),
                locality_weight: group.weight,
                answer: RefCell::new(known(&endpoint.target).map(|address| vec![address])),
            }));
        }
        let overprovisioning = assignment.overprovisioning_factor;
        Self { cluster: Arc::clone(cluster), logical, overprovisioning, slots }
    }

    fn is_name(&self, slot: usize) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.answer.borrow().is_none())
    }

    /// Takes a look-up's outcome; publishes what it changes.
    fn answered(&self, slot: usize, addresses: Option<Vec<IpAddr>>) {
        let Some(slot) = self.slots.get(slot) else { return };
        let new = addresses.map(|addresses| slot.with_port(addresses));
        let mut answer = slot.answer.borrow_mut();
        let changed = match (&*answer, &new) {
            (None, _) => true,
            (Some(old), Some(new)) => self.differ(old, new),
            (Some(_), None) => false,
        };
        if changed {
            *answer = Some(new.unwrap_or_default());
        }
        drop(answer);
        if changed {
            self.publish();
        }
    }

    /// The order of an answer matters only where its first address is used alone.
    fn differ(&self, old: &[Address], new: &[Address]) -> bool {
        if self.logical {
            return old.first() != new.first();
        }
        old.len() != new.len() || new.iter().any(|address| !old.contains(address))
    }

    fn publish(&self) {
        let members = self.slots.iter().flat_map(Slot::members);
        // A logical cluster has one endpoint, the first address of the answer.
        let members = members.take(if self.logical { 1 } else { usize::MAX }).collect();
        self.cluster.replace(members, self.overprovisioning);
        if self.slots.iter().all(|slot| slot.answer.borrow().is_some()) {
            self.cluster.set_warm();
        }
    }
}

impl Slot {
    fn with_port(&self, mut addresses: Vec<IpAddr>) -> Vec<Address> {
        let port = match &self.target {
            Target::Name { port, .. } => *port,
            Target::Address(_) => 0,
        };
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        addresses.into_iter().map(|address| Address::Ip(SocketAddr::new(address, port))).collect()
    }

    fn members(&self) -> Vec<Member> {
        let answer = self.answer.borrow();
        let addresses = answer.iter().flatten();
        addresses
            .map(|address| Member {
                endpoint: EndpointState::labelled(address.clone(), &self.hostname, self.health, self.labels.clone()),
                weight: self.weight,
                priority: self.priority,
                locality: Arc::clone(&self.locality),
                locality_weight: self.locality_weight,
            })
            .collect()
    }
}

/// As Envoy: the name looked up, unless another is configured.
fn hostname(configured: &str, target: &Target) -> String {
    match target {
        Target::Name { host, .. } if configured.is_empty() => host.clone(),
        Target::Name { .. } | Target::Address(_) => configured.to_owned(),
    }
}

/// The address of a target that needs no look-up.
fn known(target: &Target) -> Option<Address> {
    match target {
        Target::Address(address) => Some(address.clone()),
        Target::Name { host, port } => {
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            bare.parse().ok().map(|ip| Address::Ip(SocketAddr::new(ip, *port)))
        }
    }
}

/// Looks a name up, again and again.
async fn keep_current(names: Rc<Names>, slot: usize, lookup: Rc<Lookup>) {
    let Some(Target::Name { host, .. }) = names.slots.get(slot).map(|slot| slot.target.clone()) else { return };
    let stats = names.cluster.stats();
    let mut refresh = Refresh::new(&names.cluster.config().dns);
    loop {
        stats.update_attempt.inc();
        let wait = match lookup.addresses(&host).await {
            Ok(answer) => {
                stats.update_success.inc();
                names.answered(slot, Some(answer.addresses));
                refresh.after_success(answer.ttl)
            }
            Err(error) => {
                stats.update_failure.inc();
                tracing::warn!(cluster = %names.cluster.config().name, host = %host, error = %error, "name not resolved");
                names.answered(slot, None);
                refresh.after_failure()
            }
        };
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests;
